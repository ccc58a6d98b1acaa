"""Letters over real SMTP: they arrive as they were meant, and nothing in them becomes a header of its own."""

import html
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.channels.base import Outcome, Recipient
from analytics_platform.channels.email_address import Mailbox
from analytics_platform.channels.email_letter import file_name, letter
from analytics_platform.language import Language
from analytics_platform.messages import Album, Document, Picture, Text
from analytics_platform_tests.mail_server import KEY, NOW, MailStandIn, mail_server, send_mail

PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256))
CSV = "день;dau\r\n20.11;5\n.\n..\n".encode()
REPORT = (
    Text('<b>Сбой: «Лента» &lt;v2&gt;</b>\n    CTR <a href="http://ui/runs/1?a=1&amp;b=2">журнал</a>'),
    Album((Picture("Активность.png", PNG, "по дням & <часам>"), Picture("b.png", PNG + b"b"))),
    Document("Отчёт за 20 ноября 2026 года по всем срезам.csv", CSV, "все цифры"),
    Document("report.pdf", b"%PDF-1.7\n\x00\xff"),
)
LINK = "https://reports.example.org/unsubscribe/AbC-123_x?topic=feed_daily"
REASON = "You get this because ann@example.org subscribes to it."


@pytest.fixture
def server() -> Iterator[MailStandIn]:
    with mail_server() as running:
        yield running


def test_a_report_arrives_whole(server: MailStandIn) -> None:
    (sent,) = send_mail(server.server, messages=REPORT)

    (mail,) = server.accepted
    message = mail.message
    assert (sent.outcome, sent.detail, sent.references) == (Outcome.SENT, "", (message["Message-ID"],))
    assert (mail.sender, mail.recipients) == ("reports@example.org", ("ann@example.org",))
    assert message["Subject"] == "Сбой: «Лента» <v2>"
    assert [(a.display_name, a.addr_spec) for a in message["From"].addresses] == [
        ("Отчёты, ООО", "reports@example.org")
    ]
    assert message["To"] == "ann@example.org"
    assert message["Date"].datetime == NOW
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["X-Auto-Response-Suppress"] == "OOF, AutoReply"
    assert (message["Content-Language"], message["List-ID"]) == ("en", "<feed_daily.example.org>")
    assert (message["List-Unsubscribe"], message["List-Unsubscribe-Post"]) == (None, None)
    assert mail.raw.isascii()
    assert max(map(len, mail.raw.split(b"\r\n"))) <= 78


def test_the_plain_version_says_everything(server: MailStandIn) -> None:
    send_mail(server.server, messages=REPORT)
    plain = server.accepted[0].message.get_body(("plain",))
    assert plain is not None
    assert plain.get_content().replace("\r\n", "\n") == (
        "Сбой: «Лента» <v2>\n    CTR журнал (http://ui/runs/1?a=1&b=2)\n\n"
        "[Активность.png] по дням & <часам>\n\n[b.png]\n\n"
        "[Отчёт за 20 ноября 2026 года по всем срезам.csv] все цифры\n\n[report.pdf]\n\n"
        f"{REASON}\n"
    )


def test_the_html_version_shows_its_pictures(server: MailStandIn) -> None:
    send_mail(server.server, messages=REPORT)
    message = server.accepted[0].message
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "multipart/related",
        "text/html",
        "image/png",
        "image/png",
        "text/csv",
        "application/pdf",
    ]
    body = message.get_body(("html",))
    assert body is not None
    page = body.get_content()
    assert "<b>Сбой: «Лента» &lt;v2&gt;</b><br>" in page
    assert '&nbsp;&nbsp;&nbsp;&nbsp;CTR <a href="http://ui/runs/1?a=1&amp;b=2">журнал</a>' in page
    pictures = [part for part in message.walk() if part.get_content_type() == "image/png"]
    assert [(p.get_filename(), p.get_content_disposition()) for p in pictures] == [
        ("Активность.png", "inline"),
        ("b.png", "inline"),
    ]
    assert [p.get_payload(decode=True) for p in pictures] == [PNG, PNG + b"b"]
    for picture in pictures:
        assert page.count(f'src="cid:{picture["Content-ID"].strip("<>")}"') == 1
    assert "по дням &amp; &lt;часам&gt;</p>" in page


