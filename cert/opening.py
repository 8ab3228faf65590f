"""Opens the store that the settings name; only that one's libraries are loaded."""

from __future__ import annotations

from cert.store import Store
from hudhud.clock import SYSTEM, Clock
from hudhud.settings import Settings


def open_store(settings: Settings, clock: Clock = SYSTEM) -> Store:
    """The store of these settings; call `prepare` before the first write, `close` at the end."""
    store = settings.store
    if store.kind == "sqlite":
        from cert.sqlite import SqliteStore

        return SqliteStore(settings.path(store.folder), clock)
    from cert.cluster import Cluster
    from cert.elastic import ElasticStore

    key = settings.path(store.api_key_file).read_text(encoding="ascii").strip() if store.api_key_file else ""
    ca = str(settings.path(store.ca)) if store.ca else ""
    return ElasticStore(Cluster(store.hosts, store.prefix, ca=ca, api_key=key), clock)
