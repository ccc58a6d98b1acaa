"""Splitting of texts: nothing is lost, and a server's own parser takes every piece."""

from hypothesis import given, settings
from hypothesis import strategies as st

from analytics_platform.channels.telegram_text import split_html, split_plain, width
from analytics_platform.messages import Text
from analytics_platform_tests.telegram_wire import parse_html

_PIECES = st.one_of(
    st.sampled_from(["&lt;", "&amp;", "&gt;", "&quot;", "&#8212;", "\n", "\n\n", " ", "🙂", "Лента ", "1 < 2 & 3 "]),
    st.sampled_from(["<b>", "</b>", "<i>", "</i>", "<pre>", "</pre>", '<a href="x?a=1&amp;b=2">', "</a>", "<u>"]),
    st.text(max_size=12),
    st.text(alphabet="ab🙂", min_size=30, max_size=80),
)


@given(pieces=st.lists(_PIECES, max_size=60), limit=st.integers(2, 90), entities=st.integers(4, 8))
@settings(max_examples=150, deadline=None)
def test_the_pieces_hold_all_text_within_the_limits(pieces: list[str], limit: int, entities: int) -> None:
    source = "".join(pieces)
    chunks = split_html(source, limit=limit, entities=entities)

    assert "".join(chunk.plain for chunk in chunks) == Text(source).plain
    for chunk in chunks:
        text, count = parse_html(chunk.html)
        assert text == chunk.plain
        assert 0 < width(text) <= limit
        # One character under more tags than allowed is the only case that cannot be cut any further.
        assert count <= entities or len(text) == 1


@given(text=st.text(max_size=300), limit=st.integers(2, 50))
@settings(max_examples=100, deadline=None)
def test_plain_pieces_hold_all_text_too(text: str, limit: int) -> None:
    pieces = split_plain(text, limit=limit)
    assert "".join(pieces) == text
    assert all(0 < width(piece) <= limit for piece in pieces)


def test_cuts_are_made_where_they_hurt_least() -> None:
    def cut(text: str) -> list[str]:
        return [chunk.plain for chunk in split_html(text, limit=20)]

    assert cut("one two three\n\nfour five six") == ["one two three\n\n", "four five six"]
    assert cut("one two three\nfour\nfive six") == ["one two three\nfour\n", "five six"]
    assert cut("one two three four five six") == ["one two three four ", "five six"]
    assert cut("a" * 45) == ["a" * 20, "a" * 20, "a" * 5]
    assert cut("a" * 20 + "\n\nb") == ["a" * 20, "\n\nb"]


def test_tags_that_span_a_cut_are_closed_and_opened_again() -> None:
    chunks = split_html('<b>one <a href="x">two\nthree</a></b> four', limit=10)
    assert [chunk.html for chunk in chunks] == [
        '<b>one <a href="x">two\n</a></b>',
        '<b><a href="x">three</a></b> four',
    ]


def test_neighbouring_blocks_stay_apart() -> None:
    assert split_html("<pre>a</pre><pre>b</pre>")[0].html == "<pre>a</pre><pre>b</pre>"


def test_more_than_a_hundred_entities_are_spread_over_messages() -> None:
    chunks = split_html("".join(f"<b>{n}</b>\n" for n in range(250)))
    assert [parse_html(chunk.html)[1] for chunk in chunks] == [100, 100, 50]


def test_what_cannot_be_encoded_is_replaced() -> None:
    assert split_html("a\ud800b")[0].plain == "a\ufffdb"
    assert split_plain("\udfff", limit=5) == ["\ufffd"]
