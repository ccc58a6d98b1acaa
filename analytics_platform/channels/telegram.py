"""Telegram: messages to chats, channels and group topics through the Bot API.

Belongs here: the channel, and the requests. Does not: pieces and limits (`telegram_parts.py`), when and in which form a
piece is sent (`telegram_sender.py`), who subscribed and what is sent again (`state/`, `delivery.py`).

Imports python-telegram-bot (0.8 s) at its top: import this module inside the function that delivers.
"""

import asyncio
import json
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar
from urllib.parse import urlencode

import httpx
from pydantic import SecretStr
from telegram import Bot, InputMediaDocument, InputMediaPhoto, LinkPreviewOptions, ReplyParameters
from telegram import Message as SentMessage
from telegram.constants import ParseMode
from telegram.error import RetryAfter, TelegramError
from telegram.request import HTTPXRequest

from analytics_platform.channels.base import ChannelError, Piece
from analytics_platform.channels.telegram_answers import (
    Answer,
    AnswerError,
    NoAnswerError,
    never_left,
    pause,
    token_refused,
    unknown,
)
from analytics_platform.channels.telegram_pacing import Patience, Slots
from analytics_platform.channels.telegram_parts import DOCUMENT_BYTES, ChatId, parse_chat_id, plan
from analytics_platform.channels.telegram_sender import AT_ONCE, Taken, TelegramSender
from analytics_platform.channels.telegram_updates import KINDS, Arrival, arrivals, kind_of, names_a_bot, title_of
from analytics_platform.language import Language
from analytics_platform.messages import Document, Message, Picture
from analytics_platform.redaction import install_redaction, redact, register_secret

T = TypeVar("T")

_TOKEN = re.compile(r"\d+:[A-Za-z0-9_-]+")
# Raised before a byte of the request left: the other side cannot have accepted anything.
_NEVER_LEFT = (
    httpx.PoolTimeout,
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
    httpx.InvalidURL,
)


