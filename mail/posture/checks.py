"""What is thought of a domain's facts: one function a point, each with its weight and its remedy. Pure.

Anchors: UK NCSC Mail Check, CISA BOD 18-01, NIST SP 800-177r1.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Literal

from hudhud.entity import Registry
from mail.dns import failed
from mail.posture.facts import Facts

State = Literal["good", "weak", "bad", "unknown"]
MIN_BITS: Final = 2048  # RFC 8301
MIN_DAYS: Final = 14  # a certificate that ends sooner needs somebody today
CAP: Final = 40  # a domain whose hosts relay for strangers gets no more, whatever else is right
WORTH: Final[dict[State, float]] = {"good": 1.0, "weak": 0.5, "bad": 0.0}


def _(text: str) -> str:
    """Marks a text for the catalogue."""
    return text


LATER: Final = _("Ask again when the DNS answers.")


@dataclass(frozen=True, slots=True)
class Point:
    """One finding: `detail` are facts as they were found, `remedy` a text of the catalogue, "" where all is good."""

    name: str
    weight: int
    state: State
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Posture:
    """Every point of a domain and the score, 0 to 100, None where nothing is known; the unknown does not count."""

    domain: str
    score: int | None
    points: tuple[Point, ...]


Check = Callable[[Facts, Registry], Point]


def judge(facts: Facts, registry: Registry) -> Posture:
    """All points in the order of CHECKS."""
    points = tuple(check(facts, registry) for check in CHECKS)
    known = [point for point in points if point.state != "unknown"]
    total = sum(point.weight for point in known)
    score = round(100 * sum(point.weight * WORTH[point.state] for point in known) / total) if total else None
    if score is not None and any(point.name == OPEN_RELAY and point.state == "bad" for point in points):
        score = min(score, CAP)
    return Posture(facts.domain, score, points)


def _abroad(addresses: Iterable[str], registry: Registry) -> Iterator[str]:
    """Those outside the national prefixes and the bodies' own networks; of a prefix both its ends count."""
    for text in addresses:
        try:
            prefix = ipaddress.ip_network(text, strict=False)
        except ValueError:
            continue
        if not (registry.is_official_address(prefix[0]) and registry.is_official_address(prefix[-1])):
            yield text


def mail_hosts(facts: Facts, registry: Registry) -> Point:
    """Where the domain's mail arrives."""
    name, weight = _("Mail hosts stand in the country"), 20
    if isinstance(facts.mx, str) and facts.mx != "NXDOMAIN":
        return Point(name, weight, "unknown", facts.mx, LATER)
    if not facts.hosts:
        remedy = _("Publish MX records that name the national relay.")
        return Point(name, weight, "bad", str(facts.mx) if isinstance(facts.mx, str) else "no MX", remedy)
    addresses = [a for host in facts.hosts if not isinstance(host.addresses, str) for a in host.addresses]
    abroad = list(_abroad(addresses, registry))
    if abroad or not addresses:
        remedy = _("Point MX at hosts inside the national networks: a national name in a foreign house is read abroad.")
        return Point(name, weight, "bad", ", ".join(abroad) or "no address", remedy)
    return Point(name, weight, "good", ", ".join(host.name for host in facts.hosts))


def spf_ends(facts: Facts, registry: Registry) -> Point:
    """SPF says who may send, and that nobody else may."""
    name, weight, senders = _("SPF ends with -all"), 10, facts.senders
    if senders.problem == "dns":
        return Point(name, weight, "unknown", senders.problem, LATER)
    if senders.problem:
        remedy = _("Publish exactly one correct SPF record, at most ten look-ups deep, that ends with -all.")
        return Point(name, weight, "bad", senders.problem, remedy)
    if senders.last == "-":
        return Point(name, weight, "good", "-all")
    remedy = _("End the SPF record with -all, so that others are refused.")
    return Point(name, weight, "weak" if senders.last == "~" else "bad", f"{senders.last or 'no '}all", remedy)


def spf_national(facts: Facts, registry: Registry) -> Point:
    """No foreign house may send in the body's name."""
    name, weight, senders = _("SPF lets nobody abroad send"), 10, facts.senders
    if senders.problem in ("dns", "none", "several"):
        return Point(name, weight, "unknown", senders.problem)
    abroad = list(_abroad(sorted(senders.addresses), registry))
    houses = [one for one in senders.includes if registry.is_national_domain(one) is False]
    if senders.last in ("+", "?") or abroad or houses:
        remedy = _("Take foreign networks and includes out of the SPF record.")
        return Point(name, weight, "bad", ", ".join([*houses, *abroad][:5]) or f"{senders.last}all", remedy)
    return Point(name, weight, "good", ", ".join(sorted(senders.addresses)[:5]))


def dkim_keys(facts: Facts, registry: Registry) -> Point:
    """Keys that are long enough."""
    name, weight = _("DKIM keys of 2048 bits or more"), 10
    shown = ", ".join(f"{selector}: {size}" for selector, size in facts.keys)
    if not facts.keys and not facts.keys_known:
        return Point(name, weight, "unknown", "", LATER)
    if not facts.keys:
        return Point(name, weight, "bad", "", _("Publish the DKIM key that the relay signs with."))
    if all(size >= MIN_BITS for _selector, size in facts.keys):
        return Point(name, weight, "good", shown)
    return Point(name, weight, "weak", shown, _("Replace short or broken DKIM keys and take the old records away."))


