"""An audit chain in which one changed byte is found."""

from __future__ import annotations

import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hudhud import audit, chain, codec
from hudhud.audit import Audit, AuditError, verify
from hudhud.clock import VirtualClock
from hudhud.keys import SigningKey

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> SigningKey:
    return SigningKey.generate(tmp_path_factory.mktemp("keys") / "node.key")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "audit" / "desk.chain"


def fill(path: Path, key: SigningKey, records: int, *, close: bool = True) -> Audit:
    written = Audit(path, key, "desk", clock=VirtualClock())
    for n in range(records):
        written.record("amal", "incident.close", f"INC-{n}", reason="تم التحقق", before="new", after={"n": n}, now=NOW)
    if close:
        written.close()
    return written


def lines(path: Path) -> list[dict[str, object]]:
    return [codec.decode(line) for line in path.read_bytes().splitlines()]


def test_a_chain_is_whole_and_says_who_did_what_when_and_why(path: Path, key: SigningKey) -> None:
    fill(path, key, 3)
    assert verify(path, key.public) == []
    start, act, *_, end = lines(path)
    assert (start["kind"], start["why"], end["why"]) == ("checkpoint", "start", "close")
    assert act["actor"] == "amal"
    assert act["act"] == "incident.close"
    assert act["subject"] == "INC-0"
    assert act["reason"] == "تم التحقق"
    assert (act["before"], act["after"]) == ("new", {"n": 0})
    assert act["time"] == "2026-11-23T08:00:00.000000Z"
    assert path.stat().st_mode & 0o077 == 0


def test_record_returns_what_the_next_line_continues(path: Path, key: SigningKey) -> None:
    written = Audit(path, key, "desk")
    first = written.record("amal", "look", "x", now=NOW)
    written.record("amal", "look", "y", now=NOW)
    written.close()
    assert lines(path)[2]["previous"] == first


def test_reopening_continues_the_chain(path: Path, key: SigningKey) -> None:
    for _ in range(3):
        fill(path, key, 2)
    assert verify(path, key.public) == []
    assert [line["n"] for line in lines(path)] == list(range(1, 13))


def test_a_checkpoint_is_signed_every_so_many_records(path: Path, key: SigningKey) -> None:
    fill(path, key, audit.CHECKPOINT_RECORDS * 2 + 1)
    assert [line.get("why") for line in lines(path) if line["kind"] == "checkpoint"] == [
        "start",
        "periodic",
        "periodic",
        "close",
    ]
    assert verify(path, key.public) == []


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_anywhere_is_found(path: Path, key: SigningKey, data: st.DataObject) -> None:
    if not path.exists():
        fill(path, key, 4)
    changed = data.draw(st.sampled_from([path, chain.head_path(path)]))
    before = changed.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    flip = data.draw(st.integers(1, 255))
    changed.write_bytes(before[:place] + bytes([before[place] ^ flip]) + before[place + 1 :])
    try:
        problems = verify(path, key.public)
    finally:
        changed.write_bytes(before)
    assert problems
    if changed == path:
        assert before[:place].count(b"\n") + 1 in {problem.line for problem in problems}
    assert verify(path, key.public) == []


@pytest.mark.parametrize("what", ["removed", "doubled", "swapped"])
def test_a_line_removed_doubled_or_moved_is_found(path: Path, key: SigningKey, what: str) -> None:
    fill(path, key, 5)
    whole = path.read_bytes().splitlines(keepends=True)
    for place in range(len(whole) - 1):
        changed = list(whole)
        if what == "removed":
            del changed[place]
        elif what == "doubled":
            changed.insert(place, changed[place])
        else:
            changed[place : place + 2] = changed[place + 1], changed[place]
        path.write_bytes(b"".join(changed))
        assert verify(path, key.public)


