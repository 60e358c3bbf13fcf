"""The value of an expression's tree. Pure: where metrics come from is the environment's matter.

Missing points: arithmetic and comparison take one side's missing value as 0 where the other side has a point;
division by zero, and anything else without a finite result, drops the point. Source: CloudWatch user guide.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Protocol

from elba.cloudwatch.expressions.parser import (
    Array,
    Binary,
    ExpressionError,
    Function,
    Name,
    Negation,
    Node,
    Number,
    Text,
)
from elba.cloudwatch.expressions.values import TimeSeries, Value, union


class Environment(Protocol):
    """What an expression can refer to, already brought to one period."""

    @property
    def period(self) -> int:
        """Seconds between points."""

    @property
    def grid(self) -> range:
        """All timestamps of the query, oldest first."""

    def lookup(self, name: str) -> TimeSeries | list[TimeSeries]:
        """A metric's or another expression's series. Raises: ExpressionError."""

    def metrics(self, containing: str) -> list[TimeSeries]:
        """All metric queries of the request whose Id contains the text."""

    def search(self, query: str, statistic: str, period: int) -> list[TimeSeries]:
        """The metrics that a search finds. Raises: ExpressionError."""

    def band(self, series: TimeSeries, deviations: float, node: Node) -> tuple[TimeSeries, TimeSeries]:
        """The anomaly detection band, upper and lower, of what `node` computes. Raises: ExpressionError."""


def _truth(function: Callable[[float, float], bool]) -> Callable[[float, float], float]:
    return lambda a, b: 1.0 if function(a, b) else 0.0


_OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "^": lambda a, b: math.pow(a, b),
    "==": _truth(operator.eq),
    "!=": _truth(operator.ne),
    "<": _truth(operator.lt),
    ">": _truth(operator.gt),
    "<=": _truth(operator.le),
    ">=": _truth(operator.ge),
    "AND": lambda a, b: 1.0 if a and b else 0.0,
    "OR": lambda a, b: 1.0 if a or b else 0.0,
}


def finite(function: Callable[[], float]) -> float | None:
    """The result, or None where there is no finite one."""
    try:
        result = float(function())
    except (ZeroDivisionError, OverflowError, ValueError):
        return None
    return result if math.isfinite(result) else None


def evaluate(node: Node, environment: Environment) -> Value:
    """The value of `node`. Raises: ExpressionError."""
    if isinstance(node, Number):
        return node.value
    if isinstance(node, Text):
        return node.value
    if isinstance(node, Name):
        if node.value[:1].islower():
            return environment.lookup(node.value)
        return node.value
    if isinstance(node, Array):
        result: list[TimeSeries] = []
        for item in node.items:
            value = evaluate(item, environment)
            if isinstance(value, TimeSeries):
                result.append(value)
            elif isinstance(value, list):
                result.extend(value)
            else:
                raise ExpressionError("An array can hold time series only")
        return result
    if isinstance(node, Negation):
        return binary("-", 0.0, evaluate(node.operand, environment))
    if isinstance(node, Binary):
        # Along the left side without recursion: a sum of hundreds of terms is as deep as it is long.
        spine: list[Binary] = []
        first: Node = node
        while isinstance(first, Binary):
            spine.append(first)
            first = first.left
        total = evaluate(first, environment)
        for part in reversed(spine):
            total = binary(part.operator, total, evaluate(part.right, environment))
        return total
    return _call(node, environment)


def binary(name: str, left: Value, right: Value) -> Value:
    """`left` operator `right` for any pair of types but two arrays. Raises: ExpressionError."""
    function = _OPERATORS[name]
    if isinstance(left, str) or isinstance(right, str):
        word = left if isinstance(left, str) else right
        raise ExpressionError(f"'{word}' cannot be an operand of {name}")
    if isinstance(left, list):
        if isinstance(right, list):
            raise ExpressionError(f"The operator {name} cannot be applied to two arrays")
        return [_pair(function, item, right) for item in left]
    if isinstance(right, list):
        return [_pair(function, left, item) for item in right]
    if isinstance(left, TimeSeries):
        return _pair(function, left, right)
    if isinstance(right, TimeSeries):
        return _pair(function, left, right)
    result = finite(lambda: function(left, right))
    if result is None:
        raise ExpressionError(f"The operator {name} has no finite result on these numbers")
    return result


def _pair(function: Callable[[float, float], float], left: TimeSeries | float, right: TimeSeries | float) -> TimeSeries:
    if isinstance(left, TimeSeries):
        pattern = left
        times = union(left, right) if isinstance(right, TimeSeries) else list(left.values)
    elif isinstance(right, TimeSeries):
        pattern = right
        times = list(right.values)
    else:
        raise ExpressionError("At least one operand must be a time series")
    values: dict[int, float] = {}
    for time in times:
        a = left.values.get(time, 0.0) if isinstance(left, TimeSeries) else left
        b = right.values.get(time, 0.0) if isinstance(right, TimeSeries) else right
        try:
            result = function(a, b)
        except (ZeroDivisionError, OverflowError, ValueError):
            continue
        if math.isfinite(result):
            values[time] = result
    return pattern.with_values(values)


def _call(node: Function, environment: Environment) -> Value:
    # Late, because the functions evaluate nothing but need the operators above.
    from elba.cloudwatch.expressions.functions import FUNCTIONS

    found = FUNCTIONS.get(node.name)
    if found is None:
        raise ExpressionError(f"Unsupported function: {node.name}")
    least, most, function = found
    if not least <= len(node.arguments) <= most:
        raise ExpressionError(f"{node.name} takes {least if least == most else f'{least} to {most}'} arguments")
    return function(environment, [evaluate(a, environment) for a in node.arguments], node)
