"""Policy and ruleset are swapped whole, and what does not compile or fit is never live (invariant 8)."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path

import pytest

from hudhud.live import Live
from hudhud.registry import parse_registry
from hudhud.release import SigningKey, Trust, publish, write
from mail.exempt import parse_exemptions
from mail.live import LiveReleases
from mail.policy import parse_policy
from rules.ruleset import compile_ruleset

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
DEMO = resources.files("hudhud") / "demo"
RULE = b"""rule word { meta: id = "HY-9001" version = "1" title_en = "w" title_ar = "w" disposition = "tag"
 threat = "executable" strings: $a = "xyzzy" condition: $a }"""


class _Desk:
    """Publishes releases as the desk does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "releases"
        self.key = SigningKey.generate(folder / "desk.key")
        self.trust = Trust({self.key.name: self.key.public}, {"rules": 1})
        self._tick = 0

    def publish(self, kind: str, files: dict[str, bytes]) -> None:
        digest = write(self.folder, kind, files, author="t", note="t", now=NOW, keys=[self.key])
        publish(self.folder, kind, digest, now=NOW, keys=[self.key])
        self._tick += 1
        pointer = self.folder / kind / "enforce.json"
        os.utime(pointer, ns=(self._tick * 10**9, self._tick * 10**9))

    def live(self) -> LiveReleases:
        folder, trust = self.folder, self.trust
        return LiveReleases(
            Live(folder, "registry", trust, lambda r: parse_registry(r.files, version=r.digest)),
            Live(folder, "policy", trust, lambda r: parse_policy(r.files)),
            Live(folder, "exemptions", trust, lambda r: parse_exemptions(r.files)),
            Live(folder, "rules", trust, lambda r: compile_ruleset(r.files, r.digest)),
        )


@pytest.fixture
def desk(tmp_path: Path) -> _Desk:
    desk = _Desk(tmp_path)
    desk.publish("registry", {"registry.toml": (DEMO / "registry.toml").read_bytes()})
    desk.publish("policy", {"policy.toml": (DEMO / "policy.toml").read_bytes()})
    desk.publish("exemptions", {"exemptions.json": b"[]"})
    desk.publish("rules", {"mail/a.yar": RULE})
    return desk


def test_a_new_policy_is_live_after_one_look(desk: _Desk) -> None:
    live = desk.live()
    assert live.policy.foreign("FIN") == "reply-only"
    assert not live.refresh()
    desk.publish("policy", {"policy.toml": b'version = "2"\n[default]\nforeign = "allow"\n'})
    assert live.refresh()
    assert (live.policy.version, live.policy.foreign("FIN")) == ("2", "allow")


@pytest.mark.parametrize(
    "text", [b'version = "2"\n[default]\nforeign = "x"\n', b'version = "2"\n[entity.NOBODY]\nleak = "tag"\n']
)
def test_a_policy_that_does_not_compile_or_fit_is_never_live(desk: _Desk, text: bytes) -> None:
    live = desk.live()
    before = live.policy
    desk.publish("policy", {"policy.toml": text})
    assert not live.refresh()
    assert live.policy is before
    desk.publish("policy", {"policy.toml": b'version = "3"\n'})
    assert live.refresh()
    assert live.policy.version == "3"


def test_a_stopped_rule_stays_stopped_over_a_swap_and_can_be_allowed_again(desk: _Desk) -> None:
    live = desk.live()
    assert live.ruleset.yara.scan(b"xyzzy", externals={})
    live.stop(frozenset({"HY-9001"}))
    assert not live.ruleset.yara.scan(b"xyzzy", externals={})
    desk.publish("rules", {"mail/a.yar": RULE.replace(b'version = "1"', b'version = "2"')})
    assert live.refresh()
    assert not live.ruleset.yara.scan(b"xyzzy", externals={})
    live.stop(frozenset())
    assert live.ruleset.yara.scan(b"xyzzy", externals={})[0].version == "2"


def test_exemptions_are_live_after_one_look(desk: _Desk) -> None:
    live = desk.live()
    row = (
        b'[{"id":"EX-1","sender":"finance.saba.example","recipient":"partner.example","starts":"2026-11-01T00:00:00Z",'
        b'"ends":"2026-12-01T00:00:00Z","reason":"r","document":"d","applicant":"x","approvers":["a","b"]}]'
    )
    desk.publish("exemptions", {"exemptions.json": row})
    assert live.refresh()
    assert ("finance.saba.example", "partner.example") in live.policy.exemptions
