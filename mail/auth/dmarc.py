"""DMARC (RFC 9989): the policy record by the DNS tree walk, alignment, and what the author's domain asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mail.auth.results import Dkim, Dmarc, Spf
from mail.dns import Resolver, canonical, failed

MAX_LABELS: Final = 8  # of a name that the walk asks for one by one; a longer one jumps to 7 (RFC 9989 section 4.10)

Mode = Literal["r", "s"]
POLICIES: Final = ("none", "quarantine", "reject")


class UnknownError(Exception):
    """The DNS does not answer, so nothing can be said now."""


@dataclass(frozen=True, slots=True)
class Record:
    """A policy record, defaults filled in. `psd` is "y", "n" or "u"; `testing` is t=y."""

    domain: str
    p: str = "none"
    sp: str = "none"
    np: str = "none"
    adkim: Mode = "r"
    aspf: Mode = "r"
    psd: str = "u"
    testing: bool = False


def parse(domain: str, text: str) -> Record | None:
    """The record in `text`; None where it is none: it must begin with v=DMARC1. What is not known is left aside."""
    parts = [part.partition("=") for part in text.split(";")]
    said = {name.strip().lower(): value.strip() for name, sign, value in reversed(parts) if sign}
    if parts[0][0].strip().lower() != "v" or parts[0][2].strip() != "DMARC1":
        return None
    p = _policy(said.get("p"), "none")
    sp = _policy(said.get("sp"), p)
    psd = said.get("psd", "u").lower()
    return Record(
        domain,
        p,
        sp,
        _policy(said.get("np"), sp),
        "s" if said.get("adkim", "").lower() == "s" else "r",
        "s" if said.get("aspf", "").lower() == "s" else "r",
        psd if psd in ("y", "n") else "u",
        said.get("t", "").lower() == "y",
    )


def _policy(said: str | None, default: str) -> str:
    return said.lower() if said is not None and said.lower() in POLICIES else default


async def check(authors: Collection[str], spf: Spf, signatures: Sequence[Dkim], resolver: Resolver) -> Dmarc:
    """The result for the domains of From. More than one, or none, is nobody's policy to ask for (section 4.5)."""
    domains = {canonical(author) for author in authors}
    if len(domains) != 1:
        return Dmarc("permerror" if domains else "none", author=",".join(sorted(domains)))
    author = domains.pop()
    try:
        return await _check(author, spf, signatures, resolver)
    except UnknownError:
        return Dmarc("temperror", author=author)


async def _check(author: str, spf: Spf, signatures: Sequence[Dkim], resolver: Resolver) -> Dmarc:
    walked = await walk(author, resolver)
    organization = organizational(author, walked)
    record = walked.get(author) or walked.get(organization) or next((r for r in walked.values() if r.psd == "y"), None)
    if record is None:
        return Dmarc("none", author=author)
    signed = [one.domain for one in signatures if one.result == "pass"]
    sent = [spf.domain] if spf.result == "pass" else []
    aligned = await _aligned(author, organization, signed, record.adkim, resolver)
    aligned = aligned or await _aligned(author, organization, sent, record.aspf, resolver)
    policy = await _asked(author, record, resolver)
    return Dmarc("pass" if aligned else "fail", policy, record.domain, author)


async def _aligned(author: str, organization: str, domains: Sequence[str], mode: Mode, resolver: Resolver) -> bool:
    for domain in dict.fromkeys(map(canonical, domains)):
        if domain == author:
            return True
        if mode == "r" and organizational(domain, await walk(domain, resolver)) == organization:
            return True
    return False


async def _asked(author: str, record: Record, resolver: Resolver) -> str:
    """p for the record's own domain, sp below it, np where the author's domain does not exist; softer while testing."""
    policy = record.p
    if author != record.domain:
        policy = record.sp if record.np == record.sp or await _exists(author, resolver) else record.np
    return POLICIES[max(POLICIES.index(policy) - 1, 0)] if record.testing else policy


async def _exists(domain: str, resolver: Resolver) -> bool:
    answers = await asyncio.gather(resolver.addresses(domain), resolver.mx(domain))
    if any(failed(answer) for answer in answers):
        raise UnknownError
    return any(not isinstance(answer, str) and answer for answer in answers)


async def walk(domain: str, resolver: Resolver) -> Mapping[str, Record]:
    """The policy records from the domain up to the top, nearest first (section 4.10); it ends at psd=n or psd=y."""
    labels = [label for label in canonical(domain).split(".") if label]
    if not labels:
        return {}
    starts = [0, *range(1 if len(labels) <= MAX_LABELS else len(labels) - MAX_LABELS + 1, len(labels))]
    found: dict[str, Record] = {}
    for start in starts:
        name = ".".join(labels[start:])
        answer = await resolver.txt(f"_dmarc.{name}")
        if failed(answer):
            raise UnknownError
        records = [r for text in (() if isinstance(answer, str) else answer) if (r := parse(name, text)) is not None]
        if len(records) == 1:  # more than one are as none
            found[name] = records[0]
            if records[0].psd == "n" or (records[0].psd == "y" and start):
                break
    return found


def organizational(domain: str, walked: Mapping[str, Record]) -> str:
    """The Organizational Domain by what the walk found (section 4.10.2); the domain itself where it found nothing."""
    asked = canonical(domain)
    for name, record in walked.items():
        if record.psd == "n":
            return name
        if record.psd == "y" and name != asked:
            below = asked.removesuffix(f".{name}").rpartition(".")[2]
            return f"{below}.{name}"
    return min(walked, key=lambda name: name.count("."), default=asked)
