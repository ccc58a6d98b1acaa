"""One piece to one chat: when it may go, in which form, and what came of it.

Belongs here: the order of waiting, one upload for many chats, other forms of what was refused. Does not: requests
(`telegram.py`), what an answer proves (`telegram_answers.py`), what is sent again and when (`dispatch.py`).
"""

import asyncio
import html
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from analytics_platform.channels.base import ChannelError, Outcome, Piece, Recipient, Sent
from analytics_platform.channels.telegram_answers import Answer, AnswerError, NoAnswerError, judge
from analytics_platform.channels.telegram_pacing import OVERALL, PER_CHAT_SECONDS, PER_GROUP, Flights, Patience, Slots
from analytics_platform.channels.telegram_parts import ChatId, MediaPart, TextPart, Unsendable, parse_chat_id
from analytics_platform.language import Language
from analytics_platform.messages import Document, Picture

# Requests under way at the same time: a second's worth, so that slow answers do not slow the pace.
AT_ONCE = 30
# Seconds that are no reason to wait: the way there varies by more.
_NOTHING = 0.001
_LATE = 0.03


@dataclass(frozen=True)
class Taken:
    """What Telegram made of a request: its message ids, and its file ids or none."""

    references: tuple[str, ...]
    files: tuple[str, ...] = ()


class Requests(Protocol):
    """The Bot API's requests that send. Raise AnswerError for a refusal, NoAnswerError when there is no answer."""

    async def text(self, chat: ChatId, text: str, *, markup: bool, silent: bool) -> Taken:
        """One message."""
        ...

    async def media(
        self,
        chat: ChatId,
        files: Sequence[Picture | Document],
        contents: Sequence[bytes | str],
        *,
        as_files: bool,
        silent: bool,
    ) -> Taken:
        """One file, or several as a group. `contents`: of each file its bytes, or Telegram's id of it."""
        ...


@dataclass
class _Upload:
    """What all chats know about one media piece: where Telegram has its files, in which form it took them, and whether
    somebody is just uploading them."""

    as_files: bool
    file_ids: tuple[str, ...] | None = None
    under_way: asyncio.Event | None = None

    def begin(self) -> Callable[[], None]:
        """Whoever waits, waits for this one now. To be called when it has ended."""
        self.under_way = mine = asyncio.Event()

        def end() -> None:
            mine.set()
            if self.under_way is mine:
                self.under_way = None

        return end


