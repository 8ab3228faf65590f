"""Events as relays and sensors send them, mixed as on an ordinary day; deterministic but for the time they start at.

Of a hundred: 35 flows, 25 DNS, 15 HTTP, 10 TLS, 15 mail. One mail in thirty is held by a rule and raises an alert; ten
such share a lure, as a campaign does.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import datetime, timedelta

from hudhud import codec
from hudhud.event import Value, format_time, nest

MIX = ("flow",) * 35 + ("dns",) * 25 + ("http",) * 15 + ("tls",) * 10 + ("mail",) * 15
HELD_OF = 30
SHARE_LURE = 10
STEP_S = 0.01  # between two events
NETWORKS = ("192.0.2.32", "192.0.2.64", "192.0.2.96", "192.0.2.128", "192.0.2.160", "192.0.2.192")
BODIES = ("FIN", "INT", "HEA", "EDU", "JUS", "TEL")
DOMAINS = ("finance", "interior", "health", "education", "justice", "telecom")
AGENTS = ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "curl/8.5.0", "Debian APT-HTTP/1.3")

Fields = dict[str, Value]


def documents(count: int, start: datetime, *, seed: int = 3, kind: str | None = None) -> Iterator[bytes]:
    """`count` documents; of one kind only where `kind` is given ("held": mail that a rule held)."""
    dice = random.Random(seed)  # noqa: S311 - the same events each time, no secret
    for number in range(count):
        chosen = kind or dice.choice(MIX)
        fields = _fields(dice, number, chosen)
        document = nest(fields)
        document["@timestamp"] = format_time(start + timedelta(seconds=number * STEP_S))
        yield codec.encode(document)


def _fields(dice: random.Random, number: int, kind: str) -> Fields:
    body = dice.randrange(len(BODIES))
    if kind in ("mail", "held"):
        return _mail(dice, number, body, held=kind == "held" or dice.randrange(HELD_OF) == 0)
    fields = _between(dice, body, kind)
    if kind == "flow":
        size = dice.randrange(200, 2_000_000)
        fields |= {"network.bytes": size, "network.packets": size // 700 + 1, "event.duration": size * 1000}
    elif kind == "dns":
        fields |= {
            "dns.question.name": _name(dice), "dns.question.type": dice.choice(("A", "AAAA", "MX", "TXT")),
            "dns.response_code": "NOERROR", "dns.answers.data": [_outside(dice)], "dns.id": dice.randrange(65536),
        }  # fmt: skip
    elif kind == "http":
        fields |= {
            "http.request.method": "GET", "url.domain": _name(dice), "user_agent.original": dice.choice(AGENTS),
            "url.path": f"/{_word(dice)}/{_word(dice)}/{dice.randrange(10_000)}.html", "http.response.status_code": 200,
        }  # fmt: skip
    else:
        fields |= {
            "tls.client.server_name": _name(dice), "tls.client.ja3": f"{dice.randrange(1 << 128):032x}",
            "tls.version": "1.3", "tls.client.ja4": "t13d1516h2_8daaf6152771_02713d6af862", "tls.established": True,
        }  # fmt: skip
    return fields


def _between(dice: random.Random, body: int, kind: str) -> Fields:
    """What every observation of a sensor says."""
    prefix, _, last = NETWORKS[body].rpartition(".")
    port = {"dns": 53, "http": 80}.get(kind, 443)
    return {
        "event.kind": "event", "event.category": ["network"], "event.dataset": f"hudhud.{kind}",
        "event.provider": "hudhud-sensor", "event.type": ["connection"], "organization.id": BODIES[body],
        "observer.name": "sensor-1", "observer.type": "sensor", "network.transport": "udp" if kind == "dns" else "tcp",
        "source.ip": f"{prefix}.{int(last) + dice.randrange(1, 14)}", "source.port": dice.randrange(1024, 65536),
        "destination.ip": _outside(dice), "destination.port": port,
        "network.community_id": f"1:{dice.randrange(1 << 64):016x}=",
    }  # fmt: skip


def _mail(dice: random.Random, number: int, body: int, *, held: bool) -> Fields:
    recipient = f"{_word(dice)}@{DOMAINS[body]}.saba.example"
    fields: Fields = {
        "event.kind": "alert" if held else "event", "event.category": ["email"],
        "event.type": ["denied" if held else "allowed"], "event.action": "held" if held else "accepted",
        "event.dataset": "hudhud.mail", "event.provider": "hudhud-relay", "event.outcome": "success",
        "organization.id": BODIES[body], "observer.name": "node-1", "observer.type": "relay",
        "email.message_id": f"<{dice.randrange(1 << 64):016x}@freemail.example>",
        "email.from.address": [f"{_word(dice)}@freemail.example"], "email.to.address": [recipient],
        "email.direction": "inbound", "source.ip": _outside(dice), "source.domain": "mx.freemail.example",
        "url.domain": [_name(dice), _name(dice)], "hudhud.mail.queue_id": f"0-{dice.randrange(1 << 40):010X}",
        "hudhud.mail.disposition": "hold" if held else "accept", "hudhud.mail.listener": "mx",
        "hudhud.mail.size": dice.randrange(2_000, 200_000), "hudhud.mail.sha256": f"{dice.randrange(1 << 256):064x}",
        "hudhud.mail.reply": "250 2.0.0 Ok",
    }  # fmt: skip
    if held:
        lure = number // (SHARE_LURE * len(MIX) * HELD_OF // 15) if dice.randrange(2) else number
        fields |= {"rule.id": ["HY-0601"], "rule.version": ["1"], "hudhud.mail.lure": [f"t0:{lure:016x}"]}
    return fields


def _outside(dice: random.Random) -> str:
    return f"{dice.choice(('198.51.100', '203.0.113'))}.{dice.randrange(1, 255)}"


def _name(dice: random.Random) -> str:
    return f"{_word(dice)}.{_word(dice)}.example"


def _word(dice: random.Random) -> str:
    return _WORDS[dice.randrange(len(_WORDS))]


_WORDS = tuple(
    a + b
    for a in ("north", "blue", "press", "data", "river", "civic", "open", "mail", "cloud", "stone", "port", "sun")
    for b in ("gate", "house", "line", "desk", "form", "view", "bank", "list", "news", "park", "shop", "team", "work")
)  # fmt: skip
