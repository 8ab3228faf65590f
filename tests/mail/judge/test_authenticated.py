"""What the judgement makes of where a message comes from: the finding, the header, the JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mail import trace
from mail.auth.results import Arc, Auth, Dkim, Dmarc, Spf

ZONE = {
    "bank.example": {"TXT": ["v=spf1 ip4:198.51.100.25 -all"]},
    "_dmarc.bank.example": {"TXT": ["v=DMARC1; p=reject"]},
    "soft.example": {"TXT": ["v=spf1 -all"]},
    "_dmarc.soft.example": {"TXT": ["v=DMARC1; p=quarantine"]},
}


def _judged(tmp_path: Path, capsys: pytest.CaptureFixture[str], *, author: str, ip: str) -> dict[str, Any]:
    from mail.cli.judge_command import judge

    (tmp_path / "zone.json").write_text(json.dumps(ZONE))
    (tmp_path / "m.eml").write_text(f"From: {author}\nTo: amal@finance.saba.example\nSubject: x\n\nhello\n")
    rcpt, dns = ["amal@finance.saba.example"], tmp_path / "zone.json"
    judge([tmp_path / "m.eml"], mail_from=author, rcpt=rcpt, client_ip=ip, dns=dns, json=True)
    return json.loads(capsys.readouterr().out)


def test_mail_that_its_domain_disowns_is_held(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = _judged(tmp_path, capsys, author="pay@bank.example", ip="203.0.113.9")
    assert found["auth"]["spf"] == {"result": "fail", "domain": "bank.example"}
    assert found["auth"]["dmarc"]["result"] == "fail"
    assert [v["disposition"] for v in found["verdicts"]] == ["hold"]
    assert "H-AUTH-01" in [f["rule"] for f in found["findings"]]


def test_quarantine_is_a_tag_and_a_pass_is_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    soft = _judged(tmp_path, capsys, author="news@soft.example", ip="203.0.113.9")
    assert [v["disposition"] for v in soft["verdicts"]] == ["tag"]
    good = _judged(tmp_path, capsys, author="pay@bank.example", ip="198.51.100.25")
    assert good["auth"]["dmarc"]["result"] == "pass"
    assert [v["disposition"] for v in good["verdicts"]] == ["accept"]


def test_the_header_tells_it_in_the_words_of_the_rfc_and_holds_nothing_foreign() -> None:
    auth = Auth(
        Spf("pass", "bank.example"),
        (Dkim("bank.example", "s1", "pass"), Dkim("evil\r\nX: y", "s;dkim=pass", "fail")),
        Dmarc("pass", "reject", "bank.example", "bank.example"),
        Arc("fail"),
    )
    field = trace.results(auth, "mx.relay.saba.example").decode()
    assert field.startswith("Authentication-Results: mx.relay.saba.example;\r\n\tspf=pass smtp.mailfrom=bank.example;")
    assert "dkim=pass header.d=bank.example header.s=s1" in field
    assert "dkim=fail header.d=evil__X:_y header.s=s_dkim_pass" in field
    assert "dmarc=pass header.from=bank.example" in field
    assert field.endswith("arc=fail\r\n")
    assert all(line.startswith("\t") for line in field.split("\r\n")[1:-1])