def dmarc_policy(facts: Facts, registry: Registry) -> Point:
    """The domain asks others to refuse what is not its own."""
    name, weight = _("DMARC asks to reject"), 20
    if not facts.dmarc_known:
        return Point(name, weight, "unknown", "", LATER)
    if facts.dmarc is None:
        remedy = _("Publish a DMARC record; begin with p=none and reports, end with p=reject.")
        return Point(name, weight, "bad", "", remedy)
    policy = facts.dmarc.p if facts.dmarc.domain == facts.domain else facts.dmarc.sp
    detail = f"p={policy}" + (" (testing)" if facts.dmarc.testing else "")
    if policy == "reject" and not facts.dmarc.testing:
        return Point(name, weight, "good", detail)
    state: State = "weak" if policy in ("reject", "quarantine") else "bad"
    return Point(name, weight, state, detail, _("Read the reports, then set p=reject."))


def transport(facts: Facts, registry: Registry) -> Point:
    """Every host speaks TLS with a certificate that holds."""
    name, weight = _("Mail hosts speak TLS with a valid certificate"), 10
    called = [(host.name, host.spoken) for host in facts.hosts if host.spoken is not None and not host.spoken.problem]
    if not called:
        return Point(name, weight, "unknown", "", _("Call the hosts from a network that may: they did not answer."))
    clear = [host for host, spoken in called if spoken.tls not in ("TLSv1.2", "TLSv1.3")]
    if clear:
        return Point(name, weight, "bad", ", ".join(clear), _("Offer STARTTLS with TLS 1.2 or newer."))
    odd = [host for host, spoken in called if not spoken.named or (spoken.days is not None and spoken.days < MIN_DAYS)]
    if odd:
        return Point(name, weight, "weak", ", ".join(odd), _("Renew the certificate, in the host's own name."))
    return Point(name, weight, "good", ", ".join(f"{host} {spoken.tls}" for host, spoken in called))


def enforced_transport(facts: Facts, registry: Registry) -> Point:
    """Others cannot be talked out of TLS: DANE or MTA-STS."""
    name, weight = _("TLS is enforced by DANE or MTA-STS"), 8
    dane = bool(facts.hosts) and all(
        host.secure and not isinstance(host.tlsa, str) and host.tlsa for host in facts.hosts
    )
    sts = not isinstance(facts.sts, str) and any(text.startswith("v=STSv1") for text in facts.sts)
    if dane or sts:
        return Point(name, weight, "good", "DANE" if dane else "MTA-STS")
    if failed(facts.sts):
        return Point(name, weight, "unknown", "", LATER)
    return Point(name, weight, "bad", "", _("Sign the zone and publish TLSA records, or publish an MTA-STS policy."))


def reports(facts: Facts, registry: Registry) -> Point:
    """Somebody hears of failed TLS."""
    name, weight = _("TLS reports are asked for"), 3
    if not isinstance(facts.tls_reports, str) and any(text.startswith("v=TLSRPTv1") for text in facts.tls_reports):
        return Point(name, weight, "good", "")
    if failed(facts.tls_reports):
        return Point(name, weight, "unknown", "", LATER)
    return Point(name, weight, "bad", "", _("Publish a TLS-RPT record."))


def pointers(facts: Facts, registry: Registry) -> Point:
    """Addresses lead back to a name that leads to them."""
    name, weight = _("Mail hosts have names in reverse"), 4
    found = [(address, answer) for host in facts.hosts for address, answer in host.pointers.items()]
    if not found:
        return Point(name, weight, "unknown", "")
    lacking = [address for address, answer in found if isinstance(answer, str) or not answer]
    if lacking:
        return Point(name, weight, "weak", ", ".join(lacking), _("Publish PTR records for the hosts' addresses."))
    return Point(name, weight, "good", "")


OPEN_RELAY: Final = _("Hosts do not relay for strangers")


def open_relay(facts: Facts, registry: Registry) -> Point:
    """None of them takes mail from abroad to abroad."""
    weight = 10
    asked = [(host.name, host.spoken.open) for host in facts.hosts if host.spoken and host.spoken.open is not None]
    if not asked:
        return Point(OPEN_RELAY, weight, "unknown", "")
    relaying = [name for name, taken in asked if taken]
    if relaying:
        remedy = _("Close it today: it sends anybody's mail in the state's name.")
        return Point(OPEN_RELAY, weight, "bad", ", ".join(relaying), remedy)
    return Point(OPEN_RELAY, weight, "good", "")


def web_mail(facts: Facts, registry: Registry) -> Point:
    """Where people read their mail in a browser."""
    name, weight = _("Web mail stands in the country"), 5
    if not facts.web:
        return Point(name, weight, "unknown", "")
    abroad = [host for host, addresses in facts.web if list(_abroad(addresses, registry))]
    if abroad:
        return Point(name, weight, "bad", ", ".join(abroad), _("Move web mail and autodiscover to national hosts."))
    return Point(name, weight, "good", ", ".join(host for host, _addresses in facts.web))


CHECKS: Final[tuple[Check, ...]] = (
    mail_hosts, spf_ends, spf_national, dkim_keys, dmarc_policy, transport, enforced_transport, reports, pointers,
    open_relay, web_mail,
)  # fmt: skip
