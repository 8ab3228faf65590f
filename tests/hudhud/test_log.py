"""Logs go where standard error is now, and a traceback for people shows no values."""

import io
import sys

import pytest

from hudhud import log


@pytest.fixture(autouse=True)
def _as_it_was():
    yield
    log.configure("warning")


def test_a_logger_outlives_what_stood_in_the_place_of_standard_error(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    log.configure("info", json=True)
    logger = log.get("here")
    logger.info("one")
    first.close()
    monkeypatch.setattr(sys, "stderr", second)
    logger.info("two")
    assert '"event":"two"' in second.getvalue()


@pytest.mark.parametrize("json", [True, False])
def test_a_traceback_has_no_local_variables(monkeypatch: pytest.MonkeyPatch, json: bool) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(sys, "stderr", shown)
    log.configure("info", json=json)
    password = "geheim" + "nis"
    try:
        raise RuntimeError("a fault")
    except RuntimeError:
        log.get("there").exception("it went wrong")
    assert "RuntimeError: a fault" in shown.getvalue()
    assert password not in shown.getvalue()
