"""The pictures of deliveries in docs/images: real commands, real requests, drawn from what the stand-ins accepted.

Belongs here: running the commands, and the drawing. Does not: the stand-ins (`telegram_server.py`, `mail_server.py`),
what a report says. By hand, with a home that `make demo` has filled (it is copied, not changed) and Chromium:
`python -m analytics_platform_tests.docs_images --home .analytics_platform --date 2026-11-20`.
"""

import argparse
import base64
import html
import io
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from email.message import EmailMessage
from pathlib import Path
from tempfile import TemporaryDirectory

from jinja2 import Environment
from PIL import Image, ImageChops

from analytics_platform.artifacts import Artifacts
from analytics_platform.messages import Text
from analytics_platform.settings import HOME_VARIABLE, Home
from analytics_platform_tests.mail_server import Mail, mail_server
from analytics_platform_tests.telegram_chats import BOT
from analytics_platform_tests.telegram_media import Media
from analytics_platform_tests.telegram_server import Accepted, telegram_server

IMAGES = Path(__file__).parents[1] / "docs" / "images"
GROUP, TITLE = "-1001234567890", "Product"
REPORT, VERB = "feed_daily", "feed"
# Topic, language and picture of each chat that is drawn.
CHATS = (("45", "ru", "telegram_topic_ru.png"), ("46", "en", "telegram_topic.png"))
READER = "ann@example.org"
_TALLEST = 8000

_CHAT = """<!doctype html>
<meta charset="utf-8">
<style>
body { margin: 0; background: #fff; font: 14px/1.38 "Liberation Sans", Arial, sans-serif; color: #1b1f24; }
.window { width: 470px; border: 1px solid #c9d1d9; border-radius: 8px; overflow: hidden; background: #eef1f4; }
header { background: #fff; border-bottom: 1px solid #d8dee4; padding: 9px 14px; }
header b { display: block; font-size: 15px; }
header span { color: #57606a; font-size: 12.5px; }
main { padding: 10px 12px 12px; }
.message { background: #fff; border-radius: 8px; margin: 0 40px 6px 0; padding: 7px 10px; }
.who { color: #24577a; font-weight: bold; margin-bottom: 2px; }
.text { white-space: pre-wrap; overflow-wrap: anywhere; }
.picture { padding: 4px; }
.picture img { display: block; width: 100%; border-radius: 5px; }
.picture .text { padding: 5px 6px 3px; }
.album { display: grid; grid-template-columns: 1fr 1fr; gap: 4px; }
.album .text { font-size: 12px; padding: 3px 4px 4px; }
.file { display: grid; grid-template-columns: 44px 1fr; column-gap: 10px; align-items: center; }
.file i { background: #57606a; color: #fff; border-radius: 6px; text-align: center; font: bold 12px/44px sans-serif; }
.file small { color: #57606a; }
.file .text { grid-column: 1 / 3; padding-top: 4px; }
</style>
<div class="window">
<header><b>{{ title }}</b><span>{{ place }}</span></header>
<main>
{% for message in messages %}
<div class="message{{ ' picture' if message.pictures }}">
{% if loop.first %}<div class="who">{{ bot }}</div>{% endif %}
{% if message.text %}<div class="text">{{ message.text | safe }}</div>{% endif %}
{% if message.pictures %}
<div class="{{ 'album' if message.pictures | length > 1 }}">
{% for source, caption in message.pictures %}
<div><img src="{{ source }}"><div class="text">{{ caption }}</div></div>
{% endfor %}
</div>
{% endif %}
{% for name, kind, size, caption in message.files %}
<div class="file"><i>{{ kind }}</i><div>{{ name }}<br><small>{{ size }}</small></div>
{% if caption %}<div class="text">{{ caption }}</div>{% endif %}
</div>
{% endfor %}
</div>
{% endfor %}
</main>
</div>
"""

_MAIL = """<!doctype html>
<meta charset="utf-8">
<style>
body { margin: 0; background: #fff; color: #1b1f24; }
.window { width: 778px; border: 1px solid #c9d1d9; border-radius: 8px; overflow: hidden; }
table { width: 100%; background: #f3f5f7; border-bottom: 1px solid #d8dee4; padding: 8px 16px;
        font: 14px/1.5 "Liberation Sans", Arial, sans-serif; }
th { text-align: left; vertical-align: top; font-weight: normal; color: #57606a; width: 8.5em; }
main { padding: 14px 20px; font: 16px/1.5 "Liberation Sans", Arial, sans-serif; }
</style>
<div class="window">
<table>{% for name, value in headers %}<tr><th>{{ name }}</th><td>{{ value }}</td></tr>{% endfor %}</table>
<main>{{ body | safe }}</main>
</div>
"""


