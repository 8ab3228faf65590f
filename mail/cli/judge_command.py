"""`hudhud mail judge`: the whole judgement of messages without sending them, by the path that the relay takes."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

from cyclopts import Parameter

from hudhud import cli, log, toml
from hudhud.clock import SYSTEM
from hudhud.settings import Settings
from mail.accounts import Account
from mail.auth.results import Auth
from mail.dns import DnsError, LiveResolver, Resolver, ZoneResolver
from mail.envelope import Client, Envelope, PathError, Recipient, parse_path
from mail.judging import Judging
from mail.live import demo_rules, demo_zone, live_releases
from mail.message import Message
from mail.policy import LiveRules, Policy
from mail.session import kindness, servers
from mail.threads import NoThreads, SpoolThreads, Threads
from mail.verdict import Finding, Judgement, Reply, Verdict

SECONDS: Final = 30.0  # for one message; past it the answer is a named error
HOUSES_S: Final = 5.0  # for where a body's mail hosts stand, which a relay finds out beside its messages
MAX_FILE: Final = 256 * 1024 * 1024  # octets


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything of the question but the message."""

    envelope: Envelope
    wire: bool
    policy: Policy

    def told(self, verdict: Verdict) -> dict[str, bool]:
        """Where the live relay would not give that reply at RCPT, but tell of the recipient by notice."""
        by_notice = verdict.reply is not None and kindness.by_notice(self.envelope, self.policy, verdict)
        return {"by_notice": True} if by_notice else {}


def judge(
    files: Annotated[
        list[Path], Parameter(help="Messages (RFC 5322); - is standard input.", allow_leading_hyphen=True)
    ],
    *,
    mail_from: Annotated[str, Parameter(help="Envelope sender; empty for the null sender.")] = "",
    rcpt: Annotated[list[str] | None, Parameter(consume_multiple=True, help="Envelope recipients.")] = None,
    account: Annotated[
        str, Parameter(help="The account that is logged in, or a body's own server as FIN/exchange: judge as theirs.")
    ] = "",
    client_ip: Annotated[str, Parameter(help="Address that the message comes from.")] = "198.51.100.25",
    helo: Annotated[str, Parameter(help="What the client calls itself.")] = "",
    dns: Annotated[Path | None, Parameter(help="zone.json that answers in place of the DNS.")] = None,
    config: Annotated[
        Path | None, Parameter(help="hudhud.toml whose releases are live; else the demo country.")
    ] = None,
    json: Annotated[bool, Parameter(negative="", help="One JSON object a message.")] = False,
    wire: Annotated[bool, Parameter(negative="", help="Take the bytes as they are, line ends too.")] = False,
) -> None:
    """Judge messages without sending them: each recipient's verdict, every finding with its rule and facts."""
    settings, live = _live(config)
    log.configure(settings.node.log_level, program="judge")
    resolver = _resolver(dns, config, settings)
    threads: Threads = SpoolThreads(settings.path(settings.spool.folder)) if config else NoThreads()
    account = account or _server_at(client_ip, live)
    client = Client(client_ip, 0, helo, None, "submission" if "@" in account else "mx")
    asked = Asked(_envelope(mail_from, rcpt or [], account, client, live), wire, live.policy)
    judging = Judging(live, resolver, threads, SYSTEM, settings, patience_s=HOUSES_S)
    asyncio.run(_all(judging, asked, files, as_json=json))


def _live(config: Path | None) -> tuple[Settings, LiveRules]:
    if config is None:
        return Settings(), demo_rules()
    from hudhud.config import load
    from hudhud.release import ReleaseError

    try:
        settings = load(config).settings
        return settings, live_releases(settings)
    except (toml.PlaceError, ReleaseError, OSError) as error:
        raise cli.Problem(str(error)) from None


def _resolver(zone: Path | None, config: Path | None, settings: Settings) -> Resolver:
    try:
        if zone is not None:
            return ZoneResolver.load(zone)
        return LiveResolver(settings.dns) if config else ZoneResolver.load(demo_zone())
    except DnsError as error:
        raise cli.Problem(f"--dns: {error}") from None


def _envelope(sender: str, rcpt: Sequence[str], account: str, client: Client, live: LiveRules) -> Envelope:
    if not rcpt:
        raise cli.Problem("--rcpt: name at least one recipient")
    place = "--mail-from"
    try:
        from_path = parse_path(sender.strip("<>").encode(), smtputf8=True)
        place = "--rcpt"
        recipients = tuple(Recipient(parse_path(text.strip("<>").encode(), smtputf8=True)) for text in rcpt)
        place = "--account"
        known = _account(account, live) if account else None
    except (PathError, ValueError) as error:
        raise cli.Problem(f"{place}: {error}") from None
    return Envelope(from_path, recipients, client, known, SYSTEM.now(), smtputf8=True)


def _server_at(ip: str, live: LiveRules) -> str:
    """The name of the registered server at that address; "" where there is none."""
    known = servers.Servers(lambda: live.policy.registry).find(ip, None)
    return known.name if known is not None else ""


