"""Telegram: messages to chats, channels and group topics through the Bot API.

Belongs here: sending, what an answer or its absence proves, retries of what is proven not sent. Does not: pieces and
limits (`telegram_parts.py`), the pace (`telegram_pacing.py`), who subscribed and what is sent again (`delivery.py`).

Imports python-telegram-bot (0.8 s) at its top: import this module inside the function that delivers.
"""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx
from pydantic import SecretStr
from telegram import Bot, InputMediaDocument, InputMediaPhoto, LinkPreviewOptions
from telegram import Message as SentMessage
from telegram.constants import ParseMode
from telegram.error import TelegramError
from telegram.request import HTTPXRequest

from analytics_platform.channels.base import ChannelError, Outcome, Receipt
from analytics_platform.channels.telegram_answers import NO_ANSWER, Answer, Problem, judge, moved
from analytics_platform.channels.telegram_pacing import Pace, Patience
from analytics_platform.channels.telegram_parts import (
    DOCUMENT_BYTES,
    ChatId,
    MediaPart,
    Part,
    TextPart,
    Unsendable,
    parse_chat_id,
    plan,
)
from analytics_platform.messages import Message
from analytics_platform.redaction import install_redaction, redact, register_secret

T = TypeVar("T")

_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
# Raised before a byte of the request left: the other side cannot have accepted anything.
_NEVER_LEFT = (httpx.PoolTimeout, httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.UnsupportedProtocol)
_BACK_OFF = (1.0, 2.0, 4.0)
_AT_ONCE = 8  # requests under way at the same time


