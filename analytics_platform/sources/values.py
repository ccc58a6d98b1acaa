"""From text to a column's value: what is valid, once for one value (`parse`) and once for a whole batch (`convert`).

`parse` is the definition. `convert` is the fast way to the same: it gives up (None) where its shortcuts do not reach,
and the caller reads that batch value by value. Belongs here: values. Does not: files, rows, columns of a header.
"""

import math
import re
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, tzinfo
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from analytics_platform.metrics.events import UNKNOWN, Column, Kind
from analytics_platform.metrics.windows import EPOCH

if TYPE_CHECKING:
    import pyarrow as pa

Value = int | float | str | None

# Named one by one, because Python and Arrow do not agree on what else is a blank.
BLANKS: Final = " \t\r\n\v\f\u00a0"
# An empty field, and how ClickHouse and MySQL write NULL into text exports.
MISSING: Final = ("", "\\N")
LIMITS: Final = {
    Kind.UINT64: (0, 2**64 - 1),
    Kind.UINT32: (0, 2**32 - 1),
    Kind.INT64: (-(2**63), 2**63 - 1),
    Kind.INT16: (-(2**15), 2**15 - 1),
    Kind.INT8: (-(2**7), 2**7 - 1),
}
TRUE: Final = ("true", "t", "yes", "1")
FALSE: Final = ("false", "f", "no", "0")
# Nearly every value differs, so that looking up the distinct ones would gain nothing.
DISTINCT: Final = (Kind.UINT64, Kind.UINT32, Kind.INT64, Kind.FLOAT, Kind.LONG_TEXT, Kind.TIME)
LOWERED: Final = ("action",)

_SECOND = 1_000_000  # times are counted in microseconds

FIRST_TIME: Final = 0
END_TIME: Final = int((datetime(2100, 1, 1) - EPOCH).total_seconds()) * _SECOND  # noqa: DTZ001
# From here on a number counts milliseconds: as seconds it would be the year 33658, as milliseconds it is 2001.
_MILLISECONDS_FROM = 10**12

_WHOLE = re.compile(r"(-?)0*([0-9]{1,20})(?:\.0+)?")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?")
_ISO = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
    r"(?:Z|([+-])([0-9]{2})(?::?([0-9]{2}))?)?"
)
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_COMPACT_DATE = re.compile(r"(?:19|20)[0-9]{6}")

_ANY_TIME = (
    "is not a date and time such as 2026-11-20 10:00:00 or 2026-11-20T10:00:00+03:00, nor seconds or milliseconds "
    "since 1970"
)
_DATE_ONLY = "is a date without a time of day"
_OUT_OF_RANGE = "is a time before 1970 or after 2099"


class UnfitError(ValueError):
    """A value that does not fit its column; the text completes the sentence `'x' ...`."""


def parse(column: Column, text: str | None, zone: tzinfo) -> Value:
    """The value of one field; None stands for NULL.

    Times are microseconds since 1970 UTC; a time that names no zone is a wall clock in `zone`. Raises UnfitError.
    """
    text = (text or "").strip(BLANKS)
    if text in MISSING:
        if column.required:
            raise UnfitError("is empty, and every row needs a value here")
        return UNKNOWN if column.kind is Kind.TEXT else None
    if column.kind is Kind.TEXT:
        return text.lower() if column.name in LOWERED else text
    if column.kind is Kind.LONG_TEXT:
        return text
    if column.kind is Kind.TIME:
        return _time(text, zone)
    if column.kind is Kind.FLOAT:
        return _float(text, column)
    if column.kind is Kind.BOOL:
        return _bool(text, column)
    low, high = LIMITS[column.kind]
    match = _WHOLE.fullmatch(text)
    value = int(match[1] + match[2]) if match else high + 1
    if not low <= value <= high:
        raise UnfitError(f"is not a whole number from {low} to {high}{_or_empty(column)}")
    return value


def _or_empty(column: Column) -> str:
    return "" if column.required else " or empty"


def _float(text: str, column: Column) -> float:
    # Python alone would take underscores, and nan and inf, which are no measurements and break sums.
    value = float(text) if _FLOAT.fullmatch(text) else math.nan
    if not math.isfinite(value):
        raise UnfitError(f"is not a finite number such as 12.5 or 1e-3, with a point for decimals{_or_empty(column)}")
    return value


