"""One piece to one chat: when it may go, in which form, and what came of it.

Belongs here: the order of waiting, one upload for many chats, other forms of what was refused. Does not: requests
(`telegram.py`), what an answer proves (`telegram_answers.py`), what is sent again and when (`dispatch.py`).
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import Protocol

from analytics_platform.channels.base import ChannelError, Outcome, Piece, Recipient, Sent
from analytics_platform.channels.telegram_answers import Answer, AnswerError, NoAnswerError, judge
from analytics_platform.channels.telegram_cards import Form, another_form, settled, shown, without_picture
from analytics_platform.channels.telegram_pacing import (
    OVERALL,
    OVERALL_SPACING,
    PER_CHAT_SECONDS,
    PER_GROUP,
    Patience,
    Slots,
)
from analytics_platform.channels.telegram_parts import (
    ChatId,
    MediaPart,
    PicturePart,
    TextPart,
    Unsendable,
    parse_chat_id,
)
from analytics_platform.language import Language
from analytics_platform.messages import Document, Picture
from analytics_platform.pace import Limit, Turn

# Requests under way at the same time: a second's worth, so that slow answers do not slow the pace.
AT_ONCE = 30
# Seconds that are no reason to wait: the way there varies by more.
_NOTHING = 0.001
# The line goes on so many seconds before somebody's moment: in them, the ledger is told.
_HEAD_START = 0.1
# So late a message may arrive: less than the pace leaves room for. And seconds without an answer after which nobody
# knows any more when it arrives.
_LATE = 0.02
_LONG = 0.3
# By so many of the last requests one knows how quick an answer can be.
_REMEMBERED = 300


@dataclass(frozen=True)
class Taken:
    """What Telegram made of a request: its message ids, and its file ids or none."""

    references: tuple[str, ...]
    files: tuple[str, ...] = ()


class Requests(Protocol):
    """The Bot API's requests that send. Raise AnswerError for a refusal, NoAnswerError when there is no answer."""

    async def text(self, chat: ChatId, text: str, *, markup: bool, silent: bool, answers: str = "") -> Taken:
        """One message. `answers`: the id of the one that it is shown as an answer to."""
        ...

    async def media(
        self,
        chat: ChatId,
        files: Sequence[Picture | Document],
        contents: Sequence[bytes | str],
        *,
        as_files: bool,
        silent: bool,
        answers: str = "",
    ) -> Taken:
        """One file, or several as a group. `contents`: of each file its bytes, or Telegram's id of it."""
        ...

    async def edit(
        self,
        chat: ChatId,
        message: str,
        text: str,
        *,
        markup: bool,
        captioned: bool,
        picture: tuple[Picture, bytes | str] | None = None,
    ) -> Taken:
        """Change a message: its text, its caption (`captioned`), or its picture together with that."""
        ...


@dataclass
class _Upload:
    """What all chats know about one media piece: where Telegram has its files, in which form it took them, and whether
    somebody is just uploading them."""

    as_files: bool
    file_ids: tuple[str, ...] | None = None
    under_way: asyncio.Event | None = None

    @property
    def other(self) -> asyncio.Event | None:
        """Whom to wait for: somebody is uploading what Telegram does not have."""
        return self.under_way if self.file_ids is None else None

    def begin(self) -> Callable[[], None]:
        """Whoever waits, waits for this one now. To be called when it has ended."""
        self.under_way = mine = asyncio.Event()

        def end() -> None:
            mine.set()
            if self.under_way is mine:
                self.under_way = None

        return end


@dataclass
class _Flight:
    """A message under way: its turn, for when that is counted, and when its request left, on the sender's clock."""

    turn: Turn
    at: float
    left: float | None = None


