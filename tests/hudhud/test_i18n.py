"""Every text for people stands in Arabic and in English."""

import ast
import re
from pathlib import Path

import pytest

from hudhud.i18n import translations

ROOT = Path(__file__).parents[2]
PACKAGES = ("hudhud", "rules", "mail", "sensors", "cert", "console", "deploy")
CALLED = {"say", "_"}
PLACEHOLDER = re.compile(r"\{(\w+)")
TEMPLATE_TEXT = re.compile(r"""\b_\(\s*(?:"((?:[^"\\]|\\.)*)"|'((?:[^'\\]|\\.)*)')""")


def texts_in_code(package: str) -> set[str]:
    """First literal text of each call say(language, "…") or _("…") in a package's Python."""
    found = set()
    for path in (ROOT / package).rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call):
                continue
            name = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
            if name in CALLED or name in {"_say"}:
                literals = [a.value for a in node.args[:2] if isinstance(a, ast.Constant) and isinstance(a.value, str)]
                found |= {text for text in literals[-1:] if text not in {"ar", "en"}}
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