def _account(text: str, live: LiveRules) -> Account:
    if "@" not in text:
        known = servers.named(live.policy.registry, text)
        if known is None:
            raise ValueError(f"{text} is no server of the registry; `hudhud registry show CODE` lists them")
        return known
    address = parse_path(text.strip("<>").encode(), smtputf8=True)
    entity = live.policy.registry.by_domain(address.domain)
    if entity is None:
        raise ValueError(f"{text} is of no body of the registry")
    name = f"{address.local.lower()}@{address.domain}"
    return Account(name, entity.code, frozenset({name}))


async def _all(judging: Judging, asked: Asked, files: Sequence[Path], *, as_json: bool) -> None:
    try:
        async for path, answer in _judged(judging, asked, files):
            if as_json:
                cli.out_json({"file": str(path), **answer})
            else:
                _explain(str(path), answer)
            sys.stdout.flush()
    finally:
        await judging.close()


async def _judged(
    judging: Judging, asked: Asked, files: Sequence[Path]
) -> AsyncIterator[tuple[Path, dict[str, object]]]:
    for path in files:
        try:
            data = await asyncio.to_thread(_read, path)
        except OSError as error:
            yield path, {"error": {"name": "unreadable", "detail": error.strerror or str(error)}}
            continue
        try:
            yield path, await asyncio.wait_for(_judge_one(judging, asked, data), SECONDS)
        except TimeoutError:
            yield path, {"error": {"name": "timeout", "detail": f"no judgement after {SECONDS:g} s"}}
        except Exception as error:
            yield path, {"error": {"name": type(error).__name__, "detail": str(error)[:500]}}


def _read(path: Path) -> bytes:
    if str(path) == "-":
        return sys.stdin.buffer.read(MAX_FILE)
    with path.open("rb") as file:
        return file.read(MAX_FILE)


_BARE = re.compile(rb"\r?\n|\r")


async def _judge_one(judging: Judging, asked: Asked, raw: bytes) -> dict[str, object]:
    started = time.perf_counter()
    data = raw if asked.wire else _BARE.sub(b"\r\n", raw)
    verdicts = [await judging.at_rcpt(asked.envelope, recipient) for recipient in asked.envelope.recipients]
    refused = {v.recipient: v for v in verdicts if v.reply is not None}
    taken = tuple(r for r in asked.envelope.recipients if r.address.raw not in refused)
    envelope = Envelope(
        asked.envelope.sender, taken, asked.envelope.client, asked.envelope.account, asked.envelope.received,
        smtputf8=True,
    )  # fmt: skip
    message = Message.read(envelope, "", data)
    judgement = await judging.at_data(message, verdicts)
    took = round((time.perf_counter() - started) * 1000, 3)
    answer = _object(message, judgement, refused, took)
    at_data = {v.recipient: v for v in judgement.verdicts}
    shown = [at_data.get(v.recipient, v) for v in verdicts]
    return answer | {"verdicts": [_verdict(one) | asked.told(one) for one in shown]}


def _object(message: Message, judgement: Judgement, refused: dict[bytes, Verdict], took: float) -> dict[str, object]:
    """Design section 9; `auth` is there for what comes in from outside."""
    early = [f for v in refused.values() for f in v.findings]
    auth = {"auth": _auth(judgement.auth)} if judgement.auth is not None else {}
    return {
        "message": {"sha256": message.sha256, "size": message.size, "message_id": message.message_id},
        "took_ms": took,
        "ruleset": judgement.ruleset,
        "policy": judgement.policy,
        **auth,
        "parts": [
            {
                "path": p.path, "name": p.name, "media_type": p.media_type, "detected_type": p.detected_type,
                "size": p.size, "sha256": p.sha256, "readings": list(p.readings),
            }
            for p in judgement.parts
        ],
        "urls": list(judgement.urls),
        "findings": [_finding(f, judgement.policy) for f in (*early, *judgement.findings)],
        "data_reply": _reply(judgement.data_reply),
        "lure": list(judgement.lure),
    }  # fmt: skip


def _auth(auth: Auth) -> dict[str, object]:
    return {
        "spf": {"result": auth.spf.result, "domain": auth.spf.domain},
        "dkim": [
            {"domain": one.domain, "selector": one.selector, "result": one.result, "reason": one.reason}
            for one in auth.dkim
        ],
        "dmarc": {
            "result": auth.dmarc.result, "policy": auth.dmarc.policy, "domain": auth.dmarc.domain,
            "author": auth.dmarc.author,
        },
        "arc": {"result": auth.arc.result},
    }  # fmt: skip


def _finding(finding: Finding, policy: str) -> dict[str, object]:
    recipients = finding.recipients
    return {
        "check": finding.check,
        "rule": finding.rule,
        "version": finding.version,
        "policy": policy,
        "disposition": finding.disposition.word,
        "reason": finding.reason,
        "recipients": None if recipients is None else [raw.decode("utf-8", "replace") for raw in recipients],
        "facts": dict(finding.facts),
    }


def _verdict(verdict: Verdict) -> dict[str, object]:
    return {
        "recipient": verdict.recipient.decode("utf-8", "replace"),
        "disposition": verdict.disposition.word,
        "reply": _reply(verdict.reply) if verdict.reply is not None else None,
    }


def _reply(reply: Reply) -> dict[str, object]:
    return {"code": reply.code, "enhanced": reply.enhanced, "text": reply.text}


def _explain(path: str, answer: dict[str, object]) -> None:
    from mail.cli.judge_text import lines

    for line in lines(path, answer):
        cli.out(line)
