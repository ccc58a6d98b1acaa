"""Texts that try to break messages, every template filled with them, and how to read what arrived.

Belongs here: hostile values, one case a template, reading markup and mails back. Does not: any assertion on a channel
(`test_hostile_text.py`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from html.parser import HTMLParser
from importlib import resources
from random import Random

from analytics_platform.cadence import Period
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Message, Picture, Text
from analytics_platform.metrics.frames import FeedDay, FeedFrame
from analytics_platform.reports import app_figures, feed_daily
from analytics_platform.reports.base import fill
from analytics_platform_tests.reports import app_sample

PNG = b"\x89PNG\r\n\x1a\n"
HARMLESS = "harmless"
DAY = date(2026, 11, 20)
WEEK = Period(DAY - timedelta(days=6), DAY)
FAMILY = "\U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"

SHORT = {
    "tags": '<b>bold</b> <i> </b></i> <a href="http://evil.example">x</a> <a href=\' <br/> <script>alert(1)</script>',
    "ends": '"></b></i></blockquote></a></div></p><pre><code>',
    "comments": "<!-- x --> <![CDATA[ x ]]> <?php x ?> <!doctype x> -->",
    "entities": "&lt;b&gt; &amp;amp; &#x3c;i&#62; &#0; &#xD800; &nosuch; &notin &copy &",
    "markdown": "<&>_*[]()~`>#+-=|{}.!\\ [x](http://evil.example) ```x``` ||x||",
    "quotes": '"double" \'single\' «x» “x” `x` = onload="x"',
    "emoji": f"{FAMILY} \U0001f3f3\ufe0f\u200d\U0001f308 \U0001f1f7\U0001f1fa\U0001f1e9\U0001f1ea \U0001f44d\U0001f3fd",
    "right_to_left": "שלום \u202eevil\u202c \u200fعليكم\u200e \u2067x\u2069 \u061c",
    "surrogates": "half \ud83d pair \udc00\ud800 end",
    "controls": "a\x00b\x01\x07\x08\x0b\x0c\x0e\x1b[31m\x1c\x7f\x80\x9f z",
    "zero_width": "z\u200b\u200c\u200d\u2060\ufeff\u00ad\u180ez",
    "lines": "one\rtwo\r\nthree\n\n\n\nfour\x85five\u2028six\u2029seven\n    eight",
    "blanks": " \t\u00a0\u2003\u3000\u2800 z \u00a0",
    "placeholders": "{day} {0} {} {change!r} {{x}} }{ %s %(x)s %d %% $x ${x} \\1 \\g<0>",
    "jinja": "{{ 7*7 }} {% raw %} {# x #} {{ language.code }} {%",
    "headers": "x\r\nBcc: eve@example.org\r\n\r\n=?utf-8?q?=0ABcc:_eve@example.org?= =?utf-8?b?eApC?=",
    "paths": "../../x/.\\..\\C:\\x http://[x data:text/html;x,y CON .hidden",
    "noncharacters": "\ufffe\uffff\ufdd0\U0010ffff\ue000 z",
    "formula": "=1+1 @name #tag /start https://example.org/x?a=1&b=2",
}
LONG = {
    "long_word": "x" * 5000,
    "long_emoji": FAMILY * 715,
    "long_markup": "<&>" * 1667,
    "long_tags": "</b><b>" * 715,
    "long_text": "word of a very long text\n" * 200,
    "long_blank": "a" + "\u200b" * 5000 + "z",
    "long_accents": "e" + "\u0301" * 5000,
    "long_right_to_left": "\u202eעליכם " * 715,
}
VALUES = {**SHORT, **LONG}


def mixed(random: Random) -> str:
    """Pieces of the values in any order, cut anywhere; one in ten is long."""
    pieces = []
    for value in random.choices(list(SHORT.values()), k=random.randint(1, 4)):
        start = random.randrange(len(value))
        pieces.append(value[start : start + random.randint(1, 40)])
    if random.random() < 0.1:
        pieces.insert(random.randrange(len(pieces)), random.choice(list(LONG.values())))
    return random.choice(["", " ", "\n"]).join(pieces) + "z"


# ------------------------------------------------------------------------------------------------------- templates


def _feed_daily(value: str, language: Language) -> Text:
    frame = FeedFrame(tuple(FeedDay(DAY - timedelta(days=k)) for k in range(7, -1, -1)))
    return fill("feed_daily", language, frame=frame, figures=[feed_daily.Figure(value, value, 0.1, None)] * 2)


def _app_daily(value: str, language: Language) -> Text:
    figure = app_figures.Figure(1, value, value, 0.1, None, value)
    return fill(
        "app_daily",
        language,
        frame=app_sample.frame(),
        stands_out=value,
        odd_slices=1,
        complete=True,
        told_apart=True,
        format=value,
        marks=[value, value],
        blocks=[app_figures.Block(value, (figure,))],
        audience_heading=value,
        audience=[app_figures.AudienceLine(value, value, value, part=True)],
        rule=value,
    )


def _correction(value: str, language: Language) -> Text:
    lines = [dict.fromkeys(("name", "old", "new", "change"), value)] * 2
    return fill("correction", language, title=value, period=WEEK, lines=lines)


def _digest(value: str, language: Language) -> Text:
    rows = [{"period": WEEK, "why": "", "figures": [value] * 2}, {"period": WEEK, "why": value, "figures": []}]
    return fill("digest", language, title=value, rows=rows, count=2, earlier=1)


def _owner_digest(value: str, language: Language) -> Text:
    problem = dict.fromkeys(("subject", "kind", "when", "text", "advice", "url"), value)
    return fill(
        "owner_digest", language, title=value, new=[problem] * 2, lasting=[value] * 2, recovered=[value] * 2, more=3
    )


def _preliminary(value: str, language: Language) -> Text:
    return fill("preliminary", language, missing=value)


def _test(value: str, language: Language) -> Text:
    return fill("test", language, wanted=[value, value], quiet=value, zone=value, shown=value)


# The text of each template with the value in every place that holds a text.
CASES: Mapping[str, Callable[[str, Language], Text]] = {
    "app_daily": _app_daily,
    "correction": _correction,
    "digest": _digest,
    "feed_daily": _feed_daily,
    "owner_digest": _owner_digest,
    "preliminary": _preliminary,
    "test": _test,
}


def templates() -> set[str]:
    """The names of all there are."""
    folder = resources.files("analytics_platform") / "reports" / "templates"
    return {entry.name.removesuffix(".html.j2") for entry in folder.iterdir() if entry.is_file()}


def delivery(text: Text, value: str) -> tuple[Message, ...]:
    """The text, and the value at every place of pictures and documents."""
    content = PNG + value.encode(errors="replace")
    pictures = (Picture(f"{value}.png", content, value), Picture(value, content + b"2", value))
    return text, Album(pictures), Document(f"{value}.csv", b"day;dau\r\n" + content, value), Album(pictures[:1])


# --------------------------------------------------------------------------------------------------------- reading


@dataclass
class Markup(HTMLParser):
    """What a browser makes of a page: its tags with the names of their attributes, its text, its attributes' values."""

    source: str
    tags: list[str] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)
    values: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        HTMLParser.__init__(self, convert_charrefs=True)
        self.feed(self.source)
        self.close()

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        """Void tags, too."""
        self.tags.append(" ".join((tag, *(name for name, _ in attrs))))
        self.values += [value or "" for _, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        """As they come."""
        self.tags.append(f"/{tag}")

    def handle_data(self, data: str) -> None:
        """Text between tags."""
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        """No message has any."""
        self.tags.append("!--")

    def handle_decl(self, decl: str) -> None:
        """A page's first line."""
        self.tags.append(f"!{decl}")

    def handle_pi(self, data: str) -> None:
        """No message has any."""
        self.tags.append("?")

    def unknown_decl(self, data: str) -> None:
        """No message has any."""
        self.tags.append("![")

    @property
    def text(self) -> str:
        """All text."""
        return "".join(self.texts)

    @property
    def outline(self) -> list[str]:
        """The tags but for line ends, which values may have any number of."""
        return [tag for tag in self.tags if tag != "br"]


# What Telegram's server takes for blank, takes out or makes a blank of, read from its source.
_UNSEEN = re.compile(
    "[\\s\x00-\x1f\x85\u00a0\u030a\u0333\u033f\u1680\u180e\u2000-\u200f\u2028-\u202f\u205f\u2800\u3000\ufeff\ufffc"
    "\U000e0000-\U000e007f]+"
)


def seen(text: str) -> str:
    """What is left of a text without whatever nobody sees."""
    return _UNSEEN.sub("", text)


def without_surrogates(text: str, sign: str = "\ufffd") -> str:
    """As it can be encoded."""
    return re.sub("[\ud800-\udfff]", sign, text)


def mailable(text: str) -> str:
    """As a mail has it."""
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "\ufffd", text)
