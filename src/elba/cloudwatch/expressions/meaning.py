"""What an expression computes, whatever its Ids are called: how a detector finds the alarms and queries it is for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from elba.cloudwatch.expressions.parser import (
    Array,
    Binary,
    Function,
    Name,
    Node,
    Number,
    Text,
    metrics_taken,
    parse,
    walk,
)
from elba.cloudwatch.insights import is_insights
from elba.datapoints import dimensions

Meaning = list[object]

DEPTH_MOST = 100


def meaning(queries: Sequence[Mapping[str, Any]], node: Node, depth: int = 0) -> Meaning:
    """Equal for two expressions that compute the same from the same metrics. Raises: ExpressionError."""
    result: Meaning = []
    for each in walk(node):
        if isinstance(each, Name) and each.value[:1].islower():
            result.append(_of_query(queries, each.value, depth))
        elif isinstance(each, Name | Text | Number):
            result.append(each.value)
        elif isinstance(each, Function):
            result.append([each.name, len(each.arguments)])
            if each.name == "METRICS":
                taken = [
                    _of_query(queries, query["id"], depth)
                    for query in queries
                    if query.get("metric_stat") is not None and any(c in query["id"] for c in metrics_taken(each))
                ]
                result.append(taken)
        else:
            sign: object = "-"
            if isinstance(each, Binary):
                sign = each.operator
            elif isinstance(each, Array):
                sign = len(each.items)
            result.append(sign)
    return result


def _of_query(queries: Sequence[Mapping[str, Any]], id_: str, depth: int) -> Meaning:
    query = next((query for query in queries if query["id"] == id_), None)
    if query is None or depth > DEPTH_MOST:
        return ["?", id_]
    stat = query.get("metric_stat")
    if stat is not None:
        metric = stat["metric"]
        pairs = dimensions({d["name"]: d["value"] for d in metric.get("dimensions") or ()})
        return [metric.get("namespace"), metric.get("metric_name"), pairs, stat["stat"], stat.get("unit")]
    expression = query["expression"]
    return [expression] if is_insights(expression) else meaning(queries, parse(expression), depth + 1)
