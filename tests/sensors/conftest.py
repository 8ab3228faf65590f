"""The demo registry, and sensors with and without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from hudhud.entity import Registry
from hudhud.registry import parse_registry
from tests.sensors.traffic import Sensor


@pytest.fixture(scope="session")
def registry() -> Registry:
    text = Path(__file__).parents[2].joinpath("hudhud", "demo", "registry.toml").read_bytes()
    return parse_registry({"registry.toml": text}, version="demo")


@pytest.fixture
def sensor(registry: Registry) -> Sensor:
    """With the demo registry: privacy and detectors."""
    return Sensor(registry)


@pytest.fixture
def forensic() -> Sensor:
    """Without a registry: everything is told."""
    return Sensor(None)
