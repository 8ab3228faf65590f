"""A release goes live whole and signed, or not at all."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hudhud import release
from hudhud.keys import KeyProblem
from hudhud.release import ReleaseError, SigningKey, Trust

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
FILES = {"mail/lures.yar": b"rule a { condition: false }", "events/طعم.yml": "title: طعم".encode(), "empty": b""}


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, SigningKey]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: SigningKey.generate(folder / f"{name}.key") for name in ("admin1", "admin2", "desk", "stranger")}


@pytest.fixture(scope="module")
def trust(keys: dict[str, SigningKey]) -> Trust:
    return Trust({name: keys[name].public for name in ("admin1", "admin2", "desk")}, {"rules": 2})


def put(
    folder: Path, kind: str, signers: list[SigningKey], files: dict[str, bytes] | None = None, note: str = ""
) -> str:
    digest = release.write(
        folder, kind, FILES if files is None else files, author="amal", note=note, now=NOW, keys=signers
    )
    release.publish(folder, kind, digest, now=NOW, keys=signers)
    return digest


def test_what_is_written_and_published_is_loaded(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    digest = put(tmp_path, "rules", [keys["admin1"], keys["admin2"]], note="للتجربة")
    loaded = release.load(tmp_path, "rules", trust)
    assert (loaded.kind, loaded.digest, loaded.serial) == ("rules", digest, 1)
    assert (loaded.created, loaded.author, loaded.note) == (NOW, "amal", "للتجربة")
    assert loaded.signers == ("admin1", "admin2")
    assert loaded.files == FILES


def test_what_is_written_is_not_live_yet(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    release.write(tmp_path, "policy", FILES, author="amal", note="", now=NOW, keys=[keys["desk"]])
    with pytest.raises(ReleaseError, match=r"policy/enforce.json: No such file") as caught:
        release.load(tmp_path, "policy", trust)
    assert (caught.value.kind, caught.value.place) == ("policy", "enforce.json")


def test_the_same_content_written_twice_is_one_release(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    digests = {
        release.write(tmp_path, "rules", FILES, author="a", note="", now=NOW, keys=[keys[name]])
        for name in ("admin1", "admin2")
    }
    assert len(digests) == 1
    assert sorted(path.name for path in (tmp_path / "rules" / digests.pop() / "signatures").iterdir()) == [
        "admin1",
        "admin2",
    ]


@pytest.mark.parametrize("signers", [[], ["admin1"], ["stranger"], ["admin1", "stranger"], ["admin1", "admin1"]])
def test_rules_need_two_distinct_trusted_keys(
    tmp_path: Path, keys: dict[str, SigningKey], trust: Trust, signers: list[str]
) -> None:
    put(tmp_path, "rules", [keys[name] for name in signers])
    with pytest.raises(ReleaseError, match="needs 2 distinct trusted keys"):
        release.load(tmp_path, "rules", trust)


def test_one_key_under_two_names_counts_once(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    again = SigningKey("again", keys["admin1"]._private)
    twice = Trust({**trust.keys, "again": again.public}, {"rules": 2})
    put(tmp_path, "rules", [keys["admin1"], again])
    with pytest.raises(ReleaseError, match="needs 2 distinct"):
        release.load(tmp_path, "rules", twice)


def test_a_kind_without_a_threshold_has_the_safe_one(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    none = Trust(trust.keys, {})
    put(tmp_path, "policy", [keys["desk"]])
    put(tmp_path, "rules", [keys["desk"]])
    assert release.load(tmp_path, "policy", none).signers == ("desk",)
    with pytest.raises(ReleaseError):
        release.load(tmp_path, "rules", none)
    with pytest.raises(ReleaseError):
        release.load(tmp_path, "policy", Trust({}, {"policy": 0}))


def test_somebody_trusted_must_stand_for_the_content(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    digest = release.write(tmp_path, "rules", FILES, author="a", note="", now=NOW, keys=[keys["stranger"]])
    release.publish(tmp_path, "rules", digest, now=NOW, keys=[keys["admin1"], keys["admin2"]])
    with pytest.raises(ReleaseError, match="no trusted key stands for this content"):
        release.load(tmp_path, "rules", trust)
    release.sign(tmp_path, "rules", digest, keys["desk"])
    assert release.load(tmp_path, "rules", trust).signers == ("admin1", "admin2", "desk")


def test_a_roll_back_is_a_newer_pointer_to_an_older_release(
    tmp_path: Path, keys: dict[str, SigningKey], trust: Trust
) -> None:
    old = put(tmp_path, "policy", [keys["desk"]], {"policy.toml": b"old"})
    new = put(tmp_path, "policy", [keys["desk"]], {"policy.toml": b"new"})
    release.publish(tmp_path, "policy", old, now=NOW + timedelta(hours=1), keys=[keys["desk"]])
    live = release.load(tmp_path, "policy", trust)
    assert (live.serial, live.digest) == (3, old)
    assert [(one.serial, one.digest, one.signers) for one in release.history(tmp_path, "policy")] == [
        (1, old, ("desk",)),
        (2, new, ("desk",)),
        (3, old, ("desk",)),
    ]
    assert release.load(tmp_path, "policy", trust, serial=2).files == {"policy.toml": b"new"}


def test_channels_have_serials_of_their_own(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    digest = put(tmp_path, "policy", [keys["desk"]])
    release.publish(tmp_path, "policy", digest, channel="shadow", now=NOW, keys=[keys["desk"]])
    assert release.load(tmp_path, "policy", trust, channel="shadow").serial == 1
    assert [one.channel for one in release.history(tmp_path, "policy", "shadow")] == ["shadow"]
    assert len(release.history(tmp_path, "policy")) == 2


def test_a_pointer_of_one_channel_or_kind_is_nothing_for_another(
    tmp_path: Path, keys: dict[str, SigningKey], trust: Trust
) -> None:
    put(tmp_path, "policy", [keys["desk"]])
    shutil.copy(tmp_path / "policy/enforce.json", tmp_path / "policy/shadow.json")
    shutil.copytree(tmp_path / "policy", tmp_path / "registry")
    with pytest.raises(ReleaseError, match="was signed for policy/enforce"):
        release.load(tmp_path, "policy", trust, channel="shadow")
    with pytest.raises(ReleaseError, match="was signed for policy/enforce"):
        release.load(tmp_path, "registry", trust)


def test_two_people_on_two_machines_make_a_release_live_together(
    tmp_path: Path, keys: dict[str, SigningKey], trust: Trust
) -> None:
    digest = release.write(tmp_path, "rules", FILES, author="amal", note="", now=NOW, keys=[keys["admin1"]])
    release.propose(tmp_path, "rules", digest, now=NOW, key=keys["admin1"])
    with pytest.raises(ReleaseError):
        release.load(tmp_path, "rules", trust)
    assert not release.approve(tmp_path, "rules", key=keys["admin1"], trust=trust)
    assert not release.approve(tmp_path, "rules", key=keys["stranger"], trust=trust)
    assert release.approve(tmp_path, "rules", key=keys["admin2"], trust=trust)
    assert release.load(tmp_path, "rules", trust).digest == digest
    with pytest.raises(ReleaseError, match=r"enforce\.pending"):
        release.approve(tmp_path, "rules", key=keys["desk"], trust=trust)


def test_a_proposal_that_was_overtaken_is_not_approved(
    tmp_path: Path, keys: dict[str, SigningKey], trust: Trust
) -> None:
    both = [keys["admin1"], keys["admin2"]]
    old = put(tmp_path, "rules", both, {"a": b"old"})
    release.propose(tmp_path, "rules", old, now=NOW, key=keys["admin1"])
    put(tmp_path, "rules", both, {"a": b"new"})
    with pytest.raises(ReleaseError, match="overtaken"):
        release.approve(tmp_path, "rules", key=keys["admin2"], trust=trust)


BAD_PATHS = [
    "",
    "/etc/passwd",
    "../x",
    "a/../b",
    "a//b",
    "a/",
    "./a",
    ".hidden",
    "a\\b",
    "a\0b",
    "a\nb",
    "-x",
    "x" * 300,
]


@pytest.mark.parametrize("path", BAD_PATHS)
def test_a_path_that_is_not_plain_is_refused(tmp_path: Path, keys: dict[str, SigningKey], path: str) -> None:
    with pytest.raises(ReleaseError, match="no plain relative path"):
        put(tmp_path, "policy", [keys["desk"]], {path: b"x"})


@given(path=st.text(min_size=1, max_size=40))
def test_an_accepted_path_stays_inside_its_folder(path: str) -> None:
    from hudhud.manifest import check_path

    try:
        check_path("rules", path)
    except ReleaseError:
        return
    assert not Path(path).is_absolute()
    assert ".." not in path.split("/")
    assert Path("/a/b", path).resolve().is_relative_to("/a/b")


def test_a_symbolic_link_in_a_release_is_refused(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    digest = put(tmp_path, "policy", [keys["desk"]], {"a/policy.toml": b"same"})
    (tmp_path / "same").write_bytes(b"same")
    target = tmp_path / "policy" / digest / "files" / "a" / "policy.toml"
    target.unlink()
    target.symlink_to(tmp_path / "same")
    with pytest.raises(ReleaseError, match="symbolic link"):
        release.load(tmp_path, "policy", trust)
    shutil.rmtree(target.parent)
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "policy.toml").write_bytes(b"same")
    target.parent.symlink_to(tmp_path / "b")
    with pytest.raises(ReleaseError, match="symbolic link"):
        release.load(tmp_path, "policy", trust)


def test_a_missing_file_is_named(tmp_path: Path, keys: dict[str, SigningKey], trust: Trust) -> None:
    digest = put(tmp_path, "policy", [keys["desk"]], {"policy.toml": b"x"})
    (tmp_path / "policy" / digest / "files" / "policy.toml").unlink()
    with pytest.raises(ReleaseError, match="No such file") as caught:
        release.load(tmp_path, "policy", trust)
    assert caught.value.place == f"{digest}/files/policy.toml"


def test_unknown_kinds_and_channels_are_refused(tmp_path: Path, trust: Trust) -> None:
    with pytest.raises(ReleaseError, match="is none of registry"):
        release.load(tmp_path, "../keys", trust)
    with pytest.raises(ReleaseError, match="cannot name a channel"):
        release.load(tmp_path, "rules", trust, channel="../x")


def test_a_digest_that_is_none_never_becomes_a_path(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    with pytest.raises(ReleaseError, match="is no digest"):
        release.publish(tmp_path, "policy", "../../keys", now=NOW, keys=[keys["desk"]])


def test_publishing_what_was_changed_on_disk_is_refused(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    digest = release.write(tmp_path, "policy", {"a": b"x"}, author="a", note="", now=NOW, keys=[keys["desk"]])
    (tmp_path / "policy" / digest / "files" / "a").write_bytes(b"y")
    with pytest.raises(ReleaseError, match="it was changed"):
        release.publish(tmp_path, "policy", digest, now=NOW, keys=[keys["desk"]])
    assert release.history(tmp_path, "policy") == []


def test_nothing_half_written_stays_behind(tmp_path: Path, keys: dict[str, SigningKey]) -> None:
    with pytest.raises(OSError, match=r"File exists|Not a directory"):
        put(tmp_path, "policy", [keys["desk"]], {"a": b"x", "a/b": b"y"})
    assert list((tmp_path / "policy").iterdir()) == []


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_one_changed_byte_anywhere_is_never_live(
    tmp_path: Path, keys: dict[str, SigningKey], trust: Trust, data: st.DataObject
) -> None:
    if not (tmp_path / "rules").exists():
        put(tmp_path, "rules", [keys["admin1"], keys["admin2"]])
    whole = release.load(tmp_path, "rules", trust)
    files = sorted(
        path
        for path in (tmp_path / "rules").rglob("*")
        if path.is_file() and path.stat().st_size and "history" not in path.parts and path.name != ".lock"
    )
    path = data.draw(st.sampled_from(files))
    before = path.read_bytes()
    place = data.draw(st.integers(0, len(before) - 1))
    flip = data.draw(st.integers(1, 255))
    path.write_bytes(before[:place] + bytes([before[place] ^ flip]) + before[place + 1 :])
    try:
        if path.parent.name == "signatures":  # of the two who stand for the content, one is left
            assert len(release.load(tmp_path, "rules", trust).signers) == 2
        else:
            with pytest.raises(ReleaseError):
                release.load(tmp_path, "rules", trust)
    finally:
        path.write_bytes(before)
    assert release.load(tmp_path, "rules", trust) == whole


@given(garbage=st.binary(max_size=200))
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_a_pointer_of_garbage_is_a_release_error(tmp_path: Path, trust: Trust, garbage: bytes) -> None:
    (tmp_path / "rules").mkdir(exist_ok=True)
    (tmp_path / "rules" / "enforce.json").write_bytes(garbage)
    with pytest.raises(ReleaseError):
        release.load(tmp_path, "rules", trust)


def test_a_key_file_is_private_and_comes_back(tmp_path: Path) -> None:
    made = SigningKey.generate(tmp_path / "keys" / "admin1.key")
    path = tmp_path / "keys" / "admin1.key"
    loaded = SigningKey.load(path)
    assert (loaded.name, loaded.public) == ("admin1", made.public)
    assert len(made.public) == 32
    assert loaded.sign(b"x") == made.sign(b"x")
    assert loaded.derive("a") == made.derive("a") != made.derive("b")
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        SigningKey.generate(path)
    assert "PRIVATE" not in repr(loaded)


def test_a_key_file_that_is_open_to_others_missing_or_no_key_is_refused(tmp_path: Path) -> None:
    SigningKey.generate(tmp_path / "a.key")
    (tmp_path / "a.key").chmod(0o640)
    with pytest.raises(KeyProblem, match="open to others"):
        SigningKey.load(tmp_path / "a.key")
    with pytest.raises(KeyProblem, match="No such file"):
        SigningKey.load(tmp_path / "none.key")
    (tmp_path / "b.key").write_text("hello")
    (tmp_path / "b.key").chmod(0o600)
    with pytest.raises(KeyProblem, match="no private key"):
        SigningKey.load(tmp_path / "b.key")
