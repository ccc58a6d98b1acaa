"""Filling a template, names made legible, and reading `name=value` words: what all that is said shares.

Belongs here: these mechanisms. Does not: any template (`reports/templates`, `alerts/templates`), any rule's words.
"""

import unicodedata
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING

from analytics_platform.language import Language
from analytics_platform.messages import Text

if TYPE_CHECKING:
    from jinja2 import Environment


@cache
def _environment(folder: str) -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("analytics_platform", folder),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,  # whatever a name contains, it cannot break the message's markup
    )


def fill(folder: str, template: str, language: Language, **values: object) -> Text:
    """The text of `<folder>/<template>.html.j2`, with `language` at hand and every value escaped."""
    html = _environment(folder).get_template(f"{template}.html.j2").render(language=language, **values)
    return Text(html.strip())


def legible(text: str, longest: int = 400) -> str:
    """The text on one line, without what is not to be seen or turns the line around, and with an end."""
    seen: list[str] = []
    blank = False
    for letter in text:
        if letter.isspace():
            blank = bool(seen)
        # Control signs, marks of direction, halves of letters: a name may hold any of them.
        elif unicodedata.category(letter)[0] != "C":
            seen += (" ", letter) if blank else letter
            blank = False
            if len(seen) > longest:  # what comes after is not read
                return "".join(seen[: longest - 1]).rstrip() + "…"
    return "".join(seen)


# How a word's value is read (ValueError or KeyError: not so), and what it needs.
Words = Mapping[str, tuple[Callable[[str], object], str]]


def read_words(text: str, words: Words) -> dict[str, object]:
    """The values of the words in `text`, such as `grace=1h hours=on`, by name; those that are not there are missing.

    Raises ValueError: one sentence, without a full stop, that names the word and what is expected.
    """
    found: dict[str, object] = {}
    for word in text.split():
        name, sign, value = word.partition("=")
        name = name.lower()
        if name not in words:
            raise ValueError(f"{word!r} is not known; the words are {', '.join(f'{n}=' for n in words)}")
        if name in found:
            raise ValueError(f"{name} is there twice; write each of {', '.join(words)} at most once")
        read, needs = words[name]
        wrong = f"{word!r} cannot be read; {name}= needs {needs}"
        if not sign:
            raise ValueError(wrong)
        try:
            found[name] = read(value.lower())
        except (ValueError, KeyError):
            raise ValueError(wrong) from None
    return found
