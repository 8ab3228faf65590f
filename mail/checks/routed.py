"""H-ADDR-02: a recipient whose local part some server would read as another address (percent hack, bang path). Pure."""

from __future__ import annotations

from mail.content.addresses import hidden_characters, routed
from mail.envelope import Envelope
from mail.facts import Facts
from mail.policy import Policy
from mail.verdict import Disposition, Finding

NAME, RULE, VERSION = "routed", "H-ADDR-02", "1"


def check(envelope: Envelope, facts: Facts, policy: Policy) -> Finding | None:
    """A server behind the relay could carry it abroad, so such a recipient is refused on every port."""
    bad = [r.address for r in envelope.recipients if routed(r.address.local) or hidden_characters(r.address.local)]
    if not bad:
        return None
    raw = tuple(address.raw for address in bad)
    return Finding(NAME, RULE, VERSION, Disposition.REJECT, "routed-address", raw)
