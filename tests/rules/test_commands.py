"""Rules go live checked and signed by two, are rolled back, and every act is on record."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from hudhud import audit, release
from hudhud.cli import Exit, Problem
from hudhud.keys import SigningKey
from hudhud.release import Trust
from rules import commands
from rules.ruleset import compile_ruleset, library


@pytest.fixture(autouse=True)
def english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "LC_ALL", "C.UTF-8")


@pytest.fixture
def data(tmp_path: Path) -> Path:
    keys = {name: SigningKey.generate(tmp_path / "keys" / f"{name}.key") for name in ("admin1", "admin2", "node", "x")}
    lines = ["[node]", 'data = "."', "[releases.keys]"]
    lines += [f'{name} = "{base64.b64encode(keys[name].public).decode()}"' for name in ("admin1", "admin2")]
    (tmp_path / "hudhud.toml").write_text("\n".join(lines) + "\n")
    return tmp_path


def keys(data: Path, *names: str) -> list[Path]:
    return [data / "keys" / f"{name}.key" for name in names or ("admin1", "admin2")]


def config(data: Path) -> Path:
    return data / "hudhud.toml"


def draft(data: Path, name: str = "draft", **changed: str) -> Path:
    folder = data / name
    for file, content in library().items():
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    for file, text in changed.items():
        (folder / "mail" / f"{file}.yar").write_text(text, encoding="utf-8")
    return folder


def trust(data: Path) -> Trust:
    return Trust({name: SigningKey.load(data / "keys" / f"{name}.key").public for name in ("admin1", "admin2")}, {})


def live(data: Path) -> release.Release:
    return release.load(data / "releases", "rules", trust(data))


def publish(data: Path, folder: Path | None = None, *names: str) -> int:
    return commands.publish(
        folder, key=keys(data, *names), note="a note", own=folder is None, config=config(data), author="amal"
    )


def renamed(version: str) -> str:
    names = library()["mail/names.yar"].decode()
    return names.replace('id = "HY-0401"\n        version = "1"', f'id = "HY-0401"\n        version = "{version}"')


def test_the_library_goes_live_with_two_keys_and_compiles(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert publish(data) == Exit.DONE
    assert live(data).signers == ("admin1", "admin2")
    assert live(data).digest in capsys.readouterr().out
    compile_ruleset(live(data).files, live(data).digest)


@pytest.mark.parametrize(
    ("names", "why"),
    [(("admin1",), "2 different"), (("admin1", "admin1"), "2 different"), (("admin1", "x"), "trust")],
)
def test_one_person_alone_publishes_nothing(data: Path, names: tuple[str, ...], why: str) -> None:
    with pytest.raises(Problem, match=why):
        publish(data, None, *names)
    assert not (data / "releases" / "rules").exists()


def test_rules_that_fail_the_check_are_not_published(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(data)
    before = live(data).digest
    with pytest.raises(Problem, match="Nothing was published"):
        publish(data, draft(data, names="rule broken {"))
    assert "mail/names.yar:1" in capsys.readouterr().err
    assert live(data).digest == before


def test_a_change_without_a_new_version_is_refused_and_with_one_goes_live(data: Path) -> None:
    publish(data)
    changed = renamed("1").replace('disposition = "hold"', 'disposition = "tag"', 1)
    with pytest.raises(Problem):
        publish(data, draft(data, names=changed))
    assert publish(data, draft(data, names=changed.replace('version = "1"', 'version = "2"', 1))) == Exit.DONE
    rules = compile_ruleset(live(data).files, "x").rules
    assert next(rule for rule in rules if rule.id == "HY-0401").disposition == "tag"


def test_a_roll_back_brings_the_release_before_and_again_the_one_named(data: Path) -> None:
    publish(data)
    first = live(data).digest
    publish(data, draft(data, names=renamed("2")))
    second = live(data).digest
    assert commands.rollback(key=keys(data), config=config(data), note="it held too much") == Exit.DONE
    assert live(data).digest == first
    assert commands.rollback(key=keys(data), config=config(data), to=second[:12]) == Exit.DONE
    assert live(data).digest == second
    with pytest.raises(Problem, match="names 0 releases"):
        commands.rollback(key=keys(data), config=config(data), to="ffffffffffff")


def test_a_second_roll_back_does_not_bring_back_what_the_first_took_away(data: Path) -> None:
    publish(data)
    first = live(data).digest
    publish(data, draft(data, names=renamed("2")))
    publish(data, draft(data, names=renamed("3")))
    for _ in range(2):
        assert commands.rollback(key=keys(data), config=config(data)) == Exit.DONE
    assert live(data).digest == first
    with pytest.raises(Problem, match="no earlier"):
        commands.rollback(key=keys(data), config=config(data))


def test_there_must_be_something_to_go_back_to(data: Path) -> None:
    publish(data)
    with pytest.raises(Problem, match="no earlier"):
        commands.rollback(key=keys(data), config=config(data))


def test_channels_are_kept_apart(data: Path) -> None:
    folder = draft(data)
    commands.publish(folder, key=keys(data), note="try", channel="shadow", config=config(data))
    assert not release.pointer_path(data / "releases", "rules").exists()
    with pytest.raises(Problem, match="shadow, canary, enforce"):
        commands.publish(folder, key=keys(data), note="try", channel="everywhere", config=config(data))


def test_every_act_is_in_the_audit_chain(data: Path) -> None:
    publish(data)
    publish(data, draft(data, names=renamed("2")))
    commands.rollback(key=keys(data), config=config(data), note="it held too much", author="huda")
    chain = data / "audit" / "rules.chain"
    text = chain.read_text()
    assert text.count("publish rules") == 2
    assert "it held too much" in text
    assert "huda" in text
    assert audit.verify(chain, SigningKey.load(data / "keys" / "node.key").public) == []


def test_history_lists_what_was_live_newest_first(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(data)
    publish(data, draft(data, names=renamed("2")))
    capsys.readouterr()
    assert commands.history(config=config(data), json=True) == Exit.DONE
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["serial"] for row in rows] == [2, 1]
    assert rows[0]["digest"] == live(data).digest
    assert rows[0]["signers"] == ["admin1", "admin2"]


def test_list_and_show_name_the_live_rules(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish(data)
    capsys.readouterr()
    commands.list_rules(config=config(data), json=True)
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {"HY-0101", "HE-0001", "HC-0001"} <= {row["id"] for row in rows}
    commands.show("HY-0101", config=config(data))
    shown = capsys.readouterr().out
    assert "ماكرو" in shown
    assert "condition:" in shown
    with pytest.raises(Problem, match="no rule HY-0000"):
        commands.show("HY-0000", config=config(data))


def test_check_says_what_is_wrong_with_file_and_line(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.check_rules(draft(data), config=config(data)) == Exit.DONE
    assert "right" in capsys.readouterr().out
    assert (
        commands.check_rules(draft(data, files="rule x {\n  condition: y }"), config=config(data), json=True) == Exit.NO
    )
    said = json.loads(capsys.readouterr().out)
    assert said["good"] is False
    assert (said["remarks"][0]["file"], said["remarks"][0]["line"]) == ("mail/files.yar", 2)
    with pytest.raises(Problem, match="holds no rules"):
        commands.check_rules(data / "keys", config=config(data))


def test_files_and_events_are_tried(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (data / "invoice.pdf.exe").write_bytes(b"stand-in")
    (data / "plain.txt").write_bytes(b"nothing")
    assert commands.try_files([data / "invoice.pdf.exe"], config=data / "none.toml") == Exit.DONE
    assert "HY-0401 hold" in capsys.readouterr().out
    assert commands.try_files([data / "plain.txt"], config=data / "none.toml") == Exit.NO
    event = {"event": {"dataset": "hudhud.mail", "action": "held"}, "rule": {"id": ["HY-0101"]}}
    (data / "e.ndjson").write_text(json.dumps(event) + "\n")
    capsys.readouterr()
    assert commands.try_files([data / "e.ndjson"], config=data / "none.toml", json=True) == Exit.DONE
    assert [rule["id"] for rule in json.loads(capsys.readouterr().out)["rules"]] == ["HE-0001"]


@pytest.mark.parametrize(
    "content",
    ['["HY-0101"]', '{"stopped": [{"rule": "HY-0101"}]}', '{"stopped": {"HY-0101": {"held": 21}}, "since": {}}'],
)
def test_stopped_rules_are_listed(data: Path, content: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert commands.stopped(config=config(data)) == Exit.NO
    (data / "relay").mkdir()
    (data / "relay" / "stopped.json").write_text(content)
    assert commands.stopped(config=config(data), json=True) == Exit.DONE
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["rule"] == "HY-0101"


def test_texts_follow_the_terminals_language(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(os.environ, "LC_ALL", "ar_SY.UTF-8")
    commands.check_rules(None, config=Path("none.toml"))
    assert "سليم" in capsys.readouterr().out
