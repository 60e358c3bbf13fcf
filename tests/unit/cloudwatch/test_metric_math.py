"""Metric math: the spec's vectors and every function."""

from __future__ import annotations

import pytest

from elba.cloudwatch.expressions.evaluator import evaluate
from elba.cloudwatch.expressions.parser import ExpressionError, Node, parse
from elba.cloudwatch.expressions.values import TimeSeries, Value

START = 1_767_225_600
GRID = range(START, START + 300, 60)

Points = list[float | None]


def series(points: Points, label: str = "", raw: bool = True) -> TimeSeries:
    return TimeSeries({t: v for t, v in zip(GRID, points, strict=False) if v is not None}, label, raw, 60)


class Fixed:
    """An environment of given series."""

    period = 60
    grid = GRID

    def __init__(self, given: dict[str, Points]) -> None:
        self._given = {name: series(points, name) for name, points in given.items()}

    def lookup(self, name: str) -> TimeSeries:
        if name not in self._given:
            raise ExpressionError(f"unknown id {name}")
        return self._given[name]

    def metrics(self, containing: str) -> list[TimeSeries]:
        return [s for name, s in self._given.items() if containing in name]

    def search(self, query: str, statistic: str, period: int) -> list[TimeSeries]:
        return [series([1.0, 2.0], f"{query}/{statistic}/{period}")]

    def band(self, of: TimeSeries, deviations: float, node: Node) -> tuple[TimeSeries, TimeSeries]:
        up = {t: v + deviations for t, v in of.values.items()}
        return of.with_values(up), of.with_values({t: v - deviations for t, v in of.values.items()})


def value(expression: str, **given: Points) -> Value:
    return evaluate(parse(expression), Fixed(given))


def points(expression: str, **given: Points) -> Points:
    found = value(expression, **given)
    assert isinstance(found, TimeSeries), found
    assert set(found.values) <= set(GRID)
    length = max((len(p) for p in given.values()), default=5)
    return [found.values.get(t) for t in GRID][:length]


M1: Points = [30, 20, 0, 0]
M2: Points = [20, None, 20, None]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("m1 < m2", [0, 0, 1, 0]),
        ("m1 >= 30", [1, 0, 0, 0]),
        ("m1 > 15 AND m2 > 15", [1, 0, 0, 0]),
        ("m1 > 15 && m2 > 15", [1, 0, 0, 0]),
        ("m1 > 15 OR m2 > 15", [1, 1, 1, 0]),
        ("m1 == 0 || m1 == 30", [1, 0, 1, 1]),
        ("m1 != 0", [1, 1, 0, 0]),
        ("m1 + m2", [50, 20, 20, 0]),
        ("m1 - m2", [10, 20, -20, 0]),
        ("m1 / m2", [1.5, None, 0, None]),
        ("m2 / m1", [20 / 30, 0, None, None]),
        ("m1 * 2 + 1", [61, 41, 1, 1]),
        ("-m1", [-30, -20, 0, 0]),
        ("m1 ^ 2", [900, 400, 0, 0]),
        ("-m1 ^ 2", [-900, -400, 0, 0]),
        ("2 ^ 3 ^ 2 + m1 * 0", [512, 512, 512, 512]),
        ("(1 + 2) * 3 - 4 / 2 + m1 * 0", [7, 7, 7, 7]),
        ("LOG10(m1)", [pytest.approx(1.4771, abs=1e-4), pytest.approx(1.3010, abs=1e-4), None, None]),
    ],
)
def test_operators(expression: str, expected: Points) -> None:
    assert points(expression, m1=M1, m2=M2) == expected


C: Points = [1, 1, 0, 0, None]
A: Points = [30, None, 0, 0, 30]
B: Points = [0, 0, 20, None, 20]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("IF(c, a, b)", [30, 0, 20, None, None]),
        ("IF(c, 5, b)", [5, 5, 20, None, None]),
        ("IF(c, a, 5)", [30, 0, 5, 5, None]),
        ("IF(c, a)", [30, 0, None, None, None]),
        ("IF(1, a, b)", A),
        ("IF(0, a, b)", B),
        ("IF(a > 10, 1, 0)", [1, None, 0, 0, 1]),
    ],
)
def test_if(expression: str, expected: Points) -> None:
    assert points(expression, a=A, b=B, c=C) == expected


