"""A lab with its relay, as tests/mail/session/test_process.py starts it; one for all tests of this folder."""

from __future__ import annotations

import pytest

from tests.mail.carry.conftest import virtual_house
from tests.mail.session.test_process import house

__all__ = ["house", "virtual_house"]


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands speak the terminal's language."""
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
