"""The acts of the morning that are not mail: a capture, an exemption by two officers, rules, a crash survived."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

from deploy.capture import make_capture
from deploy.demo import SIGNERS
from deploy.mailboxes import HOLD
from deploy.programs import alive
from deploy.tour import lures
from deploy.tour.lab import Lab, until
from deploy.tour.steps import AMAL, DELIVERY_S, RANIA, SALIM, Outcome, outcome
from deploy.tour.visitor import RefusedError, Visitor
from hudhud.clock import SYSTEM
from rules.ruleset import library

LIVE_S = 10  # seconds; a release is live on every node within so long
CRASH_MESSAGES = 20
FLOOD = 30  # messages; a rule stops itself past 20 of the last 1,000
CHANGED = "HY-0401"  # the library's rule that the administrators change


async def capture(lab: Lab) -> list[Outcome]:
    """6. A capture of the demo country's networks is laid before the sensor; its incidents are looked at later."""
    folder = lab.settings.path(lab.settings.sensor.captures)
    fresh = folder.parent / f"tour-{lab.run}.pcap"
    await asyncio.to_thread(make_capture, fresh, run_id=lab.run, start=SYSTEM.now())
    laid = fresh.rename(folder / fresh.name)
    read = await until(lambda: not laid.exists() or None, 60)
    return [outcome("6 a capture of the networks", "read by the sensor", read, "read" if read else "still there")]


async def exemption(lab: Lab) -> list[Outcome]:
    """7. Two officers, each logging in, exempt one correspondent; the refused mail passes."""
    foreign = lures.friend(lab.run)
    try:
        async with contextlib.AsyncExitStack() as stack:
            omar, dalia, ziad = [
                await stack.enter_async_context(Visitor(lab, who)) for who in ("omar", "dalia", "ziad")
            ]
            number = await _request(omar, RANIA, foreign, lab.run)
            for officer in (dalia, ziad):
                await officer.fill(f"/exemptions/{number}", "/approve", reason="the treaty's text is due")
    except RefusedError as error:
        return [outcome("7 an exemption by two officers", "granted", False, str(error))]
    identity, data = lab.compose(RANIA, [foreign], f"Treaty {lab.run}", b"The text.\r\n")
    said = ""
    for _ in range(LIVE_S):
        sent = await asyncio.to_thread(lab.submit, RANIA, [foreign], data)
        said = f"{sent.reply[0]} {sent.reply[1]}"
        if sent.accepted:
            break
        await asyncio.sleep(1)
    got = await until(lambda: lab.find(foreign, identity), DELIVERY_S)
    shown = "delivered abroad" if got else said
    return [outcome("7 an exemption by two officers", "the refused mail passes", got, shown)]


async def _request(visitor: Visitor, sender: str, recipient: str, run: str) -> str:
    answer = await visitor.fill(
        "/exemptions/new",
        "/exemptions",
        sender=sender,
        recipient=recipient,
        days="1",
        reason=f"Treaty {run}: the partner has no other mail",
        document=f"{run}/2026",
    )
    found = re.search(r"/exemptions/([A-Za-z0-9-]+)", str(answer.url))
    if found is None:
        raise RefusedError("the console did not show the new exemption")
    return found[1]


async def rule_changed(lab: Lab) -> list[Outcome]:
    """8a. A rule is changed, checked, published with two keys, and live without a restart."""
    before = lab.pids("relay")
    with _draft() as folder:
        path = folder / "mail" / "names.yar"
        path.write_text(_next_version(path.read_text(encoding="utf-8"), CHANGED), encoding="utf-8")
        checked, said = await lab.command("rules", "check", str(folder))
        published, told = await _publish(lab, folder, f"{CHANGED} reworded")
    live = await _live(lab)
    same = before == lab.pids("relay")
    return [
        outcome("8 a rule changed", "checked", checked == 0, _last(said)),
        outcome("", "published with two keys", published == 0, _last(told)),
        outcome("", "live without a restart", live and same, "live, same processes" if live and same else "not live"),
    ]