class TelegramChannel:
    """Sends to one or more chats by a bot of @BotFather's.

    Chats get their parts in order and independently of each other. A part is repeated only when it is proven that
    Telegram did not accept it. Every piece sent has its own receipt (`1 text`, `1 text 2/3`, `2 album`).
    """

    name = "telegram"
    repeatable = False

    def __init__(
        self,
        token: SecretStr | str,
        chat_ids: Sequence[str],
        *,
        api_url: str | None = None,
        patience: Patience | None = None,
        document_bytes: int = DOCUMENT_BYTES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`api_url`: another Bot API server, without `/bot`; None is Telegram's own. `document_bytes`: largest file,
        more than 50 MB only with a Bot API server of one's own. `clock` and `sleep`: seconds.

        ChannelError for a token, chat or address that cannot be one.
        """
        secret = token.get_secret_value() if isinstance(token, SecretStr) else token
        if not _TOKEN.fullmatch(secret.strip()):
            raise ChannelError("TELEGRAM_BOT_TOKEN does not look like a token of @BotFather (digits, a colon, letters)")
        if api_url is not None and not api_url.startswith(("http://", "https://")):
            raise ChannelError("TELEGRAM_API_URL must begin with http:// or https://")
        register_secret(secret.strip())
        self._token = SecretStr(secret.strip())
        chats: dict[tuple[int | str, int | None], ChatId] = {}
        for chat in map(parse_chat_id, chat_ids):
            chats.setdefault((chat.chat, chat.topic), chat)  # named twice: gets everything once
        self._chats = tuple(chats.values())
        self._api_url = api_url.rstrip("/") if api_url else None
        self._document_bytes = document_bytes
        self._patience = patience or Patience()
        self._pace = Pace(clock)
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"TelegramChannel(chats={[chat.configured for chat in self._chats]})"

    def send(self, messages: Sequence[Message], *, key: str) -> list[Receipt]:  # noqa: ARG002  (files need the key)
        """One receipt per piece and chat; no receipts without chats. Blocks until all is sent or given up."""
        install_redaction()
        parts = plan(messages, document_bytes=self._document_bytes)
        return _run_to_end(self._send(parts))

    def check(self) -> str:
        """The bot's @username, asked of Telegram; nothing is sent. ChannelError says what is wrong."""
        install_redaction()
        answer = _run_to_end(self._username())
        # Raised here and not where the library's error is at hand, so that no traceback can lead to that one.
        if isinstance(answer, Problem):
            raise ChannelError(answer.detail)
        return answer

    async def _send(self, parts: list[Part]) -> list[Receipt]:
        async with self._bot() as bot:
            delivery = _Delivery(bot, parts, self._pace, self._sleep, self._patience, bool(self._api_url))
            # Every chat runs to its end even if a defect breaks another one; the defect is then raised.
            results = await asyncio.gather(*(delivery.to(chat) for chat in self._chats), return_exceptions=True)
        receipts: list[Receipt] = []
        for result in results:
            if isinstance(result, BaseException):
                raise result
            receipts.extend(result)
        return receipts

    async def _username(self) -> "str | Problem":
        async with self._bot() as bot:
            try:
                me = await bot.get_me()
            except _AnswerError as error:
                problem = judge(error.answer, own_server=bool(self._api_url))
                if problem.token_refused:
                    return problem
                return Problem(Outcome.NOT_SENT, f"Telegram answered: {error.answer.description}. Try again later.")
            except TelegramError as error:
                return Problem(Outcome.NOT_SENT, f"Telegram cannot be reached ({redact(str(error))}).")
        return f"@{me.username}"

    @asynccontextmanager
    async def _bot(self) -> AsyncIterator[Bot]:
        limits = self._patience
        request = _Request(
            connection_pool_size=_AT_ONCE,
            connect_timeout=limits.connect,
            read_timeout=limits.read,
            write_timeout=limits.write,
            media_write_timeout=limits.upload,
            pool_timeout=limits.pool,
        )
        token = self._token.get_secret_value()
        if self._api_url is None:
            bot = Bot(token, request=request, get_updates_request=request)
        else:
            address, files = f"{self._api_url}/bot", f"{self._api_url}/file/bot"
            bot = Bot(token, base_url=address, base_file_url=files, request=request, get_updates_request=request)
        # Not `async with bot`: that asks getMe on every delivery, and its error text carries the token.
        await request.initialize()
        try:
            yield bot
        finally:
            await request.shutdown()


class _AnswerError(TelegramError):
    """Carries the answer past python-telegram-bot, whose own error classes lose the status code."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.description)
        self.answer = answer


class _Request(HTTPXRequest):
    async def do_request(self, *args: Any, **kwargs: Any) -> tuple[int, bytes]:
        code, payload = await super().do_request(*args, **kwargs)
        if not 200 <= code < 300:
            raise _AnswerError(Answer.read(code, payload))
        return code, payload


@dataclass
class _Upload:
    """What all chats know about one media part: where Telegram keeps its files, and in which form it took them."""

    as_files: bool
    file_ids: tuple[str, ...] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)


@dataclass
class _Chat:
    """One recipient during one delivery."""

    configured: str
    id: int | str
    topic: int | None
    flood_left: float
    gone: str = ""
    moved: str = ""


@dataclass
class _Attempt:
    """The form in which a part last went to a chat: tells what to change when that form was refused."""

    markup: bool = False
    as_files: bool = False
    by_id: bool = False
    never_by_id: bool = False
    note: str = ""
    references: tuple[str, ...] = ()


@dataclass(repr=False)  # the bot's repr holds the token
class _Delivery:
    """One `send`: all parts to each chat."""

    bot: Bot
    parts: list[Part]
    pace: Pace
    sleep: Callable[[float], Awaitable[None]]
    patience: Patience
    own_server: bool

    def __post_init__(self) -> None:
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._uploads = {part.label: _Upload(part.as_files) for part in self.parts if isinstance(part, MediaPart)}
        self._without_markup: set[str] = set()
        self._token_refused = ""

    async def to(self, chat_id: ChatId) -> list[Receipt]:
        """All parts to one chat, in order."""
        chat = _Chat(chat_id.configured, chat_id.chat, chat_id.topic, self.patience.flood)
        return [await self._part(chat, part) for part in self.parts]

    async def _part(self, chat: _Chat, part: Part) -> Receipt:
        def receipt(outcome: Outcome, detail: str, references: tuple[str, ...] = ()) -> Receipt:
            # Whatever became of the part, a moved chat has to be known.
            detail = " ".join(filter(None, (detail, chat.moved)))
            return Receipt(TelegramChannel.name, chat.configured, part.label, outcome, detail, references)

        if isinstance(part, Unsendable):
            return receipt(Outcome.REFUSED, part.reason)
        if self._token_refused:
            return receipt(Outcome.REFUSED, self._token_refused)
        if chat.gone:
            return receipt(Outcome.NOT_SENT, f"Not tried, because an earlier part was refused. {chat.gone}")
        attempt = _Attempt()
        problem = await self._deliver(chat, part, attempt)
        if problem is None:
            return receipt(Outcome.SENT, attempt.note, attempt.references)
        if problem.chat_gone:
            chat.gone = problem.detail
        if problem.token_refused:
            self._token_refused = problem.detail
        return receipt(problem.outcome, problem.detail)

    async def _deliver(self, chat: _Chat, part: TextPart | MediaPart, attempt: _Attempt) -> Problem | None:
        """Try until the part is accepted (None), refused, or it is unknown which; the latter is never repeated."""
        pauses = iter(_BACK_OFF)
        while True:
            while (wait := self.pace.take(str(chat.id), part.weight)) > 0:
                await self.sleep(wait)
            try:
                attempt.references = await self._call(chat, part, attempt)
            except _AnswerError as error:
                answer = error.answer
                if answer.retry_after is not None:
                    # At least a second: an answer of 0 must not make this a busy loop.
                    pause = max(float(answer.retry_after), 1.0)
                    if pause > chat.flood_left:
                        return judge(answer, own_server=self.own_server)
                    chat.flood_left -= pause
                    await self.sleep(pause)
                elif answer.new_chat is not None and not chat.moved:
                    chat.moved = moved(chat.configured, answer.new_chat)
                    chat.id = answer.new_chat
                elif not self._changed(part, attempt, answer):
                    return judge(answer, own_server=self.own_server)
            except TelegramError as error:
                reason = redact(str(error))
                if not isinstance(error.__cause__, _NEVER_LEFT):
                    return Problem(Outcome.UNCERTAIN, f"{NO_ANSWER} ({reason}).")
                pause = next(pauses, 0.0)
                if not pause:
                    return Problem(Outcome.NOT_SENT, f"Telegram cannot be reached ({reason}). Send it again later.")
                await self.sleep(pause)
            else:
                return None

    def _changed(self, part: TextPart | MediaPart, attempt: _Attempt, answer: Answer) -> bool:
        """Whether a refused part has another form worth trying, which the next call then takes."""
        if answer.code != 400 or answer.chat_is_gone:
            return False
        if isinstance(part, TextPart):
            if attempt.markup and answer.markup_is_unreadable:
                self._without_markup.add(part.label)
                return True
            return False
        upload = self._uploads[part.label]
        if not attempt.as_files and answer.not_a_picture:
            # A group is refused as a whole, so all of it goes as files and stays together.
            if not upload.as_files:
                upload.as_files, upload.file_ids = True, None
            return True
        if attempt.by_id:
            attempt.never_by_id = True
            return True
        return False

    async def _call(self, chat: _Chat, part: TextPart | MediaPart, attempt: _Attempt) -> tuple[str, ...]:
        if isinstance(part, MediaPart):
            return await self._media(chat, part, attempt)
        attempt.markup = part.label not in self._without_markup
        attempt.note = "" if attempt.markup else "Telegram could not read the markup, so the text went without it."
        async with self._slots:
            sent = await self.bot.send_message(
                chat.id,
                part.chunk.html if attempt.markup else part.chunk.plain,
                parse_mode=ParseMode.HTML if attempt.markup else None,
                message_thread_id=chat.topic,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
            )
        return (str(sent.message_id),)

    async def _media(self, chat: _Chat, part: MediaPart, attempt: _Attempt) -> tuple[str, ...]:
        upload = self._uploads[part.label]
        if upload.file_ids is None:
            # One chat uploads, the others wait for its file ids. The turn lasts for one call and not for its
            # retries, and the waiting is bounded: a chat in trouble does not hold up the others.
            async with _turn(upload.turn, self.patience.shared_upload):
                if upload.file_ids is None:
                    return await self._transfer(chat, part, attempt, upload)
        return await self._transfer(chat, part, attempt, upload)

    async def _transfer(self, chat: _Chat, part: MediaPart, attempt: _Attempt, upload: _Upload) -> tuple[str, ...]:
        ids = None if attempt.never_by_id else upload.file_ids
        attempt.by_id, attempt.as_files = ids is not None, upload.as_files
        if attempt.as_files and not part.as_files:
            attempt.note = "Telegram did not take it as a picture, so it went as a file."
        contents: Sequence[str | bytes] = ids or [file.content for file in part.files]
        async with self._slots:
            sent = await self._post(chat, part, contents, as_files=attempt.as_files)
        found = [_file_id(message) for message in sent]
        if not attempt.by_id and attempt.as_files == upload.as_files and all(found):
            upload.file_ids = tuple(filter(None, found))
        return tuple(str(message.message_id) for message in sent)

    async def _post(
        self, chat: _Chat, part: MediaPart, contents: Sequence[str | bytes], *, as_files: bool
    ) -> tuple[SentMessage, ...]:
        if len(part.files) > 1:
            kind = InputMediaDocument if as_files else InputMediaPhoto
            media = [
                kind(content, caption=file.caption or None, filename=file.filename)
                for file, content in zip(part.files, contents, strict=True)
            ]
            return await self.bot.send_media_group(chat.id, media, message_thread_id=chat.topic)
        (file,), (content,) = part.files, contents
        send = self.bot.send_document if as_files else self.bot.send_photo
        return (
            await send(
                chat.id, content, caption=file.caption or None, message_thread_id=chat.topic, filename=file.filename
            ),
        )


def _file_id(message: SentMessage) -> str | None:
    if message.photo:
        return message.photo[-1].file_id
    return message.document.file_id if message.document else None


@asynccontextmanager
async def _turn(lock: asyncio.Lock, patience: float) -> AsyncIterator[None]:
    try:
        await asyncio.wait_for(lock.acquire(), patience)
    except TimeoutError:
        yield
        return
    try:
        yield
    finally:
        lock.release()


def _run_to_end(work: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    # A loop is running in this thread (a bot's handler, a notebook): use one of our own in another thread.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
