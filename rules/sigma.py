"""The one door to pySigma: reads Sigma 2.1 rules and correlations into our own values; the unsupported is an error."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypedDict, cast, get_args

from sigma.conditions import ConditionAND, ConditionIdentifier, ConditionNOT, ConditionSelector
from sigma.correlations import SigmaCorrelationRule
from sigma.exceptions import SigmaError
from sigma.modifiers import SigmaEndswithModifier, SigmaExpandModifier, SigmaStartswithModifier
from sigma.policy import SigmaPolicy
from sigma.rule import SigmaDetection
from sigma.rule import SigmaRule as ParsedRule
from sigma.types import (
    Placeholder,
    SigmaBool,
    SigmaCasedString,
    SigmaCIDRExpression,
    SigmaCompareExpression,
    SigmaExists,
    SigmaExpansion,
    SigmaFieldReference,
    SigmaNull,
    SigmaNumber,
    SigmaRegularExpression,
    SigmaString,
    SigmaTimestampPart,
    SpecialChars,
)

from rules import wildcard
from rules.correlation import condition_of
from rules.eventrule import Compare, CorrelationRule, CorrelationType, Expression, LogSource, SigmaRule
from rules.linear import ENGINE
from rules.literal import needed
from rules.logsource import Source, source_of
from rules.matcher import Matcher
from rules.predicate import (
    And,
    CompareName,
    Exists,
    Keyword,
    Network,
    Node,
    Not,
    Number,
    Or,
    Pattern,
    SameAs,
    TimePart,
    Truth,
    field_names,
)
from rules.references import resolve
from rules.rule import LEVELS, THREATS, Level, RuleError, UnsupportedError
from rules.view import EVERYTHING
from rules.yamlfile import Document, documents

__all__ = ["Compare", "CorrelationRule", "Expression", "Matcher", "SigmaRule", "parse_event_rules"]

Names = tuple[str, ...]
_FLAGS: Final = {"IGNORECASE": "i", "MULTILINE": "m", "DOTALL": "s"}
_OUR_KEYS: Final = frozenset({"id", "version", "threat", "title_ar", "alert"})


_POLICY: Final = SigmaPolicy(regex_engine=ENGINE)


class Common(TypedDict):
    """What a rule and a correlation have in common."""

    id: str
    uuid: str
    name: str
    title: Mapping[str, str]
    level: Level
    status: str
    tags: tuple[str, ...]
    version: str
    threat: str
    alerts: bool
    file: str
    line: int
    text: str


def parse_event_rules(files: Mapping[str, bytes]) -> tuple[tuple[SigmaRule, ...], tuple[CorrelationRule, ...]]:
    """Every rule of the files, references resolved. Raises RuleError(file, line, problem) at the first fault."""
    rules: list[SigmaRule] = []
    correlations: list[CorrelationRule] = []
    for file in sorted(files):
        for document in documents(file, files[file]):
            if "correlation" in document.value:
                correlations.append(_correlation(file, document))
            elif "detection" in document.value or "logsource" in document.value:
                rules.append(_rule(file, document))
            else:
                raise RuleError(file, document.line, "neither a rule (detection) nor a correlation")
    return resolve(rules, correlations)


def _common(file: str, document: Document, parsed: Any) -> Common:
    own = document.value.get("hudhud") or {}
    if not isinstance(own, dict) or not set(own) <= _OUR_KEYS:
        raise RuleError(file, document.line_of("hudhud"), f"`hudhud` may hold: {', '.join(sorted(_OUR_KEYS))}")
    threat = str(own.get("threat", ""))
    if threat and threat not in THREATS:
        problem = f"{threat!r} is not in the closed list of threat classes: {', '.join(THREATS)}"
        raise RuleError(file, document.line_of("hudhud", "threat"), problem)
    level = parsed.level.name.lower() if parsed.level else "informational"
    uuid = str(parsed.id or "")
    if not (own.get("id") or uuid):
        raise RuleError(file, document.line, "the rule has no id")
    assert level in LEVELS
    return Common(
        id=str(own.get("id") or uuid),
        uuid=uuid,
        name=str(parsed.name or ""),
        title={"en": str(parsed.title), "ar": str(own.get("title_ar") or parsed.title)},
        level=cast(Level, level),
        status=parsed.status.name.lower() if parsed.status else "",
        tags=tuple(str(tag) for tag in parsed.tags),
        version=str(own.get("version", "0")),
        threat=threat,
        alerts=own.get("alert") is not False,
        file=file,
        line=document.line,
        text=document.text,
    )


def _rule(file: str, document: Document) -> SigmaRule:
    try:
        parsed = ParsedRule.from_dict(dict(document.value), policy=_POLICY)
    except SigmaError as error:
        raise RuleError(file, document.line_of("detection"), _words(error)) from error
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise RuleError(file, document.line, f"not a Sigma rule: {error}") from error
    written = parsed.logsource
    logsource = LogSource(written.category or "", written.product or "", written.service or "")
    source = source_of(logsource)
    if source is None:
        spoken = "/".join(part or "-" for part in (logsource.category, logsource.product, logsource.service))
        problem = f"no events of ours come from the log source category/product/service {spoken}"
        raise RuleError(file, document.line_of("logsource"), problem)
    condition = _condition(file, document, parsed, source)
    common = _common(file, document, parsed)
    return SigmaRule(
        logsource=logsource, datasets=source.datasets, condition=condition, fields=field_names(condition), **common
    )


def _words(error: Exception) -> str:
    return str(error.args[0]) if error.args else type(error).__name__


# --- conditions -------------------------------------------------------------------------------------------------------


def _condition(file: str, document: Document, parsed: Any, source: Source) -> Node:
    detections: dict[str, Node] = {}
    for name, detection in parsed.detection.detections.items():
        try:
            detections[name] = _detection(detection, source)
        except (UnsupportedError, SigmaError, ENGINE.error) as error:
            raise RuleError(file, document.line_of("detection", name), _words(error)) from error
    try:
        trees = [one.parse(postprocess=False) for one in parsed.detection.parsed_condition]
        nodes = [_tree(tree, parsed.detection, detections) for tree in trees]
    except (SigmaError, UnsupportedError, RecursionError) as error:
        raise RuleError(file, document.line_of("detection", "condition"), _words(error)) from error
    return _joined(nodes, all_of=False)


def _joined(nodes: list[Node], *, all_of: bool) -> Node:
    if len(nodes) == 1:
        return nodes[0]
    return And(tuple(nodes)) if all_of else Or(tuple(nodes))


def _tree(tree: Any, whole: Any, detections: Mapping[str, Node]) -> Node:
    if isinstance(tree, ConditionIdentifier):
        if tree.identifier not in detections:
            raise UnsupportedError(f"the condition names {tree.identifier!r}, which is not there")
        return detections[tree.identifier]
    if isinstance(tree, ConditionSelector):
        chosen = [detections[one.identifier] for one in tree.resolve_referenced_detections(whole)]
        if not chosen:
            raise UnsupportedError(f"`{tree.args[0]} of {tree.pattern}` selects nothing")
        return _joined(chosen, all_of=tree.cond_class is ConditionAND)
    parts = [_tree(part, whole, detections) for part in tree.args]
    if isinstance(tree, ConditionNOT):
        return Not(parts[0])
    return _joined(parts, all_of=isinstance(tree, ConditionAND))


def _detection(detection: Any, source: Source) -> Node:
    parts = [
        _detection(item, source) if isinstance(item, SigmaDetection) else _item(item, source)
        for item in detection.detection_items
    ]
    return _joined(parts, all_of=detection.item_linking is ConditionAND)


def _item(item: Any, source: Source) -> Node:
    if SigmaExpandModifier in item.modifiers:
        raise UnsupportedError("the modifier `expand` is not supported: write the values out, or use indicators")

    if item.field:
        names = _names(item.field, source)
        nodes = [_value(names, value, item.modifiers, source) for value in item.value] or [Exists(names, False)]
    else:
        nodes = [_keyword(value, item.modifiers, source) for value in item.value]
        if not nodes:
            raise UnsupportedError("keywords without a word")
    node = _joined(nodes, all_of=item.value_linking is ConditionAND)
    return Not(node) if item.negated else node


def _keyword(value: Any, modifiers: list[Any], source: Source) -> Node:
    """A value without a field: found inside any text of the event."""
    part = _value((EVERYTHING,), value, modifiers, source, anywhere=True)
    texts = [one.lower() for one in value.s if isinstance(one, str)] if isinstance(value, SigmaString) else []
    return Keyword(part, max(texts, key=len, default=""))


def _names(field: str, source: Source) -> Names:
    try:
        return source.names(field)
    except KeyError as error:
        raise UnsupportedError(
            f"the field {field!r} has no ECS name in this log source (rules/logsources.toml)"
        ) from error


def _value(names: Names, value: Any, modifiers: list[Any], source: Source, *, anywhere: bool = False) -> Node:
    """One value of a detection item. `anywhere`: a keyword, found inside any text."""
    if isinstance(value, SigmaExpansion):
        return _joined([_value(names, one, modifiers, source, anywhere=anywhere) for one in value.values], all_of=False)
    if isinstance(value, SigmaString):
        return _text(names, value, anywhere=anywhere)
    if isinstance(value, SigmaRegularExpression):
        return _pattern(names, value, modifiers)
    for kind, make in _MAKE.items():
        if isinstance(value, kind):
            return make(names, value)
    if isinstance(value, SigmaFieldReference):
        return SameAs(names, _names(value.field, source), value.starts_with, value.ends_with)
    raise UnsupportedError(f"values of the type {type(value).__name__} are not supported")


def _compare(names: Names, value: Any) -> Node:
    compare = cast(CompareName, value.op.name.lower())
    if isinstance(value.number, SigmaTimestampPart):
        return TimePart(names, value.number.timestamp_part.name.lower(), compare, value.number.number)
    return Number(names, compare, value.number.number)


_MAKE: Final[Mapping[type, Callable[[Names, Any], Node]]] = {
    SigmaTimestampPart: lambda names, value: TimePart(names, value.timestamp_part.name.lower(), "eq", value.number),
    SigmaNumber: lambda names, value: Number(names, "eq", value.number),
    SigmaBool: lambda names, value: Truth(names, value.boolean),
    SigmaNull: lambda names, value: Exists(names, False),
    SigmaExists: lambda names, value: Exists(names, bool(value)),
    SigmaCIDRExpression: lambda names, value: Network(names, value.network),
    SigmaCompareExpression: _compare,
}


def _text(names: Names, value: Any, *, anywhere: bool) -> Node:
    if any(isinstance(part, Placeholder) for part in value.s):
        raise UnsupportedError("placeholders (%name%) are not supported")
    special = {SpecialChars.WILDCARD_MULTI: wildcard.MANY, SpecialChars.WILDCARD_SINGLE: wildcard.ONE}
    parts = [part if isinstance(part, str) else special[part] for part in value.s]
    cased = isinstance(value, SigmaCasedString)
    return wildcard.node(names, parts, cased=cased, anywhere=anywhere, compile=ENGINE.compile)


def _pattern(names: Names, value: Any, modifiers: list[Any]) -> Node:
    """Sigma's `re` is found anywhere in the text and minds case, unless a modifier says otherwise."""
    letters = "".join(sorted(_FLAGS[flag.name] for flag in value.flags))
    before = r"\A" if SigmaStartswithModifier in modifiers else ""
    after = r"\z" if SigmaEndswithModifier in modifiers else ""
    flags = f"(?{letters})" if letters else ""
    literal = "" if letters else needed(str(value.regexp))
    return Pattern(names, ENGINE.compile(f"{flags}{before}(?:{value.regexp}){after}"), literal)


