"""JSON in and out, and the one form of it that is hashed and signed. The kernel's door to msgspec."""

from __future__ import annotations

from typing import Any

import msgspec

_encoder = msgspec.json.Encoder()
_canonical = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder()


class CodecError(ValueError):
    """Bytes that are not JSON (RFC 8259); the message says where."""


def encode(value: object) -> bytes:
    """JSON bytes, UTF-8, without white space."""
    return _encoder.encode(value)


def canonical(value: object) -> bytes:
    """The same value always gives the same bytes (keys sorted), so that they can be hashed and signed."""
    return _canonical.encode(value)


def decode(data: bytes | str) -> Any:  # the caller checks the shape: this is the edge
    """The value of one JSON text; CodecError if it is none."""
    try:
        return _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise CodecError(str(error)) from None
