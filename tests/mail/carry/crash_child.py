"""Run by test_crash.py as a process of its own, to be killed: accepts messages, says so, dispatches them."""

from __future__ import annotations

import asyncio
import importlib.util
import os
import random
import sys
from pathlib import Path

from hudhud import log
from hudhud.clock import SYSTEM
from hudhud.settings import Delivery, Settings

spec = importlib.util.spec_from_file_location("carry_conftest", Path(__file__).with_name("conftest.py"))
assert spec is not None
assert spec.loader is not None
conftest = importlib.util.module_from_spec(spec)
sys.modules["carry_conftest"] = conftest
spec.loader.exec_module(conftest)


async def main(folder: Path, port: int, seed: int, count: int) -> None:
    settings = Settings(
        delivery=Delivery(first_retry_s=0.2, max_retry_s=0.5), relay=conftest.RELAY, spool=conftest.SPOOL
    )
    house = conftest.House(folder, SYSTEM, settings).open()
    house.dialled["192.0.2.65", 25] = port
    house.start()
    chance = random.Random(seed)
    waits = asyncio.Semaphore(20)

    async def accept(number: int) -> None:
        size = chance.choice((10, 2000, 10_000, 300_000))
        async with waits:
            body = f"token {seed}-{number} end\r\n".encode() + b"x" * size + b"\r\n"
            await house.put("a@interior.saba.example", body=body)
            os.write(1, f"{seed}-{number}\n".encode())  # our 250

    await asyncio.gather(*(accept(number) for number in range(count)))
    while house.spool.database.read("SELECT 1 FROM recipients WHERE state = 'queued' LIMIT 1"):
        await asyncio.sleep(0.02)
    os.write(1, b"empty\n")
    await asyncio.sleep(60)


if __name__ == "__main__":
    log.configure("error")
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
