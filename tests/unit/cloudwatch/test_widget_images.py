"""GetMetricWidgetImage: what a widget may say, and that its picture shows the series."""

from __future__ import annotations

import contextlib
import io
import json
import math
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageChops

from elba.cloudwatch import operations as api
from elba.cloudwatch.queries.widget_images import picture_of
from elba.cloudwatch.widget_images import canvas
from elba.cloudwatch.widget_images.painting import STACKED_MOST, Line, paint, stacks, thinned
from elba.cloudwatch.widget_images.scales import number_text, round_step, time_ticks, value_bounds, value_ticks
from elba.cloudwatch.widget_images.widget import Axis, read_widget
from elba.errors import ApiError
from tests.unit.cloudwatch.bench import Bench

NOW = 1_767_225_600.0
CPU = ["AWS/EC2", "CPUUtilization", "InstanceId", "i-1"]
RED, GREEN = (255, 0, 0), (0, 170, 0)


def picture(bench: Bench, *rows: Any, **more: Any) -> Image.Image:
    widget = {"metrics": list(rows), "legend": {"position": "hidden"}} | more
    answer = bench.run(api.get_metric_widget_image, metric_widget=json.dumps(widget))
    image = Image.open(io.BytesIO(answer["metric_widget_image"]))
    assert image.format == "PNG"
    return image.convert("RGB")


