"""Chunks and records: what Arrow reads quickly is what the definition says, wherever a chunk ends."""

import csv
import io
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from analytics_platform.metrics.events import FEED_ACTIONS
from analytics_platform.sources.delimited import RECORD_BYTES, Piece, Record, records, tidy_end
from analytics_platform.sources.headers import lay_out

HEADER = ("user_id", "post_id", "action", "time")
LAYOUT = lay_out(FEED_ACTIONS, HEADER, Path("feed.csv"))

# Few signs, so that quotes, delimiters and line ends meet in every order.
_soup = st.lists(st.sampled_from(['"', '""', ",", ",", "\n", "\n", "\r\n", "\r", "a", "1", " ", "é"]), max_size=40)
_field = st.sampled_from(["1", "", "a b", '"1"', '""', '"a,b"', '"x\ny"', '"q""q"', '"\r\n"', 'st"ray', "é"])
_line = st.lists(_field, min_size=4, max_size=4).map(",".join)
_lines = st.lists(st.tuples(st.one_of(_line, _line, _line, _soup.map("".join)), st.sampled_from(["\n", "\r\n"])))
_data = st.one_of(_soup.map("".join), _lines.map(lambda lines: "".join(a + b for a, b in lines))).map(str.encode)


def _piece(data: bytes, *, tidy: bool) -> Piece:
    return Piece(data, 2, tidy, True, 0, b",", LAYOUT, FEED_ACTIONS)


@settings(max_examples=300, deadline=None)
@given(data=_data)
@example(data=b'1,2,"a\nb",3\n1,2,3,4')
@example(data=b'1,"",x,3\n1,"""q""",3,4\n')
@example(data=b'"a"\r,b,c,d\n')
def test_what_arrow_reads_is_what_the_definition_says(data: bytes) -> None:
    end = tidy_end(data, b",", final=True)
    if end is None:
        return
    assert end == len(data)
    columns = _piece(data, tidy=True).columns()
    if columns is None:
        return
    rows = list(_piece(data, tidy=False).rows())
    assert [row.defect for row in rows] == [""] * len(rows)
    for place, name in enumerate(HEADER):
        assert columns[name].to_pylist() == [row.texts[place] for row in rows]


@settings(max_examples=300, deadline=None)
@given(data=_data, cut=st.integers(0, 200))
@example(data=b'1,"a\nb""c",2\n', cut=7)
@example(data=b'1,"a\nb"\r\n3\n', cut=8)
@example(data=b'1,"a\n","q""q"\n', cut=11)
def test_where_a_chunk_ends_does_not_matter(data: bytes, cut: int) -> None:
    """Reading a beginning and then the rest gives the records of the whole."""

    def told(found: list[Record], base: int) -> list[tuple[int, tuple[bytes, ...], bytes, int, str]]:
        return [(record.line, record.fields, record.raw, record.end + base, record.defect) for record in found]

    def after(end: int) -> list[tuple[int, tuple[bytes, ...], bytes, int, str]]:
        return told(list(records(data[end:], b",", 1 + data.count(b"\n", 0, end), final=True)), end)

    whole = told(list(records(data, b",", 1, final=True)), 0)
    head = data[:cut]
    careful = list(records(head, b",", 1, final=False))
    assert told(careful, 0) + after(careful[-1].end if careful else 0) == whole
    tidy = tidy_end(head, b",", final=False)
    if tidy is not None:
        assert told(list(records(head[:tidy], b",", 1, final=True)), 0) + after(tidy) == whole


@settings(max_examples=100, deadline=None)
@given(rows=st.lists(st.lists(st.text(st.sampled_from('ab",;\n é'), max_size=5), min_size=2, max_size=4), max_size=6))
def test_well_formed_text_reads_as_python_reads_it(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    read = list(records(text.getvalue().encode(), b",", 1, final=True))
    assert [[field.decode() for field in record.fields] for record in read] == rows
    line = 1
    for record, row in zip(read, rows, strict=True):
        assert record.line == line
        line += 1 + sum(value.count("\n") for value in row)


@pytest.mark.parametrize("line_end", [b"\n", b"\r\n"])
def test_a_quote_that_is_never_closed_costs_one_line(line_end: bytes) -> None:
    data = line_end.join([b"1,a", b'2,"b', b"3,c"]) + (b"\n4," + b"d" * 100) * 11_000
    found = list(records(data, b",", 1, final=True))
    assert [(record.line, record.defect) for record in found if record.defect] == [
        (2, "has a quotation mark that is never closed")
    ]
    assert len(found) == 11_003
    assert tidy_end(data, b",", final=False) is None


def test_other_defects_of_a_record() -> None:
    found = list(records(b'1,"a"b\n2,c\rd\n3,"x\ny"\n', b",", 5, final=True))
    assert [(record.line, record.fields, record.defect) for record in found] == [
        (5, (), "has text after a closing quotation mark"),
        (6, (), "has a carriage return inside the line"),
        (7, (b"3", b"x\ny"), ""),
    ]


def test_a_long_but_regular_record_is_tidy_and_a_longer_one_is_looked_at() -> None:
    assert tidy_end(b"a" * (RECORD_BYTES - 10) + b"\n", b",", final=False) is not None
    assert tidy_end(b"a" * (RECORD_BYTES + 10) + b"\n", b",", final=False) is None