@given(texts=st.lists(st.text(max_size=200), min_size=3, max_size=3), content=st.binary(max_size=300))
@settings(max_examples=60, deadline=None)
def test_whatever_is_said_can_be_read_again(texts: list[str], content: bytes) -> None:
    said, name, caption = texts
    messages = (Text(html.escape(said)), Document(name, content, caption), Album((Picture(name, PNG, caption),)))
    ann = Mailbox.parse("ann@example.org")
    raw = letter(messages, ann, ann, key=said, moment=NOW, language=Language("en"), unsubscribe=said).payload

    assert raw.isascii()
    assert b"\n" not in raw.replace(b"\r\n", b"")
    assert b"\r" not in raw.replace(b"\r\n", b"")
    message = message_from_bytes(raw, policy=default)
    assert len(message.keys()) == 11
    assert not [part for part in message.walk() if part.defects]
    (attachment,) = message.iter_attachments()
    assert attachment.get_payload(decode=True) == content
    assert attachment.get_filename() == file_name(name)
    body = message.get_body(("plain",))
    assert body is not None
    assert body.get_content().split() == [
        *_visible(said),
        *_visible(f"[{file_name(name)}] {caption}".strip()) * 2,
        *REASON.split(),
    ]


def _visible(text: str) -> list[str]:
    return re.sub("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]", "\ufffd", text).split()


def test_attachments_arrive_byte_for_byte(server: MailStandIn) -> None:
    every_byte = Document("всё.bin", bytes(range(256)) * 300)
    not_utf8 = Document("old.csv", "день".encode("cp1251"))
    odd = Album((Picture("vector.svg", b"<svg/>"),))
    send_mail(server.server, messages=(*REPORT, every_byte, not_utf8, odd))

    found = list(server.accepted[0].message.iter_attachments())
    assert [(part.get_filename(), part.get_content_type(), part.get_payload(decode=True)) for part in found] == [
        (REPORT[2].filename, "text/csv", CSV),
        ("report.pdf", "application/pdf", REPORT[3].content),
        ("всё.bin", "application/octet-stream", every_byte.content),
        ("old.csv", "text/csv", not_utf8.content),
        ("vector.svg", "application/octet-stream", b"<svg/>"),
    ]
    assert [part.get_content_charset() for part in found] == ["utf-8", None, None, None, None]
    assert b"filename*0*=utf-8''%D0%9E%D1%82" in server.accepted[0].raw  # RFC 2231


def test_a_repeat_is_recognised_by_its_message_id(server: MailStandIn) -> None:
    for key in (KEY, KEY, "feed_daily/2026-11-21"):
        messages = [Text(f"hello {time.monotonic()}")]
        link = f"{LINK}{time.monotonic()}"
        ann = Recipient("email", "ann@example.org", unsubscribe=link)
        send_mail(server.server, ann, "bob@example.org", messages=messages, key=key, repeat=key == KEY)
    ids = [mail.message["Message-ID"] for mail in server.accepted]
    assert ids[:2] == ids[2:4]
    assert len(set(ids)) == 4
    assert all(one.endswith("@example.org>") for one in ids)