async def rule_stops_itself(lab: Lab) -> list[Outcome]:
    """8b. A rule that holds everything stops itself, is rolled back, and what it held goes out."""
    rule = lures.rule_id(lab.run)
    with _draft() as folder:
        path = folder / "mail" / "names.yar"
        path.write_text(_next_version(path.read_text(encoding="utf-8"), CHANGED), encoding="utf-8")
        text, samples = lures.rule_that_holds_everything(lab.run)
        (folder / "mail" / "tour.yar").write_text(text, encoding="utf-8")
        (folder / "mail" / "tour.samples.toml").write_text(samples, encoding="utf-8")
        published, told = await _publish(lab, folder, "a bad rule, on purpose")
    live = await _live(lab)
    identities = []
    for _ in range(FLOOD):
        identity, data = lab.compose(AMAL, [SALIM], f"Routine {lab.run}", b"Routine mail.\r\n")
        await asyncio.to_thread(lab.submit, AMAL, [SALIM], data)
        identities.append(identity)
    stopped = await until(lambda: rule in lab.stopped() or None, 30)
    rolled, said = await lab.command("rules", "rollback", *_signing(lab), "--note", f"rolls back {rule}")
    arrived = await until(lambda: all(lab.find(SALIM, one) for one in identities) or None, DELIVERY_S)
    count = FLOOD if arrived else sum(1 for one in identities if lab.find(SALIM, one))
    return [
        outcome("8 a rule that holds everything", "published and live", published == 0 and live, _last(told)),
        outcome("", "stops itself", stopped, f"{rule} stopped" if stopped else f"{rule} still holds"),
        outcome("", "rolled back", rolled == 0, _last(said)),
        outcome("", "what it held goes out", arrived, f"{count} of {FLOOD} delivered"),
    ]


@contextlib.contextmanager
def _draft() -> Iterator[Path]:
    """A folder with our own rules, for an administrator to change."""
    with tempfile.TemporaryDirectory(prefix="hudhud-rules-") as name:
        folder = Path(name)
        for file, data in library().items():
            (folder / file).parent.mkdir(parents=True, exist_ok=True)
            (folder / file).write_bytes(data)
        yield folder


def _next_version(text: str, rule: str) -> str:
    """The rules with a comment in `rule` and its version one higher."""
    return re.sub(
        rf'(id = "{rule}"\s+version = ")(\d+)"', lambda m: f'{m[1]}{int(m[2]) + 1}"  // reworded', text, count=1
    )


def _signing(lab: Lab) -> tuple[str, ...]:
    keys = [word for name in SIGNERS for word in ("--key", str(lab.data / "keys" / f"{name}.key"))]
    return ("--config", str(lab.data / "hudhud.toml"), *keys)


async def _publish(lab: Lab, folder: Path, note: str) -> tuple[int, str]:
    return await lab.command("rules", "publish", str(folder), *_signing(lab), "--note", note)


async def _live(lab: Lab) -> bool:
    """Whether every worker of the relay runs the release that the pointer names."""
    for _ in range(LIVE_S * 4):
        if await lab.ruleset_everywhere():
            return True
        await asyncio.sleep(0.25)
    return False


def _last(text: str) -> str:
    lines = [line for line in text.strip().splitlines() if line.strip()]
    return lines[-1].strip() if lines else "ok"


async def crash(lab: Lab) -> list[Outcome]:
    """9. The relay is killed, supervisor and workers, with accepted mail in the spool; nothing of it is lost."""
    closed = lab.data / "mailboxes" / HOLD
    closed.touch()
    identities = []
    try:
        for number in range(CRASH_MESSAGES):
            identity, data = lab.compose(AMAL, [SALIM], f"Before the crash {lab.run}", f"{number}\r\n".encode())
            sent = await asyncio.to_thread(lab.submit, AMAL, [SALIM], data)
            identities += [identity] if sent.accepted else []
        pids = lab.pids("relay")
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        dead = await until(lambda: not any(map(alive, pids)) or None, 20)
    finally:
        closed.unlink(missing_ok=True)
    early = sum(1 for one in identities if lab.find(SALIM, one))
    back = await until(lambda: (set(lab.pids("relay")) - set(pids) and lab.ready("relay")) or None, 60)
    await lab.command("mail", "queue", "retry", "--all", "--yes", "--config", str(lab.data / "hudhud.toml"))
    arrived = await until(lambda: all(lab.find(SALIM, one) for one in identities) or None, 120)
    count = len(identities) if arrived else sum(1 for one in identities if lab.find(SALIM, one))
    killed = f"{len(pids)} processes killed, {len(identities) - early} messages in the spool"
    return [
        outcome("9 the relay is killed", "supervisor and workers dead", dead and len(identities) > early, killed),
        outcome("", "it comes back", back, "restarted" if back else "not restarted"),
        outcome("", "everything accepted is delivered", arrived, f"{count} of {len(identities)} delivered"),
    ]
