"""kill -9 at seeded moments while mail comes in and goes out: whatever was acknowledged arrives, whole."""

from __future__ import annotations

import asyncio
import os
import random
import re
import sys
from collections import Counter
from pathlib import Path

KILLS = int(os.environ.get("HUDHUD_KILLS", "8"))
CHILD = Path(__file__).with_name("crash_child.py")


async def spawn(folder: Path, port: int, seed: int, count: int) -> asyncio.subprocess.Process:
    command = (sys.executable, str(CHILD), str(folder), str(port), str(seed), str(count))
    return await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)


async def test_what_was_acknowledged_survives_kill_9_and_arrives(sinks, tmp_path, record_property) -> None:
    sink = await sinks(delay=0.002)
    chance = random.Random(20261123)
    acknowledged: set[str] = set()
    for seed in range(KILLS):
        child = await spawn(tmp_path, sink.port, seed, 150)
        assert child.stdout is not None
        last = chance.randint(1, 150)
        for _ in range(last):  # killed after so many were acknowledged, and a little later
            acknowledged.add((await child.stdout.readline()).decode().strip())
        await asyncio.sleep(chance.random() * 0.05)
        child.kill()
        rest = await child.stdout.read()
        acknowledged |= {line for line in rest.decode().split("\n")[:-1] if line != "empty"}
        await child.wait()
    child = await spawn(tmp_path, sink.port, KILLS, 1)
    assert child.stdout is not None
    async with asyncio.timeout(60):
        while (line := (await child.stdout.readline()).decode().strip()) != "empty":
            acknowledged.add(line)
    child.kill()
    await child.communicate()
    acknowledged.discard("")
    acknowledged.discard("empty")
    arrived = Counter(
        token.decode() for m in sink.messages for token in re.findall(rb"^token (\S+) end\r\n", m.content, re.MULTILINE)
    )
    assert not acknowledged - set(arrived), "lost"
    for message in sink.messages:
        assert re.search(rb"\r\n\r\ntoken \S+ end\r\nx+\r\n\Z", message.content), "not whole"
    duplicates = sum(count - 1 for count in arrived.values())
    record_property("acknowledged", len(acknowledged))
    record_property("duplicates", duplicates)
    assert max(arrived.values()) <= KILLS + 1
    assert duplicates <= KILLS * 10  # at most what was under way at a kill (the cap of one next hop)