@pytest.mark.parametrize(
    "hostile",
    [
        "Сбой\r\nBcc: eve@example.org",
        "x\nBcc: eve@example.org",
        "x\x0bBcc: eve@example.org",
        "x\x85Bcc: eve@example.org",
        "x\u2028Bcc: eve@example.org",
        "x\rBcc: eve@example.org\r\n\r\nbody",
        "\x00\ud800 x =?utf-8?q?=0ABcc:_eve@example.org?=",
        "=?utf-8?q?x=0ABcc:_eve@example.org?=",
        "=?utf-8?b?eApCY2M6IGV2ZUBleGFtcGxlLm9yZw==?= я",
        "я" * 5000,
        "x" * 5000,
        "",
        "\n\n",
    ],
)
def test_nothing_can_become_a_header_of_its_own(server: MailStandIn, hostile: str) -> None:
    messages = (
        Text(hostile),
        Document(hostile + ".csv", b"1", hostile),
        Album((Picture(hostile, PNG, hostile),)),
    )
    ann = Recipient("email", "ann@example.org", unsubscribe=LINK + hostile)
    (sent,) = send_mail(server.server, ann, messages=messages, key=hostile + KEY)

    (mail,) = server.accepted
    assert sent.outcome is Outcome.SENT
    assert mail.recipients == ("ann@example.org",)
    head = mail.raw.split(b"\r\n\r\n")[0]
    names = [line.split(b":")[0] for line in head.split(b"\r\n") if not line.startswith((b" ", b"\t"))]
    assert names == [
        b"From",
        b"To",
        b"Subject",
        b"Date",
        b"Message-ID",
        b"Auto-Submitted",
        b"X-Auto-Response-Suppress",
        b"List-ID",
        *([b"List-Unsubscribe", b"List-Unsubscribe-Post"] if not hostile else []),
        b"MIME-Version",
        b"Content-Type",
        b"Content-Language",
    ]
    assert b"\nBcc" not in head
    assert mail.message["Bcc"] is None
    assert 0 < len(mail.message["Subject"]) <= 150
    assert all(len(part.get_filename() or "") <= 100 for part in mail.message.walk())
    assert not [part for part in mail.message.walk() if part.defects or part["Bcc"]]


def test_no_name_can_become_a_header(server: MailStandIn) -> None:
    hostile = '=?utf-8?q?=0ABcc:_eve@example.org?= "я", b\\ <reports@example.org>'
    (sent,) = send_mail(replace(server.server, sender=hostile), "=?utf-8?q?=0ABcc:_eve?= <ann@example.org>")
    assert sent.outcome is Outcome.SENT
    message = server.accepted[0].message
    assert message["Bcc"] is None
    assert [a.addr_spec for a in (*message["From"].addresses, *message["To"].addresses)] == [
        "reports@example.org",
        "ann@example.org",
    ]


def test_lines_of_dots_arrive(server: MailStandIn) -> None:
    text = "first\n.\n..\n.dot\nlast"
    send_mail(server.server, messages=(Text(text),))
    body = server.accepted[0].message.get_body(("plain",))
    assert body is not None
    assert body.get_content().replace("\r\n", "\n") == f"{text}\n\n{REASON}\n"


def test_a_repeat_to_a_name_is_the_same_as_to_the_address(server: MailStandIn) -> None:
    send_mail(server.server, "Ann <ann@example.org>")
    send_mail(server.server, "ann@example.org")
    first, second = (mail.message for mail in server.accepted)
    assert first["Message-ID"] == second["Message-ID"]
    assert first["To"].addresses[0].display_name == "Ann"


def header_lines(mail: MailStandIn) -> list[bytes]:
    """The head of the last mail as it crossed the wire, one header a line."""
    head = mail.accepted[-1].raw.split(b"\r\n\r\n")[0]
    return re.sub(rb"\r\n[ \t]+", b" ", head).split(b"\r\n")


def bodies(mail: MailStandIn) -> list[str]:
    found = [mail.accepted[-1].message.get_body((kind,)) for kind in ("plain", "html")]
    return [part.get_content().replace("\r\n", "\n") for part in found if part is not None]


@pytest.mark.parametrize("length", [0, 40, 700])
def test_a_mail_can_be_unsubscribed_by_one_click(server: MailStandIn, length: int) -> None:
    link = LINK.replace("AbC", "A" * length + "bC")
    send_mail(server.server, Recipient("email", "Анна <ann@example.org>", unsubscribe=link, language="ru"))
    lines = header_lines(server)
    assert (
        f"List-Unsubscribe: <{link}>".encode() in lines
    )  # RFC 8058: one https address, not encoded, and the POST's body
    assert b"List-Unsubscribe-Post: List-Unsubscribe=One-Click" in lines
    assert b"List-ID: <feed_daily.example.org>" in lines
    assert b"Content-Language: ru" in lines
    assert max(map(len, server.accepted[0].raw.split(b"\r\n"))) <= 998
    plain, page = bodies(server)
    reason = "Вы получили это письмо, потому что адрес ann@example.org подписан на рассылку."
    assert plain == f"hello\n\n{reason}\nОтписаться: {link}\n"
    assert reason in page
    assert f'<a href="{html.escape(link)}" style="color: #555">Отписаться</a>' in page
    assert '<html lang="ru">' in page