def test_a_chain_cut_anywhere_before_its_last_checkpoint_is_noticed(path: Path, key: SigningKey) -> None:
    fill(path, key, 5)
    whole = path.read_bytes()
    for end in range(0, len(whole), 37):
        path.write_bytes(whole[:end])
        assert verify(path, key.public)


def test_a_single_copied_file_is_verified_alone(path: Path, key: SigningKey, tmp_path: Path) -> None:
    fill(path, key, 5)
    copy = Path(shutil.copy(path, tmp_path / "copy.chain"))
    assert verify(copy, key.public) == []
    copy.write_bytes(copy.read_bytes().replace(b"INC-3", b"INC-4"))
    assert [problem.line for problem in verify(copy, key.public)] == [5, 6]


def test_a_chain_rewritten_with_right_hashes_lacks_the_signature(path: Path, key: SigningKey, tmp_path: Path) -> None:
    forger = SigningKey.generate(tmp_path / "forger.key")
    fill(path, forger, 3)
    problems = verify(path, key.public)
    assert {problem.what for problem in problems} == {
        "is a checkpoint without the right signature",
        "desk.chain.head is no checkpoint of this writer",
    }


def test_a_missing_or_empty_chain_is_a_problem(path: Path, key: SigningKey) -> None:
    assert verify(path, key.public)
    path.parent.mkdir()
    path.write_bytes(b"")
    assert verify(path, key.public) == [chain.Problem(0, "is empty: a chain begins with a checkpoint")]


@given(garbage=st.binary(max_size=300))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_garbage_is_a_problem_and_no_exception(tmp_path: Path, key: SigningKey, garbage: bytes) -> None:
    (tmp_path / "g").write_bytes(garbage)
    assert verify(tmp_path / "g", key.public)


def test_a_line_with_right_hashes_that_is_no_object_is_a_problem(tmp_path: Path, key: SigningKey) -> None:
    for core in (b"[" * 5000 + b"}", b"[1]", b'"x"'):
        line = chain._with(core, b',"hash":"', hashlib.sha256(core).hexdigest())
        (tmp_path / "g").write_bytes(line + b"\n")
        assert verify(tmp_path / "g", key.public)


def test_an_unfinished_last_line_goes_into_the_next_start_and_the_chain_stays_whole(
    path: Path, key: SigningKey
) -> None:
    fill(path, key, 2)
    with path.open("ab") as file:
        file.write('{"n":5,"previous":"ab","كسر'.encode()[:-1])
    assert [problem.what.split(":")[0] for problem in verify(path, key.public)] == ["does not end", "was changed"]
    fill(path, key, 1)
    assert verify(path, key.public) == []
    assert str(lines(path)[4]["torn"]).startswith('{"n":5,"previous":"ab"')


def test_a_damaged_chain_is_continued_and_its_damage_stays_visible(path: Path, key: SigningKey) -> None:
    fill(path, key, 2)
    path.write_bytes(path.read_bytes().replace(b"INC-1", b"INC-7"))
    fill(path, key, 2)
    assert {problem.line for problem in verify(path, key.public)} == {3, 4}


def test_personal_values_are_kept_as_keyed_hashes_only(path: Path, key: SigningKey) -> None:
    written = Audit(path, key, "desk")
    person = {"address": "karim@education.saba.example"}
    written.record("amal", "held.release", "0-7H3K", before=person, after=person, personal=True, now=NOW)
    written.record("amal", "account.change", written.hashed("karim"), before="public", now=NOW)
    written.close()
    assert b"karim" not in path.read_bytes()
    act = lines(path)[1]
    assert act["before"] == act["after"] == {"hmac": written.hashed(person), "bytes": len(codec.canonical(person))}
    assert lines(path)[2]["before"] == "public"
    other = SigningKey.generate(path.parent / "other.key")
    assert Audit(path.parent / "other.chain", other, "desk").hashed(person) != written.hashed(person)


