"""Alerts, incidents, results and timeline entries as JSON and back; both stores keep them in this form."""

from __future__ import annotations

from typing import Generic, TypeVar

import msgspec

from cert.incident import Entry, Incident
from cert.store import Alert, Results

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class Form(Generic[T]):
    """One kind of record: `read` bytes, `fit` a document that is decoded already."""

    def __init__(self, kind: type[T]) -> None:
        self._kind = kind
        self._decoder = msgspec.json.Decoder(kind)

    def read(self, data: bytes | str) -> T:
        return self._decoder.decode(data)

    def fit(self, document: object) -> T:
        return msgspec.convert(document, self._kind)


ALERT = Form(Alert)
INCIDENT = Form(Incident)
ENTRY = Form(Entry)
RESULTS = Form(Results)


def write(record: Alert | Incident | Entry | Results) -> bytes:
    """The record as JSON, times in RFC 3339."""
    return _encoder.encode(record)


def document(record: Alert | Incident | Entry | Results) -> dict[str, object]:
    """The record as a document of plain values."""
    found = msgspec.to_builtins(record)
    assert isinstance(found, dict)
    return found
