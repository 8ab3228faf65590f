"""A disk that is really full, and shards whose workers are gone: nothing that was acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import pytest

from hudhud.clock import SYSTEM, VirtualClock
from hudhud.settings import Settings, Spool
from mail.node import orphans
from mail.node.orphans import ABSENT_S, Orphans, wanted
from mail.node.served import Ground
from mail.shelf.room import SpoolFull
from mail.shelf.shard import Shard, is_free, open_shard

INT = ("192.0.2.65", 25)
MiB = 1024 * 1024


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB."""
    if os.getuid() != 0:
        pytest.skip("only root mounts a file system: the full disk was not tried")
    folder = tmp_path / "small"
    folder.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], check=False)
    if done.returncode:
        pytest.skip("no file system can be mounted here: the full disk was not tried")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=False)


@pytest.mark.root
@pytest.mark.parametrize("kept", [2 * MiB, 0], ids=["room is kept", "to the last octet"])
async def test_on_a_full_disk_what_was_taken_goes_out_and_the_rest_is_refused(house, sinks, small_disk, kept) -> None:
    await house.close()
    house.folder = small_disk
    house.settings = msgspec.structs.replace(house.settings, spool=Spool(min_free_bytes=kept))
    house.open()
    taken: list[str] = []
    with contextlib.suppress(SpoolFull):
        for n in range(400):
            size = 100_000 if n % 2 else 400_000  # in the shard and beside it
            taken.append(await house.put("a@interior.saba.example", body=b"x" * 76 + b"\r\n" + b"y" * size + b"\r\n"))
    assert 5 < len(taken) < 400
    if not kept:  # somebody else fills what is left
        with contextlib.suppress(OSError), (small_disk / "other").open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
    hop = await sinks()
    house.dialled[INT] = hop.port
    house.start()
    await asyncio.sleep(0.5)
    (small_disk / "other").unlink(missing_ok=True)
    for one in taken:
        await house.until(one, "delivered", within=20)
    assert (
        len({m.content for m in hop.messages})
        <= len(hop.messages)
        <= len(taken) + house.settings.delivery.max_connections_per_hop
    )
    assert len(house.events()) >= 2 * len(taken)
    await house.until(await house.put("a@interior.saba.example"), "delivered")


@dataclass
class Stub:
    """A shard at work, without a relay around it: its lock and its file are real."""

    shard: Shard
    running: int = 0
    ended: list[int] = field(default_factory=list)

    async def run(self, stop: asyncio.Event) -> None:
        self.running += 1
        await stop.wait()
        self.running -= 1

    def close(self) -> None:
        self.shard.close()


async def test_orphaned_shards_are_adopted_and_given_back(tmp_path: Path, monkeypatch: Any) -> None:
    clock = VirtualClock()

    def serve(ground: Ground, number: int) -> Any:
        return Stub(open_shard(tmp_path, number, bytes(32), SYSTEM))

    monkeypatch.setattr(orphans, "serve", serve)
    for number in range(4):
        open_shard(tmp_path, number, bytes(32), SYSTEM).close()
    settings = msgspec.structs.replace(Settings(), relay=msgspec.structs.replace(Settings().relay, workers=3))
    ground = Ground(settings, clock, None, None, b"", tmp_path, None)  # type: ignore[arg-type]
    mine, alive = serve(ground, 0), serve(ground, 2)
    shards: dict[int, Any] = {0: mine}
    watch, stop = Orphans(ground, 0, shards), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        await watch.sweep(group, stop)
        assert set(shards) == {0, 3}  # there is no fourth worker any more
        await clock.advance(ABSENT_S / 2)
        await watch.sweep(group, stop)
        assert set(shards) == {0, 3}
        await clock.advance(ABSENT_S)
        await watch.sweep(group, stop)
        assert set(shards) == {0, 1, 3}  # worker 1 did not come back; worker 2 lives
        await asyncio.sleep(0)
        assert shards[1].running == 1
        wanted(tmp_path, 1).touch()
        await watch.sweep(group, stop)
        assert set(shards) == {0, 3}
        assert is_free(tmp_path, 1)
        await clock.advance(10 * ABSENT_S)
        await watch.sweep(group, stop)
        assert set(shards) == {0, 3}  # somebody waits for it
        stop.set()
    for one in (*shards.values(), alive):
        one.close()
