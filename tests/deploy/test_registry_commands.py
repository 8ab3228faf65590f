"""`hudhud registry` against a lab's releases and its name server."""

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy import demo, zone
from deploy.bench.lab import free_ports
from deploy.main import _run as hudhud
from hudhud.clock import SYSTEM

BODIES = """code,name_ar,name_en,domains,contact_email,next_hop
POST,هيئة البريد,Postal Authority,sabapost.example,it@sabapost.example,192.0.2.99:24
WATER,هيئة المياه,Water Authority,partner.example.saba.example,,
"""


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """hudhud.toml of a lab whose name server answers."""
    data, ports = tmp_path_factory.mktemp("registry"), free_ports()
    path = demo.make_lab(data, ports, SYSTEM.now())
    records = json.loads((data / "zone.json").read_text())
    records["sabapost.example"] = {"MX": ["10 mx.relay.saba.example."]}
    records["partner.example.saba.example"] = {"MX": ["10 mx.freemail.example."]}
    (data / "zone.json").write_text(json.dumps(records))
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(zone.serve(data / "zone.json", "127.0.0.1", ports.dns))
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield str(path)
    loop.call_soon_threadsafe(server.close)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(5)


def test_an_import_shows_who_is_ready_and_changes_nothing_until_it_is_published(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "bodies.csv"
    sheet.write_text(BODIES, encoding="utf-8")
    assert hudhud(["registry", "import", str(sheet), "--config", config, "--json"]) == 0
    rows = {row["code"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert rows["POST"] == {"code": "POST", "name": "Postal Authority", "ready": True, "obstacles": []}
    assert [text.partition(":")[0] for text in rows["WATER"]["obstacles"]] == [
        "no mailbox server", "no contact", "partner.example.saba.example",
    ]  # fmt: skip
    assert hudhud(["registry", "who", "x@sabapost.example", "--config", config]) == 1
    assert hudhud(["registry", "import", str(sheet), "--config", config, "--publish"]) == 0
    capsys.readouterr()
    assert hudhud(["registry", "who", "x@sabapost.example", "--config", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entity"] == "POST"


def test_the_own_servers_of_a_body_are_shown(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hudhud(["registry", "show", "FIN", "--config", config, "--json"]) == 0
    [server] = json.loads(capsys.readouterr().out)["servers"]
    assert (server["name"], server["addresses"]) == ("exchange", ["192.0.2.45/32"])
    hudhud(["registry", "show", "FIN", "--config", config])
    assert "exchange (exchange) at 192.0.2.45/32" in " ".join(capsys.readouterr().out.split())


def test_a_new_body_begins_in_shadow_and_is_enforced_by_an_act(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    hudhud(["registry", "onboard", "POST", "--config", config])
    assert "in shadow" in capsys.readouterr().out
    hudhud(["registry", "onboard", "POST", "--config", config, "--enforce"])
    assert "enforced" in capsys.readouterr().out


def test_a_sheet_with_a_mistake_imports_nothing(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sheet = tmp_path / "bad.csv"
    sheet.write_text(BODIES.replace("POST,", "NEW,").replace("WATER,", ","), encoding="utf-8")
    assert hudhud(["registry", "import", str(sheet), "--config", config, "--publish"]) == 1
    said = capsys.readouterr().err
    assert "row 3, code: is empty" in said
    assert "nothing was imported" in said
    assert hudhud(["registry", "show", "NEW", "--config", config]) == 1


@pytest.mark.parametrize("language", ["ar", "en"])
def test_onboarding_walks_a_body_and_says_what_is_left(
    config: str, language: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert hudhud(["registry", "onboard", "FIN", "--config", config, "--language", language]) == 1
    shown = capsys.readouterr().out
    assert "_dmarc.finance.saba.example. TXT" in shown
    assert "250 2.0.0" in shown
    assert ("رسالة تجريبية" if language == "ar" else "test mail") in shown


def test_a_body_that_is_not_there_is_said(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert hudhud(["registry", "onboard", "NOBODY", "--config", config]) == 1
    assert "no body with the code" in capsys.readouterr().err


def test_an_edited_copy_of_registry_and_policy_goes_live_once_it_is_right(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "live"
    assert hudhud(["registry", "copy", str(folder), "--config", config]) == 0
    assert hudhud(["registry", "publish", str(folder), "--note", "none", "--config", config]) == 1
    registry, policy = folder / "registry.toml", folder / "policy.toml"
    was = registry.read_text(encoding="utf-8")
    registry.write_text(was.replace("[entity.FIN]", '[entity.FIN]\nparent = "NOBODY"', 1), encoding="utf-8")
    assert hudhud(["registry", "publish", str(folder), "--note", "wrong", "--config", config]) == 2
    assert "NOBODY" in capsys.readouterr().err
    registry.write_text(was.replace('sector = "economy"', 'sector = "money"', 1), encoding="utf-8")
    with policy.open("a", encoding="utf-8") as more:
        more.write('\n[entity.JUS]\nrefusals = "reply"\n')
    order = ["registry", "publish", str(folder), "--note", "a server", "--config", config]
    assert hudhud([*order, "--dry-run"]) == 0
    assert capsys.readouterr().out.splitlines() == ["body FIN: other", "policy of JUS: new", "Nothing was changed."]
    assert hudhud(order) == 0
    assert capsys.readouterr().out.splitlines()[2:] == ["Live: registry", "Live: policy"]
    assert hudhud(order) == 1
