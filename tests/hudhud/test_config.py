"""hudhud.toml: right and whole, or an error that names its place."""

from pathlib import Path

import pytest

from hudhud import config
from hudhud.settings import split_address

RIGHT = """
[node]
name = "relay-7"

[relay]
workers = 4
mx = ["192.0.2.10:25"]
"""


def parse(text: str) -> config.Config:
    return config.parse(Path("hudhud.toml"), text.encode())


def test_what_the_file_sets_and_what_is_default_are_told_apart() -> None:
    rows = {key: (value, origin) for key, value, origin in parse(RIGHT).effective()}
    assert rows["relay.workers"] == (4, "hudhud.toml:6")
    assert rows["relay.max_recipients"] == (1000, "default")
    assert "folder" not in rows


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("[relay]\nworkers = 100000", "hudhud.toml:2: relay.workers: is 100000, expected 1 to 256"),
        ("[relay]\nworkers = 0", "hudhud.toml:2: relay.workers"),
        ("[relay]\nworkers = '2'", "hudhud.toml:2: relay.workers"),
        ("[relay]\n\nworker = 2", "hudhud.toml:3: relay.worker"),
        ("[rely]\nworkers = 2", "hudhud.toml:1: rely"),
        ("[relay\nworkers = 2", "hudhud.toml:1"),
        ("[relay]\nmx = ['25']", "hudhud.toml:2: relay.mx[0]"),
        ("[dns]\nnameservers = ['192.0.2.53:99999']", "hudhud.toml:2: dns.nameservers[0]"),
        ("[lab]\n[relay]\nmx = ['0.0.0.0:25']", "hudhud.toml:1: lab"),
        ("[lab.connect]\n'192.0.2.1:25' = 'here'", "hudhud.toml:1: lab.connect"),
        ("[store]\nkind = 'mongo'", "hudhud.toml:2: store.kind"),
        ("[releases.keys]\nomar = 'short'", "hudhud.toml:2: releases.keys.omar"),
        ("[delivery]\nidle_s = -1", "hudhud.toml:2: delivery.idle_s"),
        ("folder = '/'", "hudhud.toml:1: folder"),
    ],
)
def test_a_mistake_names_file_line_and_key(text: str, place: str) -> None:
    lab = "[relay]\nmx = []\nsubmission = []\nsubmissions = []\n" if text.startswith("[lab.connect]") else ""
    with pytest.raises(config.ConfigError) as caught:
        parse(f"{text}\n{lab}")
    assert str(caught.value).startswith(place)


def test_bytes_that_are_no_text_are_named_by_line() -> None:
    with pytest.raises(config.ConfigError, match=r"hudhud\.toml:2: is not UTF-8"):
        config.parse(Path("hudhud.toml"), b"[node]\nname = '\xff'\n")


def test_a_file_that_is_not_there_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(config.ConfigError, match="hudhud up"):
        config.load(tmp_path / "hudhud.toml")


def test_the_lab_plays_addresses_and_leaves_others_alone() -> None:
    text = (
        "[relay]\nmx = ['127.0.0.1:25']\nsubmission = []\nsubmissions = []\n"
        "[lab.connect]\n'192.0.2.33:25' = '127.0.0.1:2601'\n'[2001:db8::1]:25' = '[::1]:2602'\n"
    )
    settings = parse(text).settings
    assert settings.dial("192.0.2.33", 25) == ("127.0.0.1", 2601)
    assert settings.dial("2001:db8::1", 25) == ("::1", 2602)
    assert settings.dial("192.0.2.33", 26) == ("192.0.2.33", 26)


@pytest.mark.parametrize("text", ["", "x", ":25", "host:", "host:x", "host:70000"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        split_address(text)


def test_what_may_not_be_set_is_not_offered() -> None:
    with pytest.raises(config.ConfigError, match=r"known: node, .*console$"):
        parse("[rely]\n")
    with pytest.raises(config.ConfigError, match="known: folder, max_bytes"):
        parse("[spool]\nfoldr = 'x'\n")