@pytest.mark.parametrize(
    ("address", "shown", "header", "post"),
    [
        ("", False, False, False),
        ("http://localhost:8080/unsubscribe/abc", True, True, True),
        ("http://[::1]:8080/unsubscribe/abc", True, True, True),
        ("http://reports.example.org/unsubscribe/abc", True, False, False),
        ("mailto:reports@example.org?subject=unsubscribe%20feed", True, True, False),
        ("mailto:", False, False, False),
        ("https://", False, False, False),
        ("https://[broken/x", False, False, False),
        ("javascript:alert(1)", False, False, False),
        ("data:text/html,x", False, False, False),
        ("//reports.example.org/x", False, False, False),
        ("https://reports.example.org/x>, <https://eve.example.org/", False, False, False),
        ("https://reports.example.org/x\r\nBcc: eve@example.org", False, False, False),
        ('https://reports.example.org/x" onclick="alert(1)', False, False, False),
        ("https://reports.example.org/я", False, False, False),
        ("https://reports.example.org/?a=?utf-8?q?=0ABcc:_eve@example.org?=", False, False, False),
        ("https://reports.example.org/" + "x" * 1000, False, False, False),
    ],
)
def test_only_an_address_that_can_be_one_is_named(
    server: MailStandIn, address: str, shown: bool, header: bool, post: bool
) -> None:
    send_mail(server.server, Recipient("email", "ann@example.org", unsubscribe=address))
    message = server.accepted[0].message
    assert message["List-Unsubscribe"] == (f"<{address}>" if header else None)
    assert message["List-Unsubscribe-Post"] == ("List-Unsubscribe=One-Click" if post else None)
    assert message["Bcc"] is None
    plain, page = bodies(server)
    assert REASON in plain
    assert REASON in page
    assert (f"Unsubscribe: {address}" in plain) == shown
    assert (f'<a href="{address}"' in page) == shown
    assert ("<a " in page) == shown
    assert "onclick" not in page


def test_a_repeat_says_so_first(server: MailStandIn) -> None:
    said = Text("<b>Report</b>")
    send_mail(server.server, Recipient("email", "ann@example.org"), messages=[said], repeat=True)
    plain, page = bodies(server)
    again = "Sent again: it is not known whether this arrived before."
    assert plain == f"{again}\n\nReport\n\n{REASON}\n"
    assert page.index(again) < page.index("<b>Report</b>")
    assert server.accepted[0].message["Subject"] == "Report"
    send_mail(server.server, Recipient("email", "ann@example.org"), messages=[said])
    assert again not in "".join(bodies(server))


@pytest.mark.parametrize(
    ("key", "name"),
    [
        ("feed_daily/2026-11-20 #2", "feed_daily"),
        ("problems/x", "problems"),
        ("Сбой\r\nBcc: x/1", "Bcc-x"),
        ("я/1", "reports"),
        ("x" * 200 + "/1", "x" * 63),
    ],
)
def test_mails_of_one_report_are_one_list(server: MailStandIn, key: str, name: str) -> None:
    send_mail(server.server, key=key)
    assert server.accepted[0].message["List-ID"].strip() == f"<{name}.example.org>"


def test_an_address_cannot_break_the_page(server: MailStandIn) -> None:
    (sent,) = send_mail(server.server, "a&b'<script>@example.org", "a&b'{x}@example.org")[1:]
    assert sent.outcome is Outcome.SENT
    assert "because a&amp;b'{x}@example.org subscribes" in bodies(server)[1]
    assert len(server.accepted) == 1