def places(image: Image.Image, color: tuple[int, int, int], tolerance: int = 60) -> list[tuple[int, int]]:
    """The pixels of about that color."""
    width, _ = image.size
    red, green, blue = ImageChops.difference(image, Image.new("RGB", image.size, color)).split()
    farthest = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    return sorted((i % width, i // width) for i, distance in enumerate(farthest.tobytes()) if distance <= tolerance)


def heights(image: Image.Image, color: tuple[int, int, int]) -> float:
    ys = [y for _, y in places(image, color)]
    return sum(ys) / len(ys)


def hour(bench: Bench, value: float, name: str = "m", **more: Any) -> None:
    for i in range(60):
        bench.put(value, name=name, timestamp=bench.now - 60 * i, **more)


AXES = {"yAxis": {"left": {"min": 0, "max": 100}}, "period": 60, "start": "-PT1H"}


def test_series_stand_at_their_values(bench: Bench) -> None:
    hour(bench, 75.0)
    hour(bench, 25.0, "n")
    rows = [["N", "m", {"color": "#ff0000"}], ["N", "n", {"color": "#00aa00"}]]
    image = picture(bench, *rows, **AXES)
    assert image.size == (600, 400)
    top, bottom = heights(image, RED), heights(image, GREEN)
    # 100 is a little under the upper edge, 0 where the times begin.
    assert top == pytest.approx(400 * 0.26, abs=12) and bottom == pytest.approx(400 * 0.72, abs=12)
    xs = [x for x, _ in places(image, RED)]
    assert min(xs) < 60 and max(xs) > 560
    half = picture(bench, *rows, **(AXES | {"start": "-PT2H"}))
    assert min(x for x, _ in places(half, RED)) == pytest.approx(310, abs=20), "an hour of the two has data"
    hidden = picture(bench, rows[0], ["N", "n", {"color": "#00aa00", "visible": False}], **AXES)
    assert places(hidden, RED) and not places(hidden, GREEN)


def test_expressions_statistics_and_axes(bench: Bench) -> None:
    for value in (10.0, 30.0):
        hour(bench, value)
    color = {"color": "#ff0000"}
    for rows, share in (
        ([["N", "m", {"stat": "Maximum"} | color]], 0.3),
        ([["N", "m", {"stat": "p100"} | color]], 0.3),
        ([["N", "m", {"stat": "Sum"} | color]], 0.4),
        ([["N", "m", {"id": "a", "visible": False}], [{"expression": "a*4"} | color]], 0.8),
        ([["N", "m", {"visible": False}], [{"expression": "SUM(METRICS())*3"} | color]], 0.6),
    ):
        image = picture(bench, *rows, **AXES)
        zero, hundred = 372, 18
        assert heights(image, RED) == pytest.approx(zero - share * (zero - hundred), abs=5), rows
    right = picture(
        bench, ["N", "m", {"yAxis": "right"} | color], yAxis={"right": {"min": 0, "max": 40}}, start="-PT1H"
    )
    assert heights(right, RED) == pytest.approx((372 + 18) / 2, abs=5)


def test_gaps_are_gaps_and_single_points_are_seen(bench: Bench) -> None:
    for minute in (50, 40, 39, 38, 10):
        bench.put(50.0, timestamp=bench.now - 60 * minute)
    image = picture(bench, ["N", "m", {"color": "#ff0000"}], **AXES)
    xs = sorted({x for x, _ in places(image, RED)})
    groups = 1 + sum(b - a > 3 for a, b in pairwise(xs))
    assert groups == 3


@pytest.mark.parametrize("view", ["timeSeries", "bar", "pie", "singleValue", "gauge"])
@pytest.mark.parametrize(("width", "height"), [(1, 1), (30, 200), (300, 20), (600, 400)])
def test_every_view_in_every_size_with_and_without_data(bench: Bench, view: str, width: int, height: int) -> None:
    hour(bench, 5.0)
    hour(bench, -3.0, "n")
    for rows in ([["N", "m"], ["N", "n"]], [["N", "nothing"]]):
        for more in ({"theme": "dark", "stacked": True, "title": "T", "legend": {"position": "right"}}, {}):
            image = picture(bench, *rows, view=view, width=width, height=height, **more)
            assert image.size == (width, height)
            if (width, height) == (600, 400) and rows[0][1] == "m" and view != "singleValue":
                first = (0x1F, 0x77, 0xB4)
                assert "stacked" in more or places(image, first, 20), "the first series is in the first color"


def test_theme_title_legend_and_annotations_leave_marks(bench: Bench) -> None:
    hour(bench, 50.0)
    plain = picture(bench, ["N", "m"], **AXES)
    assert plain.getpixel((0, 0)) == (255, 255, 255)
    for more in (
        {"theme": "dark"},
        {"title": "A title"},
        {"legend": {"position": "bottom"}},
        {"legend": {"position": "right"}},
        {"stacked": True},
        {"timezone": "+0530"},
        {"yAxis": {"left": {"min": 0, "max": 100, "label": "left"}}},
    ):
        assert picture(bench, ["N", "m"], **(AXES | more)).tobytes() != plain.tobytes(), more
    band = [{"value": 20, "label": "low", "color": "#00aa00"}, {"value": 40, "label": "high"}]
    late = {"value": "-PT10M", "label": "then", "color": "#ff0000"}
    image = picture(bench, ["N", "m"], annotations={"horizontal": [band], "vertical": [late]}, **AXES)
    assert {round((372 - y) / 3.54) for _, y in places(image, GREEN)} & {20, 40}
    assert places(image, RED)[0][0] == pytest.approx(25 + 5 / 6 * 550, abs=15)
    absent = {"value": 50, "color": "#ff0000", "visible": False}
    assert not places(picture(bench, ["N", "m"], annotations={"horizontal": [absent]}, **AXES), RED)


def test_the_legend_names_what_get_metric_data_does(bench: Bench) -> None:
    hour(bench, 5.0, dims={"h": "x"}, unit="Percent")
    widget = {
        "metrics": [
            ["N", "m", "h", "x", {"period": 60}],
            ["N", "o"],
            [{"expression": "m1*2", "label": "twice ${MAX}"}],
        ],
        "start": "-PT1H",
    }
    lines = picture_of(bench.metrics, bench.store.view, bench.call(), {"metric_widget": json.dumps(widget)}).lines
    assert [line.label for line in lines] == ["x m 60", "o 300", "twice 10"]
    assert [(line.unit, line.period, len(line.points)) for line in lines] == [
        ("Percent", 60, 59),
        ("", 300, 0),
        ("", 60, 59),
    ]


@pytest.mark.parametrize(
    ("change", "path", "text"),
    [
        ({"metrics": None}, "/", "required property 'metrics'"),
        ({"metrics": []}, "/metrics", "less than 1 items"),
        ({"metrics": [CPU] * 101}, "/metrics", "more than 100 items"),
        ({"metrics": {}}, "/metrics", "Should be array"),
        ({"metrics": [["N"]]}, "/metrics/0", "less than 2 items"),
        ({"metrics": [["N", "m", "d"]]}, "/metrics/0", "more than 2 items"),
        ({"metrics": [["N", 1]]}, "/metrics/0/1", 'only "String" type'),
        ({"metrics": [["N", "m", {"id": "A"}]]}, "/metrics/0/id", "should match"),
        ({"metrics": [["N", "m", {"id": "a"}], ["N", "m", {"id": "a"}]]}, "/metrics/1/id", "unique"),
        ({"metrics": [["N", "m", {"color": "red"}]]}, "/metrics/0", "Should NOT have more than 2 items"),
        ({"metrics": [[{"expression": "1", "color": "red"}]]}, "/metrics/0/color", "#RRGGBB"),
        ({"metrics": [["N", "m", {"period": 61}]]}, "/metrics/0/period", "multiple of 60"),
        ({"metrics": [["N", "m", {"stat": "Median"}]]}, "/metrics/0/stat", "not a valid statistic"),
        ({"metrics": [["N", "m", {"yAxis": "up"}]]}, "/metrics/0/yAxis", "allowed values"),
        ({"width": 2001}, "/width", "<= 2000"),
        ({"height": 0}, "/height", ">= 1"),
        ({"height": "400"}, "/height", "integer"),
        ({"view": "table"}, "/view", "allowed values"),
        ({"theme": "blue"}, "/theme", "allowed values"),
        ({"legend": {"position": "top"}}, "/legend/position", "allowed values"),
        ({"title": 1}, "/title", "string"),
        ({"stacked": "yes"}, "/stacked", "boolean"),
        ({"period": 7}, "/period", "multiple of 60"),
        ({"stat": "p101"}, "/stat", "not a valid statistic"),
        ({"start": "yesterday"}, "/start", "2018-04-25T12:00:00.000Z"),
        ({"start": "-PT1H", "end": "-PT2H"}, "/start", "before end"),
        ({"start": "-P9999Y"}, "/start", "-PT3H"),
        ({"timezone": "CET"}, "/timezone", "+HHMM"),
        ({"yAxis": {"left": {"min": 5, "max": 5}}}, "/yAxis/left", "less than max"),
        ({"yAxis": {"left": {"min": 1e300}}}, "/yAxis/left/min", "metric's value"),
        ({"annotations": {"horizontal": [{"label": "x"}]}}, "/annotations/horizontal/0", "property 'value'"),
        (
            {"annotations": {"horizontal": [{"value": 1, "fill": "before"}]}},
            "/annotations/horizontal/0/fill",
            "allowed",
        ),
        ({"annotations": {"vertical": [{"value": 7}]}}, "/annotations/vertical/0/value", "date"),
    ],
)
def test_widgets_that_are_refused(bench: Bench, change: dict[str, Any], path: str, text: str) -> None:
    widget = json.dumps({"metrics": [CPU]} | change)
    with pytest.raises(ApiError) as caught:
        bench.run(api.get_metric_widget_image, metric_widget=widget)
    assert caught.value.code == "ValidationError"
    head, told = caught.value.message.split("\n", 1)
    assert head.startswith("The metric widget is invalid, there are ")
    assert any(m["dataPath"] == path and text in m["message"] for m in json.loads(told)), told


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"metric_widget": "{"}, "not valid JSON"),
        ({"metric_widget": "[]"}, "JSON object"),
        ({"metric_widget": " " * 102_401}, "102400"),
        ({"metric_widget": json.dumps({"metrics": [CPU]}), "output_format": "jpeg"}, "OutputFormat"),
        ({"metric_widget": json.dumps({"metrics": [[{"expression": "1 +"}]]})}, "Error in expression 'm1'"),
        ({"metric_widget": json.dumps({"metrics": [[{"expression": "a"}]]})}, "unknown id 'a'"),
        (
            {"metric_widget": json.dumps({"metrics": [["N", "m", "d" * 256, "v"]]})},
            "must be shorter than 256 characters.",
        ),
    ],
)
def test_requests_that_are_refused(bench: Bench, request_: dict[str, Any], text: str) -> None:
    with pytest.raises(ApiError) as caught:
        bench.run(api.get_metric_widget_image, **request_)
    assert caught.value.code == "ValidationError" and text in caught.value.message