GAPS: Points = [None, 1, None, None, 4]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("FILL(g, 0)", [0, 1, 0, 0, 4]),
        ("FILL(g, REPEAT)", [None, 1, 1, 1, 4]),
        ("FILL(g, LINEAR)", [None, 1, 2, 3, 4]),
        ("FILL(g, o)", [9, 1, 9, None, 4]),
        ("FILL(o, AVG(g))", [9, 2.5, 9, 2.5, 2.5]),
        ("ABS(0 - g)", [None, 1, None, None, 4]),
        ("CEIL(g / 3)", [None, 1, None, None, 2]),
        ("FLOOR(g / 3)", [None, 0, None, None, 1]),
        ("LOG(g)", [None, 0, None, None, pytest.approx(1.386, abs=1e-3)]),
        ("DIFF(g)", [None, None, None, None, 3]),
        ("DIFF_TIME(g)", [None, None, None, None, 180]),
        ("RATE(g)", [None, None, None, None, 3 / 180]),
        ("RUNNING_SUM(g)", [None, 1, None, None, 5]),
        ("TIME_SERIES(7)", [7] * 5),
        ("TIME_SERIES(PERIOD(g))", [60] * 5),
        ("TIME_SERIES(AVG(g))", [2.5] * 5),
        ("TIME_SERIES(SUM(g))", [5] * 5),
        ("TIME_SERIES(MIN(g) + MAX(g))", [5] * 5),
        ("TIME_SERIES(STDDEV(g))", [1.5] * 5),
        ("TIME_SERIES(DATAPOINT_COUNT(g))", [2] * 5),
        ("TIME_SERIES(METRIC_COUNT(METRICS()))", [2] * 5),
        ('TIME_SERIES(METRIC_COUNT(METRICS("g")))', [1] * 5),
        ("SUM([g, o])", [9, 1, 9, None, 4]),
        ("SUM(METRICS())", [9, 1, 9, None, 4]),
        ("AVG([g, o])", [4.5, 0.5, 4.5, None, 2]),
        ("MAX([g, o])", [9, 1, 9, None, 4]),
        ("MIN([g, o + 1])", [10, 1, 10, None, 4]),
        ("DATAPOINT_COUNT([g, o])", [1, 1, 1, None, 1]),
        ("FIRST(METRICS())", GAPS),
        ("LAST(METRICS())", [9, None, 9, None, None]),
        ("MINUTE(g)", [0, 1, 2, 3, 4]),
        ("HOUR(g)", [0] * 5),
        ("DAY(g)", [4] * 5),
        ("DATE(g)", [1] * 5),
        ("MONTH(g)", [1] * 5),
        ("YEAR(g)", [2026] * 5),
        ("EPOCH(g)", list(GRID)),
    ],
)
def test_functions(expression: str, expected: Points) -> None:
    assert points(expression, g=GAPS, o=[9, None, 9, None, None]) == expected


def labels(expression: str) -> list[str]:
    found = value(expression, a=[1, 1], b=[3, 3], c=[2, 2], d=[None, None])
    assert isinstance(found, list)
    return [s.label for s in found]


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("METRICS()", ["a", "b", "c", "d"]),
        ("REMOVE_EMPTY(METRICS())", ["a", "b", "c"]),
        ("SLICE(METRICS(), 1)", ["b", "c", "d"]),
        ("SLICE(METRICS(), 1, 3)", ["b", "c"]),
        ("SORT(METRICS(), AVG, DESC)", ["b", "c", "a", "d"]),
        ("SORT(METRICS(), SUM, ASC, 2)", ["a", "c"]),
        ("SORT(REMOVE_EMPTY(METRICS()), MAX, ASC)", ["a", "c", "b"]),
        ("METRICS() * 2", ["a", "b", "c", "d"]),
        ("SEARCH('x', 'Sum', 300)", ["x/Sum/300"]),
    ],
)
def test_arrays(expression: str, expected: list[str]) -> None:
    assert labels(expression) == expected


def test_band() -> None:
    found = value("ANOMALY_DETECTION_BAND(a, 3)", a=[1])
    assert isinstance(found, list)
    assert [list(s.values.values()) for s in found] == [[4.0], [-2.0]]


@pytest.mark.parametrize(
    "expression",
    [
        "",
        "1 +",
        "m1 m2",
        "(m1",
        "m1)",
        "SUM(",
        "SUM(m1,)",
        "[m1",
        "m1 $ 2",
        "'x",
        "1..2 3",
        "((" * 40,
        "-" * 200 + "1",
        "m1 + " * 600,
        "1e999",
    ],
)
def test_not_parsed(expression: str) -> None:
    with pytest.raises(ExpressionError):
        parse(expression)


