"""Our own rules: all pass the check, find what is hostile in real files and leave ordinary mail alone."""

from __future__ import annotations

import email
import email.policy
import io
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from rules.check import check
from rules.rule import THREATS
from rules.ruleset import Ruleset, compile_ruleset, library
from rules.samples import read_samples


@pytest.fixture(scope="module")
def ruleset() -> Ruleset:
    return compile_ruleset(library(), "library")


def scan(ruleset: Ruleset, data: bytes, name: str = "", part: str = "attachment", depth: int = 0) -> set[str]:
    """Ids of the rules that fit the bytes, and for a zip its members, as the relay unpacks it."""
    extension = name.rpartition(".")[2].lower() if "." in name else ""
    asked: dict[str, str | int] = {"filename": name, "extension": extension, "part": part, "depth": depth}
    found = {hit.rule for hit in ruleset.yara.scan(data, externals=asked)}
    if data.startswith(b"PK\3\4") and depth < 3:
        try:
            archive = zipfile.ZipFile(io.BytesIO(data))
            for member in archive.infolist():
                if not member.flag_bits & 1:
                    found |= scan(ruleset, archive.read(member), member.filename, "attachment", depth + 1)
        except (zipfile.BadZipFile, NotImplementedError):
            pass
    return found


def parts(message: bytes) -> Iterator[tuple[bytes, str, str]]:
    """(data, name, part) of a mail's header and leaves; enough of a parser for this test."""
    header, _, _ = message.partition(b"\n\n")
    yield header, "", "header"
    for leaf in email.message_from_bytes(message, policy=email.policy.compat32).walk():
        payload = leaf.get_payload(decode=True)
        if isinstance(payload, bytes):
            name = leaf.get_filename() or ""
            yield payload, name, "attachment" if name else "body"


def test_the_library_passes_its_own_check() -> None:
    checked = check(library(), library())
    assert [str(remark) for remark in checked.remarks if remark.grave] == []
    assert checked.good


def test_there_are_rules_enough_each_with_samples_both_ways(ruleset: Ruleset) -> None:
    samples = read_samples(library())
    assert len(ruleset.yara.rules) >= 30
    assert len(ruleset.sigma) >= 10
    assert {rule.kind for rule in ruleset.rules} == {"yara", "sigma", "correlation"}
    assert len(samples) >= 2 * len(ruleset.yara.rules)
    assert {rule.threat for rule in ruleset.rules} <= set(THREATS)


def test_ordinary_mail_is_not_held(ruleset: Ruleset, shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tagged, held, count, size = Counter[str](), Counter[str](), 0, 0
    strongest = {rule.id: rule.disposition for rule in ruleset.yara.rules}
    begun = time.process_time()
    for path in sorted((shared_data / "mail" / "corpus" / "spamassassin" / "ham").iterdir()):
        message = path.read_bytes()
        hits = {rule for data, name, part in parts(message) for rule in scan(ruleset, data, name, part)}
        count, size = count + 1, size + len(message)
        for rule in hits:
            (held if strongest[rule] == "hold" else tagged)[rule] += 1
    rate = size / (time.process_time() - begun) / 1e6
    with capsys.disabled():
        print(f"\nham: {count} mails, {held.total()} held, {tagged.total()} tagged; {rate:.0f} MB/s with parsing")
    assert count >= 100
    assert held.total() == 0
    assert tagged.total() <= count // 50


HOSTILE = {
    "encrypted/*": {"HY-0105"},
    "excel4-macros/*.xl*": {"HY-0107"},
    "excel4-macros/*.slk": {"HY-0303"},
    "msodde/dde-test.xls?": {"HY-0104"},
    "oleform/*": {"HY-0102"},
    "oleobj/embedded-*.do*": {"HY-0111"},
    "oleobj/external_link/*": {"HY-0108"},
    "rtfobj/*": {"HY-0201", "HY-0202"},
}
HARMLESS = ("ooxml/harmless*", "msodde/harmless*", "other/*", "basic/*")


@pytest.mark.parametrize("pattern", sorted(HOSTILE))
def test_real_hostile_files_are_found(ruleset: Ruleset, shared_data: Path, pattern: str) -> None:
    files = sorted((shared_data / "mail" / "attach" / "oletools").glob(pattern))
    assert files
    for path in files:
        assert scan(ruleset, path.read_bytes(), path.name) >= HOSTILE[pattern], path.name


@pytest.mark.parametrize("pattern", HARMLESS)
def test_real_harmless_files_are_left_alone(ruleset: Ruleset, shared_data: Path, pattern: str) -> None:
    for path in sorted((shared_data / "mail" / "attach" / "oletools").glob(pattern)):
        assert scan(ruleset, path.read_bytes(), path.name) == set(), path.name


def test_no_bytes_at_all_break_the_rules(ruleset: Ruleset) -> None:
    for data in (b"", b"\0", b"PK\1\2", b"PK\1\2" * 20_000, b"MZ" + b"\xff" * 70, b"{\\rtf", b"\xd0\xcf\x11\xe0" * 300):
        ruleset.yara.scan(data, externals={"part": "attachment"}, timeout_s=5)
