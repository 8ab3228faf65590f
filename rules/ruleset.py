"""A ruleset: everything of one rules release, compiled and ready to be swapped in whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib import resources
from importlib.resources.abc import Traversable

from rules.rule import Kind, Rule
from rules.samples import failures, read_samples
from rules.sigma import CorrelationRule, Matcher, SigmaRule, parse_event_rules
from rules.yara import YaraRules


@dataclass(frozen=True, slots=True)
class Ruleset:
    """One version of all rules. `version` is the release's digest."""

    version: str
    yara: YaraRules
    sigma: tuple[SigmaRule, ...]
    correlations: tuple[CorrelationRule, ...]

    @property
    def rules(self) -> tuple[Rule, ...]:
        """What is known of every rule, by id."""
        found = [*self.yara.rules, *map(_described, self.sigma), *map(_described, self.correlations)]
        return tuple(sorted(found, key=lambda rule: rule.id))

    def without(self, stopped: frozenset[str]) -> Ruleset:
        """The same ruleset deaf to the rule ids in `stopped`. Nothing is compiled again."""
        return replace(
            self,
            yara=self.yara.without(stopped),
            sigma=tuple(rule for rule in self.sigma if rule.id not in stopped),
            correlations=tuple(rule for rule in self.correlations if rule.id not in stopped),
        )


def _described(rule: SigmaRule | CorrelationRule) -> Rule:
    kind: Kind = "sigma" if isinstance(rule, SigmaRule) else "correlation"
    return Rule(
        rule.id, rule.version, kind, rule.title, rule.threat, None, rule.level, rule.file, rule.line, rule.text
    )  # fmt: skip


def compile_ruleset(files: Mapping[str, bytes], version: str) -> Ruleset:
    """`files`: names in the release ("mail/office.yar", "events/held.yml") to bytes.

    The samples that come with them are tried (invariant 8). Raises RuleError(file, line, problem).
    """
    packs = {name: data for name, data in files.items() if name.endswith(".yar")}
    events = {name: data for name, data in files.items() if name.endswith((".yml", ".yaml"))}
    sigma, correlations = parse_event_rules(events)
    ruleset = Ruleset(version, YaraRules(packs, version), sigma, correlations)
    for failure in failures(read_samples(files), ruleset.yara, Matcher(sigma)):
        raise failure
    return ruleset


def library() -> Mapping[str, bytes]:
    """Our own rules as the files of a release: rules and their samples."""
    return dict(_walk(resources.files("rules") / "library", ""))


def _walk(folder: Traversable, prefix: str) -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir():
            found += _walk(entry, f"{prefix}{entry.name}/")
        elif entry.name.endswith((".yar", ".yml", ".toml")):
            found.append((prefix + entry.name, entry.read_bytes()))
    return found