@dataclass
class _Form:
    """The form in which a piece goes to a chat. What was refused is changed in it, each thing once."""

    chat: ChatId
    silent: bool
    marks: list[str]
    markup: bool = True
    as_files: bool = False
    by_id: bool = False
    never_by_id: bool = False
    astray: str = ""
    notes: list[str] = field(default_factory=list)


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
        self._flights = Flights(clock)
        self._own_server = own_server
        self._uploads: dict[str, _Upload] = {}
        self._without_markup: set[str] = set()
        self._order = asyncio.Lock()
        self._connections = asyncio.Semaphore(AT_ONCE)
        self._token_refused: Sent | None = None

    @asynccontextmanager
    async def turn(self, recipient: Recipient, piece: Piece) -> AsyncIterator[None]:
        """See `base.Sender`. Who came first goes first, but whoever has to wait for its chat lets the others by."""
        async with await self._wait(recipient, piece):
            yield

    async def _wait(self, recipient: Recipient, piece: Piece) -> AsyncExitStack:
        """What is held while the piece is sent."""
        due = None
        held_for = await asyncio.to_thread(self._slots.held, self._chat_bucket(recipient))
        if held_for > self._patience.flood:
            # Not by reserving: every refused try would use up a slot.
            self._held[recipient.address] = self._clock() + held_for
            return AsyncExitStack()
        self._held.pop(recipient.address, None)
        while not isinstance(piece.body, Unsendable):
            async with AsyncExitStack() as held:
                if isinstance(piece.body, MediaPart):
                    await self._upload_turn(self._upload(piece), held)
                if due is not None:
                    await held.enter_async_context(self._connections)
                    await self._take_off(recipient, piece, due, held)
                    return held.pop_all()
                async with self._order:
                    if self._token_refused:
                        break
                    await held.enter_async_context(self._connections)
                    await self._flights_pause(piece)
                    pause = await asyncio.to_thread(self._slots.reserve, self._bucket, piece.weight, window=OVERALL)
                    if pause > _NOTHING:
                        await self._sleep(pause)
                    # Last, so that it goes at the moment that is written down for the chat: another process may be
                    # sending to it, too.
                    pause = await self._chat_pause(recipient, piece)
                    due = self._clock() + pause
                    if pause <= _NOTHING:
                        await self._take_off(recipient, piece, due, held)
                        return held.pop_all()
            # Outside: others may send, and upload, while this one rests.
            await self._sleep(pause)
        return AsyncExitStack()

    async def _take_off(self, recipient: Recipient, piece: Piece, due: float, held: AsyncExitStack) -> None:
        await self._flights_pause(piece)
        held.callback(self._flights.begin(piece.weight))
        if self._clock() > due + _LATE:
            # What was written down for the chat is over; its next message has to be later, too.
            seconds = PER_CHAT_SECONDS * piece.weight
            await asyncio.to_thread(self._slots.hold, self._chat_bucket(recipient), seconds)

    async def _upload_turn(self, upload: _Upload, held: AsyncExitStack) -> None:
        """One chat uploads, the others wait for its file ids; but not for long: then one of them uploads, too."""
        while upload.file_ids is None and upload.under_way is not None:
            other = upload.under_way
            try:
                await asyncio.wait_for(other.wait(), self._patience.shared_upload)
            except TimeoutError:
                if upload.under_way is other:
                    break
        if upload.file_ids is None:
            held.callback(upload.begin())

    def _chat_bucket(self, recipient: Recipient) -> str:
        return f"{self._bucket}/{recipient.address}"

    async def _chat_pause(self, recipient: Recipient, piece: Piece) -> float:
        window = PER_GROUP if recipient.address.startswith(("-", "@")) else None
        pause = await asyncio.to_thread(
            self._slots.reserve,
            self._chat_bucket(recipient),
            piece.weight,
            spacing=PER_CHAT_SECONDS,
            window=window,
        )
        # Telegram counts when a message arrives: however long the last one took to get there, it was there when its
        # answer came.
        return max(pause, self._free_at.get(recipient.address, 0.0) - self._clock())

    async def _flights_pause(self, piece: Piece) -> None:
        while (pause := self._flights.pause(piece.weight)) > 0:
            await self._sleep(pause)

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
        form = _Form(chat, silent, marks, markup=piece.digest not in self._without_markup)
        try:
            return await self._try(recipient, piece, form, words)
        finally:
            self._free_at[recipient.address] = self._clock() + PER_CHAT_SECONDS * piece.weight

    async def _try(self, recipient: Recipient, piece: Piece, form: _Form, words: Language) -> Sent:
        part = piece.body
        while True:
            try:
                taken = await (self._text(part, form) if isinstance(part, TextPart) else self._media(piece, form))
            except NoAnswerError as error:
                return error.sent
            except AnswerError as error:
                answer = error.answer
            else:
                return Sent(Outcome.SENT, " ".join(form.notes), taken.references, taken.files, astray=form.astray)
            if not self._changed(piece, form, answer, words):
                return await self._judged(recipient, answer)

    async def _judged(self, recipient: Recipient, answer: Answer) -> Sent:
        sent = judge(answer, own_server=self._own_server)
        if answer.token_is_refused:
            self._token_refused = sent
        if answer.code == 429 and sent.retry_after is not None:
            await asyncio.to_thread(self._slots.hold, self._chat_bucket(recipient), sent.retry_after)
        return sent

    def _changed(self, piece: Piece, form: _Form, answer: Answer, words: Language) -> bool:
        """Whether what was refused has another form worth trying, which the next request then takes."""
        if answer.code != 400 or answer.new_chat is not None or answer.chat_is_unknown:
            return False
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

    def _without(self, piece: Piece, form: _Form, answer: Answer) -> bool:
        if not form.markup:
            return False
        form.markup = False
        if answer.markup_is_unreadable:
            # It is the same for every chat.
            self._without_markup.add(piece.digest)
        form.notes.append(f"Telegram did not take it with markup ({answer.description}), so it went without.")
        return True

    async def _text(self, part: TextPart, form: _Form) -> Taken:
        if form.markup:
            lines = [f"<i>{html.escape(mark, quote=False)}</i>" for mark in form.marks]
            text = "\n".join([*lines, ""]) + part.chunk.html
        else:
            text = "\n".join([*form.marks, ""]) + part.chunk.plain
        return await self._requests.text(form.chat, text, markup=form.markup, silent=form.silent)

    async def _media(self, piece: Piece, form: _Form) -> Taken:
        part, upload = piece.body, self._upload(piece)
        ids = None if form.never_by_id else upload.file_ids
        form.by_id, form.as_files = ids is not None, upload.as_files
        contents = ids or [file.content for file in part.files]
        taken = await self._requests.media(form.chat, part.files, contents, as_files=form.as_files, silent=form.silent)
        if form.as_files and not part.as_files:
            form.notes.append("Telegram did not take it as a picture, so it went as a file.")
        if not form.by_id and form.as_files == upload.as_files and taken.files:
            upload.file_ids = taken.files
        return taken
