"""What the rules commands look at: the live ruleset or the library, files tried against it, rules that are stopped."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from hudhud import codec, event
from hudhud import config as configuration
from hudhud.cli import Problem
from hudhud.settings import Settings
from rules import releasing
from rules.matcher import Matcher
from rules.rule import Rule
from rules.ruleset import Ruleset, compile_ruleset, library
from rules.words import _


def stopped_rules(settings: Settings) -> list[Mapping[str, object]]:
    """The rules that stopped themselves, as the relay's supervisor writes them down."""
    path = settings.path(settings.spool.folder, "stopped.json")
    try:
        found = codec.decode(path.read_bytes())
    except FileNotFoundError:
        return []
    except (OSError, codec.CodecError) as error:
        raise Problem(f"{path}: {error}") from None
    rows = found.get("stopped", found) if isinstance(found, dict) else found
    if isinstance(rows, dict):
        rows = [{"rule": rule, **(why if isinstance(why, dict) else {"why": why})} for rule, why in rows.items()]
    return [one if isinstance(one, dict) else {"rule": one} for one in rows]


def ruleset_of(config: Path, *, own: bool) -> tuple[Ruleset, str]:
    """The live ruleset, or the library where it is asked for or nothing is configured; and what to call it."""
    live = None if own or not config.exists() else releasing.live(configuration.load(config).settings)
    if live is None:
        return compile_ruleset(library(), "library"), _("library")
    return compile_ruleset(live.files, live.digest), _("release {digest}", digest=live.digest[:16])


def matches(path: Path, ruleset: Ruleset, externals: Mapping[str, str | int]) -> Iterator[tuple[str, list[Rule]]]:
    """(place, rules that fit) for a file, or for each event of a .json or .ndjson file."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise Problem(f"{path}: {error.strerror}") from None
    rules = {rule.id: rule for rule in ruleset.rules}
    if path.suffix not in (".json", ".ndjson"):
        hits = ruleset.yara.scan(data, externals={**externals, "extension": path.suffix[1:].lower()})
        yield str(path), [rules[hit.rule] for hit in hits]
        return
    matcher = Matcher(ruleset.sigma)
    for number, line in enumerate(data.splitlines() if path.suffix == ".ndjson" else [data], 1):
        try:
            document = codec.decode(line)
            fields = event.flatten(document)
        except (codec.CodecError, event.EventError, AttributeError) as error:
            raise Problem(f"{path}:{number}: {error}") from None
        yield f"{path}:{number}", [rules[rule.id] for rule in matcher.match(fields)]


def as_json(rule: Rule) -> dict[str, object]:
    """What machines read of a rule."""
    return {
        "id": rule.id, "version": rule.version, "kind": rule.kind, "title": rule.title, "threat": rule.threat,
        "disposition": rule.disposition, "level": rule.level, "file": rule.file, "line": rule.line,
    }  # fmt: skip
