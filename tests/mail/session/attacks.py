"""Hostile sessions, small for the tests and big for measuring: `python tests/mail/session/attacks.py` prints a table.

Each attack talks to a worker in a process of its own, whose memory and CPU are measured, while an honest client sends
one message after the other. `JUDGED` are messages that are taken: what they cost is the content's, not the session's.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

AMAL, NOOR = b"amal@finance.saba.example", b"noor@freemail.example"
HEADER = b"From: <noor@freemail.example>\r\nTo: <amal@finance.saba.example>\r\nSubject: hi\r\n"
BIG, SMALL = 32 * 2**20, 2 * 2**20  # octets of an attack
BLOCK = 65_536
LIMITS = {"messages_per_minute_per_address": 10**9, "connections_per_minute_per_address": 10**9}


@dataclass
class Client:
    """What an attacker holds in hand. Whatever the server does to it is no failure."""

    port: int
    octets: int
    reader: asyncio.StreamReader = field(init=False)
    writer: asyncio.StreamWriter = field(init=False)

    async def open(self) -> Client:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 24)
        await self.reader.readline()
        self.writer.write(b"EHLO bad.example\r\n")
        while (await self.reader.readline())[3:4] == b"-":
            pass
        return self

    async def data(self, recipients: int = 1) -> None:
        """As far as 354."""
        self.writer.write(b"MAIL FROM:<" + NOOR + b">\r\n")
        self.writer.write(b"".join(b"RCPT TO:<" + AMAL + b">\r\n" for _ in range(recipients)) + b"DATA\r\n")
        for _ in range(recipients + 2):
            await self.reader.readline()

    async def flood(self, block: bytes, octets: int | None = None) -> None:
        """The block again and again."""
        times = (octets or self.octets) // len(block) + 1
        for _ in range(times):
            self.writer.write(block)
            await self.writer.drain()

    async def ending(self) -> bytes:
        """The end of the data, and the reply."""
        self.writer.write(b"\r\n.\r\n")
        return await self.reader.readline()


async def endless_command(client: Client) -> None:
    await client.flood(b"x" * BLOCK)


async def endless_line(client: Client) -> None:
    await client.data()
    await client.flood(b"x" * BLOCK)
    await client.ending()


async def empty_lines(client: Client) -> None:
    await client.data()
    await client.flood(b"\r\n" * (BLOCK // 2))
    await client.ending()


async def dots(client: Client) -> None:
    await client.data()
    await client.flood(b"\r\n.." * (BLOCK // 4))
    await client.ending()


async def many_fields(client: Client) -> None:
    await client.data()
    await client.flood(b"".join(b"X-%05d: y\r\n" % n for n in range(5000)))
    await client.ending()


async def one_huge_field(client: Client) -> None:
    await client.data()
    client.writer.write(HEADER)
    await client.flood(b"X-Y: z\r\n" + b" folded and folded\r\n" * 3000)
    await client.ending()


async def many_recipients(client: Client) -> None:
    count = client.octets // 3200  # 10,000 of the big ones
    client.writer.write(b"MAIL FROM:<" + NOOR + b">\r\n")
    for start in range(0, count, 500):
        names = range(start, min(start + 500, count))
        client.writer.write(b"".join(b"RCPT TO:<u%d@finance.saba.example>\r\n" % n for n in names))
        for _ in names:
            if not await client.reader.readline():
                return


async def noops(client: Client) -> None:
    client.writer.write(b"NOOP\r\n" * (client.octets // 3200))
    while await client.reader.readline():
        pass


async def unread_replies(client: Client) -> None:
    client.writer.transport.pause_reading()  # type: ignore[attr-defined]  # a stream's transport has it
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(3):
            await client.flood(b"RSET\r\n" * 10_000, client.octets * 4)


async def slow_drip(client: Client) -> None:
    await client.data()
    for octet in HEADER[:200]:
        client.writer.write(bytes([octet]))
        await client.writer.drain()
        await asyncio.sleep(0.01)


async def nested_parts(client: Client) -> None:
    await client.data()
    depth = min(client.octets, 300_000) // 120
    parts = b"".join(b'Content-Type: multipart/mixed; boundary="b%d"\r\n\r\n--b%d\r\n' % (n, n) for n in range(depth))
    client.writer.write(HEADER + parts + b"\r\nx")
    await client.ending()


async def many_links(client: Client) -> None:
    await client.data()
    client.writer.write(HEADER + b"\r\n")
    await client.flood(b"http://" * 100 + b"\r\n", min(client.octets, 300_000))
    await client.ending()


async def large_text(client: Client) -> None:
    await client.data()
    client.writer.write(HEADER + b"\r\n")
    await client.flood(b"x" * 76 + b"\r\n")
    await client.ending()


async def base64_lines(client: Client) -> None:
    await client.data()
    client.writer.write(HEADER + b"Content-Transfer-Encoding: base64\r\nContent-Type: application/pdf\r\n\r\n")
    await client.flood(b"JVBERi0xLjQKc3RyZWFtCmVuZHN0cmVhbQ==" * 2 + b"\r\n", min(client.octets, 2 * 2**20))
    await client.ending()


ATTACKS: Mapping[str, Callable[[Client], Awaitable[None]]] = {
    attack.__name__: attack
    for attack in (
        *(endless_command, endless_line, empty_lines, dots, many_fields, one_huge_field, many_recipients, noops),
        *(unread_replies, slow_drip, nested_parts, many_links, large_text, base64_lines),
    )
}
JUDGED = frozenset({"nested_parts", "many_links", "large_text", "base64_lines"})


@dataclass(frozen=True)
class Worker:
    """The process that is attacked."""

    pid: int
    port: int

    def memory(self) -> int:
        """Its peak of resident memory, octets."""
        return int(_status(self.pid, "VmHWM")) * 1024

    def forget_peak(self) -> int:
        """Begin a new peak; the resident memory now, octets."""
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")
        return int(_status(self.pid, "VmRSS")) * 1024

    def seconds(self) -> float:
        """CPU that it has used."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _status(pid: int, name: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line.split()[1] for line in lines if line.startswith(name + ":"))