def draw(home: Path, day: str, browser: str, images: Path) -> list[Path]:
    """Subscribe, send, draw; the pictures. KeyError when a text was not accepted as it was handed over."""
    with TemporaryDirectory() as folder, telegram_server() as bot, mail_server() as mail:
        copy = Path(folder) / "home"
        shutil.copytree(home, copy, ignore=shutil.ignore_patterns("state.sqlite*", "sent", "dagster"))
        bot.titles[GROUP] = TITLE
        env = {
            **os.environ,
            HOME_VARIABLE: str(copy),
            "LOCALE": "en",
            "TELEGRAM_CHAT_IDS": "",
            "TELEGRAM_API_URL": bot.url,
            "TELEGRAM_BOT_TOKEN": bot.token,
            "SMTP_HOST": mail.server.host,
            "SMTP_PORT": str(mail.server.port),
            "SMTP_SECURITY": "none",
            "SMTP_FROM": "Reports <reports@example.org>",
            "UNSUBSCRIBE_URL": "https://reports.example.org",
        }
        for topic, language, _ in CHATS:
            _run(env, folder, "subscribers", "add", f"{GROUP}/{topic}", "--report", REPORT, "--language", language)
        _run(env, folder, "subscribers", "add", READER, "--report", REPORT)
        _run(env, folder, "report", VERB, "--date", day)
        made = []
        for topic, language, name in CHATS:
            accepted = [one for one in bot.to(GROUP) if one.thread == int(topic)]
            handed_over = Artifacts(Home(copy).sent).load_messages(REPORT, day, language)
            texts = [message for message in handed_over if isinstance(message, Text)]
            made.append(_shot(_chat(accepted, texts, topic), images / name, browser))
        [letter] = mail.to(READER)
        made.append(_shot(_mail(letter), images / "mail.png", browser))
        return made


def _run(env: dict[str, str], folder: str, *words: str) -> None:
    entry = "from analytics_platform.cli.main import run; run()"
    print("$ analytics-platform", *words, flush=True)
    subprocess.run([sys.executable, "-c", entry, *words], env=env, cwd=folder, check=True)


def _chat(accepted: Sequence[Accepted], texts: Sequence[Text], topic: str) -> str:
    """The page of a chat. The stand-in keeps a text without its markup, which is that of what was handed over."""
    marked = {text.plain.strip(): text.html for text in texts}
    messages = []
    for one in accepted:
        pictures = [(_source(m.content, "image/png"), m.caption) for m in one.media if m.kind == "photo"]
        files = [_file(m) for m in one.media if m.kind == "document"]
        text = "" if one.media else marked[one.text.strip()]
        messages.append({"text": text, "pictures": pictures, "files": files})
    page = Environment(autoescape=True).from_string(_CHAT)
    return page.render(title=TITLE, place=f"topic {topic}", bot=BOT.username, messages=messages)


def _file(media: Media) -> tuple[str, str, str, str]:
    size = f"{media.size / 1e6:.1f} MB" if media.size >= 1e6 else f"{media.size / 1e3:.0f} kB"
    return media.filename, media.filename.rpartition(".")[2].upper(), size, media.caption


def _mail(letter: Mail) -> str:
    """The page of a mail: some headers, and its HTML with the pictures that travel with it."""
    message: EmailMessage = letter.message
    body = message.get_body(("html",))
    assert body is not None
    shown = str(body.get_content()).partition("<body")[2].partition(">")[2].partition("</body>")[0]
    for part in message.walk():
        if cid := str(part["Content-ID"] or "").strip("<>"):
            shown = shown.replace(f"cid:{cid}", _source(bytes(part.get_payload(decode=True)), part.get_content_type()))
    names = [name for part in message.iter_attachments() if (name := part.get_filename())]
    headers = [(name, str(message[name])) for name in ("From", "To", "Subject")]
    page = Environment(autoescape=True).from_string(_MAIL)
    return page.render(headers=[*headers, ("Attachments", ", ".join(names))], body=shown)


def _source(content: bytes, kind: str) -> str:
    return html.escape(f"data:{kind};base64,{base64.b64encode(content).decode()}")


def _shot(page: str, picture: Path, browser: str) -> Path:
    """The page as a picture, cut to what is drawn, in 256 colours."""
    with TemporaryDirectory() as folder:
        source, shot = Path(folder) / "page.html", Path(folder) / "shot.png"
        source.write_text(page, "utf-8")
        flags = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--user-data-dir={folder}/user"]
        size = f"--window-size=900,{_TALLEST}"
        command = [browser, *flags, size, f"--screenshot={shot}", source.as_uri()]
        subprocess.run(command, check=True, capture_output=True, timeout=120)
        drawn = Image.open(io.BytesIO(shot.read_bytes())).convert("RGB")
    blank = Image.new("RGB", drawn.size, "white")
    box = ImageChops.difference(drawn, blank).getbbox()
    assert box is not None, "nothing was drawn"
    assert box[3] < _TALLEST, "not all of it fits"
    cut = drawn.crop(box).quantize(256, dither=Image.Dither.NONE)
    cut.save(picture, optimize=True)
    return picture


def _by_hand() -> None:
    asked = argparse.ArgumentParser(description="Draws the pictures of deliveries for the docs.")
    asked.add_argument("--home", type=Path, required=True, help="a home that the demo has filled")
    asked.add_argument("--date", required=True, metavar="YYYY-MM-DD", help="the day that is reported")
    asked.add_argument("--browser", default="chromium")
    asked.add_argument("--out", type=Path, default=IMAGES)
    told = asked.parse_args()
    for picture in draw(told.home.resolve(), told.date, told.browser, told.out):
        print(f"{picture} ({picture.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    _by_hand()