@pytest.mark.parametrize(
    "expression",
    [
        "nobody",
        "SUM()",
        "SUM(m1, m1)",
        "FILL(m1, UNKNOWN)",
        "PERIOD(m1 + 1)",
        "METRICS() + METRICS()",
        "SORT(METRICS(), MEDIAN, ASC)",
        "SORT(METRICS(), AVG, UP)",
        "SLICE(METRICS(), -1)",
        "m1 + REPEAT",
        "[1, 2]",
        "1 / 0",
        "ANOMALY_DETECTION_BAND(m1, 0)",
        "TIME_SERIES(m1)",
        "INSIGHT_RULE_METRIC('a', 'b')",
    ],
)
def test_not_evaluated(expression: str) -> None:
    with pytest.raises(ExpressionError):
        value(expression, m1=M1, m2=M2)


def test_a_long_sum_is_no_deep_recursion() -> None:
    assert points("+".join(["m1"] * 600), m1=[1]) == [600]


def kind(expression: str) -> str:
    """S, TS or TS[], what the expression gives; - if it is refused."""
    try:
        found = value(expression, a=[1, 2, None, 4], b=[2, None, 3, 4])
    except ExpressionError:
        return "-"
    return "TS[]" if isinstance(found, list) else "TS" if isinstance(found, TimeSeries) else "S"


@pytest.mark.parametrize(
    ("call", "of_number", "of_series", "of_array"),
    [
        *((f"{name}(?)", "S", "TS", "TS[]") for name in ("ABS", "CEIL", "FLOOR", "LOG", "LOG10", "-")),
        *((f"{name}(?)", "-", "S", "TS") for name in ("AVG", "MAX", "MIN", "SUM", "STDDEV", "DATAPOINT_COUNT")),
        *((f"{name}(?)", "-", "TS", "TS[]") for name in ("DIFF", "DIFF_TIME", "RATE", "RUNNING_SUM")),
        *((f"FILL(?, {by})", "-", "TS", "TS[]") for by in ("0", "REPEAT", "LINEAR", "a", "AVG(a)")),
        ("FILL(a, ?)", "TS", "TS", "-"),
        *((f"{name}(?)", "-", "TS", "TS") for name in ("FIRST", "LAST")),
        ("METRIC_COUNT(?)", "-", "S", "S"),
        *((f"{name}(?)", "-", "TS", "-") for name in ("MINUTE", "HOUR", "DAY", "DATE", "MONTH", "YEAR", "EPOCH")),
        ("PERIOD(?)", "-", "S", "-"),
        ("REMOVE_EMPTY(?)", "-", "TS[]", "TS[]"),
        ("SLICE(?, 0)", "-", "TS[]", "TS[]"),
        ("SORT(?, MAX, ASC)", "-", "TS[]", "TS[]"),
        ("TIME_SERIES(?)", "TS", "-", "-"),
        ("ANOMALY_DETECTION_BAND(?)", "-", "TS[]", "-"),
        ("IF(?, a, b)", "TS", "TS", "-"),
        ("IF(a, ?, 1)", "TS", "TS", "-"),
        ("IF(a, 1, ?)", "TS", "TS", "-"),
        ("METRICS(?)", "-", "-", "-"),
        *((f"? {sign} 2", "S", "TS", "TS[]") for sign in ("+", "-", "*", "/", "^", "<", ">=", "==", "AND", "||")),
        *((f"a {sign} ?", "TS", "TS", "TS[]") for sign in ("+", "-", "*", "/", "!=", "OR")),
        *((f"METRICS() {sign} ?", "TS[]", "TS[]", "-") for sign in ("+", "/", "<")),
    ],
)
def test_types(call: str, of_number: str, of_series: str, of_array: str) -> None:
    """What each function makes of a scalar, a time series and an array of them."""
    kinds = [kind(call.replace("?", argument)) for argument in ("5", "b", "[a, b]")]
    assert kinds == [of_number, of_series, of_array]


