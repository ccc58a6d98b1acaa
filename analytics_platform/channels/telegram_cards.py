"""Messages that are edited while they live: in which form their pieces go to a chat, by what it has of them already.

Belongs here: when a message is edited, sent anew or answered, what is done about a refusal, and when nothing is to be
done. Does not: requests (`telegram.py`), the order of waiting (`telegram_sender.py`), which message is edited
(`state/editions.py`).

A card's text goes first, as a message of its own. Its picture is then put into that message, or sent as an answer to it
when the text is too long for a caption. Edits may be repeated without harm; an answer with a picture may not, and is
left out when it is not known whether it arrived.
"""

import html
from dataclasses import dataclass, field

from analytics_platform.channels.base import Outcome, Piece, Sent
from analytics_platform.channels.telegram_answers import Answer
from analytics_platform.channels.telegram_parts import PHOTO_BYTES, CardPart, ChatId, NoticePart, PicturePart, TextPart

_MISSING = "Its picture is missing"


@dataclass
class Form:
    """The form in which a piece goes to a chat. What was refused is changed in it, each thing once.

    `edits`: the id of the message to change, empty to send one; `captioned`: whether that one is a picture; `answers`:
    the id of the message to answer, empty for none. `repeat`: whether it may have arrived before.
    """

    chat: ChatId
    silent: bool
    marks: list[str]
    markup: bool = True
    as_files: bool = False
    by_id: bool = False
    never_by_id: bool = False
    astray: str = ""
    notes: list[str] = field(default_factory=list)
    edits: str = ""
    captioned: bool = False
    answers: str = ""
    repeat: bool = False
    other_kind_tried: bool = False


def settled(piece: Piece, form: Form, marks: list[str], *, repeat: bool) -> Sent | None:
    """Choose the form by what the chat has of the message; what has come of the piece, when nothing is to be sent.

    `marks`: what stands above the message, kept here from its text to its picture.
    """
    part, earlier = piece.body, piece.earlier
    own = next(iter(earlier.own or ()), "")
    form.repeat = repeat
    match part:
        case CardPart():
            form.edits, form.captioned = next(iter(earlier.before), ""), earlier.pictured
            marks[:] = form.marks
            form.marks = marks
        case NoticePart():
            if own and earlier.own != earlier.before:
                return Sent(Outcome.SENT, "The message itself came anew, so nothing had to be added.")
            form.answers = own
        case PicturePart():
            form.silent, form.marks = True, marks if earlier.own != earlier.before else []
            if earlier.own is None:
                return Sent(Outcome.REFUSED, f"{_MISSING}, as its text has not arrived.")
            if not own:
                return Sent(Outcome.SENT, f"{_MISSING}: its message cannot be reached any more.")
            if len(part.files[0].content) > PHOTO_BYTES:
                return Sent(Outcome.SENT, f"{_MISSING}: it has more than {PHOTO_BYTES // 1_000_000} MB.")
            if not part.fits:
                return _answer(form, own)
            form.edits = own
    return None


def shown(part: TextPart | PicturePart, form: Form) -> str:
    """What a message says, or an edited one, with its marks above."""
    if isinstance(part, PicturePart):
        chunk, marks = part.caption, form.marks
    elif form.edits and isinstance(part, CardPart):
        # Marks are about how a message came, and end with its next revision.
        chunk, marks = part.caption if form.captioned else part.chunk, []
    else:
        chunk, marks = part.chunk, form.marks
    if form.markup:
        lines = [f"<i>{html.escape(mark, quote=False)}</i>" for mark in marks]
        return "\n".join([*lines, ""]) + chunk.html
    return "\n".join([*marks, ""]) + chunk.plain


def another_form(piece: Piece, form: Form, answer: Answer) -> bool:
    """Whether an edit that was refused (400) has another form worth trying, which the next request then takes."""
    part = piece.body
    if answer.markup_is_unreadable and form.markup:
        form.markup = False
        form.notes.append(f"Telegram did not take it with markup ({answer.description}), so it went without.")
        return True
    if isinstance(part, PicturePart):
        return _another_picture(form, answer)
    if (answer.has_no_text or answer.has_no_caption) and not form.other_kind_tried:
        form.captioned, form.other_kind_tried = answer.has_no_text, True
        return True
    # Deleted, too old, out of reach: what is to be said is said all the same.
    form.notes.append(f"Its message could not be edited ({answer.description}), so it came anew.")
    form.edits, form.silent = "", form.silent or part.quiet
    return True


def _another_picture(form: Form, answer: Answer) -> bool:
    if form.by_id:
        form.never_by_id, form.by_id = True, False
        return True
    if answer.takes_no_picture:
        return _answer(form, form.edits) is None
    return False


def _answer(form: Form, message: str) -> Sent | None:
    if form.repeat:
        return Sent(Outcome.SENT, "It is not known whether its picture arrived.")
    form.answers, form.edits = message, ""
    return None


def without_picture(sent: Sent) -> Sent:
    """What came of a picture that was refused: the text stands."""
    if sent.outcome is Outcome.REFUSED and not sent.gone:
        return Sent(Outcome.SENT, f"{_MISSING}. {sent.detail}")
    return sent
