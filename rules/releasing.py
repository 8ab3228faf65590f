"""Makes rules live and takes them back: checked, signed by enough people, recorded in the audit chain."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Final

from hudhud import release
from hudhud.audit import Audit
from hudhud.cli import Exit, Problem
from hudhud.keys import KeyProblem, SigningKey
from hudhud.release import Release, ReleaseError, Trust
from hudhud.settings import Settings
from rules.check import Checked, check
from rules.rule import CHANNELS
from rules.words import _

KIND: Final = "rules"
ENDINGS: Final = (".yar", ".yml", ".yaml", ".samples.toml")
_PREFIX: Final = 8  # characters of a digest that are enough to name it


def read_files(path: Path) -> Mapping[str, bytes]:
    """Rule files below a folder by their names in a release, or one file and its samples. Problem: there are none."""
    try:
        if path.is_file():
            beside = path.with_name(path.stem + ".samples.toml")
            return {one.name: one.read_bytes() for one in (path, beside) if one.is_file()}
        chosen = sorted(one for one in path.rglob("*") if one.is_file() and one.name.endswith(ENDINGS))
        files = {one.relative_to(path).as_posix(): one.read_bytes() for one in chosen}
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    if not files:
        raise Problem(_("{path} holds no rules ({endings})", path=path, endings=", ".join(ENDINGS)))
    return files


def live(settings: Settings, channel: str = "enforce") -> Release | None:
    """The live release; None when there never was one. Problem when it is there and cannot be trusted."""
    folder = settings.path(settings.releases.folder)
    if not release.pointer_path(folder, KIND, channel_of(channel)).exists():
        return None
    try:
        return release.load(folder, KIND, Trust.of(settings.releases), channel=channel)
    except ReleaseError as error:
        raise Problem(str(error), Exit.NO) from None


def channel_of(name: str) -> str:
    """The channel, or a Problem that lists them."""
    if name not in CHANNELS:
        raise Problem(_("A channel is one of {names}, not {name}", names=", ".join(CHANNELS), name=name))
    return name


def load_keys(paths: Sequence[Path], trust: Trust) -> list[SigningKey]:
    """The keys of the files, if they are enough different ones that the configuration trusts."""
    try:
        keys = {key.public: key for key in map(SigningKey.load, paths)}
    except KeyProblem as error:
        raise Problem(str(error)) from None
    for key in keys.values():
        if trust.keys.get(key.name) != key.public:
            raise Problem(_("The configuration does not trust the key {name} ([releases.keys])", name=key.name))
    if len(keys) < trust.threshold(KIND):
        needed = trust.threshold(KIND)
        raise Problem(_("Rules need {needed} different signing keys, {given} given", needed=needed, given=len(keys)))
    return list(keys.values())


def publish(
    settings: Settings, files: Mapping[str, bytes], keys: Sequence[SigningKey], *, author: str, note: str,
    channel: str, now: datetime,
) -> tuple[Checked, str]:  # fmt: skip
    """Checks against the live release, writes, signs, points the channel at it. The digest is "" when refused."""
    before = live(settings, channel)
    checked = check(files, before.files if before else None, measure=False)
    if not checked.good:
        return checked, ""
    folder = settings.path(settings.releases.folder)
    digest = release.write(folder, KIND, files, author=author, note=note, now=now, keys=keys)
    _point(settings, digest, keys, before, actor=author, act="publish rules", note=note, channel=channel, now=now)
    return checked, digest


def roll_back(
    settings: Settings, keys: Sequence[SigningKey], *, to: str, actor: str, note: str, channel: str, now: datetime
) -> str:
    """Points the channel at an earlier release: the one before the live one, or that whose digest begins with `to`."""
    before = live(settings, channel)
    digest = earlier(settings, channel, to)
    _point(settings, digest, keys, before, actor=actor, act="roll back rules", note=note, channel=channel, now=now)
    return digest


def earlier(settings: Settings, channel: str, to: str) -> str:
    """The digest that a roll-back goes to. Problem when there is none, or `to` names none or several."""
    pointers = release.history(settings.path(settings.releases.folder), KIND, channel_of(channel))
    digests = list(dict.fromkeys(one.digest for one in reversed(pointers)))
    if to:
        found = [one for one in digests if one.startswith(to)] if len(to) >= _PREFIX else []
        if len(found) != 1:
            raise Problem(_("{to} names {count} releases of the history, it must name one", to=to, count=len(found)))
        return found[0]
    standing: list[str] = []  # what was taken back is not gone back to
    for one in pointers:
        standing = standing[: standing.index(one.digest)] if one.digest in standing else standing
        standing.append(one.digest)
    if len(standing) < 2:
        raise Problem(_("There is no earlier release to go back to"), Exit.NO)
    return standing[-2]


def _point(
    settings: Settings, digest: str, keys: Sequence[SigningKey], before: Release | None, *, actor: str, act: str,
    note: str, channel: str, now: datetime,
) -> None:  # fmt: skip
    """The act is on record before it happens; a failure after it is on record too."""
    path = settings.path("keys", "node.key")
    audit = Audit(settings.path("audit", "rules.chain"), SigningKey.load(path) if path.exists() else keys[0], "rules")
    try:
        was = before.digest if before else None
        audit.record(actor, act, f"{KIND}/{channel}", reason=note, before=was, after=digest, now=now)
        try:
            release.publish(settings.path(settings.releases.folder), KIND, digest, channel=channel, now=now, keys=keys)
        except (ReleaseError, OSError) as error:
            audit.record(actor, f"{act}: failed", f"{KIND}/{channel}", reason=str(error), now=now)
            raise Problem(str(error)) from None
    finally:
        audit.close()
