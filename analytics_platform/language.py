"""How numbers, dates and words read in the reader's language (Babel; translations in `locales/*.po`).

Belongs here: formatting and translation. Does not: what is said (`reports/templates/`), time zones (`settings.py`).
"""

import math
from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from importlib import resources
from types import MappingProxyType

LANGUAGES = ("en", "ru")
NOT_AVAILABLE = "n/a"


@lru_cache(maxsize=len(LANGUAGES))
def _translations(code: str) -> Mapping[str, str]:
    # .po is read as it is: a compiled .mo would be a binary in git and a build step for translators.
    from babel.messages.pofile import read_po

    path = resources.files("analytics_platform") / "locales" / f"{code}.po"
    with path.open("rb") as stream:
        catalog = read_po(stream, locale=code, abort_invalid=True)
    return MappingProxyType(
        {m.id: m.string for m in catalog if isinstance(m.id, str) and isinstance(m.string, str) and m.id and m.string}
    )


class Language:
    """One locale's words, numbers and dates. What is missing (None, nan, inf) reads `n/a`, translated."""

    def __init__(self, code: str) -> None:
        """`code` is one of `LANGUAGES`; ValueError names them otherwise."""
        from babel import Locale

        if code not in LANGUAGES:
            raise ValueError(f"{code!r} is not a language of this platform; use one of {', '.join(LANGUAGES)}")
        self.code = code
        self._locale = Locale(code)
        self._words: Mapping[str, str] = {} if code == "en" else _translations(code)

    def say(self, message: str, **values: object) -> str:
        """The message in this language, its `{placeholders}` filled in. The English text is the key."""
        text = self._words.get(message, message)
        return text.format(**values) if values else text

    def count(self, value: float | None) -> str:
        """A whole number with the language's thousands separator: `18,706`."""
        from babel.numbers import format_decimal

        if value is None or not math.isfinite(value):
            return self.say(NOT_AVAILABLE)
        return str(format_decimal(round(value), format="#,##0", locale=self._locale))

    def percent(self, share: float | None) -> str:
        """A share (0.2084) as percent with two decimals: `20.84%`."""
        from babel.numbers import format_percent

        if share is None or not math.isfinite(share):
            return self.say(NOT_AVAILABLE)
        return str(format_percent(share, format=self._percent_pattern(), locale=self._locale))

    def change(self, growth: float | None) -> str:
        """A relative change (0.0297) as signed percent with two decimals: `+2.97%`; zero has no sign."""
        from babel.numbers import format_percent

        if growth is None or not math.isfinite(growth):
            return self.say(NOT_AVAILABLE)
        positive = self._percent_pattern()
        # What rounds to 0.00 is shown unsigned: "-0.00%" reads as a fall that nobody can see.
        if abs(round(growth, 4)) == 0:
            return str(format_percent(0, format=positive, locale=self._locale))
        return str(format_percent(growth, format=f"+{positive};-{positive}", locale=self._locale))

    def compact(self, value: float | None, *, share: bool = False) -> str:
        """A short number for axes: `18.7K`, `18,7 тыс.`; with `share`, a share as percent with no spare zeros: `20%`.

        Rounded to one decimal of its unit (a share: to eight decimals of a percent), so never for a figure to quote.
        """
        from babel.numbers import format_compact_decimal, format_percent

        if value is None or not math.isfinite(value):
            return self.say(NOT_AVAILABLE)
        if share:
            pattern = self._percent_pattern().replace("0.00", "0.########")
            return str(format_percent(value, format=pattern, locale=self._locale))
        # Rounded before Babel chooses the unit: left to itself it writes 999,950 as "1000K", not "1M".
        unit = 1000 ** ((len(str(abs(int(value)))) - 1) // 3)
        return str(format_compact_decimal(round(value / unit, 1) * unit, locale=self._locale, fraction_digits=1))

    def day(self, day: date) -> str:
        """A date in full: `Nov 20, 2026`, `20 нояб. 2026 г.`."""
        from babel.dates import format_date

        return str(format_date(day, format="medium", locale=self._locale))

    def period(self, first: date, last: date) -> str:
        """A day in full, or two with a dash: `Nov 14, 2026 – Nov 20, 2026`."""
        return self.day(last) if first == last else f"{self.day(first)} – {self.day(last)}"

    def weekday(self, day: date) -> str:
        """Abbreviated weekday and day of the month, for axes: `Fri 20`, `пт 20`."""
        from babel.dates import format_date

        return str(format_date(day, format="EEE d", locale=self._locale))

    def _percent_pattern(self) -> str:
        # The language's own pattern decides about the blank before the sign ("20,84 %" in Russian).
        pattern = str(self._locale.percent_formats[None].pattern)
        return pattern.replace("#,##0", "#,##0.00")
