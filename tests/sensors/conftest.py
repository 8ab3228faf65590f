"""The demo registry, and sensors with and without it."""

from __future__ import annotations

import pytest

from deploy.demo import demo_registry
from hudhud.entity import Registry
from tests.sensors.traffic import Sensor


@pytest.fixture(scope="session")
def registry() -> Registry:
    return demo_registry()


@pytest.fixture
def sensor(registry: Registry) -> Sensor:
    """With the demo registry: privacy and detectors."""
    return Sensor(registry)


@pytest.fixture
def forensic() -> Sensor:
    """Without a registry: everything is told."""
    return Sensor(None)
