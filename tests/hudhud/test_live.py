"""The live value is swapped whole, and the old one stays when the new one is no good."""

from __future__ import annotations

import shutil
import threading
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hudhud import live, release
from hudhud.live import Live
from hudhud.release import Release, ReleaseError, SigningKey, Trust

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)


class Desk:
    """Publishes policies of one file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "releases"
        self.key = SigningKey.generate(folder / "desk.key")
        self.trust = Trust({"desk": self.key.public}, {})
        self.compiled = 0

    def publish(self, content: bytes, keys: list[SigningKey] | None = None) -> str:
        digest = release.write(
            self.folder, "policy", {"policy": content}, author="a", note="", now=NOW, keys=[self.key]
        )
        release.publish(self.folder, "policy", digest, now=NOW, keys=[self.key] if keys is None else keys)
        return digest

    def compile(self, one: Release) -> str:
        self.compiled += 1
        return one.files["policy"].decode("ascii")

    def live(self, seen: Path | None = None) -> Live[str]:
        return Live(self.folder, "policy", self.trust, self.compile, seen=seen)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_a_new_release_is_swapped_in(desk: Desk) -> None:
    desk.publish(b"one")
    now = desk.live()
    assert (now.value, now.release.serial, now.problem) == ("one", 1, None)
    desk.publish(b"two")
    assert now.value == "one"
    assert now.refresh() is True
    assert (now.value, now.release.serial, now.swaps) == ("two", 2, 1)
    assert now.state == (now.release, now.value)


def test_nothing_is_read_or_compiled_again_when_nothing_changed(desk: Desk) -> None:
    digest = desk.publish(b"one")
    now = desk.live()
    shutil.rmtree(desk.folder / "policy" / digest)  # a second reading would fail
    assert [now.refresh() for _ in range(100)] == [False] * 100
    assert (desk.compiled, now.failures, now.problem) == (1, 0, None)


def test_the_same_content_published_again_is_not_compiled_again(desk: Desk) -> None:
    digest = desk.publish(b"one")
    now = desk.live()
    release.publish(desk.folder, "policy", digest, now=NOW, keys=[desk.key])
    assert now.refresh() is True
    assert (now.release.serial, desk.compiled) == (2, 1)


@pytest.mark.parametrize("break_it", ["unsigned", "does not compile", "file changed", "pointer is garbage", "gone"])
def test_whatever_is_wrong_with_the_new_one_the_old_one_stays(desk: Desk, break_it: str) -> None:
    desk.publish(b"good")
    now = desk.live()
    pointer = release.pointer_path(desk.folder, "policy")
    if break_it == "unsigned":
        desk.publish(b"bad", keys=[])
    elif break_it == "does not compile":
        desk.publish(b"\xff")
    elif break_it == "file changed":
        digest = desk.publish(b"bad")
        (desk.folder / "policy" / digest / "files" / "policy").write_bytes(b"dab")
    elif break_it == "pointer is garbage":
        pointer.write_bytes(b"{")
    else:
        pointer.unlink()
    assert now.refresh() is False
    assert now.value == "good"
    assert now.problem
    assert now.failures == 1


def test_after_a_bad_release_a_good_one_is_live_and_the_problem_is_gone(desk: Desk) -> None:
    desk.publish(b"one")
    now = desk.live()
    desk.publish(b"\xff")
    assert not now.refresh()
    assert "decode" in str(now.problem)
    desk.publish(b"two")
    assert now.refresh()
    assert (now.value, now.problem) == ("two", None)


def test_a_bad_release_is_not_tried_at_every_look(desk: Desk) -> None:
    desk.publish(b"one")
    now = desk.live()
    desk.publish(b"\xff")
    for _ in range(20):
        now.refresh()
    assert (now.failures, desk.compiled) == (1, 2)


def test_an_older_pointer_is_refused(desk: Desk) -> None:
    pointer = release.pointer_path(desk.folder, "policy")
    desk.publish(b"one")
    older = pointer.read_bytes()
    desk.publish(b"two")
    now = desk.live()
    pointer.write_bytes(older)
    assert now.refresh() is False
    assert now.value == "two"
    assert "serial 1 is older than 2" in str(now.problem)


def test_an_older_pointer_is_refused_after_a_restart_too(desk: Desk, tmp_path: Path) -> None:
    pointer = release.pointer_path(desk.folder, "policy")
    desk.publish(b"one")
    older = pointer.read_bytes()
    desk.publish(b"two")
    assert desk.live(seen=tmp_path / "seen").value == "two"
    pointer.write_bytes(older)
    again = desk.live(seen=tmp_path / "seen")
    assert again.value == "two"  # from the history, as the pointer is refused
    assert "older" in str(again.problem)


def test_a_start_with_a_bad_release_takes_the_last_good_one_and_says_so(desk: Desk) -> None:
    desk.publish(b"one")
    desk.publish(b"two")
    desk.publish(b"\xff")
    now = desk.live()
    assert (now.value, now.release.serial) == ("two", 2)
    assert now.problem


def test_a_start_without_any_good_release_raises(desk: Desk) -> None:
    with pytest.raises(ReleaseError):
        desk.live()
    desk.publish(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        desk.live()


def test_readers_see_one_release_or_the_other_never_a_mixture(desk: Desk) -> None:
    desk.publish(b"1")
    now = desk.live()
    wrong: list[str] = []
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            one, value = now.state
            if one.files["policy"].decode() != value:
                wrong.append(value)
            time.sleep(0)  # or three readers in a ring starve the one who publishes

    watchers = [threading.Thread(target=watch) for _ in range(3)]
    for watcher in watchers:
        watcher.start()
    for n in range(2, 20):
        desk.publish(b"%d" % n)
        assert now.refresh()
    done.set()
    for watcher in watchers:
        watcher.join()
    assert wrong == []
    assert now.value == "19"


def test_files_that_arrive_after_their_pointer_are_noticed(desk: Desk) -> None:
    desk.publish(b"one")
    now = desk.live()
    digest = desk.publish(b"two")
    home = desk.folder / "policy" / digest
    aside = home.with_name("aside")
    home.rename(aside)
    assert not now.refresh()
    aside.rename(home)
    now._retry_at -= live.RETRY_S
    assert now.refresh()
    assert now.value == "two"
