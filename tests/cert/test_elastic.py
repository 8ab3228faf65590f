"""The distributed store keeps the contract of every store, on a real Elasticsearch."""

from __future__ import annotations

import pytest

from cert.cluster import Cluster
from cert.elastic import ElasticStore
from cert.store import Store
from hudhud.clock import VirtualClock
from tests.conformance.store import StoreContract


@pytest.mark.elastic
class TestElasticStore(StoreContract):
    async def make(self, clock: VirtualClock) -> Store:
        url, prefix = self.request.getfixturevalue("elastic_url"), self.request.getfixturevalue("prefix")
        return ElasticStore(Cluster([url], prefix), clock)
