"""Every text for people stands in Arabic and in English."""

import ast
import re
from pathlib import Path

import pytest

from hudhud.i18n import translations

ROOT = Path(__file__).parents[2]
PACKAGES = ("hudhud", "rules", "mail", "sensors", "cert", "console", "deploy")
CALLED = {"_": 0, "say": 1, "_say": 1}  # name of the call: which of its arguments is the text
PLACEHOLDER = re.compile(r"\{(\w+)")
TEMPLATE_TEXT = re.compile(r"""\b_\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")


def texts_in_code(package: str) -> set[str]:
    """The literal text of each call say(language, "…") or _("…") in a package's Python."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        if {"bench", "soak"} & set(path.parts):
            continue  # what they say, they say to an SMTP server
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            at = CALLED.get(name)
            text = node.args[at] if at is not None and len(node.args) > at else None
            if isinstance(text, ast.Constant) and isinstance(text.value, str):
                found.add(text.value)
    return found


def texts_in_templates(package: str) -> set[str]:
    return {
        (one or other).replace('\\"', '"').replace("\\'", "'")
        for path in (ROOT / package).rglob("*.html")
        for one, other in TEMPLATE_TEXT.findall(path.read_text(encoding="utf-8"))
    }


@pytest.mark.parametrize("package", PACKAGES)
def test_every_text_has_its_arabic(package: str) -> None:
    missing = (texts_in_code(package) | texts_in_templates(package)) - set(translations(package))
    assert not missing, f"{package}/locale/ar.po lacks {len(missing)} texts: {sorted(missing)[:20]}"


@pytest.mark.parametrize("package", PACKAGES)
def test_arabic_texts_keep_their_placeholders(package: str) -> None:
    for english, arabic in translations(package).items():
        assert sorted(PLACEHOLDER.findall(english)) == sorted(PLACEHOLDER.findall(arabic)), english


def test_texts_are_found_at_all() -> None:
    assert sum(len(texts_in_code(package) | texts_in_templates(package)) for package in PACKAGES) > 50