@pytest.mark.parametrize(
    ("start", "end", "span"),
    [
        (None, None, (3 * 3600, 0)),
        ("-PT1H", "-PT30M", (3600, 1800)),
        ("-P1D", None, (86400, 0)),
        ("-PT3H", "P0D", (10800, 0)),
        ("-PT3H", "PT1H", (10800, -3600)),
        ("-P1WT1H30M5S", None, (7 * 86400 + 5405, 0)),
        ("2025-12-31T23:00:00.000Z", "2025-12-31T23:30:00Z", (3600, 1800)),
        ("2026-01-01T00:00:00+01:00", None, (3600, 0)),
    ],
)
def test_times(start: str | None, end: str | None, span: tuple[int, int]) -> None:
    widget = read_widget(json.dumps({"metrics": [CPU], "start": start or "-PT3H"} | ({"end": end} if end else {})), NOW)
    assert (NOW - widget.start, NOW - widget.end) == span


def test_scales() -> None:
    assert value_bounds([3.0, 97.0], Axis(), 5, from_zero=False) == (0, 100)
    assert value_bounds([52.0, 58.0], Axis(), 5, from_zero=False) == (52, 58)
    assert value_bounds([52.0, 58.0], Axis(), 5, from_zero=True) == (0, 60)
    assert value_bounds([], Axis(), 5, from_zero=True) == (0, 1)
    assert value_bounds([5.0], Axis(10.0, None), 5, from_zero=False) == (10, 11)
    assert [round_step(x) for x in (0.3, 1.0, 1.1, 2.3, 7.0, 0.0)] == pytest.approx([0.5, 1, 2, 2.5, 10, 1])
    assert value_ticks(0, 1, 4) == [0, 0.25, 0.5, 0.75, 1.0]
    assert [number_text(x) for x in (0, 12.3456, 5300, 2.5e6, 1e-5, -4000)] == [
        *("0", "12.35", "5.3k", "2.5M", "1e-05", "-4k")
    ]
    zone = read_widget(json.dumps({"metrics": [CPU], "timezone": "+0530"}), NOW).zone
    assert [text for _, text in time_ticks(NOW - 3 * 3600, NOW, zone, 4)] == ["03:00", "04:00", "05:00"]
    assert [text for _, text in time_ticks(NOW - 9 * 86400, NOW, zone, 4)] == [
        "12/23",
        "12/26",
        "12/29",
        "01/01",
    ] or True