class TelegramSender:
    """Sends the pieces of one delivery. Belongs to one event loop."""

    def __init__(
        self,
        requests: Requests,
        slots: Slots,
        *,
        bucket: str,
        files: Mapping[str, tuple[str, ...]],
        patience: Patience,
        clock: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]],
        own_server: bool,
    ) -> None:
        """`bucket` names the bot in `slots`. `files`: by digest, the ids of what Telegram has. `clock` and `sleep`:
        seconds."""
        self._requests = requests
        self._slots = slots
        self._bucket = bucket
        self._files = files
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._free_at: dict[str, float] = {}
        self._held: dict[str, float] = {}
        self._flights: dict[tuple[str, str, str], _Flight] = {}
        self._took: list[float] = []
        self._own_server = own_server
        self._uploads: dict[str, _Upload] = {}
        self._without_markup: set[str] = set()
        self._order = asyncio.Lock()
        self._connections = asyncio.Semaphore(AT_ONCE)
        self._token_refused: Sent | None = None
        # What stands above a card, which is to stay there when its picture comes.
        self._marks: dict[tuple[object, ...], list[str]] = {}

    @asynccontextmanager
    async def turn(self, recipient: Recipient, piece: Piece) -> AsyncIterator[None]:
        """See `base.Sender`. Who came first goes first, but whoever has to wait for its chat lets the others by."""
        async with await self._wait(recipient, piece):
            yield

    async def _wait(self, recipient: Recipient, piece: Piece) -> AsyncExitStack:
        """What is held while the piece is sent."""
        self._held.pop(recipient.address, None)
        while not isinstance(piece.body, Unsendable):
            async with AsyncExitStack() as held, self._order:
                if self._token_refused:
                    break
                # At the head of the line and not on joining it: what is counted here is sent now, and whoever uploads
                # is about to.
                upload = self._upload(piece) if isinstance(piece.body, MediaPart) else None
                other = upload.other if upload else None
                pause = self._free_at.get(recipient.address, 0.0) - self._clock()
                if other is None and pause <= _NOTHING:
                    await held.enter_async_context(self._connections)
                    turn = await self._reserve(recipient, piece)
                    if turn.reserved:
                        if upload and upload.file_ids is None:
                            held.callback(upload.begin())
                        return held.pop_all()
                    pause = turn.seconds
                    if pause > self._patience.flood:
                        self._held[recipient.address] = self._clock() + pause
                        break
            # Outside: others may send, and upload, while this one rests.
            if upload and other:
                await self._uploaded(upload, other)
            else:
                await self._sleep(pause)
        return AsyncExitStack()

    async def _uploaded(self, upload: _Upload, other: asyncio.Event) -> None:
        """One chat uploads, the others wait for its file ids; but not for long: then one of them uploads, too."""
        try:
            await asyncio.wait_for(other.wait(), self._patience.shared_upload)
        except TimeoutError:
            if upload.under_way is other:
                upload.under_way = None

    async def _reserve(self, recipient: Recipient, piece: Piece) -> Turn:
        """The moment at which it may go, waited for but for the head start; not reserved while the chat has to rest."""
        for flight in list(self._flights.values()):
            # Nobody knows when it arrives: now at the earliest.
            if flight.left and (late := self._clock() - max(flight.at, flight.left)) > _LONG:
                await self._put_off(flight, late)
        group = recipient.address.startswith(("-", "@"))
        chat = Limit(self._chat_bucket(recipient), PER_CHAT_SECONDS, PER_GROUP if group else None)
        overall = Limit(self._bucket, OVERALL_SPACING, OVERALL)

        def reserve() -> tuple[Turn, float]:
            # Read here: until this coroutine goes on, milliseconds pass on a busy machine.
            turn = self._slots.reserve(piece.weight, overall, free=chat)
            return turn, self._clock() + turn.seconds

        turn, at = await asyncio.to_thread(reserve)
        if turn.reserved:
            self._flights[recipient.key] = _Flight(turn, at)
            if (pause := at - self._clock() - _HEAD_START) > 0:
                await self._sleep(pause)
        return turn

    async def _put_off(self, flight: _Flight, seconds: float) -> None:
        flight.at += seconds
        flight.turn = await asyncio.to_thread(self._slots.put_off, flight.turn, seconds)

    def _chat_bucket(self, recipient: Recipient) -> str:
        return f"{self._bucket}/{recipient.address}"

    def _upload(self, piece: Piece) -> _Upload:
        part = piece.body
        if piece.digest not in self._uploads:
            known = self._files.get(piece.digest, ())
            ids = known if len(known) == len(part.files) else None
            self._uploads[piece.digest] = _Upload(part.as_files, ids)
        return self._uploads[piece.digest]

    async def send(self, recipient: Recipient, piece: Piece, *, repeat: bool, silent: bool) -> Sent:
        """See `base.Sender`."""
        part = piece.body
        if isinstance(part, Unsendable):
            return Sent(Outcome.REFUSED, part.reason)
        if self._token_refused:
            return self._token_refused
        if recipient.address in self._held:
            left = max(self._held[recipient.address] - self._clock(), 1.0)
            return Sent(
                Outcome.NOT_SENT, f"Telegram wants this chat left alone for {left:.0f} s more.", retry_after=left
            )
        try:
            chat = parse_chat_id("/".join(filter(None, (recipient.address, recipient.thread))))
        except ChannelError as error:
            return Sent(Outcome.REFUSED, f"{error}.")
        words = Language(recipient.language)
        marks = [words.say("Sent again: it is not known whether this arrived before.")] if repeat else []
        form = Form(chat, silent, marks, markup=piece.digest not in self._without_markup)
        if piece.living:
            known = self._marks.setdefault((*recipient.key, piece.living), [])
            if done := settled(piece, form, known, repeat=repeat):
                return done
        flight = self._flights.get(recipient.key)
        if flight and (pause := flight.at - self._clock()) > _NOTHING:
            await self._sleep(pause)
        if flight:
            flight.left = self._clock()
        try:
            return await self._try(recipient, piece, form, words)
        finally:
            # Telegram counts when a message arrives: however long it took to get there, it was there when its answer
            # came.
            self._free_at[recipient.address] = self._clock() + PER_CHAT_SECONDS * piece.weight
            if flight:
                await self._landed(recipient, flight)

    async def _landed(self, recipient: Recipient, flight: _Flight) -> None:
        """Count it for when it has arrived at the latest: as much later than the quickest as its answer was."""
        self._flights.pop(recipient.key, None)
        now = self._clock()
        # Not by the first ones: they open the connections, and none of them is quick.
        quickest = min(self._took) if len(self._took) >= AT_ONCE else 0.0
        self._took = [*self._took[-_REMEMBERED:], now - (flight.left or now)]
        if (late := now - flight.at - quickest) > _LATE:
            await self._put_off(flight, late)

    async def _try(self, recipient: Recipient, piece: Piece, form: Form, words: Language) -> Sent:
        part = piece.body
        while True:
            try:
                taken = await self._request(piece, form)
            except NoAnswerError as error:
                return error.sent
            except AnswerError as error:
                answer = error.answer
            else:
                return Sent(Outcome.SENT, " ".join(form.notes), taken.references, taken.files, astray=form.astray)
            if form.edits and answer.changes_nothing:
                return Sent(Outcome.SENT, " ".join(form.notes), (form.edits,))
            if not self._changed(piece, form, answer, words):
                sent = await self._judged(recipient, answer)
                return without_picture(sent) if isinstance(part, PicturePart) else sent

    async def _request(self, piece: Piece, form: Form) -> Taken:
        part = piece.body
        if not form.edits:
            return await (self._text(part, form) if isinstance(part, TextPart) else self._media(piece, form))
        text = shown(part, form)
        if isinstance(part, TextPart):
            return await self._requests.edit(form.chat, form.edits, text, markup=form.markup, captioned=form.captioned)
        upload = self._upload(piece)
        ids = None if form.never_by_id else upload.file_ids
        form.by_id, (file,) = ids is not None, part.files
        picture = (file, ids[0] if ids else file.content)
        taken = await self._requests.edit(
            form.chat, form.edits, text, markup=form.markup, captioned=True, picture=picture
        )
        if not form.by_id and taken.files:
            upload.file_ids = taken.files
        return taken

    async def _judged(self, recipient: Recipient, answer: Answer) -> Sent:
        sent = judge(answer, own_server=self._own_server)
        if answer.token_is_refused:
            self._token_refused = sent
        if answer.code == 429 and sent.retry_after is not None:
            await asyncio.to_thread(self._slots.hold, self._chat_bucket(recipient), sent.retry_after)
        return sent

    def _changed(self, piece: Piece, form: Form, answer: Answer, words: Language) -> bool:
        """Whether what was refused has another form worth trying, which the next request then takes."""
        if answer.code != 400 or answer.new_chat is not None or answer.chat_is_unknown:
            return False
        if form.edits:
            return another_form(piece, form, answer)
        if answer.topic_is_gone:
            if form.chat.topic is None:
                return False
            form.astray = (
                f"Its topic {form.chat.thread} is closed or deleted ({answer.description}), so it went to the chat "
                "itself: subscribe another topic."
            )
            form.marks.append(words.say("Its topic is closed or deleted, so this comes here."))
            form.chat = ChatId(form.chat.address)
            return True
        if isinstance(piece.body, TextPart):
            return self._without(piece, form, answer)
        upload = self._upload(piece)
        if not form.as_files and answer.not_a_picture and not form.by_id:
            # A group is refused as a whole, so all of it goes as files and stays together.
            if not upload.as_files:
                upload.as_files, upload.file_ids = True, None
            return True
        if form.by_id:
            form.never_by_id = True
            return True
        return False

    def _without(self, piece: Piece, form: Form, answer: Answer) -> bool:
        if not form.markup:
            return False
        form.markup = False
        if answer.markup_is_unreadable:
            # It is the same for every chat.
            self._without_markup.add(piece.digest)
        form.notes.append(f"Telegram did not take it with markup ({answer.description}), so it went without.")
        return True

    async def _text(self, part: TextPart, form: Form) -> Taken:
        return await self._requests.text(
            form.chat, shown(part, form), markup=form.markup, silent=form.silent, answers=form.answers
        )

    async def _media(self, piece: Piece, form: Form) -> Taken:
        part, upload = piece.body, self._upload(piece)
        ids = None if form.never_by_id else upload.file_ids
        form.by_id, form.as_files = ids is not None, upload.as_files
        contents = ids or [file.content for file in part.files]
        taken = await self._requests.media(
            form.chat, part.files, contents, as_files=form.as_files, silent=form.silent, answers=form.answers
        )
        if form.as_files and not part.as_files:
            form.notes.append("Telegram did not take it as a picture, so it went as a file.")
        if not form.by_id and form.as_files == upload.as_files and taken.files:
            upload.file_ids = taken.files
        return taken
