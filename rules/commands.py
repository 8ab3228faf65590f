"""`hudhud rules`: list and show rules, check and try them, publish, roll back, and see which stopped themselves."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from hudhud import config as configuration
from hudhud import event, release
from hudhud.cli import Exit, Problem, err, out, out_json, table
from hudhud.clock import SYSTEM
from hudhud.release import Trust
from rules import looking, releasing
from rules.check import Checked, check
from rules.rule import THREATS
from rules.ruleset import library
from rules.words import _, language

app = App(name="rules", help="Check, test, publish and roll back detection rules.")

CONFIG = Path(configuration.DEFAULT)
FromLibrary = Annotated[bool, Parameter(name="--library", negative=())]
Keys = Annotated[list[Path], Parameter(name="--key", negative=())]


@app.command(name="list")
def list_rules(*, config: Path = CONFIG, own: FromLibrary = False, json: bool = False) -> int:
    """List the live rules, or the library's: those that come with Hudhud.

    Parameters
    ----------
    config
        Where the live release is found; without such a file the library is listed.
    own
        The library, not the live release.
    json
        One JSON object a line.
    """
    ruleset, source = looking.ruleset_of(config, own=own)
    if json:
        for rule in ruleset.rules:
            out_json(looking.as_json(rule))
        return Exit.DONE
    columns = ("id", "version", "kind", "effect", "threat class", "title")
    rows = [(r.id, r.version, r.kind, r.disposition or r.level, r.threat, r.title[language()]) for r in ruleset.rules]
    table(_("{count} rules ({source})", count=len(rows), source=source), columns, rows)
    return Exit.DONE


@app.command
def show(id: str, *, config: Path = CONFIG, own: FromLibrary = False, json: bool = False) -> int:
    """Show one rule: what it is for, what it does, and its source.

    Parameters
    ----------
    id
        The rule's id, for example HY-0101.
    config
        Where the live release is found; without such a file the library is used.
    own
        The library, not the live release.
    json
        One JSON object.
    """
    ruleset, source = looking.ruleset_of(config, own=own)
    found = next((rule for rule in ruleset.rules if rule.id == id), None)
    if found is None:
        raise Problem(_("There is no rule {id} ({source})", id=id, source=source), Exit.NO)
    if json:
        out_json(looking.as_json(found) | {"text": found.text})
        return Exit.DONE
    threat = THREATS.get(found.threat)
    rows = (
        (_("Title"), f"{found.title['ar']} · {found.title['en']}"),
        (_("Version"), found.version),
        (_("Threat class"), f"{threat.ar} · {threat.en} ({threat.name})" if threat else ""),
        (_("Effect"), found.disposition or found.level),
        (_("Place"), f"{found.file}:{found.line}"),
    )
    table(found.id, ("", ""), rows)
    out(found.text)
    return Exit.DONE


@app.command(name="check")
def check_rules(path: Path | None = None, /, *, config: Path = CONFIG, json: bool = False) -> int:
    """Compile, lint and try rules with their samples; every fault is named with file and line.

    Parameters
    ----------
    path
        A folder of rules, or one file; without it, the library.
    config
        Where the live release is found, against which versions must grow.
    json
        One JSON object.
    """
    before = releasing.live(configuration.load(config).settings) if config.exists() else None
    checked = check(releasing.read_files(path) if path else library(), before.files if before else None)
    if json:
        remarks = [{"file": r.file, "line": r.line, "problem": r.problem, "grave": r.grave} for r in checked.remarks]
        count = len(checked.ruleset.rules) if checked.ruleset else 0
        out_json({"good": checked.good, "rules": count, "samples": checked.samples, "remarks": remarks})
    else:
        _tell(checked, str(path or _("library")))
    return Exit.DONE if checked.good else Exit.NO


@app.command(name="test")
def try_files(
    files: list[Path], /, *, config: Path = CONFIG, part: str = "attachment", media_type: str = "", depth: int = 0,
    own: FromLibrary = False, json: bool = False,
) -> int:  # fmt: skip
    """Say which rules match FILES: each as a part of a mail; .json and .ndjson as events. Exit code 1 when none does.

    Parameters
    ----------
    files
        Files to try.
    config
        Where the live release is found; without such a file the library is used.
    part
        What the files would be in a mail: header, body or attachment.
    media_type
        The declared media type.
    depth
        0 for a part of the message, 1 inside an archive or document, and so on.
    own
        The library, not the live release.
    json
        One JSON object a line.
    """
    ruleset, _source = looking.ruleset_of(config, own=own)
    matched = False
    for path in files:
        asked: dict[str, str | int] = {"part": part, "media_type": media_type, "depth": depth, "filename": path.name}
        for place, found in looking.matches(path, ruleset, asked):
            matched = matched or bool(found)
            if json:
                out_json({"file": place, "rules": [looking.as_json(rule) for rule in found]})
            else:
                names = [f"{rule.id} {rule.disposition or rule.level}: {rule.title[language()]}" for rule in found]
                out(f"{place}: " + ("; ".join(names) or _("no rule matches")))
    return Exit.DONE if matched else Exit.NO


@app.command
def publish(
    path: Path | None = None, /, *, key: Keys, note: str, channel: str = "enforce", author: str = "",
    own: FromLibrary = False, config: Path = CONFIG,
) -> int:  # fmt: skip
    """Check rules and make them live, signed with two people's keys.

    Parameters
    ----------
    path
        A folder of rules: the whole of the new release.
    key
        A signing key's file; give as many different ones as the configuration asks for.
    note
        What is new and why.
    channel
        shadow, canary or enforce.
    author
        Whose work it is; without it, the user of this machine.
    own
        Publish the library.
    config
        Says where the releases are and whose keys count.
    """
    if (path is None) is not own:
        raise Problem(_("Give either a folder of rules or --library"))
    settings = configuration.load(config).settings
    keys = releasing.load_keys(key, Trust.of(settings.releases))
    files = releasing.read_files(path) if path else library()
    checked, digest = releasing.publish(
        settings, files, keys, author=author or getpass.getuser(), note=note, channel=channel, now=SYSTEM.now()
    )
    if not digest:
        _tell(checked, str(path or _("library")))
        raise Problem(_("Nothing was published: the rules do not pass the check"), Exit.NO)
    out(_("Live on {channel}: {digest}", channel=channel, digest=digest))
    return Exit.DONE


@app.command
def rollback(
    *, key: Keys, to: str = "", channel: str = "enforce", note: str = "", author: str = "", config: Path = CONFIG
) -> int:
    """Make an earlier release live again: the one before, or the one that --to names.

    Parameters
    ----------
    key
        A signing key's file; give as many different ones as the configuration asks for.
    to
        The digest, or its first 8 characters or more, of a release in `hudhud rules history`.
    channel
        shadow, canary or enforce.
    note
        Why; it goes to the audit record.
    author
        Who acts; without it, the user of this machine.
    config
        Says where the releases are and whose keys count.
    """
    settings = configuration.load(config).settings
    keys = releasing.load_keys(key, Trust.of(settings.releases))
    digest = releasing.roll_back(
        settings, keys, to=to, actor=author or getpass.getuser(), note=note, channel=channel, now=SYSTEM.now()
    )
    out(_("Live on {channel}: {digest}", channel=channel, digest=digest))
    return Exit.DONE


@app.command
def history(*, channel: str = "", config: Path = CONFIG, json: bool = False) -> int:
    """List what was live, newest first.

    Parameters
    ----------
    channel
        Only shadow, canary or enforce.
    config
        Says where the releases are.
    json
        One JSON object a line.
    """
    settings = configuration.load(config).settings
    only = releasing.channel_of(channel) if channel else None
    rows = [
        {
            "serial": one.serial, "channel": one.channel, "digest": one.digest,
            "published": event.format_time(one.published), "signers": list(one.signers),
        }
        for one in reversed(release.history(settings.path(settings.releases.folder), releasing.KIND, only))
    ]  # fmt: skip
    if json:
        for row in rows:
            out_json(row)
        return Exit.DONE
    columns = ("serial", "channel", "digest", "published", "signers")
    shown = [[", ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows]
    table(_("Releases of rules"), columns, shown)
    return Exit.DONE


@app.command
def stopped(*, config: Path = CONFIG, json: bool = False) -> int:
    """List the rules that stopped themselves because they held too much of the mail; exit code 1 when none did.

    Parameters
    ----------
    config
        Says where the relay's data is.
    json
        One JSON object a line.
    """
    settings = configuration.load(config).settings
    rules = looking.stopped_rules(settings)
    if json:
        for rule in rules:
            out_json(rule)
    elif rules:
        names = sorted({name for rule in rules for name in rule})
        table(_("Stopped rules"), names, [[rule.get(name, "") for name in names] for rule in rules])
    else:
        out(_("No rule is stopped"))
    return Exit.DONE if rules else Exit.NO


def _tell(checked: Checked, what: str) -> None:
    """The remarks, then one line that sums up."""
    for remark in checked.remarks:
        err(f"{remark}" if remark.grave else f"{remark} ({_('may be released')})")
    if checked.good and checked.ruleset:
        count = len(checked.ruleset.rules)
        out(_("{what}: right; {rules} rules, {samples} samples", what=what, rules=count, samples=checked.samples))
    else:
        faults = sum(remark.grave for remark in checked.remarks)
        out(_("{what}: {faults} faults", what=what, faults=faults))
