"""Twelve seeded kills of the relay and six of the pipeline under load: nothing that was acknowledged is lost."""

from pathlib import Path

import pytest

from deploy.soak.kills import kill_relay
from deploy.soak.pipeline import kill_pipeline
from deploy.soak.tally import Line, tally

SEED = 20_261_124


def bad(lines: list[Line]) -> list[str]:
    return [f"{one.what}: {one.figure}" for one in lines if one.good is False]


@pytest.mark.timeout(400)
async def test_twelve_kills_of_the_relay_lose_nothing(tmp_path: Path) -> None:
    lines = await kill_relay(tmp_path, 12, SEED)
    assert not bad(lines)
    assert sum(one.good is True for one in lines) >= 3


@pytest.mark.timeout(300)
async def test_six_kills_of_the_pipeline_change_nothing(tmp_path: Path) -> None:
    lines = await kill_pipeline(tmp_path, 6, SEED)
    assert not bad(lines)
    assert sum(one.good is True for one in lines) >= 4


def test_what_got_250_and_never_came_is_lost() -> None:
    found = tally(["a", "b", "c"], {"a": [1.0], "c": [2.0], "x": [3.0]}, [])
    assert (found.accepted, found.delivered, found.lost, found.unasked) == (3, 2, ("b",), 1)


def test_a_duplicate_is_explained_by_a_kill_between_its_arrivals() -> None:
    arrivals = {"a": [10.0, 15.0], "b": [10.0, 11.0, 20.0], "c": [10.0], "d": [30.0, 31.0], "e": [10.0, 10.01]}
    found = tally(arrivals, arrivals, [10.2, 10.8, 40.0])
    assert found.again["a"] == pytest.approx((0.2,))
    assert found.again["b"] == pytest.approx((0.2, -0.2))
    assert found.unexplained == ("d", "e")
    assert set(found.again) == {"a", "b", "d", "e"}
    assert not found.lost
