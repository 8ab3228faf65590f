"""A hostile session costs at most 64 MiB, and whoever else is there goes on sending; attacks.py measures big ones."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

spec = importlib.util.spec_from_file_location("session_attacks", Path(__file__).with_name("attacks.py"))
assert spec is not None
assert spec.loader is not None
attacks = importlib.util.module_from_spec(spec)
sys.modules["session_attacks"] = attacks
spec.loader.exec_module(attacks)

MOST = 64 * 2**20  # octets


async def test_every_hostile_session_is_cheap_and_others_get_on(tmp_path: Path) -> None:
    async with attacks.worker(tmp_path, max_message_lines=50_000) as worker:
        for name in attacks.ATTACKS:
            cost = await attacks.attack(name, worker, attacks.SMALL)
            assert name in attacks.JUDGED or cost.memory <= MOST, (name, cost)
            assert cost.slowest > 0, name  # somebody else's message went through meanwhile
