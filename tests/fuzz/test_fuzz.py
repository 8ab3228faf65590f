"""Fuzzing for a bounded time: hypothesis on a live session and on the grammar, atheris for a few seconds."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

HERE = Path(__file__).parent
spec = importlib.util.spec_from_file_location("fuzz_targets", HERE / "targets.py")
assert spec is not None
assert spec.loader is not None
targets = importlib.util.module_from_spec(spec)
sys.modules["fuzz_targets"] = targets
spec.loader.exec_module(targets)

RUNS = {"session": 2000, "envelope": 20_000}
GROUND = targets.Ground()

addresses = st.sampled_from(
    [
        "",
        "a@b.example",
        "أ@مالية.example",
        '"a b"@c.example',
        "@x:a@b.example",
        "a@[192.0.2.1]",
        "postmaster",
        "a@b@c",
        "a\0@b",
    ]
)
parameters = st.lists(
    st.sampled_from(
        [
            *("SIZE=5", "SIZE=99999999", "SIZE=x", "BODY=8BITMIME", "SMTPUTF8", "RET=FULL", "ENVID=a+2Bb", "AUTH=<>"),
            *(
                "NOTIFY=NEVER",
                "NOTIFY=NEVER,DELAY",
                "ORCPT=rfc822;a",
                "ORCPT=utf-8;أ",
                "REQUIRETLS",
                "X=\x7f",
                "=",
                "SIZE",
            ),
        ]
    ),
    max_size=3,
).map(lambda words: "".join(f" {word}" for word in words))
contents = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b".", b"\0", b"..", b"Subject: x", b"x" * 5000, b"\r\n.\r\n", b"\xd8\xa3"]),
    max_size=12,
).map(b"".join)


class Talking(RuleBasedStateMachine):
    """Commands, bytes and messages in any order and however they are cut; the targets' invariants hold after each."""

    def __init__(self) -> None:
        super().__init__()
        self.talk: Any = None
        self._do(self._begin())

    def _do(self, work: Any) -> None:
        GROUND.loop.run_until_complete(work)

    async def _begin(self) -> None:
        self.talk = targets.Conversation(GROUND.limits, GROUND.settings)
        await self.talk.rest()

    def _say(self, data: bytes) -> None:
        self._do(self.talk.say(data))

    @rule(
        word=st.sampled_from(
            ["EHLO x", "HELO x", "RSET", "NOOP", "DATA", "VRFY a", "STARTTLS", "QUIT", "AUTH PLAIN", "BDAT 1"]
        )
    )
    def command(self, word: str) -> None:
        self._say(word.encode() + b"\r\n")

    @rule(address=addresses, words=parameters)
    def mail(self, address: str, words: str) -> None:
        self._say(f"MAIL FROM:<{address}>{words}\r\n".encode())

    @rule(address=addresses, words=parameters)
    def rcpt(self, address: str, words: str) -> None:
        self._say(f"RCPT TO:<{address}>{words}\r\n".encode())

    @rule(content=contents, ended=st.booleans())
    def content(self, content: bytes, ended: bool) -> None:
        self._say(content + (b"\r\n.\r\n" if ended else b""))

    @rule(data=st.binary(max_size=300))
    def octets(self, data: bytes) -> None:
        self._say(data)

    @rule(
        word=st.sampled_from([b"MAIL FROM:<a@b.example>\r\n", b"RCPT TO:<c@d.example>\r\n", b"DATA\r\n", b"x\r\n.\r\n"])
    )
    def octet_by_octet(self, word: bytes) -> None:
        for octet in word:
            self._say(bytes([octet]))

    @rule()
    def whole_message(self) -> None:
        before = len(self.talk.relay.messages)
        for part in (b"EHLO x\r\n", b"MAIL FROM:<a@b.example>\r\nRCPT TO:<c@d.example>\r\nDATA\r\n", b"x\r\n.\r\n"):
            self._say(part)
        assert len(self.talk.relay.messages) <= before + 2  # one that was under way may have ended with it

    @precondition(lambda self: self.talk is not None)
    @invariant()
    def holds(self) -> None:
        self.talk.check()

    def teardown(self) -> None:
        self._do(self.talk.end())
        self.talk.check()


TestTalking = Talking.TestCase
TestTalking.settings = settings(max_examples=30, stateful_step_count=15, deadline=None, derandomize=True)


@settings(max_examples=400, deadline=None, derandomize=True)
@given(st.one_of(st.binary(max_size=120), st.text(max_size=60).map(lambda text: text.encode("utf-8", "ignore"))))
def test_the_grammar_takes_nothing_that_harms_and_gives_back_what_it_was_given(data: bytes) -> None:
    targets.envelope(data)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(st.from_regex(targets.PLAIN.pattern.decode(), fullmatch=True))
def test_the_grammar_takes_every_plain_address(text: str) -> None:
    targets.envelope(text.encode())


@pytest.mark.parametrize("name", targets.SEEDS)
def test_every_seed_of_the_fuzzer_is_well(name: str) -> None:
    for seed in targets.SEEDS[name]:
        if name == "session":
            targets.session(seed, GROUND)
        else:
            getattr(targets, name)(seed)


@pytest.mark.parametrize("name", RUNS)
def test_atheris_finds_nothing_in_some_seconds(name: str, tmp_path: Path) -> None:
    """Seeded; `python tests/fuzz/run.py` goes on for longer (docs/measurements.md)."""
    command = [sys.executable, str(HERE / "run.py"), name, f"-runs={RUNS[name]}", "-max_total_time=3", "-seed=4"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert not list(tmp_path.glob("crash-*"))