def _bool(text: str, column: Column) -> bool:
    lowered = text.lower()
    if lowered not in TRUE + FALSE:
        raise UnfitError(f"is neither true (t, yes, 1) nor false (f, no, 0){_or_empty(column)}")
    return lowered in TRUE


def _time(text: str, zone: tzinfo) -> int:
    if _COMPACT_DATE.fullmatch(text) and _is_date(text):
        raise UnfitError(_DATE_ONLY)  # read as seconds, 20261120 would silently become August 1970
    if _NUMBER.fullmatch(text):
        number = Decimal(text)
        value = int(number * (_SECOND if number < _MILLISECONDS_FROM else 1000))
    elif match := _ISO.fullmatch(text):
        value = _iso(match, zone)
    elif _DATE.fullmatch(text):
        raise UnfitError(_DATE_ONLY)
    else:
        raise UnfitError(_ANY_TIME)
    if not FIRST_TIME <= value < END_TIME:
        raise UnfitError(_OUT_OF_RANGE)
    return value


def _is_date(text: str) -> bool:
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def _iso(match: re.Match[str], zone: tzinfo) -> int:
    year, month, day, hour, minute, second, fraction, sign, zone_hour, zone_minute = match.groups()
    try:
        wall = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second or 0))  # noqa: DTZ001
    except ValueError:
        raise UnfitError("is not a date and time of the calendar") from None
    # Digits beyond the microsecond are dropped, not rounded: a rounded time could fall into the next day.
    micros = _since_epoch(wall) + int((fraction or "0")[:6].ljust(6, "0"))
    if sign:
        hours, minutes = int(zone_hour), int(zone_minute or 0)
        if hours > 23 or minutes > 59:
            raise UnfitError("has an offset from UTC that does not exist")
        offset = (hours * 3600 + minutes * 60) * _SECOND
        return micros - offset if sign == "+" else micros + offset
    if match[0].endswith("Z"):
        return micros
    if not 1969 <= wall.year <= 2100:
        raise UnfitError(_OUT_OF_RANGE)  # before a zone is asked about years it cannot answer for
    earlier, later = _offsets(wall, zone)
    if earlier < later:
        raise UnfitError(f"does not exist in {zone}: clocks skip it there")
    return micros - earlier


def _since_epoch(wall: datetime) -> int:
    return (wall - EPOCH) // timedelta(microseconds=1)


def _offsets(wall: datetime, zone: tzinfo) -> tuple[int, int]:
    """Microseconds east of UTC before and after a change of clocks at this wall time; the same where there is none."""

    def offset(fold: int) -> int:
        east = wall.replace(tzinfo=zone, fold=fold).utcoffset()
        return (east or timedelta()) // timedelta(microseconds=1)

    return offset(0), offset(1)


def convert(column: Column, texts: "pa.Array", kind: "pa.DataType", zone: tzinfo) -> "pa.Array | None":
    """The same for a batch of texts (string or dictionary) as an array of type `kind`; None if one of them is unfit.

    Where nearly every value differs, the texts are tried as a whole first.
    """
    import pyarrow as pa

    if column.kind is Kind.LONG_TEXT:
        return _long_texts(texts, required=column.required)
    if not pa.types.is_dictionary(texts.type) and len(texts) and not texts.null_count:
        whole: Callable[[Any, pa.DataType, tzinfo], Any] | None = {
            Kind.UINT64: _whole_numbers,
            Kind.UINT32: _whole_numbers,
            Kind.INT64: _whole_numbers,
            Kind.FLOAT: _whole_floats,
            Kind.TIME: _whole_times,
        }.get(column.kind)
        try:
            converted = whole(texts, kind, zone) if whole else None
        except pa.ArrowInvalid:
            converted = None  # some value has another form; that may still be a valid one
        if converted is not None:
            return converted
    return _by_distinct(column, texts, kind, zone)


def _by_distinct(column: Column, texts: "pa.Array", kind: "pa.DataType", zone: tzinfo) -> "pa.Array | None":
    """Read each distinct text once with `parse`: a few dozen per batch for attributes, so Python's speed is enough."""
    import pyarrow as pa

    encoded = texts if pa.types.is_dictionary(texts.type) else texts.dictionary_encode()
    try:
        values = [parse(column, text, zone) for text in encoded.dictionary.to_pylist()]
        missing = parse(column, None, zone) if encoded.null_count else None
    except UnfitError:
        return None
    converted = pa.array(values, kind).take(encoded.indices)
    return converted if missing is None else converted.fill_null(missing)


