"""What a correlation asks of its matches, out of pySigma's parsed condition (imported only by rules/sigma.py)."""

from __future__ import annotations

from typing import Any

from rules.eventrule import Compare, Expression
from rules.rule import UnsupportedError


def condition_of(kind: str, condition: Any) -> Compare | Expression:
    """Compare, or for temporal rules an Expression. Raises UnsupportedError."""
    if hasattr(condition, "parsed"):
        if kind == "temporal_ordered":
            raise UnsupportedError("an expression says no order: use a list of rules with temporal_ordered")
        return _expression(condition.parsed)
    fields = condition.fieldref
    names = tuple(fields) if isinstance(fields, list) else (fields,) if fields else ()
    percentile = condition.percentile
    if kind == "value_percentile" and (percentile is None or not 0 <= percentile <= 100):
        raise UnsupportedError("value_percentile wants `percentile` between 0 and 100")
    if len(names) > 1 and kind != "value_count":
        raise UnsupportedError("only value_count takes several fields")
    return Compare(condition.op.name.lower(), condition.count, names, percentile)


def _expression(part: Any) -> Expression:
    if hasattr(part, "reference"):
        return Expression("rule", rule=part.reference)
    inner = tuple(_expression(one) for one in part.args)
    if type(part).__name__ == "CorrelationConditionNOT":
        return Expression("not", inner)
    return Expression("and" if type(part).__name__ == "CorrelationConditionAND" else "or", inner)
