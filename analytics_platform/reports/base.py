"""What reports share: filling a text template in a language.

Belongs here: the template environment. Does not: any report's content, any channel's limits.
"""

from functools import lru_cache
from typing import TYPE_CHECKING

from analytics_platform.language import Language
from analytics_platform.messages import Text

if TYPE_CHECKING:
    from jinja2 import Environment


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined

    return Environment(
        loader=PackageLoader("analytics_platform", "reports/templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=True,  # whatever a name contains, it cannot break the message's markup
    )


def fill(template: str, language: Language, **values: object) -> Text:
    """The text of `templates/<template>.html.j2`, with `language` at hand and every value escaped."""
    html = _environment().get_template(f"{template}.html.j2").render(language=language, **values)
    return Text(html.strip())
