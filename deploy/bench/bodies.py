"""The two bodies between which the bench sends: one whose server hands mail in from this machine, one behind the sink.

Their names are those of the shared comparison with other mail systems: bench.example sends, dest.example receives.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from deploy import demo
from hudhud import release
from hudhud.clock import SYSTEM
from mail import sign

DOMAIN: Final = "bench.example"
SENDER: Final = f"jan.kowalski@{DOMAIN}"
RECIPIENT: Final = "anna.nowak@dest.example"
CLIENT: Final = "127.0.0.1"  # the registered address of the body's server

_BODIES: Final = """
[entity.BEN]
name_ar = "هيئة القياس"
name_en = "Bench"
sector = "economy"
domains = ["{domain}"]
networks = [{{ prefix = "{client}/32", class = "server" }}]
servers = [{{ name = "load", kind = "application", addresses = ["{client}"] }}]

[entity.DES]
name_ar = "هيئة الوصول"
name_en = "Destination"
sector = "economy"
domains = ["dest.example"]
next_hop = {{ host = "127.0.0.1", port = {sink}, protocol = "smtp", tls = "none" }}
"""


def join(data: Path, sink: int) -> None:
    """Lay a release of the registry with both bodies into a lab's folder, and the sender's DKIM key."""
    text = demo.DEMO.joinpath("registry.toml").read_text(encoding="utf-8")
    text += _BODIES.format(domain=DOMAIN, client=CLIENT, sink=sink)
    key, now = release.SigningKey.load(data / "keys" / "desk.key"), SYSTEM.now()
    files, folder = {"registry.toml": text.encode()}, data / "releases"
    digest = release.write(folder, "registry", files, author="bench", note="for measuring", now=now, keys=[key])
    release.publish(folder, "registry", digest, now=now, keys=[key])
    sign.generate(data / "keys", DOMAIN)
