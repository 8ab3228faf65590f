"""`hudhud registry copy` and `publish`: the live registry and policy as files to edit, and edited ones made live."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

from cyclopts import App, Parameter

from deploy.live_registry import live_files, publish_files
from hudhud import config as configuration
from hudhud import durable
from hudhud.cli import Exit, Problem, out
from hudhud.registry import FILE, parse_registry
from hudhud.settings import Settings
from mail.policy import FILE as POLICY
from mail.policy import compile_policy, parse_policy

CONFIG: Final = Path(configuration.DEFAULT)
LISTS: Final = (".txt", ".cidr")  # prefix lists beside registry.toml

Files = Mapping[str, bytes]


def register(app: App) -> None:
    """Add both to `hudhud registry`."""
    app.command(copy)
    app.command(publish)


def copy(folder: Path, /, *, config: Path = CONFIG) -> int:
    """Write the live registry.toml (with its prefix lists) and policy.toml into FOLDER, to be edited and published.

    Parameters
    ----------
    folder
        Is made where it is missing; files of these names must not be there yet.
    config
        Says where the releases are.
    """
    settings = configuration.load(config).settings
    files = {**live_files(settings, "registry"), **live_files(settings, "policy")}
    there = [name for name in files if (folder / name).exists()]
    if there:
        raise Problem(f"{folder} has {', '.join(there)} already; nothing was written")
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        durable.replace(folder / name, content)
        out(str(folder / name))
    return Exit.DONE


def publish(
    folder: Path,
    /,
    *,
    note: str,
    dry_run: Annotated[bool, Parameter(negative=())] = False,
    config: Path = CONFIG,
) -> int:
    """Check registry.toml and policy.toml of FOLDER, say what is new, and make both live; either may be missing.

    The desk's key signs. Exit code 1 where nothing is new.

    Parameters
    ----------
    folder
        As `hudhud registry copy` writes it.
    note
        Why, for the release's history.
    dry_run
        Only check and say what is new.
    config
        Says where the releases are and whose keys count.
    """
    settings = configuration.load(config).settings
    new, live = _read(folder), {kind: live_files(settings, kind) for kind in ("registry", "policy")}
    wanted = {**live, **new}
    registry = parse_registry(wanted["registry"])
    compile_policy(parse_policy(wanted["policy"]), registry)
    changed = [kind for kind, files in new.items() if dict(files) != dict(live[kind])]
    if not changed:
        out("Nothing is new.")
        return Exit.NO
    for line in _differences(live["registry"], wanted["registry"], live["policy"], wanted["policy"]):
        out(line)
    if dry_run:
        out("Nothing was changed.")
        return Exit.DONE
    _enough_keys(settings, changed)
    for kind in changed:
        publish_files(settings, kind, new[kind], note)
        out(f"Live: {kind}")
    return Exit.DONE


def _read(folder: Path) -> dict[str, Files]:
    found = {one.name: one.read_bytes() for one in folder.iterdir() if one.is_file()} if folder.is_dir() else {}
    kinds: dict[str, Files] = {}
    if FILE in found:
        lists = {name: content for name, content in found.items() if name.endswith(LISTS)}
        kinds["registry"] = {FILE: found[FILE], **lists}
    if POLICY in found:
        kinds["policy"] = {POLICY: found[POLICY]}
    if not kinds:
        raise Problem(f"{folder}: holds neither {FILE} nor {POLICY}; `hudhud registry copy` writes both")
    return kinds


def _enough_keys(settings: Settings, kinds: Sequence[str]) -> None:
    """The desk has one key: where more are asked for, say so before anything is written."""
    for kind in kinds:
        if (asked := settings.releases.thresholds.get(kind, 1)) > 1:
            raise Problem(f"releases.thresholds asks for {asked} keys for {kind}; the desk signs with one")


def _differences(before: Files, after: Files, policy_before: Files, policy_after: Files) -> Iterator[str]:
    """Bodies and policies that are new, other or gone."""
    old, new = parse_registry(before), parse_registry(after)
    yield from _changes("body", old.entities, new.entities)
    yield from _changes("prefix list", *({k: v for k, v in files.items() if k != FILE} for files in (before, after)))
    was, will = parse_policy(policy_before), parse_policy(policy_after)
    yield from _changes("policy of", {"[default]": was.default}, {"[default]": will.default})
    yield from _changes("policy of", was.entities, will.entities)


def _changes(what: str, old: Mapping[str, object], new: Mapping[str, object]) -> Iterator[str]:
    for name in sorted(old.keys() | new.keys()):
        if name not in old:
            yield f"{what} {name}: new"
        elif name not in new:
            yield f"{what} {name}: gone"
        elif old[name] != new[name]:
            yield f"{what} {name}: other"
