"""What is live on this node: policy and ruleset, compiled from the four kinds of release and swapped whole."""

from __future__ import annotations

import base64
from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Generic, TypeVar

from hudhud import log
from hudhud.entity import Registry
from hudhud.live import Live
from hudhud.registry import parse_registry
from hudhud.release import Trust, pointer_path
from hudhud.settings import Settings
from mail.exempt import Exemption, parse_exemptions
from mail.policy import Document, Policy, PolicyError, compile_policy, parse_policy
from mail.suspend import KIND, Suspension, parse_suspensions

if TYPE_CHECKING:
    from rules.ruleset import Ruleset

T = TypeVar("T")

_log = log.get(__name__)


class FixedRules:
    """A policy and a ruleset that never change: for one judgement from the command line, and for tests."""

    def __init__(self, policy: Policy, ruleset: Ruleset) -> None:
        self.policy = policy
        self.ruleset = ruleset

    def refresh(self) -> bool:
        return False


class Later(Generic[T]):
    """A kind of release that there may be none of yet: `none` until its first one, which has to be good."""

    def __init__(self, pointer: Path, begin: Callable[[], Live[T]], none: T) -> None:
        self._pointer, self._begin, self._none = pointer, begin, none
        self._live: Live[T] | None = None
        self._problem = ""
        self.refresh()

    @property
    def value(self) -> T:
        return self._live.value if self._live is not None else self._none

    def refresh(self) -> bool:
        """True when something was swapped. Never raises."""
        if self._live is not None:
            return self._live.refresh()
        if not self._pointer.exists():
            return False
        try:
            self._live = self._begin()
        except Exception as error:  # as Live itself: whatever a broken release makes its reader raise
            if str(error) != self._problem:
                _log.error("release refused", pointer=str(self._pointer), problem=str(error))
            self._problem = str(error)
        return self._live is not None


class LiveReleases:
    """The releases of a node. A release that does not compile, or does not fit the others, is never live.

    `stopped` are ids of rules that stopped themselves (budget): the ruleset is deaf to them.
    """

    def __init__(
        self,
        registry: Live[Registry],
        policy: Live[Document],
        exemptions: Live[tuple[Exemption, ...]] | None,
        rules: Live[Ruleset],
        suspensions: Later[tuple[Suspension, ...]] | None = None,
    ) -> None:
        """Raises PolicyError where the first policy does not fit the first registry."""
        self._registry, self._policy, self._exemptions, self._rules = registry, policy, exemptions, rules
        self._suspensions = suspensions
        self._stopped: frozenset[str] = frozenset()
        self.problem: str | None = None
        self.ruleset: Ruleset = rules.value
        self.policy: Policy = self._compiled()

    @property
    def stopped(self) -> frozenset[str]:
        return self._stopped

    def stop(self, rules: frozenset[str]) -> None:
        """From now on the ruleset is deaf to exactly these rule ids."""
        if rules != self._stopped:
            self._stopped = rules
            self.ruleset = self._rules.value.without(rules)

    def refresh(self) -> bool:
        """Looks for newer releases; True when something was swapped. Never raises."""
        swapped = self._rules.refresh()
        if swapped:
            self.ruleset = self._rules.value.without(self._stopped)
        fresh = [self._registry.refresh(), self._policy.refresh()]
        if self._exemptions is not None:
            fresh.append(self._exemptions.refresh())
        if self._suspensions is not None:
            fresh.append(self._suspensions.refresh())
        if not any(fresh):
            return swapped
        try:
            self.policy = self._compiled()
        except PolicyError as error:
            self.problem = str(error)
            _log.error("keeping policy", problem=self.problem)
            return swapped
        self.problem = None
        return True

    def _compiled(self) -> Policy:
        exemptions = self._exemptions.value if self._exemptions is not None else ()
        suspensions = self._suspensions.value if self._suspensions is not None else ()
        return compile_policy(self._policy.value, self._registry.value, exemptions, suspensions)


def live_releases(settings: Settings) -> LiveReleases:
    """The releases that `settings.releases` trusts; ReleaseError where no registry, policy or rules ever was good."""
    from rules.ruleset import compile_ruleset

    folder, trust = settings.path(settings.releases.folder), trust_of(settings)

    return LiveReleases(
        Live(folder, "registry", trust, lambda release: parse_registry(release.files, version=release.digest)),
        Live(folder, "policy", trust, lambda release: parse_policy(release.files)),
        Live(folder, "exemptions", trust, lambda release: parse_exemptions(release.files)),
        Live(folder, "rules", trust, lambda release: compile_ruleset(release.files, release.digest)),
        Later(
            pointer_path(folder, KIND),
            lambda: Live(folder, KIND, trust, lambda release: parse_suspensions(release.files)),
            (),
        ),
    )


def trust_of(settings: Settings) -> Trust:
    """Whose signatures count, from the settings."""
    keys = {name: base64.b64decode(text) for name, text in settings.releases.keys.items()}
    return Trust(keys, settings.releases.thresholds)


def demo_rules() -> FixedRules:
    """The demo registry and policy with our own rule library: the default of `hudhud mail judge`."""
    from rules.ruleset import compile_ruleset, library

    demo = resources.files("hudhud") / "demo"
    registry = parse_registry({"registry.toml": (demo / "registry.toml").read_bytes()}, version="demo")
    document = parse_policy({"policy.toml": (demo / "policy.toml").read_bytes()})
    return FixedRules(compile_policy(document, registry), compile_ruleset(library(), "library"))


def demo_zone() -> Path:
    """The demo country's DNS."""
    return Path(str(resources.files("hudhud") / "demo" / "zone.json"))
