"""Metrics Insights: `SELECT AVG(x) FROM "ns" WHERE … GROUP BY … ORDER BY … LIMIT n` over the metric store.

Supported: the five functions AVG, COUNT, MAX, MIN, SUM; a plain namespace or SCHEMA(namespace, labels…); WHERE with
`=` and `!=` joined by AND; GROUP BY labels; ORDER BY a function, ASC or DESC; LIMIT.
Source: CloudWatch user guide, "CloudWatch Metrics Insights query components and syntax".
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass

from elba.cloudwatch.buckets import Bucket
from elba.cloudwatch.expressions.parser import ExpressionError
from elba.cloudwatch.expressions.values import Source, TimeSeries, Window
from elba.cloudwatch.metric import Metric
from elba.cloudwatch.series import SeriesEngine
from elba.cloudwatch.statistics import parse_statistic

SERIES_MOST = 500
_STATISTICS = {"AVG": "Average", "COUNT": "SampleCount", "MAX": "Maximum", "MIN": "Minimum", "SUM": "Sum"}
_ORDERS: dict[str, Callable[[list[float]], float]] = {
    "AVG": lambda v: math.fsum(v) / len(v),
    "COUNT": math.fsum,
    "MAX": max,
    "MIN": min,
    "SUM": math.fsum,
}
_TOKEN = re.compile(
    r"""\s*(?:(?P<mark>!=|[(),=])|(?P<quoted>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')|(?P<word>[^\s(),='"!]+))""", re.DOTALL
)

_NAME = re.compile(r"[A-Za-z0-9_.]+", re.ASCII)
"""What a name can hold without quotation marks; the dot is that of `tag.`."""


@dataclass(frozen=True, slots=True)
class Selection:
    """A parsed query. `labels` is the exact set of dimensions if SCHEMA named one."""

    function: str
    metric_name: str
    namespace: str
    labels: frozenset[str] | None
    where: tuple[tuple[str, bool, str], ...]
    group_by: tuple[str, ...]
    order_by: tuple[str, bool] | None
    limit: int


def is_insights(expression: str) -> bool:
    """True for a query and not an expression of metric math."""
    return expression.lstrip()[:7].upper().rstrip() == "SELECT"


class _Parser:
    def __init__(self, source: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        at, end = 0, len(source.rstrip())
        while at < end:
            match = _TOKEN.match(source, at)
            if match is None or match.lastgroup is None:
                raise ExpressionError(f"Unexpected character at position {at} of the query")
            kind, text = match.lastgroup, match[match.lastgroup]
            if kind == "quoted":
                kind = "name" if text[0] == '"' else "value"
                text = re.sub(r"\\(.)", r"\1", text[1:-1], flags=re.DOTALL)
            self._tokens.append((kind, text))
            at = match.end()
        self._next = 0

    def _word(self, *words: str) -> bool:
        here = self._tokens[self._next : self._next + len(words)]
        if [(kind, text.upper()) for kind, text in here] == [("word", word) for word in words]:
            self._next += len(words)
            return True
        return False

    def _mark(self, text: str) -> bool:
        if self._next < len(self._tokens) and self._tokens[self._next] == ("mark", text):
            self._next += 1
            return True
        return False

    def _need(self, found: bool, what: str) -> None:
        if not found:
            raise ExpressionError(f"The query lacks {what}")

    def _take(self, what: str) -> tuple[str, str]:
        if self._next == len(self._tokens) or self._tokens[self._next][0] == "mark":
            raise ExpressionError(f"The query lacks {what}")
        self._next += 1
        return self._tokens[self._next - 1]

    def _name(self) -> str:
        kind, text = self._take("a name")
        if kind == "value" or (kind == "word" and _NAME.fullmatch(text) is None):
            raise ExpressionError(f"The name {text} must be in double quotation marks")
        return text

    def _value(self) -> str:
        kind, text = self._take("a value")
        if kind != "value":
            raise ExpressionError(f"The value {text} must be in single quotation marks")
        return text

    def _function(self) -> str:
        name = self._name().upper()
        if name not in _STATISTICS:
            raise ExpressionError(f"The query's function {name} is not one of {', '.join(_STATISTICS)}")
        self._need(self._mark("("), "'('")
        return name

    def parse(self) -> Selection:
        self._need(self._word("SELECT"), "SELECT")
        function = self._function()
        metric_name = self._name()
        self._need(self._mark(")"), "')'")
        self._need(self._word("FROM"), "FROM")
        labels: frozenset[str] | None = None
        if self._word("SCHEMA"):
            self._need(self._mark("("), "'('")
            names = [self._name()]
            while self._mark(","):
                names.append(self._name())
            self._need(self._mark(")"), "')'")
            namespace, labels = names[0], frozenset(names[1:])
        else:
            namespace = self._name()
        where: list[tuple[str, bool, str]] = []
        if self._word("WHERE"):
            where.append(self._condition())
            while self._word("AND"):
                where.append(self._condition())
        group_by: list[str] = []
        if self._word("GROUP", "BY"):
            group_by.append(self._name())
            while self._mark(","):
                group_by.append(self._name())
        order_by = None
        if self._word("ORDER", "BY"):
            order = self._function()
            self._need(self._mark(")"), "')'")
            descending = self._word("DESC")
            if not descending:
                self._word("ASC")
            order_by = (order, descending)
        limit = SERIES_MOST
        if self._word("LIMIT"):
            kind, text = self._take("a number")
            if kind != "word" or not text.isdecimal() or not 1 <= int(text) <= SERIES_MOST:
                raise ExpressionError(f"LIMIT takes a number from 1 to {SERIES_MOST}")
            limit = int(text)
        if self._next < len(self._tokens):
            raise ExpressionError(f"Unexpected '{self._tokens[self._next][1]}' in the query")
        return Selection(function, metric_name, namespace, labels, tuple(where), tuple(group_by), order_by, limit)

    def _condition(self) -> tuple[str, bool, str]:
        name = self._name()
        equal = self._mark("=")
        self._need(equal or self._mark("!="), "'=' or '!='")
        return name, equal, self._value()


def parse_insights(source: str) -> Selection:
    """The query. Raises: ExpressionError."""
    return _Parser(source).parse()


def _matches(selection: Selection, metric: Metric) -> bool:
    if metric.namespace != selection.namespace or metric.name != selection.metric_name:
        return False
    present = dict(metric.dimensions)
    if selection.labels is not None and len(selection.labels) != len(present):
        return False
    if selection.labels is not None and selection.labels != present.keys():
        return False
    if any(name not in present for name in selection.group_by):
        return False
    return all(name in present and (present[name] == value) == equal for name, equal, value in selection.where)


def is_grouped(source: str) -> bool:
    """True for a query that gives a series for each value of a label. Raises: ExpressionError."""
    return bool(parse_insights(source).group_by)


def select(engine: SeriesEngine, owner: tuple[str, str], source: str, window: Window, period: int) -> list[TimeSeries]:
    """One series for each group. Raises: ExpressionError."""
    return [series for _, series in select_groups(engine, owner, source, window, period)]


def select_groups(
    engine: SeriesEngine, owner: tuple[str, str], source: str, window: Window, period: int
) -> list[tuple[dict[str, str], TimeSeries]]:
    """The labels of each group, and its series. Raises: ExpressionError."""
    selection = parse_insights(source)
    groups: dict[tuple[str, ...], dict[int, Bucket]] = {}
    for metric in engine.metrics(*owner):
        if not _matches(selection, metric):
            continue
        present = dict(metric.dimensions)
        buckets = groups.setdefault(tuple(present[name] for name in selection.group_by), {})
        for series in metric.series.values():
            for bucket in series.buckets(window.grid(period).start, window.end, period, window.origin):
                if (known := buckets.get(bucket.start)) is None:
                    buckets[bucket.start] = bucket
                else:
                    known.merge(bucket)
    statistic = parse_statistic(_STATISTICS[selection.function])
    result = []
    for values, buckets in groups.items():
        points = {t: v for t in sorted(buckets) if (v := statistic.of(buckets[t])) is not None}
        if points:
            labels = dict(zip(selection.group_by, values, strict=True))
            name = " ".join(values) or selection.metric_name
            origin = Source(selection.namespace, selection.metric_name, tuple(sorted(labels.items())), statistic.text)
            result.append((labels, TimeSeries(points, name, period=period, source=origin)))
    if selection.order_by is not None:
        order, descending = _ORDERS[selection.order_by[0]], selection.order_by[1]
        result.sort(key=lambda group: order(list(group[1].values.values())), reverse=descending)
    return result[: selection.limit]
