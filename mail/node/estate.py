"""What a node stands on, for its metrics: when certificates end, what is live since when, how full the disk is."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from hudhud import codec, log
from hudhud.event import parse_time
from hudhud.release import KINDS, pointer_path
from hudhud.settings import Settings

CERTIFICATES: Final = ("relay.pem", "ca.pem")  # in tls/
LOOK_S: Final = 15.0  # seconds that a look counts

_log = log.get(__name__)


class Estate:
    """Looks at files only; blocking, at most once in LOOK_S."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._until, self._seen = 0.0, dict[str, Any]()

    def look(self) -> Mapping[str, Any]:
        """Certificates (name -> end, seconds since 1970), releases (kind -> digest, serial, published), octets."""
        now = time.monotonic()
        if now >= self._until:
            self._until, self._seen = now + LOOK_S, self._look()
        return self._seen

    def _look(self) -> dict[str, Any]:
        settings = self._settings
        folder = settings.path(settings.spool.folder)
        disk = os.statvfs(folder)
        return {
            "certificates": {name: end for name in CERTIFICATES if (end := _end(settings.path("tls", name)))},
            "releases": dict(_releases(settings.path(settings.releases.folder))),
            "bytes": {
                "spool": _octets(folder.glob("*")),
                "bodies": _octets((folder / "bodies").glob("*")),
                "trace": _octets((folder / "trace").glob("*/*")),
                "free": disk.f_bavail * disk.f_frsize,
            },
        }


def _end(path: Path) -> float:
    """When the first certificate of a file ends; 0 where it cannot be read."""
    try:
        return x509.load_pem_x509_certificate(path.read_bytes()).not_valid_after_utc.timestamp()
    except (OSError, ValueError) as error:
        _log.warning("a certificate cannot be read", file=str(path), problem=str(error))
        return 0.0


def _releases(folder: Path) -> Iterable[tuple[str, Mapping[str, Any]]]:
    for kind in KINDS:
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none is live, or none that can be read
            pointer = codec.decode(pointer_path(folder, kind).read_bytes())
            published = parse_time(pointer["published"]).timestamp()
            yield kind, {"digest": str(pointer["digest"]), "serial": int(pointer["serial"]), "published": published}


def _octets(paths: Iterable[Path]) -> int:
    total = 0
    for path in paths:
        with contextlib.suppress(FileNotFoundError):  # a cursor that is being replaced
            total += path.stat().st_size if path.is_file() else 0
    return total