NOTHING: Points = [None] * 5


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("AVG(n) + TIME_SERIES(1)", [1, 1, 1, 1, 1]),
        ("n + n", NOTHING),
        ("FILL(n, REPEAT)", NOTHING),
        ("FILL(n, LINEAR)", NOTHING),
        ("FILL(n, 3)", [3] * 5),
        ("FILL(n, g)", [None, 1, None, None, 4]),
        ("FILL(FILL(g, LINEAR), REPEAT)", [None, 1, 2, 3, 4]),
        ("DIFF(n)", NOTHING),
        ("RATE(n)", NOTHING),
        ("RUNNING_SUM(n)", NOTHING),
        ("TIME_SERIES(DATAPOINT_COUNT(n))", [0] * 5),
        ("TIME_SERIES(METRIC_COUNT(REMOVE_EMPTY(METRICS())))", [1] * 5),
        ("FIRST(SLICE(METRICS(), 5))", NOTHING),
        ("MINUTE(n)", [0, 1, 2, 3, 4]),
        ("IF(n, 1, 2)", NOTHING),
        ("IF(g > 2, g)", [None, None, None, None, 4]),
        ("IF(g > 2, n, 7)", [None, 7, None, None, 0]),
        ("AVG([g, n])", [None, 0.5, None, None, 2]),
        ("STDDEV([g, g * 3])", [None, 1, None, None, 4]),
        ("MIN([g, n])", [None, 1, None, None, 4]),
        ("SUM(REMOVE_EMPTY([n, n])) + g", [None, 1, None, None, 4]),
        ("g / (g - 1)", [None, None, None, None, 4 / 3]),
        ("g ^ 0.5", [None, 1, None, None, 2]),
        ("(0 - g) ^ 0.5", NOTHING),
        ("g ^ 9999", [None, 1, None, None, None]),
        ("LOG(g - 1)", [None, None, None, None, pytest.approx(1.0986, abs=1e-4)]),
        ("NOTE(g)", None),
        ("sum([g, n])", [None, 1, None, None, 4]),
        ("g and 1", [None, 1, None, None, 1]),
        (".5 * g + 1e0", [None, 1.5, None, None, 3]),
        ("g - -1", [None, 2, None, None, 5]),
        ("2 - 3 - g", [None, -2, None, None, -5]),
        ("g > 0 == 1", [None, 1, None, None, 1]),
        ("g < 2 OR g > 3 AND 0", [None, 1, None, None, 0]),
    ],
)
def test_edges(expression: str, expected: Points | None) -> None:
    """Empty series, gaps, results that are not finite, precedence and spelling."""
    if expected is None:
        assert kind(expression) == "-"
        return
    found = value(expression, g=GAPS, n=NOTHING)
    assert isinstance(found, TimeSeries)
    assert [found.values.get(t) for t in GRID] == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("METRICS() * 10", [[10, 20, None, 40], [20, None, 30, 40]]),
        ("a + METRICS()", [[2, 4, None, 8], [3, 2, 3, 8]]),
        ("METRICS() / a", [[1, 1, None, 1], [2, 0, None, 1]]),
        ("DIFF([a, b])", [[None, 1, None, 2], [None, None, 1, 1]]),
        ("DIFF_TIME([a, b])", [[None, 60, None, 120], [None, None, 120, 60]]),
        ("RATE([a, b])", [[None, 1 / 60, None, 2 / 120], [None, None, 1 / 120, 1 / 60]]),
        ("RUNNING_SUM([a, b])", [[1, 3, None, 7], [2, None, 5, 9]]),
        ("FILL([a, b], 0)", [[1, 2, 0, 4, 0], [2, 0, 3, 4, 0]]),
        ("FILL(METRICS(), REPEAT)", [[1, 2, 2, 4, 4], [2, 2, 3, 4, 4]]),
        ("[a, [b, a]]", [[1, 2, None, 4], [2, None, 3, 4], [1, 2, None, 4]]),
        ("SORT(METRICS(), AVG, DESC)", [[2, None, 3, 4], [1, 2, None, 4]]),
        ("SORT(METRICS(), MIN, ASC, 1)", [[1, 2, None, 4]]),
        ("SLICE(SORT(METRICS(), SUM, DESC), 0, 1)", [[2, None, 3, 4]]),
        ("ANOMALY_DETECTION_BAND(a)", [[3, 4, None, 6], [-1, 0, None, 2]]),
        ("ABS(0 - [a, b])", [[1, 2, None, 4], [2, None, 3, 4]]),
    ],
)
def test_of_each_series_of_an_array(expression: str, expected: list[Points]) -> None:
    found = value(expression, a=[1, 2, None, 4], b=[2, None, 3, 4])
    assert isinstance(found, list)
    length = max(len(each) for each in expected)
    shown = [[each.values.get(t) for t in GRID][:length] for each in found]
    assert shown == [each + [None] * (length - len(each)) for each in expected]
