"""docs/rfc.md: every row names a test that is there, or says why there is none."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
STANDARDS = ("1870", "2034", "2920", "3207", "3461", "3464", "4954", "5321", "6152", "6409", "6531", "7505", "8689")
_TEST = re.compile(r"`(tests/[a-z0-9_/]+\.py)::(test_[a-z0-9_]+)`")


def rows() -> list[tuple[str, str, str]]:
    """Section, demand and tests of each row."""
    lines = (ROOT / "docs" / "rfc.md").read_text("utf-8").splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("| ")]
    found = [cell for cell in cells if cell[0] != "§"]
    assert all(len(cell) == 3 for cell in found), [cell for cell in found if len(cell) != 3]
    return [(cell[0], cell[1], cell[2]) for cell in found]


@cache
def named_in(path: Path) -> frozenset[str]:
    """The functions of a file that are tests."""
    tree = ast.parse(path.read_text("utf-8"))
    functions = (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))
    return frozenset(one.name for one in functions if one.name.startswith("test_"))


@pytest.mark.parametrize("row", rows(), ids=lambda row: f"{row[0]} {row[1]}"[:60])
def test_every_demand_has_a_test_that_is_there_or_a_reason(row: tuple[str, str, str]) -> None:
    named = _TEST.findall(row[2])
    assert named or re.match(r"Not ours: \S", row[2]), row
    assert row[2].count("::") == len(named), f"a name that cannot be read: {row[2]}"
    for file, name in named:
        assert (ROOT / file).is_file(), file
        assert name in named_in(ROOT / file), f"{file}::{name}"


def test_every_standard_of_the_relay_is_in_the_table() -> None:
    headings = " ".join(re.findall(r"^## (.+)$", (ROOT / "docs" / "rfc.md").read_text("utf-8"), re.M))
    assert [number for number in STANDARDS if number not in headings] == []
    assert len(rows()) > 120
