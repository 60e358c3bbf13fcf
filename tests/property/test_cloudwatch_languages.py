"""The languages of alarms against slow oracles: composite rules and metric math."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elba.cloudwatch.composite import children, holds, parse_rule
from elba.cloudwatch.expressions.evaluator import evaluate
from elba.cloudwatch.expressions.parser import ExpressionError, parse
from elba.cloudwatch.expressions.values import TimeSeries
from tests.property.test_cloudwatch_metrics import Environment

# Composite rules: a text beside the function it should mean.

States = dict[str, str]
Meaning = Callable[[States], bool]
Rule = tuple[str, Meaning]

NAMES = ("a", "b-1", "c d", 'say "x"', "arn:aws:cloudwatch:us-east-1:123456789012:alarm:a")
PLAIN = {NAMES[-1]: "a"}
gaps = st.sampled_from(["", " ", "\n "])


@st.composite
def atoms(draw: st.DrawFn) -> Rule:
    if draw(st.booleans()) and draw(st.booleans()):
        value = draw(st.booleans())
        return ("TRUE" if value else "FALSE"), lambda _: value
    state, name = draw(st.sampled_from(["ALARM", "OK", "INSUFFICIENT_DATA"])), draw(st.sampled_from(NAMES))
    quoted = '"' + name.replace('"', '\\"') + '"'
    written = quoted if " " in name or '"' in name or draw(st.booleans()) else name
    gap = draw(gaps)
    return f"{state}{gap}({gap}{written}{gap})", lambda states: states.get(PLAIN.get(name, name)) == state


def joined(inner: st.SearchStrategy[Rule]) -> st.SearchStrategy[Rule]:
    """Everything inside stands in parentheses, so that precedence is left to `test_not_binds_before_and_before_or`."""

    def combine(parts: list[Rule], word: str) -> Rule:
        together = any if word == "OR" else all
        meanings = [meaning for _, meaning in parts]
        text = f" {word} ".join(f"({part})" for part, _ in parts)
        return text, lambda states: together(meaning(states) for meaning in meanings)

    def negate(part: Rule) -> Rule:
        text, meaning = part
        return f"NOT ({text})", lambda states: not meaning(states)

    some = st.lists(inner, min_size=2, max_size=3)
    return st.one_of(st.builds(combine, some, st.sampled_from(["AND", "OR"])), inner.map(negate))


rules = st.recursive(atoms(), joined, max_leaves=8)
all_states = st.fixed_dictionaries(
    {name: st.sampled_from(["ALARM", "OK", "INSUFFICIENT_DATA"]) for name in NAMES if name not in PLAIN}
)


@settings(max_examples=150)
@given(rules, all_states)
def test_a_rule_means_what_it_says(rule: Rule, states: States) -> None:
    text, meaning = rule
    parsed = parse_rule(text)
    assert holds(parsed, states.get) == meaning(states)
    assert set(children(parsed)) <= set(NAMES)


@given(st.lists(st.tuples(st.booleans(), atoms()), min_size=2, max_size=6), st.data(), all_states)
def test_not_binds_before_and_before_or(parts: list[tuple[bool, Rule]], data: st.DataObject, states: States) -> None:
    words = [data.draw(st.sampled_from(["AND", "OR"])) for _ in parts[1:]]
    texts = [("NOT " if negative else "") + text for negative, (text, _) in parts]
    values = [meaning(states) != negative for negative, (_, meaning) in parts]
    text = texts[0] + "".join(f" {word} {each}" for word, each in zip(words, texts[1:], strict=True))
    groups = [[values[0]]]
    for word, value in zip(words, values[1:], strict=True):
        if word == "OR":
            groups.append([])
        groups[-1].append(value)
    assert holds(parse_rule(text), states.get) == any(all(group) for group in groups)


# Metric math: arithmetic and comparisons on two series with gaps.

GRID = range(0, 300, 60)
numbers = st.integers(-4, 4).map(float)
gappy = st.dictionaries(st.sampled_from(list(GRID)), numbers, max_size=5).map(lambda v: dict(sorted(v.items())))
OPERATORS: dict[str, Callable[[float, float], float]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "<": lambda a, b: float(a < b),
    ">=": lambda a, b: float(a >= b),
    "==": lambda a, b: float(a == b),
    "AND": lambda a, b: float(bool(a) and bool(b)),
    "OR": lambda a, b: float(bool(a) or bool(b)),
}
Points = dict[int, float]
Sum = tuple[str, Callable[[Points, Points], Points | float | None]]


def apply(name: str, left: Points | float | None, right: Points | float | None) -> Points | float | None:
    """None: there is no result. A missing side counts as 0 where the other has a point; no finite result: no point."""
    if left is None or right is None:
        return None
    times = {t for side in (left, right) if isinstance(side, dict) for t in side}

    def at(side: Points | float, time: int) -> float:
        return side.get(time, 0.0) if isinstance(side, dict) else side

    if isinstance(left, float) and isinstance(right, float):
        try:
            return float(OPERATORS[name](left, right))
        except ZeroDivisionError:
            return None
    result: Points = {}
    for time in sorted(times):
        try:
            value = OPERATORS[name](at(left, time), at(right, time))
        except ZeroDivisionError:
            continue
        if math.isfinite(value):
            result[time] = value
    return result


leaves: st.SearchStrategy[Sum] = st.one_of(
    st.just(("m1", lambda m1, m2: m1)),
    st.just(("m2", lambda m1, m2: m2)),
    st.integers(0, 5).map(lambda n: (str(n), lambda m1, m2: float(n))),
)


def sums(inner: st.SearchStrategy[Sum]) -> st.SearchStrategy[Sum]:
    def combine(left: Sum, name: str, right: Sum) -> Sum:
        return (
            f"({left[0]}) {name} ({right[0]})",
            lambda m1, m2: apply(name, left[1](m1, m2), right[1](m1, m2)),
        )

    return st.builds(combine, inner, st.sampled_from(sorted(OPERATORS)), inner)


class Two(Environment):
    grid = GRID

    def __init__(self, m1: Points, m2: Points) -> None:
        self._series = {"m1": m1, "m2": m2}

    def lookup(self, name: str) -> TimeSeries:
        return TimeSeries(self._series[name], name, raw=True)


@settings(max_examples=200)
@given(st.recursive(leaves, sums, max_leaves=8), gappy, gappy)
def test_arithmetic_against_an_oracle(expression: Sum, m1: Points, m2: Points) -> None:
    text, meaning = expression
    expected = meaning(m1, m2)
    try:
        found = evaluate(parse(text), Two(m1, m2))
    except ExpressionError:
        assert expected is None
        return
    if isinstance(found, TimeSeries):
        assert isinstance(expected, dict)
        assert found.values == pytest.approx(expected)
    else:
        assert found == pytest.approx(expected)


@settings(max_examples=200)
@given(st.lists(st.integers(1, 9), min_size=2, max_size=6), st.data())
def test_precedence_is_that_of_arithmetic(terms: list[int], data: st.DataObject) -> None:
    signs = [data.draw(st.sampled_from(["+", "-", "*", "/", "^"])) for _ in terms[1:]]
    powers = sum(sign == "^" for sign in signs)
    text = str(terms[0]) + "".join(f" {sign} {term}" for sign, term in zip(signs, terms[1:], strict=True))
    if powers > 1:
        return  # towers leave the numbers' range
    expected = eval(text.replace("^", "**"))
    assert evaluate(parse(text), Two({}, {})) == pytest.approx(float(expected))
