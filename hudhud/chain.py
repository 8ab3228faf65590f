"""The form of audit chains, and their check, which stands alone: `python chain.py FILE_OR_FOLDER PUBLIC_KEY_HEX…`.

One record a line, JSON (RFC 8259). Each begins with its number `n` and `previous`, the sha256 of the line before it
(zeros before the first), and ends with `hash`, the sha256 of the line without `hash`. Every so often, at the start and
at the end, a line is a checkpoint: its `signature` (ed25519, hex) is over the line without `signature` and `hash`, and
so over everything before. Beside FILE lies FILE.head, the last checkpoint's line: a chain shorter than it was cut.
What nothing of one chain can show (whole records missing after its last checkpoint, a chain gone or begun anew with its
.head) the others of its folder do: each checkpoint has as `witnesses` where every other chain stood (`verify_all`).
"""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

START = "0" * 64
DOMAIN = b"hudhud audit checkpoint 1\n"
MAX_LINE_BYTES = 1024 * 1024

_HASH = b',"hash":"'
_SIGNATURE = b',"signature":"'


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong and in which line (from 1; 0 = the file as a whole)."""

    line: int
    what: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of a chain: how many records, and the sha256 of the last line."""

    records: int
    digest: str


@dataclass(frozen=True, slots=True)
class Seen:
    """What a checkpoint of another chain witnessed: `by` names it; `head` is the number of the .head, 0 for none."""

    by: str
    records: int
    digest: str
    head: int


def seal(body: dict[str, object], dump: Callable[[object], bytes], sign: Callable[[bytes], bytes] | None) -> bytes:
    """The line of `body` with its hash, without the line feed; with `sign`, it is a checkpoint."""
    core = dump(body)
    if sign is not None:
        core = _with(core, _SIGNATURE, sign(DOMAIN + core).hex())
    return _with(core, _HASH, hashlib.sha256(core).hexdigest())


def verify(path: Path, public: bytes, seen: Sequence[Seen] = ()) -> list[Problem]:
    """Everything wrong with the chain, [] when it is whole; `public` is the raw ed25519 key of its writer.

    `seen` is what other chains witnessed of it; without it the chain is judged alone.
    """
    try:
        signed = _kept(path, public)
    except ValueError as error:
        return [Problem(0, str(error)), *_check(path, public, None, seen)]
    except OSError as error:
        return [Problem(0, f"cannot be read: {error}")]
    return [*_rewound(path, signed, seen), *_check(path, public, signed, seen)]


def verify_all(folder: Path, publics: Sequence[bytes]) -> dict[str, list[Problem]]:
    """Every chain of the folder, those gone of which a .head or a witness is left too, by name; [] where it is whole.

    A chain is whole when it is for one of the keys. What was witnessed is read first: chains may grow meanwhile.
    """
    seen = _witnessed(folder, publics)
    heads = {path.name.removesuffix(".head") for path in folder.glob("*.chain.head")}
    names = sorted({path.name for path in folder.glob("*.chain")} | heads | set(seen))
    return {
        name: min((verify(folder / name, public, seen.get(name, ())) for public in publics), key=len) for name in names
    }


def _witnessed(folder: Path, publics: Sequence[bytes]) -> dict[str, list[Seen]]:
    """What signed checkpoints of the folder say of other chains, by the chain's name; each state once."""
    found: dict[str, dict[tuple[int, str, int], Seen]] = {}
    for path in sorted(folder.glob("*.chain")):
        try:
            for number, raw, _ in _lines(path):
                for name, state in _witnesses(raw, publics):
                    found.setdefault(name, {}).setdefault(state, Seen(f"{path.name}:{number}", *state))
        except OSError:
            continue  # named when that chain itself is verified
    return {name: list(states.values()) for name, states in found.items()}


def _witnesses(raw: bytes, publics: Sequence[bytes]) -> Iterator[tuple[str, tuple[int, str, int]]]:
    if b'"witnesses":' not in raw or (found := _without(raw, _HASH, 64)) is None:
        return
    signed = _without(found[0], _SIGNATURE, 128)
    if signed is None or not any(_verified(public, signed[1], DOMAIN + signed[0]) for public in publics):
        return  # not this node's word: that chain's own check names it
    listed = (_object(signed[0]) or {}).get("witnesses")
    for one in listed if isinstance(listed, list) else ():
        name = str(one["chain"])
        if name == Path(name).name:
            yield name, (int(one["records"]), str(one["digest"]), int(one["head"]))


def _rewound(path: Path, signed: Head | None, seen: Sequence[Seen]) -> Iterator[Problem]:
    latest = max(seen, key=lambda one: one.head, default=None)
    if latest is not None and latest.head > (signed.records if signed else 0):
        how = "is older than it was" if signed else "is gone"
        yield Problem(0, f"{head_path(path).name} {how}: {latest.by} saw it at record {latest.head}")