def test_a_value_too_large_for_a_line_is_kept_as_its_hash_and_long_texts_are_cut(path: Path, key: SigningKey) -> None:
    written = Audit(path, key, "desk")
    written.record("a" * 10_000, "look", "\ud800\x00\n", after="x" * 100_000, now=NOW)
    written.close()
    assert path.stat().st_size < 12_000
    assert str(lines(path)[1]["actor"]).endswith("… (cut)")
    assert verify(path, key.public) == []


def test_another_process_cannot_write_the_same_chain(path: Path, key: SigningKey) -> None:
    written = fill(path, key, 1, close=False)
    with pytest.raises(AuditError, match="another process"):
        Audit(path, key, "desk", lock_wait_s=0.1)
    written.close()
    written.close()
    with pytest.raises(AuditError, match="is closed"):
        written.record("amal", "look", "x", now=NOW)
    Audit(path, key, "desk").close()
    assert verify(path, key.public) == []


WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from hudhud.audit import Audit
from hudhud.keys import SigningKey
written = Audit(Path(sys.argv[1]), SigningKey.load(Path(sys.argv[2])), "desk")
n = 0
while True:
    n += 1
    written.record("amal", "look", f"{sys.argv[3]}-{n}-end", now=datetime.now(UTC))
    sys.stdout.write(f"{sys.argv[3]}-{n}-end\\n"); sys.stdout.flush()
"""


def test_what_was_recorded_survives_kill_9_and_the_chain_goes_on(path: Path, tmp_path: Path) -> None:
    made = SigningKey.generate(tmp_path / "w.key")
    acknowledged: list[str] = []
    for life in range(3):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, path, tmp_path / "w.key", str(life)], stdout=subprocess.PIPE
        )
        assert writer.stdout is not None
        first = writer.stdout.readline()
        time.sleep(0.2)
        writer.send_signal(signal.SIGKILL)
        acknowledged += (first + writer.stdout.read()).decode().split("\n")[:-1]
        writer.wait()
        writer.stdout.close()
    Audit(path, made, "desk").close()
    assert verify(path, made.public) == []
    recorded = {line.get("subject") for line in lines(path)}
    assert len(acknowledged) > 10
    assert [subject for subject in acknowledged if subject not in recorded] == []


def fill_up(written: Audit) -> None:
    for _ in range(100):
        written.record("amal", "look", "during " + "x" * 3000, now=NOW)


@pytest.mark.root
@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts a small disk")
def test_a_full_disk_is_an_error_that_leaves_the_chain_whole(tmp_path: Path, key: SigningKey) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", disk]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("this machine lets nobody mount a small disk")
    try:
        written = Audit(disk / "a.chain", key, "desk")
        written.record("amal", "look", "before", now=NOW)
        (disk / "filler").write_bytes(b"\0" * 236_000)
        with pytest.raises(AuditError, match="No space left"):
            fill_up(written)
        (disk / "filler").unlink()
        written.record("amal", "look", "after", now=NOW)
        written.close()
        assert verify(disk / "a.chain", key.public) == []
        assert lines(disk / "a.chain")[-2]["subject"] == "after"
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def test_the_check_stands_alone_as_a_script_without_this_package(path: Path, key: SigningKey, tmp_path: Path) -> None:
    fill(path, key, 3)
    script = shutil.copy(Path(chain.__file__), tmp_path / "check_chain.py")

    def run(*arguments: object) -> tuple[int, str]:
        call = [sys.executable, "-I", script, *map(str, arguments)]
        done = subprocess.run(call, check=False, capture_output=True, text=True, cwd=tmp_path)
        return done.returncode, done.stdout + done.stderr

    assert "import hudhud" not in Path(script).read_text()
    assert "from hudhud" not in Path(script).read_text()
    assert run(path, key.public.hex()) == (0, f"{path}: whole\n")
    path.write_bytes(path.read_bytes().replace(b"amal", b"omar", 1))
    code, said = run(path, key.public.hex())
    assert code == 1
    assert f"{path}:2: was changed" in said
    assert run(path)[0] == 2