def _long_texts(texts: "pa.Array", *, required: bool) -> "pa.Array | None":
    import pyarrow as pa
    import pyarrow.compute as pc

    plain = texts.dictionary_decode() if pa.types.is_dictionary(texts.type) else texts
    plain = pc.utf8_trim(plain.cast(pa.string()), BLANKS)
    plain = pc.if_else(pc.is_in(plain, pa.array(MISSING)), None, plain)
    return None if required and plain.null_count else plain


def _whole_numbers(texts: "pa.Array", kind: "pa.DataType", _zone: tzinfo) -> "pa.Array | None":
    digits = _digits(texts, 20)  # casting refuses what is too large
    return None if digits is None else digits.cast(kind)


def _whole_floats(texts: "pa.Array", kind: "pa.DataType", _zone: tzinfo) -> "pa.Array | None":
    import pyarrow.compute as pc

    # Asked before casting, because Arrow would also take nan and inf.
    if not pc.all(pc.match_substring_regex(texts, rf"^(?:{_FLOAT.pattern})$")).as_py():
        return None
    numbers = texts.cast(kind)
    return numbers if pc.all(pc.is_finite(numbers)).as_py() else None


def _digits(texts: "pa.Array", most: int) -> "pa.Array | None":
    """The texts, if all are plain digits; what pandas makes of whole numbers (`25.0`) loses its tail. Else None.

    Asked before casting, because Arrow would also take hexadecimal.
    """
    import pyarrow.compute as pc

    if not pc.all(pc.ascii_is_decimal(texts)).as_py():
        texts = pc.replace_substring_regex(texts, pattern=r"\.0+$", replacement="")
        if not pc.all(pc.ascii_is_decimal(texts)).as_py():
            return None
    # Longer digit strings are left to `parse`, which knows how many zeros may lead.
    return texts if pc.max(pc.binary_length(texts)).as_py() <= most else None


def _whole_times(texts: "pa.Array", _kind: "pa.DataType", zone: tzinfo) -> "pa.Array | None":
    import pyarrow as pa
    import pyarrow.compute as pc

    sample = texts[0].as_py()
    if sample[:4].isdecimal() and sample[4:5] == "-":
        # Arrow also takes a date alone and a bare hour; those have no colon after the hour.
        if not pc.all(pc.equal(pc.binary_slice(texts.cast(pa.binary()), 13, 14), b":")).as_py():
            return None
        if sample.endswith("Z") or "+" in sample or "-" in sample[11:]:
            micros = texts.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
        else:
            micros = _from_wall_clock(texts.cast(pa.timestamp("us")).cast(pa.int64()), zone)
    else:
        digits = _digits(texts, 18)
        micros = None if digits is None else _from_epoch(digits.cast(pa.int64()))
    if micros is None:
        return None
    span = pc.min_max(micros)
    if span["min"].as_py() < FIRST_TIME or span["max"].as_py() >= END_TIME:
        return None
    return micros.cast(pa.timestamp("us"))


def _from_epoch(numbers: "pa.Array") -> "pa.Array | None":
    import pyarrow.compute as pc

    span = pc.min_max(numbers)
    if span["min"].as_py() < 10**8:
        return None  # could be a date without dashes
    if span["max"].as_py() < _MILLISECONDS_FROM:
        return pc.multiply_checked(numbers, _SECOND)
    if span["min"].as_py() >= _MILLISECONDS_FROM:
        return pc.multiply_checked(numbers, 1000)
    return None


def _from_wall_clock(micros: "pa.Array", zone: tzinfo) -> "pa.Array | None":
    """Wall clocks in `zone` to UTC, offset by offset; None if one of them falls into an hour in which clocks change.

    Not Arrow's own conversion: that needs the operating system's time zone files, which small containers lack.
    """
    import numpy as np
    import pyarrow as pa

    if zone is UTC:
        return micros
    hour = 3600 * _SECOND
    walls = micros.to_numpy(zero_copy_only=False)
    hours, places = np.unique(walls // hour, return_inverse=True)
    day = 24 * hour
    if not -day <= hours[0] * hour <= hours[-1] * hour <= END_TIME + day:
        return None
    offsets = np.empty(len(hours), dtype=np.int64)
    for place, number in enumerate(hours.tolist()):
        start = EPOCH + timedelta(hours=number)
        here = {*_offsets(start, zone), *_offsets(start + timedelta(hours=1), zone)}
        if len(here) > 1:
            return None
        offsets[place] = here.pop()
    return pa.array(walls - offsets[places])