def _check(path: Path, public: bytes, signed: Head | None, seen: Sequence[Seen]) -> list[Problem]:
    problems: list[Problem] = []
    head = Head(0, START)
    witnessed: dict[int, list[Seen]] = {}
    for one in seen:
        witnessed.setdefault(one.records, []).append(one)
    try:
        for number, raw, ended in _lines(path):
            problems += [Problem(number, what) for what in _wrong(raw, ended, number, head, public)]
            head = Head(number, hashlib.sha256(raw).hexdigest())
            if signed is not None and number == signed.records and head != signed:
                problems.append(Problem(number, f"is not the checkpoint that {head_path(path).name} keeps"))
            others = [one.by for one in witnessed.get(number, ()) if one.digest != head.digest]
            problems += [Problem(number, f"is not the record that {by} saw") for by in others]
    except OSError as error:
        return [*problems, Problem(0, f"cannot be read: {error}"), *_cut(head, seen)]
    if head.records == 0:
        problems.append(Problem(0, "is empty: a chain begins with a checkpoint"))
    if signed is not None and head.records < signed.records:
        problems.append(Problem(head.records, f"is the last, but {signed.records} were signed: the end was cut off"))
    return [*problems, *_cut(head, seen)]


def _cut(head: Head, seen: Sequence[Seen]) -> Iterator[Problem]:
    longest = max(seen, key=lambda one: one.records, default=None)
    if longest is not None and head.records < longest.records:
        yield Problem(head.records, f"is the last, but {longest.by} saw {longest.records}: records were removed")


def head_path(path: Path) -> Path:
    """Where the last checkpoint is kept a second time."""
    return path.with_name(path.name + ".head")


def _with(core: bytes, name: bytes, value: str) -> bytes:
    return core[:-1] + name + value.encode() + b'"}'


def _without(raw: bytes, name: bytes, length: int) -> tuple[bytes, str] | None:
    """The line as it was before `name` was added, and its value."""
    tail = len(name) + length + 2
    middle = raw[-tail:]
    if len(raw) <= tail or not middle.startswith(name) or not middle.endswith(b'"}'):
        return None
    return raw[:-tail] + b"}", middle[len(name) : -2].decode("latin-1")


def _lines(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(MAX_LINE_BYTES):
            number += 1
            yield number, line.removesuffix(b"\n"), line.endswith(b"\n")


def _wrong(raw: bytes, ended: bool, number: int, before: Head, public: bytes) -> Iterator[str]:
    if not ended:
        yield "does not end: the file was cut, or the machine stopped while it was written"
    found = _without(raw, _HASH, 64)
    if found is None or hashlib.sha256(found[0]).hexdigest() != found[1]:
        yield "was changed: it is not what its hash says"
        return
    core = found[0]
    body = _object(core)
    if body is None:
        yield "is no JSON object"
        return
    if body.get("n") != number:
        yield f"has number {body.get('n')}, not {number}: lines were added or removed before it"
    if body.get("previous") != before.digest:
        yield "does not continue the line before it"
    if body.get("kind") == "checkpoint":
        signed = _without(core, _SIGNATURE, 128)
        if signed is None or not _verified(public, signed[1], DOMAIN + signed[0]):
            yield "is a checkpoint without the right signature"
    elif number == 1:
        yield "is no checkpoint: the beginning is missing"


def _object(core: bytes) -> dict[str, object] | None:
    try:
        body = json.loads(core)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


def _kept(path: Path, public: bytes) -> Head | None:
    """The checkpoint kept beside the file, None where it did not come along; ValueError says what is wrong with it."""
    name = head_path(path).name
    try:
        raw = head_path(path).read_bytes()
    except FileNotFoundError:
        return None
    found = _without(raw.removesuffix(b"\n"), _HASH, 64)
    if found is None or not raw.endswith(b"\n") or hashlib.sha256(found[0]).hexdigest() != found[1]:
        raise ValueError(f"{name} was changed: it is not what its hash says")
    signed = _without(found[0], _SIGNATURE, 128)
    if signed is None or not _verified(public, signed[1], DOMAIN + signed[0]):
        raise ValueError(f"{name} is no checkpoint of this writer")
    return Head(int(json.loads(signed[0])["n"]), hashlib.sha256(raw.removesuffix(b"\n")).hexdigest())


def _verified(public: bytes, signature: str, data: bytes) -> bool:
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(bytes.fromhex(signature), data)
    except (InvalidSignature, ValueError):
        return False
    return True


def main(arguments: list[str]) -> int:
    """Exit 0 when every chain is whole, 1 when one is not or none is there, 2 when it was called wrongly."""
    try:
        path, first, *more = arguments
        keys = [bytes.fromhex(key) for key in (first, *more)]
        if Path(path).is_dir():
            found = {str(Path(path, name)): problems for name, problems in verify_all(Path(path), keys).items()}
        else:
            found = {path: min((verify(Path(path), key) for key in keys), key=len)}
    except (ValueError, OSError) as error:
        sys.stderr.write(f"use: chain.py FILE_OR_FOLDER PUBLIC_KEY_HEX… ({error})\n")
        return 2
    for name, problems in found.items():
        for problem in problems:
            sys.stdout.write(f"{name}:{problem.line}: {problem.what}\n")
        if not problems:
            sys.stdout.write(f"{name}: whole\n")
    return 1 if any(found.values()) or not found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
