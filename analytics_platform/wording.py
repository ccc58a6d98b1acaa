"""Filling a template: what reports and alerts share of their texts.

Belongs here: the environment of templates. Does not: any template (`reports/templates`, `alerts/templates`).
"""

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