class TelegramChannel:
    """Sends by a bot of @BotFather's. An address is a chat's number or @name, a thread the number of its topic."""

    name = "telegram"

    def __init__(
        self,
        token: SecretStr | str,
        *,
        slots: Slots,
        api_url: str | None = None,
        patience: Patience | None = None,
        document_bytes: int = DOCUMENT_BYTES,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`api_url`: another Bot API server, without `/bot`; None is Telegram's own. `slots`: the pace, shared by all
        who send by this bot. `document_bytes`: largest file, more than 50 MB only with a Bot API server of one's own.
        `clock` and `sleep`: seconds.

        ChannelError for a token or address that cannot be one.
        """
        secret = (token.get_secret_value() if isinstance(token, SecretStr) else token).strip()
        if not _TOKEN.fullmatch(secret):
            raise ChannelError("TELEGRAM_BOT_TOKEN does not look like a token of @BotFather (digits, a colon, letters)")
        if api_url is not None and not api_url.startswith(("http://", "https://")):
            raise ChannelError("TELEGRAM_API_URL must begin with http:// or https://")
        register_secret(secret)
        self._token = SecretStr(secret)
        self._bot_id = secret.partition(":")[0]
        self._api_url = api_url.rstrip("/") if api_url else None
        self._slots = slots
        self._document_bytes = document_bytes
        self._patience = patience or Patience()
        self._clock = clock
        self._sleep = sleep

    def __repr__(self) -> str:
        return f"TelegramChannel(bot={self._bot_id})"

    def pieces(self, messages: Sequence[Message], *, key: str, language: Language) -> list[Piece]:  # noqa: ARG002
        """See `base.Channel`. Neither key nor language shows in a piece."""
        return plan(messages, document_bytes=self._document_bytes)

    @asynccontextmanager
    async def sender(self, files: Mapping[str, tuple[str, ...]]) -> AsyncIterator[TelegramSender]:
        """See `base.Channel`."""
        install_redaction()
        async with self._bot() as bot:
            yield TelegramSender(
                _Requests(bot),
                self._slots,
                bucket=f"{self.name}/{self._bot_id}",
                files=files,
                patience=self._patience,
                clock=self._clock,
                sleep=self._sleep,
                own_server=bool(self._api_url),
            )

    def check(self) -> str:
        """The bot's @username, asked of Telegram; nothing is sent. ChannelError says what is wrong."""
        return f"@{self._ask(_username)}"

    def look_up(self, address: str) -> tuple[str, str]:
        """Kind (`private`, `group` or `channel`) and title of a chat. ChannelError when the bot cannot see it."""
        chat = parse_chat_id(address).chat

        async def question(bot: Bot) -> Mapping[str, Any]:
            return dict(await _call(bot, "getChat", {"chat_id": chat}))

        unseen = (
            f"the bot cannot see the chat {address} (Telegram answered: {{}}): check its number or @name; let the bot "
            "into a group, make it an administrator of a channel, or press Start in a private chat"
        )
        found = self._ask(question, {400: unseen, 403: unseen})
        return kind_of(found), title_of(found)

    def updates(self, after: int) -> tuple[int, list[Arrival]]:
        """The highest update id, and who asked for messages since the update `after`; 0 when none was read yet.

        At most a hundred updates at a time. What was read is told again until it is asked for what comes after it.
        ChannelError when there is no connection, or another process reads this bot's updates.
        """

        async def question(bot: Bot) -> tuple[int, list[Arrival]]:
            asked = {"offset": after + 1 if after else 0, "timeout": 0, "allowed_updates": list(KINDS)}
            told = list(await _call(bot, "getUpdates", asked))
            me = await _username(bot) if names_a_bot(told) else ""
            return max((int(update["update_id"]) for update in told), default=after), arrivals(told, me)

        taken = (
            "another process or a webhook reads what people send to this bot, and Telegram allows one (it answered: "
            "{}): stop that one, or use a bot of its own"
        )
        return self._ask(question, {409: taken})

    def _ask(self, question: Callable[[Bot], Awaitable[T]], sentences: Mapping[int, str] | None = None) -> T:
        """Of Telegram, blocking. `sentences`: what is said of an answer, by its status."""
        install_redaction()
        found = _run_to_end(self._asked(question))
        # Raised here and not where the library's error is at hand, so that no traceback can lead to that one.
        if isinstance(found, _Failure):
            if found.answer is None:
                raise ChannelError(found.detail)
            if found.answer.token_is_refused:
                raise ChannelError(token_refused(own_server=bool(self._api_url)).rstrip("."))
            sentence = (sentences or {}).get(found.answer.code, "Telegram answered: {}; try again later")
            raise ChannelError(sentence.format(found.answer.description))
        return found

    async def _asked(self, question: Callable[[Bot], Awaitable[T]]) -> "T | _Failure":
        async with self._bot() as bot:
            try:
                return await question(bot)
            except _AnswerError as error:
                return _Failure(error.answer.description, error.answer)
            except TelegramError as error:
                return _Failure(f"Telegram cannot be reached ({redact(str(error))})")

    @asynccontextmanager
    async def _bot(self) -> AsyncIterator[Bot]:
        limits = self._patience
        request = _Request(
            connection_pool_size=AT_ONCE,
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
        if not 200 <= code < 300 or not _has_result(payload):
            raise _AnswerError(Answer.read(code, payload))
        return code, payload


def _has_result(payload: bytes) -> bool:
    """Whether it is an answer of the Bot API's, and not the page of something on the way there."""
    try:
        body = json.loads(payload)
    except ValueError:
        return False
    return isinstance(body, dict) and "result" in body


async def _call(bot: Bot, method: str, parameters: Mapping[str, Any]) -> Any:
    # Past the library's own reading: one update in a form it does not know would keep all others back.
    query = urlencode(
        {name: value if isinstance(value, str) else json.dumps(value) for name, value in parameters.items()}
    )
    return await bot.request.post(f"{bot.base_url}/{method}?{query}")


async def _username(bot: Bot) -> str:
    return str((await _call(bot, "getMe", {})).get("username"))


@dataclass(frozen=True)
class _Failure:
    """Why a question has no answer; `answer` is there when Telegram said so."""

    detail: str
    answer: Answer | None = None


@dataclass(frozen=True)
class _Requests:
    """The requests that send, as `telegram_sender.Requests`."""

    bot: Bot = field(repr=False)  # its repr holds the token

    async def text(self, chat: ChatId, text: str, *, markup: bool, silent: bool, answers: str = "") -> Taken:
        """See `telegram_sender.Requests`."""
        with _told():
            sent = await self.bot.send_message(
                chat.chat,
                text,
                parse_mode=ParseMode.HTML if markup else None,
                message_thread_id=chat.topic,
                disable_notification=silent or None,
                link_preview_options=LinkPreviewOptions(is_disabled=True),
                reply_parameters=_reply(answers),
            )
        return _taken([sent])

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
        """See `telegram_sender.Requests`."""
        with _told():
            if len(files) > 1:
                kind = InputMediaDocument if as_files else InputMediaPhoto
                media = [
                    kind(content, caption=file.caption or None, filename=file.filename)
                    for file, content in zip(files, contents, strict=True)
                ]
                return _taken(
                    await self.bot.send_media_group(
                        chat.chat, media, message_thread_id=chat.topic, disable_notification=silent or None
                    )
                )
            (file,), (content,) = files, contents
            send = self.bot.send_document if as_files else self.bot.send_photo
            sent = await send(
                chat.chat,
                content,
                caption=file.caption or None,
                message_thread_id=chat.topic,
                disable_notification=silent or None,
                filename=file.filename,
                reply_parameters=_reply(answers),
            )
        return _taken([sent])

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
        """See `telegram_sender.Requests`."""
        bot, number, mode = self.bot, int(message), ParseMode.HTML if markup else None
        with _told():
            if picture:
                media = InputMediaPhoto(picture[1], caption=text, parse_mode=mode, filename=picture[0].filename)
                edited = await bot.edit_message_media(media, chat.chat, number)
            elif captioned:
                edited = await bot.edit_message_caption(chat.chat, number, caption=text, parse_mode=mode)
            else:
                plain = LinkPreviewOptions(is_disabled=True)
                edited = await bot.edit_message_text(
                    text, chat.chat, number, parse_mode=mode, link_preview_options=plain
                )
        return Taken((message,), _taken([edited]).files if isinstance(edited, SentMessage) and picture else ())


def _reply(answers: str) -> ReplyParameters | None:
    # What is answered may have been deleted meanwhile.
    return ReplyParameters(int(answers), allow_sending_without_reply=True) if answers else None


def _taken(messages: Sequence[SentMessage]) -> Taken:
    ids = [_file_id(message) for message in messages]
    return Taken(tuple(str(message.message_id) for message in messages), tuple(filter(None, ids)) if all(ids) else ())


def _file_id(message: SentMessage) -> str | None:
    if message.photo:
        return message.photo[-1].file_id
    return message.document.file_id if message.document else None


@contextmanager
def _told() -> Iterator[None]:
    """The library's errors as what they prove."""
    try:
        yield
    except _AnswerError as error:
        raise AnswerError(error.answer) from None
    except RetryAfter as error:
        raise AnswerError(Answer(429, redact(str(error)), pause(error.retry_after))) from None
    except TelegramError as error:
        # The library puts the name of the error before what it says, which tells readers nothing.
        reason = re.sub(r"^httpx\.\w+: ", "", redact(str(error))).rstrip(".")
        proven = never_left if isinstance(error.__cause__, _NEVER_LEFT) else unknown
        raise NoAnswerError(proven(reason)) from None


def _run_to_end(work: Coroutine[Any, Any, T]) -> T:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(work)
    # A loop is running in this thread (a bot's handler, a notebook): use one of our own in another thread.
    with ThreadPoolExecutor(max_workers=1) as thread:
        return thread.submit(asyncio.run, work).result()
