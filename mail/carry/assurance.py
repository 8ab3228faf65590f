"""How sure we must be of a next hop before it gets the message, and whether its certificate makes us so.

RFC 7435 (opportunistic TLS), RFC 7672 (DANE), RFC 6125 (names on certificates), RFC 8689 (REQUIRETLS).
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from mail import dane
from mail.carry.connection import Connection
from mail.route import Hop, Target

Need = Literal["none", "may", "encrypt", "verify", "dane"]
"""none: in the clear; may: TLS if it works; encrypt: TLS with whomever; verify: authorities and name; dane: TLSA."""


def need(hop: Hop, target: Target, *, requiretls: bool = False) -> Need:
    """What holds for this address: the registry's word, what its TLSA records promise, what the sender requires."""
    if hop.tls in ("verify", "dane"):
        return hop.tls
    if target.tlsa and hop.tls != "none":
        return "dane"
    if requiretls and hop.protocol == "smtp":  # LMTP hands over to the mailbox itself: nothing is relayed
        return "verify"
    return "encrypt" if target.tlsa == () and hop.tls == "may" else hop.tls


def objection(line: Connection, hop: Hop, target: Target, wanted: Need, now: datetime) -> str:
    """Why the connection (TLS by now) is not what is needed; "" where it is."""
    if wanted == "dane":
        return dane.mismatch(line.chain(), target.tlsa or (), (target.host, *hop.names[:1]), now)
    if wanted == "verify":
        names = (*hop.names, target.host) if hop.host_counts or hop.tls != "verify" else hop.names
        if not shows(line.certificate(), names):
            return f"its certificate shows {_shown(line.certificate())}, not {' or '.join(dict.fromkeys(names))}"
    return ""


def shows(certificate: Mapping[str, Any], names: Iterable[str]) -> bool:
    """Whether a verified certificate (as ssl.getpeercert gives it) is for one of the names; ".x" is any host below x.

    Only subjectAltName counts; a `*` stands for the whole first label (RFC 6125 section 6.4).
    """
    known = _alternatives(certificate)
    return any(_fits(kind, shown, wanted.lower()) for kind, shown in known for wanted in names)


def _fits(kind: str, shown: str, wanted: str) -> bool:
    if kind == "IP Address":
        try:
            return ipaddress.ip_address(shown) == ipaddress.ip_address(wanted)
        except ValueError:
            return False
    if kind != "DNS":
        return False
    shown = shown.lower()
    if wanted.startswith("."):
        return shown.endswith(wanted) and len(shown) > len(wanted)
    if shown.startswith("*."):
        return wanted.partition(".")[2] == shown[2:]
    return shown == wanted


def _alternatives(certificate: Mapping[str, Any]) -> Sequence[tuple[str, str]]:
    return [pair for pair in certificate.get("subjectAltName", ()) if len(pair) == 2]


def _shown(certificate: Mapping[str, Any]) -> str:
    return ", ".join(value for _, value in _alternatives(certificate)[:3]) or "no name"
