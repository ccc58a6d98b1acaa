"""Words, numbers and dates in each language, and that no word is left untranslated."""

import ast
import math
import re
from collections.abc import Iterator
from datetime import date
from importlib import resources
from pathlib import Path

import pytest
from babel.messages.pofile import read_po

from analytics_platform.language import LANGUAGES, NOT_AVAILABLE, Language
from analytics_platform.metrics.app import AppFrame, Audience
from analytics_platform.metrics.frames import FeedDay, FeedFrame
from analytics_platform.reports import all_reports
from analytics_platform.reports.app_daily import AppInputs
from analytics_platform.reports.feed_daily import figures

PACKAGE = Path(str(resources.files("analytics_platform")))
OTHERS = [code for code in LANGUAGES if code != "en"]


def constants() -> set[str]:
    """Every string written out in the package: a key that is put together from data stands among them."""
    trees = (ast.parse(path.read_text("utf-8")) for path in PACKAGE.rglob("*.py"))
    return {
        node.value
        for tree in trees
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


def spoken_in_python() -> Iterator[str]:
    """The first argument of every `.say(...)` in the package, where it is written out."""
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            match node:
                case ast.Call(func=ast.Attribute(attr="say"), args=[ast.Constant(value=str(key)), *_]):
                    yield key


def told_of_reports() -> Iterator[str]:
    """Titles of reports, and names of their headline figures."""
    yield from (report.title for report in all_reports().values())
    frame = FeedFrame(tuple(FeedDay(date(2026, 1, k)) for k in range(1, 9)))
    yield from (number.name for number in all_reports()["feed_daily"].numbers(frame))
    app = AppFrame(tuple(date(2026, 1, k) for k in range(1, 32)), {}, None, None, Audience(), Audience(), ())
    yield from (number.name for number in all_reports()["app_daily"].numbers(AppInputs(app, [])))


def spoken_in_templates() -> Iterator[str]:
    for path in PACKAGE.rglob("*.j2"):
        yield from re.findall(r"""\.say\(\s*"([^"]*)\"""", path.read_text("utf-8"))


def spoken() -> set[str]:
    frame = FeedFrame(tuple(FeedDay(date(2026, 1, k)) for k in range(1, 9)))
    names = {figure.name for figure in figures(frame, Language("en"))}
    return {NOT_AVAILABLE, *names, *spoken_in_python(), *spoken_in_templates(), *told_of_reports()}


def catalog(code: str) -> dict[str, str]:
    with (PACKAGE / "locales" / f"{code}.po").open("rb") as stream:
        messages = read_po(stream, locale=code, abort_invalid=True)
    assert not [m.id for m in messages if m.fuzzy and m.id]
    return {str(m.id): str(m.string) for m in messages if m.id}


@pytest.mark.parametrize("code", OTHERS)
def test_every_text_is_translated_and_no_translation_is_left_over(code: str) -> None:
    translated = catalog(code)
    assert len(spoken()) >= 12
    assert spoken() - {key for key, text in translated.items() if text} == set()
    # A key put together from data, or one of the plural forms `a {}|b {}`, is written out somewhere.
    assert set(translated) - spoken() - constants() == set()


@pytest.mark.parametrize("code", OTHERS)
def test_translations_keep_the_placeholders(code: str) -> None:
    for key, text in catalog(code).items():
        assert sorted(re.findall(r"\{\w*\}", text)) == sorted(re.findall(r"\{\w*\}", key)), key


def test_placeholders_are_filled_once() -> None:
    english = Language("en")
    assert english.say("{change} vs {day}", change="{day}", day="%s") == "{day} vs %s"
    assert english.say("100 % {of it}") == "100 % {of it}"
    assert Language("ru").say("not translated") == "not translated"
    with pytest.raises(KeyError):
        english.say("{change} vs {day}", change="1")


@pytest.mark.parametrize("code", ["de", "", "RU", "../en"])
def test_an_unknown_language_is_refused(code: str) -> None:
    with pytest.raises(ValueError, match="is not a language of this platform; use one of en, ru"):
        Language(code)


GOLDEN = [
    # call, argument, English, Russian ("_" is a no-break space)
    ("count", 18_706, "18,706", "18_706"),
    ("count", 0, "0", "0"),
    ("count", 999.5, "1,000", "1_000"),
    ("count", -1_234_567, "-1,234,567", "-1_234_567"),
    ("percent", 118_695 / 569_448, "20.84%", "20,84_%"),
    ("percent", 0.0, "0.00%", "0,00_%"),
    ("percent", 1.5, "150.00%", "150,00_%"),
    ("percent", 123.456, "12,345.60%", "12_345,60_%"),
    ("change", 0.0297, "+2.97%", "+2,97_%"),
    ("change", -0.0056, "-0.56%", "-0,56_%"),
    ("change", 0.0, "0.00%", "0,00_%"),
    ("change", 0.00004, "0.00%", "0,00_%"),
    ("change", -0.00004, "0.00%", "0,00_%"),
    ("change", -0.00006, "-0.01%", "-0,01_%"),
    ("change", -1.0, "-100.00%", "-100,00_%"),
    ("change", 99.5, "+9,950.00%", "+9_950,00_%"),
    ("compact", 18_706, "18.7K", "18,7_тыс."),
    ("compact", 999_950, "1M", "1_млн"),
    ("compact", 0, "0", "0"),
    ("day", date(2026, 11, 20), "Nov 20, 2026", "20_нояб. 2026_г."),
    ("day", date(2026, 5, 1), "May 1, 2026", "1_мая 2026_г."),
    ("weekday", date(2026, 11, 20), "Fri 20", "пт 20"),
]


@pytest.mark.parametrize(("call", "argument", "english", "russian"), GOLDEN)
def test_formats(call: str, argument: object, english: str, russian: str) -> None:
    for code, expected in (("en", english), ("ru", russian)):
        shown = getattr(Language(code), call)(argument)
        assert re.sub("[\xa0\u202f\u2009 ]", " ", shown) == expected.replace("_", " ")


@pytest.mark.parametrize(("code", "word"), [("en", "n/a"), ("ru", "н/д")])
def test_what_is_missing_is_said(code: str, word: str) -> None:
    language = Language(code)
    assert [show(None) for show in (language.count, language.percent, language.change, language.compact)] == [word] * 4


@pytest.mark.parametrize("code", LANGUAGES)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_are_never_shown(code: str, value: float) -> None:
    language = Language(code)
    missing = language.say(NOT_AVAILABLE)
    for show in (language.count, language.percent, language.change, language.compact):
        assert show(value) == missing
    assert language.compact(value, share=True) == missing
