"""`hudhud mail judge`: the JSON of design section 9, NDJSON over files, named errors, and every real mail there is."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from cyclopts import App

from hudhud import cli
from mail.cli.judge_command import judge

ROOT = Path(__file__).parents[3]
MAIL = b"From: Amal <amal@finance.saba.example>\nTo: x\nMessage-ID: <1@finance.saba.example>\n\nhello https://a.example/x\n"


def _run(capsys: pytest.CaptureFixture[str], *words: str) -> list[dict[str, object]]:
    app = App(result_action="return_value")
    app.default(judge)
    app(list(words))
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


@pytest.fixture
def letter(tmp_path: Path) -> Path:
    path = tmp_path / "letter.eml"
    path.write_bytes(MAIL)
    return path


AS_AMAL = ("--mail-from", "amal@finance.saba.example", "--account", "amal@finance.saba.example")


def test_the_object_is_that_of_the_design(capsys: pytest.CaptureFixture[str], letter: Path) -> None:
    rcpt = ("--rcpt", "salim@interior.saba.example", "noor@freemail.example")
    [found] = _run(capsys, str(letter), *AS_AMAL, *rcpt, "--json")
    assert {"message", "took_ms", "ruleset", "policy", "parts", "urls", "findings", "verdicts", "data_reply"} <= set(
        found
    )
    assert "auth" not in found
    data = MAIL.replace(b"\n", b"\r\n")
    sha256 = hashlib.sha256(data).hexdigest()
    assert found["message"] == {"sha256": sha256, "size": len(data), "message_id": "1@finance.saba.example"}
    assert found["urls"] == ["https://a.example/x"]
    [part] = found["parts"]  # type: ignore[misc]
    assert set(part) == {"path", "name", "media_type", "detected_type", "size", "sha256", "readings"}
    [finding] = found["findings"]  # type: ignore[misc]
    assert set(finding) == {"check", "rule", "version", "policy", "disposition", "reason", "recipients", "facts"}
    assert finding["recipients"] == ["noor@freemail.example"]
    first, second = found["verdicts"]  # type: ignore[misc]
    assert first == {"recipient": "salim@interior.saba.example", "disposition": "accept", "reply": None}
    assert second["disposition"] == "reject"
    assert set(second["reply"]) == {"code", "enhanced", "text"}
    assert second["by_notice"] is True  # the relay takes it at RCPT and tells of it in the sender's mailbox
    assert found["data_reply"]["code"] == 250  # type: ignore[index]


def test_wire_takes_the_bytes_as_they_are(capsys: pytest.CaptureFixture[str], letter: Path) -> None:
    [as_text] = _run(capsys, str(letter), *AS_AMAL, "--rcpt", "salim@interior.saba.example", "--json")
    [as_wire] = _run(capsys, str(letter), *AS_AMAL, "--rcpt", "salim@interior.saba.example", "--json", "--wire")
    assert as_wire["message"]["size"] == len(MAIL)  # type: ignore[index]
    assert as_text["message"]["size"] == len(MAIL) + MAIL.count(b"\n")  # type: ignore[index]


def test_several_files_are_lines_and_a_missing_one_is_a_named_error(
    capsys: pytest.CaptureFixture[str], letter: Path, tmp_path: Path
) -> None:
    lines = _run(
        capsys, str(letter), str(tmp_path / "none"), str(tmp_path), *AS_AMAL, "--rcpt", "x@sabanet.example", "--json"
    )
    assert [("error" in line, Path(str(line["file"])).name) for line in lines] == [
        (False, "letter.eml"), (True, "none"), (True, tmp_path.name),
    ]  # fmt: skip
    assert lines[1]["error"]["name"] == "unreadable"  # type: ignore[index]


def test_a_zone_file_answers_in_place_of_the_dns(
    capsys: pytest.CaptureFixture[str], letter: Path, tmp_path: Path
) -> None:
    zone = tmp_path / "zone.json"
    zone.write_text('{"town.saba.example": {"MX": "SERVFAIL"}}')
    [found] = _run(capsys, str(letter), *AS_AMAL, "--rcpt", "x@town.saba.example", "--dns", str(zone), "--json")
    assert found["verdicts"][0]["disposition"] == "defer"  # type: ignore[index]


@pytest.mark.parametrize(
    "words",
    [
        ("--rcpt", "no address"), ("--rcpt", "a@b.example", "--mail-from", "x y"), (),
        ("--rcpt", "a@b.example", "--account", "noor@freemail.example"),
        ("--rcpt", "a@b.example", "--config", "/nonexistent.toml"), ("--rcpt", "a@b.example", "--dns", "/nonexistent"),
    ],
)  # fmt: skip
def test_a_wrong_question_is_told_in_one_line(letter: Path, words: tuple[str, ...]) -> None:
    app = App(result_action="return_value")
    app.default(judge)
    with pytest.raises(cli.Problem) as caught:
        app([str(letter), *words])
    assert "\n" not in str(caught.value)
    assert caught.value.exit == cli.Exit.USAGE


def test_the_explanation_can_be_read(capsys: pytest.CaptureFixture[str], letter: Path) -> None:
    app = App(result_action="return_value")
    app.default(judge)
    app([str(letter), *AS_AMAL, "--rcpt", "noor@freemail.example"])
    shown = capsys.readouterr().out
    assert "REJECT  noor@freemail.example" in shown
    assert "550 5.7.1 H-NAT-02 Foreign recipient" in shown
    assert "standing: foreign" in shown


@pytest.mark.timeout(300)
def test_every_real_mail_gets_a_verdict_or_a_named_error(shared_data: Path) -> None:
    files = sorted(str(path) for path in (shared_data / "mail").rglob("*") if path.is_file())
    script = (
        "from cyclopts import App; from mail.cli.judge_command import judge; app = App(); app.default(judge); app()"
    )
    started = time.monotonic()
    rcpt = ["--mail-from", "noor@freemail.example", "--rcpt", "amal@finance.saba.example", "--json"]
    done = subprocess.run(
        [sys.executable, "-c", script, *files, *rcpt],
        cwd=ROOT, capture_output=True, check=True, timeout=280, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == files
    counts = Counter(
        "error: " + a["error"]["name"] if "error" in a else a["verdicts"][0]["disposition"] for a in answers
    )
    benign = [a for a in answers if "/corpus/spamassassin/ham/" in a["file"]]
    stopped = [a["file"] for a in benign if a["verdicts"][0]["disposition"] in ("hold", "reject", "defer")]
    slowest = max(answers, key=lambda a: a.get("took_ms", 0))
    took = sorted(a["took_ms"] for a in answers if "took_ms" in a)
    print(f"\n{len(files)} files in {time.monotonic() - started:.0f} s: {dict(counts)}")
    print(f"median {took[len(took) // 2]:.1f} ms, slowest {slowest['took_ms']:.0f} ms ({Path(slowest['file']).name})")
    print(f"benign: {len(stopped)} of {len(benign)} stopped; ambiguous: "
          f"{sum(any(f['rule'] == 'H-MIME-01' for f in a.get('findings', ())) for a in benign)}")  # fmt: skip
    assert not stopped
    assert slowest["took_ms"] < 30_000
    assert sum(count for word, count in counts.items() if word.startswith("error")) == 0
