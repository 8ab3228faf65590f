"""Templates to HTML: autoescaped, in the reader's language, by the filters of console.text. The one door to Jinja2."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from functools import cache
from importlib import resources

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from console import charts, text, words
from hudhud.i18n import DIRECTION, Catalogue, Language

say = Catalogue("console")


class Speaker:
    """`_` of a template: the text in one language, escaped; so are its values, unless they are markup already."""

    def __init__(self, language: Language) -> None:
        self.language = language

    def __call__(self, words_: str, /, **values: object) -> Markup:
        translated = escape(say(self.language, words_))
        return translated.format(**values) if values else translated


@pass_context
def _span(context: Context, length: timedelta) -> Markup:
    """`text.span` in the page's language."""
    return text.span(length, context["language"])


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("console"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        outside=text.outside,
        code=text.code,
        visible=text.visible,
        moment=text.moment,
        exact_moment=text.exact_moment,
        size=text.size,
        span=_span,
    )
    environment.globals.update(words=words, bar=charts.bar, columns=charts.columns, static=static_path)
    return environment


def render(template: str, language: Language, values: dict[str, object]) -> str:
    """The template as HTML in that language; a name that is not given is an error, never an empty place."""
    common = {"_": Speaker(language), "language": language, "direction": DIRECTION[language]}
    common["arrow"] = "←" if language == "ar" else "→"
    return _environment().get_template(template).render({**common, **values})


@cache
def static_files() -> dict[str, tuple[str, bytes]]:
    """Each file under static/: its media type and bytes."""
    types = {"css": "text/css; charset=utf-8", "svg": "image/svg+xml"}
    folder = resources.files("console") / "static"
    return {
        entry.name: (types[entry.name.rpartition(".")[2]], entry.read_bytes())
        for entry in folder.iterdir()
        if entry.name.rpartition(".")[2] in types
    }


@cache
def static_path(name: str) -> str:
    """The path of a static file with a mark of its content, so that browsers may keep it for ever."""
    return f"/static/{name}?{hashlib.sha256(static_files()[name][1]).hexdigest()[:12]}"
