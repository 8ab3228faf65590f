"""Audit chains of one folder witness each other: none is rewound, begun anew or removed unseen."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from deploy import config_commands
from hudhud import audit, chain, codec
from hudhud.audit import Audit
from hudhud.cli import Exit
from hudhud.keys import SigningKey

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.generate(tmp_path_factory.mktemp("data") / "keys" / "node.key")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "audit"


def act(chain_of: Audit, times: int) -> None:
    for n in range(times):
        chain_of.record("amal", "incident.close", f"INC-{n}", now=NOW)


def life(folder: Path, key: SigningKey, name: str, acts: int) -> None:
    written = Audit(folder / f"{name}.chain", key, name)
    act(written, acts)
    written.close()


def found(folder: Path, key: SigningKey) -> dict[str, list[str]]:
    """Chains with problems, and what they are."""
    every = chain.verify_all(folder, [key.public]).items()
    return {name: [one.what for one in problems] for name, problems in every if problems}


def cut(path: Path, records: int) -> None:
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[:records]))


def gone(path: Path) -> None:
    path.unlink()
    chain.head_path(path).unlink()


def cut_to_the_start(path: Path) -> None:
    cut(path, 1)
    chain.head_path(path).unlink()


def cut_with_an_older_head(path: Path) -> None:
    cut(path, 1)
    chain.head_path(path).write_bytes(path.read_bytes())


def only_the_head_gone(path: Path) -> None:
    chain.head_path(path).unlink()


def test_every_checkpoint_says_where_the_other_chains_stand(folder: Path, key: SigningKey) -> None:
    life(folder, key, "desk", 3)
    life(folder, key, "console", audit.CHECKPOINT_RECORDS)
    stands = audit.head(folder / "desk.chain")
    told = [codec.decode(line) for line in (folder / "console.chain").read_bytes().splitlines()]
    seen = {one["why"]: one["witnesses"] for one in told if one["kind"] == "checkpoint"}
    here = {"chain": "desk.chain", "records": stands.records, "digest": stands.digest, "head": stands.records}
    assert seen == {"start": [here], "periodic": [here], "close": [here]}
    assert found(folder, key) == {}


def test_ordinary_restarts_of_two_writers_are_whole(folder: Path, key: SigningKey) -> None:
    for _ in range(3):
        desk, console = (Audit(folder / f"{name}.chain", key, name) for name in ("desk", "console"))
        act(desk, 3)
        act(console, 2)
        desk.close()
        act(console, 1)
        console.close()
        assert found(folder, key) == {}


@pytest.mark.parametrize("attack", [gone, cut_to_the_start, cut_with_an_older_head, only_the_head_gone])
@pytest.mark.parametrize("restarted", [False, True])
def test_a_rewound_or_removed_chain_is_found(
    folder: Path, key: SigningKey, attack: Callable[[Path], None], *, restarted: bool
) -> None:
    life(folder, key, "desk", 3)
    life(folder, key, "console", 1)
    attack(folder / "desk.chain")
    if restarted and attack is not only_the_head_gone:  # nothing was lost then: the next start keeps it again
        life(folder, key, "desk", 7)
    problems = found(folder, key)
    assert list(problems) == ["desk.chain"]
    assert any("console.chain:1 saw" in what for what in problems["desk.chain"])


def test_records_cut_after_the_last_checkpoint_are_found_by_a_later_witness(folder: Path, key: SigningKey) -> None:
    desk = Audit(folder / "desk.chain", key, "desk")  # never closed: as after kill -9
    act(desk, 5)
    life(folder, key, "console", 1)
    cut(desk.path, 4)
    assert chain.verify(desk.path, key.public) == []  # alone it cannot know
    assert found(folder, key) == {"desk.chain": ["is the last, but console.chain:1 saw 6: records were removed"]}


def test_a_half_written_record_is_not_witnessed(folder: Path, key: SigningKey) -> None:
    desk = Audit(folder / "desk.chain", key, "desk")
    act(desk, 2)
    with desk.path.open("ab") as file:
        file.write(b'{"n":4,"previous"')
    life(folder, key, "console", 0)
    told = codec.decode((folder / "console.chain").read_bytes().splitlines()[0])
    assert told["witnesses"][0]["records"] == 3
    cut(desk.path, 3)
    assert found(folder, key) == {}


def test_writers_that_witness_each_other_while_they_write_stay_whole(folder: Path, key: SigningKey) -> None:
    def busy(name: str) -> None:
        for _ in range(8):
            life(folder, key, name, 20)

    with ThreadPoolExecutor() as pool:
        list(pool.map(busy, ("desk", "console", "relay-0")))
    assert found(folder, key) == {}


def test_a_forged_witness_accuses_nobody_but_its_own_chain(folder: Path, key: SigningKey) -> None:
    life(folder, key, "desk", 3)
    life(folder, key, "console", 1)
    forged = folder / "console.chain"
    forged.write_bytes(forged.read_bytes().replace(b'"records":5', b'"records":9'))
    assert list(found(folder, key)) == ["console.chain"]


def test_audit_verify_and_the_script_alone_name_what_is_gone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "hudhud.toml"
    config.write_text('[node]\ndata = "."\n')
    key = SigningKey.generate(tmp_path / "keys" / "node.key")
    folder = tmp_path / "audit"
    script = shutil.copy(Path(chain.__file__), tmp_path / "check_chain.py")
    call = [sys.executable, "-I", script, str(folder), key.public.hex()]
    life(folder, key, "desk", 3)
    life(folder, key, "console", 1)
    assert config_commands.verify(config=config) == Exit.DONE
    assert subprocess.run(call, check=False, capture_output=True, cwd=tmp_path).returncode == 0
    gone(folder / "desk.chain")
    capsys.readouterr()
    assert config_commands.verify(config=config) == Exit.NO
    assert "record 0: is the last, but console.chain:1 saw 5" in capsys.readouterr().out
    said = subprocess.run(call, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert (said.returncode, "desk.chain.head is gone" in said.stdout) == (1, True)
