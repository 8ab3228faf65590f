"""App passwords: made for one program of a person, shown once, revoked alone; and the node's secret for salts.

They are 140 random bits, so that a fast hash with a salt keeps them as well as a slow one.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import secrets
import stat
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from hudhud import durable
from hudhud.keys import KeyProblem
from mail.accounts import App, Row
from mail.proof import scram
from mail.proof.scram import Keys

DAYS: Final = 365  # how long one lasts where nobody says otherwise
MAX_DAYS: Final = 3 * 366
MAX_APPS: Final = 20  # of one account
SECRET_FILE: Final = "login.secret"  # noqa: S105 - the name of the file, in keys/
SECRET: Final = 32  # octets

_ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"  # 32 letters that nobody confuses
_LETTERS: Final = 28


def make(row: Row, label: str, now: datetime, days: int, secret: bytes) -> tuple[App, str]:
    """A fresh app password of the account, and the text that is shown once: seven groups of four letters."""
    letters = "".join(secrets.choice(_ALPHABET) for _ in range(_LETTERS))
    shown = "-".join(letters[n : n + 4] for n in range(0, _LETTERS, 4))
    keys = Keys.make(shown, salt_for(row, secret))
    taken = {one.id for one in row.app}
    number = next(one for one in iter(lambda: secrets.token_hex(3), "") if one not in taken)
    ends = (now + timedelta(days=days)).replace(microsecond=0)
    hashed = _hash(letters, secrets.token_bytes(12))
    app = App(
        id=number, label=label, hash=hashed, scram=str(keys), created=now.replace(microsecond=0), expires=ends
    )  # fmt: skip
    return app, shown


def find(row: Row | None, password: bytes, now: datetime) -> App | None:
    """The app password of the account that this is; blanks, dashes and capitals do not matter."""
    letters = password.decode("utf-8", "replace").replace("-", "").replace(" ", "").lower()
    fits = [app for app in current(row, now) if _fits(app.hash, letters)]
    return fits[0] if fits else None


def current(row: Row | None, now: datetime) -> tuple[App, ...]:
    """The account's app passwords that have not expired."""
    return tuple(app for app in row.app if now < app.expires) if row is not None else ()


def keys_of(row: Row | None, now: datetime, *, main: bool) -> Iterator[tuple[str, Keys]]:
    """The SCRAM keys of the account by the hash that stands beside each: of the main password, of its apps."""
    if row is None:
        return
    pairs = [(row.password, row.scram)] if main else []
    pairs += [(app.hash, app.scram) for app in current(row, now)]
    for beside, text in pairs:
        keys = Keys.parse(text)
        if beside and keys is not None:
            yield beside, keys


def salt_for(row: Row, secret: bytes) -> bytes:
    """The one salt of the account's SCRAM keys."""
    texts = (row.scram, *(app.scram for app in row.app))
    found = next((keys for text in texts if (keys := Keys.parse(text)) is not None), None)
    return found.salt if found is not None else scram.salt_of(secret, row.address)


def login_secret(folder: Path) -> bytes:
    """The node's secret, from which salts of accounts that have none are derived; made where there is none.

    Nodes that answer under one name share this file as they share accounts.toml. KeyProblem, OSError.
    """
    path = folder / SECRET_FILE
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        beside = path.with_name(f".{SECRET_FILE}.{secrets.token_hex(4)}")
        durable.create(beside, secrets.token_bytes(SECRET), mode=durable.PRIVATE)
        with contextlib.suppress(FileExistsError):  # of two that make one, the first counts
            path.hardlink_to(beside)
        beside.unlink()
        durable.sync_folder(folder)
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        raise KeyProblem(path, "is open to others: chmod 600")
    secret = path.read_bytes()
    if len(secret) < SECRET:
        raise KeyProblem(path, f"has less than {SECRET} octets: delete it, and it is made anew")
    return secret


def _hash(letters: str, salt: bytes) -> str:
    digest = hashlib.blake2b(letters.encode(), key=salt, digest_size=32).digest()
    return "$blake2b$" + base64.b64encode(salt).decode() + "$" + base64.b64encode(digest).decode()


def _fits(hashed: str, letters: str) -> bool:
    try:
        salt = base64.b64decode(hashed.split("$")[2], validate=True)
        return hmac.compare_digest(_hash(letters, salt), hashed)
    except (IndexError, ValueError):
        return False
