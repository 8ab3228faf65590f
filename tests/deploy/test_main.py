"""The command line: help for everything, one clear line for every mistake."""

import subprocess
import sys
from pathlib import Path

import pytest

from deploy.main import COMMANDS


def hudhud(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "deploy.main", *words], capture_output=True, text=True, timeout=60, cwd=cwd, check=False
    )


def test_help_names_every_command() -> None:
    shown = hudhud("--help")
    assert shown.returncode == 0
    assert all(f" {name} " in shown.stdout for name, _, _ in COMMANDS)


@pytest.mark.parametrize("name", [name for name, _, _ in COMMANDS])
def test_every_command_has_help(name: str) -> None:
    shown = hudhud(name, "--help")
    assert shown.returncode == 0, shown.stderr
    assert "Usage" in shown.stdout


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("reley",), 2, "did you mean `hudhud relay`?"),
        (("config", "check", "nowhere.toml"), 2, "nowhere.toml"),
        (("relay", "--config", "nowhere.toml"), 2, "nowhere.toml"),
        (("tour", "--data", "nowhere"), 3, "no lab runs"),
        (("registry", "check", "nowhere"), 2, "nowhere: No such file or directory"),
        (("config", "check", "--colour"), 2, ""),
    ],
)
def test_a_mistake_is_one_clear_line(words: tuple[str, ...], code: int, said: str, tmp_path: Path) -> None:
    shown = hudhud(*words, cwd=tmp_path)
    assert shown.returncode == code, shown.stderr
    assert said in shown.stderr + shown.stdout
    assert "Traceback" not in shown.stderr
