"""Everything that people read is there in Arabic and in English."""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import Any

import pytest
from jinja2 import Environment
from jinja2.ext import extract_from_ast

import console
from console import words
from console.render import Speaker
from hudhud.i18n import translations

PACKAGE = Path(str(console.__file__)).parent
SAME_IN_BOTH = frozenset({"SHA-256"})


def texts_of_templates() -> dict[str, str]:
    """Each text of a call to `_` or `say` in a template, and where it stands."""
    found = {}
    for path in sorted((PACKAGE / "templates").glob("*.html")):
        tree = Environment(trim_blocks=True, lstrip_blocks=True).parse(path.read_text(encoding="utf-8"))
        for line, _function, text in extract_from_ast(tree, gettext_functions=("_", "say")):
            first = text[0] if isinstance(text, tuple) else text
            if isinstance(first, str):
                found[first] = f"{path.name}:{line}"
    return found


def texts_of_code() -> dict[str, str]:
    """Each literal text that is marked by `_` or said by `say` in Python."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not node.args:
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            said = next((arg.value for arg in node.args[:2] if isinstance(arg, ast.Constant)), None)
            if name in {"_", "say"} and isinstance(said, str):
                found[said] = f"{path.name}:{node.lineno}"
    return found


ALL = {**texts_of_code(), **texts_of_templates()}


@pytest.mark.parametrize("text", sorted(ALL))
def test_each_text_has_its_arabic(text: str) -> None:
    arabic = translations("console").get(text, "")
    assert arabic, f"{ALL[text]} has no Arabic: {text!r}"
    assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", arabic)), "the same names are filled in"
    assert re.search(r"[\u0600-\u06ff]", arabic) or not re.search(r"[A-Za-z]", text), "it is Arabic"


def test_no_text_of_the_catalogue_is_orphaned() -> None:
    assert set(translations("console")) <= set(ALL)


def test_templates_hold_no_words_outside_the_catalogue() -> None:
    """What is left of a template without tags, expressions and comments is punctuation and names of standards."""
    for path in sorted((PACKAGE / "templates").glob("*.html")):
        text = re.sub(r"{% block width %}\w*", " ", path.read_text(encoding="utf-8"))
        text = re.sub(r"{[{%#].*?[}%#]}", " ", text, flags=re.S)
        text = re.sub(r'<[^>]*>|[\w-]+="[^"]*"', " ", text, flags=re.S)
        left = set(re.findall(r"[A-Za-z]{2,}", text.replace("&amp;", "").replace("DOCTYPE", "")))
        assert left <= {"HTTP", "SHA", "Message", "ID"}, f"{path.name}: {left}"


def test_a_value_cannot_bring_markup_into_a_sentence() -> None:
    said = Speaker("ar")(words._("{id} was merged into this incident."), id="<script>")
    assert "<script>" not in said
    assert "&lt;script&gt;" in said


def test_traffic_light_labels_are_the_same_in_both_languages() -> None:
    assert not [text for text in translations("console") if "TLP:" in text]


def test_numbers_and_names_of_words_tables_are_known(house: Any) -> None:
    from cert.incident import MOVES, Status

    assert {status.value for status in Status} == set(words.STATUSES)
    assert {move.value for moves in MOVES.values() for move in moves} <= set(words.MOVES)