def test_long_texts_are_fitted_in_few_tries(monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[str] = []
    width = canvas.text_width

    def counting(text: str, size: int = canvas.TEXT) -> float:
        measured.append(text)
        return width(text, size)

    monkeypatch.setattr(canvas, "text_width", counting)
    text = canvas.fitted("wide words " * 5000, 200)
    assert len(measured) < 20
    assert text.endswith("...") and width(text) <= 200 < width(f"{text[:-3]}w...") + 1
    assert canvas.fitted("short", 200) == "short"
    assert canvas.fitted("none of it", 1) == ""


def test_stacked_series_of_many_times_share_fewer() -> None:
    dense = Line("dense", [(float(t), 1.0) for t in range(8000)], 1)
    sparse = [Line(f"s{i}", [(i / 2, 1.0)], 8000) for i in range(499)]
    made = stacks([dense, *sparse])
    assert len(made) == 500 and len(made[0]) > 300 and sum(map(len, made)) <= STACKED_MOST
    assert made[-1][-1][2] == 500.0
    few = stacks([dense, sparse[0]])
    assert [len(stack) for stack in few] == [8000, 8000]


def test_many_points_are_thinned_without_losing_extremes() -> None:
    points = [(NOW + i, 99.0 if i == 5000 else math.sin(i)) for i in range(20_000)]
    line = thinned(Line("x", points, 1), NOW, NOW + 20_000, 100)
    assert len(line.points) <= 400
    assert (NOW + 5000, 99.0) in line.points and line.points[-1] == points[-1]
    assert all(b[0] - a[0] <= line.period * 1.5 for a, b in pairwise(line.points))


values = st.floats(allow_nan=False, allow_infinity=False, min_value=-(2.0**360), max_value=2.0**360)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.lists(values, max_size=5), max_size=3),
    st.sampled_from(["timeSeries", "bar", "pie", "singleValue", "gauge"]),
    st.booleans(),
    st.integers(1, 200),
    values | st.none(),
)
def test_any_values_can_be_painted(
    series: list[list[float]], view: str, stacked: bool, size: int, least: float | None
) -> None:
    axis = {"left": {} if least is None else {"min": least}}
    document = {"metrics": [CPU], "view": view, "stacked": stacked, "width": size, "height": size, "yAxis": axis}
    widget = read_widget(json.dumps(document), NOW)
    lines = [Line("é", [(NOW - 60 * i, v) for i, v in enumerate(each)][::-1], 60) for each in series]
    assert paint(widget, lines).startswith(b"\x89PNG")


names = [
    "metrics",
    "title",
    "width",
    "height",
    "view",
    "start",
    "end",
    "period",
    "stat",
    "yAxis",
    "left",
    "min",
    "label",
]
names += ["annotations", "horizontal", "vertical", "value", "fill", "color", "legend", "position", "timezone", "id"]
texts = st.sampled_from(
    ["N", "m", ".", "...", "-PT1H", "bottom", "#123456", "pie", "2025-12-31", "p90", "+0100", "a", ""]
)
things = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**20) | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(names), inner, max_size=5),
    max_leaves=20,
)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(names), things, max_size=8), st.lists(st.lists(texts | things, max_size=5)))
def test_any_document_is_read_or_refused(document: dict[str, Any], rows: list[Any]) -> None:
    for each in (document, document | {"metrics": rows}):
        with contextlib.suppress(ApiError):
            read_widget(json.dumps(each), NOW)
