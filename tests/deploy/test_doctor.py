"""`hudhud doctor --config`: a wrong table is named with its line, a back end that does not answer by its name."""

from __future__ import annotations

import json
import socket
from pathlib import Path

import pytest

from deploy.doctor import doctor


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    return {one["what"]: one for one in map(json.loads, capsys.readouterr().out.splitlines())}


def test_a_mistake_in_auth_is_named_with_file_line_and_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "hudhud.toml"
    path.write_text('[auth.dovecot.health]\ndomains = ["health.saba.example"]\nsocket = "a"\nmax_pending = 0\n')
    assert doctor(config=path, json=True) == 1
    assert told(capsys)["configuration"]["found"].startswith("hudhud.toml:4: auth.dovecot.health.max_pending")


def test_a_back_end_that_does_not_answer_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        path = tmp_path / "hudhud.toml"
        path.write_text(
            f'[auth.ldap.fin]\ndomains = ["*"]\nurls = ["ldap://127.0.0.1:{closed.getsockname()[1]}"]\nbase = "dc=x"\n'
        )
        doctor(config=path, json=True)
    found = told(capsys)
    assert found["configuration"]["state"] == "ok"
    assert found["ldap.fin"]["state"] == "missing"
    assert "[auth.ldap.fin]" in found["ldap.fin"]["remedy"]
    assert not (tmp_path / "var" / "keys").exists()


def test_what_the_comparison_needs_is_named_with_a_remedy(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.doctor.installed", lambda command: None)
    doctor(json=True)
    found = told(capsys)
    for what in ("rspamd", "redis-server", "node", "haraka"):
        assert found[what]["state"] == "missing"
        assert "tests/install.sh peers" in found[what]["remedy"]