@contextlib.asynccontextmanager
async def worker(folder: Path, **changes: object) -> AsyncIterator[Worker]:
    """A worker in a process of its own."""
    command = [sys.executable, str(Path(__file__).with_name("hostile_child.py")), str(folder)]
    process = await asyncio.create_subprocess_exec(
        *command, json.dumps({**LIMITS, **changes}), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdin is not None
    try:
        ports = json.loads(await process.stdout.readline())
        yield Worker(process.pid, int(ports["mx"]))
    finally:
        process.stdin.close()
        await process.wait()


async def honest(port: int, slowest: list[float]) -> None:
    """Messages of somebody else, until cancelled; the slowest seconds for one."""
    client = await Client(port, 0).open()
    while True:
        started = time.monotonic()
        await client.data()
        client.writer.write(HEADER + b"\r\nHello.")
        reply = await client.ending()
        assert reply.startswith(b"250"), reply
        slowest[0] = max(slowest[0], time.monotonic() - started)
        await asyncio.sleep(0.02)


@dataclass(frozen=True)
class Cost:
    """What an attack cost: octets of memory, seconds of CPU, and the slowest message of somebody else, in seconds."""

    memory: int
    cpu: float
    slowest: float
    took: float


async def attack(name: str, at: Worker, octets: int) -> Cost:
    """One attack beside an honest client, who must get on."""
    slowest = [0.0]
    other = asyncio.create_task(honest(at.port, slowest))
    await asyncio.sleep(0.2)
    before, cpu, started = at.forget_peak(), at.seconds(), time.monotonic()
    client = await Client(at.port, octets).open()
    with contextlib.suppress(ConnectionError):
        await ATTACKS[name](client)
    took = time.monotonic() - started
    await asyncio.sleep(0.1)
    client.writer.transport.abort()
    assert not other.done(), other
    other.cancel()
    return Cost(at.memory() - before, at.seconds() - cpu, slowest[0], took)


async def _table() -> None:
    with tempfile.TemporaryDirectory() as folder:
        async with worker(Path(folder), max_commands=10**6) as at:
            for name in ATTACKS:
                cost = await attack(name, at, BIG)
                sys.stdout.write(
                    f"| {name} | {cost.memory / 2**20:.1f} MiB | {cost.cpu:.2f} s | {cost.slowest * 1000:.0f} ms "
                    f"| {cost.took:.1f} s |\n"
                )


if __name__ == "__main__":
    asyncio.run(_table())