# --- correlations -----------------------------------------------------------------------------------------------------


def _correlation(file: str, document: Document) -> CorrelationRule:
    try:
        parsed = SigmaCorrelationRule.from_dict(dict(document.value), policy=_POLICY)
    except SigmaError as error:
        raise RuleError(file, document.line_of("correlation"), _words(error)) from error
    except (TypeError, AttributeError, ValueError, KeyError) as error:
        raise RuleError(file, document.line, f"not a Sigma correlation: {error}") from error
    kind = parsed.type.name.lower()
    if kind not in get_args(CorrelationType):
        raise RuleError(file, document.line_of("correlation", "type"), f"the type {kind!r} is not supported")
    try:
        condition = condition_of(kind, parsed.condition)
    except UnsupportedError as error:
        raise RuleError(file, document.line_of("correlation", "condition"), _words(error)) from error
    named = [one.reference for one in parsed.rules] if parsed.rules else parsed.condition.get_referenced_rules()
    return CorrelationRule(
        type=kind,
        rules=tuple(named),
        group_by=tuple(parsed.group_by or ()),
        timespan=timedelta(seconds=parsed.timespan.seconds),
        condition=condition,
        aliases=parsed.aliases.to_dict(),
        generate=parsed.generate,
        **_common(file, document, parsed),
    )
