"""The JSON of a metric widget, checked and with all its defaults. Pure.

Source: CloudWatch API reference, "GetMetricWidgetImage: Metric Widget Structure and Syntax".
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import msgspec

from elba.cloudwatch.limits import VALUE_MOST, is_metric_id, validation_error
from elba.cloudwatch.statistics import parse_statistic
from elba.cloudwatch.widgets import COLOR, Message, MetricRow, message, resolve_rows

METRICS_MOST = 100
BODY_MOST_BYTES = 100 * 1024
SIDE_MOST = 2000
PERIODS = frozenset((1, 5, 10, 20, 30, *range(60, 86401, 60)))
TIME_MOST = 253_370_764_800.0
"""The year 9999, less a day: what has a date in every time zone."""
VIEWS = ("timeSeries", "bar", "pie", "singleValue", "gauge")
LEGENDS = ("bottom", "right", "hidden")
THEMES = ("light", "dark")
FILLS = {"horizontal": ("none", "above", "below"), "vertical": ("none", "before", "after")}
_ZONE = re.compile(r"([+-])(\d{2}):?(\d{2})")
_RELATIVE = re.compile(
    r"(-?)P(?:(\d{1,4})Y)?(?:(\d{1,4})M)?(?:(\d{1,4})W)?(?:(\d{1,5})D)?(?:T(?:(\d{1,6})H)?(?:(\d{1,7})M)?(?:(\d{1,8})S)?)?"
)
_UNIT_SECONDS = (365 * 86400, 30 * 86400, 7 * 86400, 86400, 3600, 60, 1)


@dataclass(frozen=True, slots=True)
class Axis:
    """A vertical axis as the widget asks for it; None: found from the data."""

    least: float | None = None
    most: float | None = None
    label: str = ""
    show_units: bool = True


@dataclass(frozen=True, slots=True)
class Edge:
    """A line across the graph at a value, or at a time in epoch seconds."""

    value: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Annotation:
    """One line, or a band between two. `fill` shades one side of a line."""

    edges: tuple[Edge, ...]
    color: str | None = None
    fill: str = "none"
    right: bool = False


@dataclass(frozen=True, slots=True)
class Widget:
    """What to draw. Times are epoch seconds."""

    rows: Sequence[MetricRow]
    queries: Sequence[Mapping[str, Any]]
    start: float
    end: float
    title: str = ""
    width: int = 600
    height: int = 400
    view: str = "timeSeries"
    stacked: bool = False
    dark: bool = False
    legend: str = "bottom"
    zone: timezone = UTC
    region: str | None = None
    left: Axis = field(default_factory=Axis)
    right: Axis = field(default_factory=Axis)
    horizontal: Sequence[Annotation] = ()
    vertical: Sequence[Annotation] = ()


class _Reader:
    """Reads members of the document and notes what is wrong with them."""

    def __init__(self, now: float) -> None:
        self.errors: list[Message] = []
        self.now = now

    def wrong(self, path: str, text: str) -> None:
        self.errors.append(message(path, text))

    def text(self, of: Mapping[str, Any], path: str, name: str) -> str:
        value = of.get(name)
        if value is None or isinstance(value, str):
            return value or ""
        self.wrong(f"{path}/{name}", "Should be string")
        return ""

    def flag(self, of: Mapping[str, Any], path: str, name: str, default: bool) -> bool:
        value = of.get(name)
        if value is None or isinstance(value, bool):
            return default if value is None else value
        self.wrong(f"{path}/{name}", "Should be boolean")
        return default

    def number(self, of: Mapping[str, Any], path: str, name: str) -> float | None:
        value = of.get(name)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.wrong(f"{path}/{name}", "Should be number")
            return None
        if abs(value) > VALUE_MOST:
            self.wrong(f"{path}/{name}", "Should be within what a metric's value can be")
            return None
        return float(value)

    def whole(self, of: Mapping[str, Any], path: str, name: str, default: int, most: int) -> int:
        value = of.get(name)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, int):
            self.wrong(f"{path}/{name}", "Should be integer")
            return default
        if value < 1 or value > most:
            self.wrong(f"{path}/{name}", "Should be >= 1" if value < 1 else f"Should be <= {most}")
            return default
        return value

    def choice(self, of: Mapping[str, Any], path: str, name: str, choices: Sequence[str]) -> str:
        """One of the choices, of which the first is the default."""
        value = of.get(name)
        if value is None:
            return choices[0]
        if value in choices:
            return str(value)
        self.wrong(f"{path}/{name}", f"Should be equal to one of the allowed values: {', '.join(choices)}")
        return choices[0]

    def color(self, of: Mapping[str, Any], path: str) -> str | None:
        value = of.get("color")
        if value is None:
            return None
        if isinstance(value, str) and COLOR.fullmatch(value):
            return value
        self.wrong(f"{path}/color", "Should be a color of the form #RRGGBB")
        return None

    def period(self, of: Mapping[str, Any], path: str, default: int) -> int:
        value = of.get("period")
        if value is None:
            return default
        if isinstance(value, int) and value in PERIODS:
            return value
        self.wrong(f"{path}/period", "Should be 1, 5, 10, 20, 30 or a multiple of 60")
        return default

    def stat(self, of: Mapping[str, Any], path: str, default: str) -> str:
        value = self.text(of, path, "stat")
        try:
            return parse_statistic(value).text if value else default
        except ValueError:
            self.wrong(f"{path}/stat", f"The value {value} is not a valid statistic")
            return default

    def time(self, value: object, path: str) -> float | None:
        """Epoch seconds of `2018-04-25T12:00:00.000Z`, or of `-PT3H` before now (`P0D`: now)."""
        found: float | None = None
        if isinstance(value, str):
            if (match := _RELATIVE.fullmatch(value)) and any(match.groups()[1:]):
                parts = zip(match.groups()[1:], _UNIT_SECONDS, strict=True)
                length = sum(int(count or 0) * seconds for count, seconds in parts)
                found = self.now - length if match[1] else self.now + length
            else:
                with contextlib.suppress(ValueError, OverflowError):
                    moment = datetime.fromisoformat(value)
                    found = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
        if found is not None and 0 <= found <= TIME_MOST:
            return found
        self.wrong(path, "Should be a date of the form 2018-04-25T12:00:00.000Z or a duration of the form -PT3H")
        return None

    def part(self, of: Mapping[str, Any], path: str, name: str) -> Mapping[str, Any]:
        value = of.get(name)
        if value is None or isinstance(value, dict):
            return value or {}
        self.wrong(f"{path}/{name}", "Should be object")
        return {}

    def axis(self, of: Mapping[str, Any], name: str) -> Axis:
        path = f"/yAxis/{name}"
        part = self.part(of, "/yAxis", name)
        least, most = self.number(part, path, "min"), self.number(part, path, "max")
        if least is not None and most is not None and least >= most:
            self.wrong(path, "min should be less than max")
            least = most = None
        return Axis(least, most, self.text(part, path, "label"), self.flag(part, path, "showUnits", True))

    def annotations(self, of: Mapping[str, Any], kind: str) -> list[Annotation]:
        path, given = f"/annotations/{kind}", of.get(kind)
        if given is None:
            return []
        if not isinstance(given, list):
            self.wrong(path, "Should be array")
            return []
        found = (self.annotation(each, f"{path}/{i}", kind) for i, each in enumerate(given))
        return [each for each in found if each is not None]

    def annotation(self, given: object, path: str, kind: str) -> Annotation | None:
        parts: list[Any] = given if isinstance(given, list) else [given]
        if not 1 <= len(parts) <= 2 or not all(isinstance(part, dict) for part in parts):
            self.wrong(path, "Should be object or an array of two objects")
            return None
        edges: list[Edge] = []
        for part in parts:
            if part.get("value") is None:
                self.wrong(path, "Should have required property 'value'")
                return None
            vertical = kind == "vertical"
            value = self.time(part["value"], f"{path}/value") if vertical else self.number(part, path, "value")
            if value is not None:
                edges.append(Edge(value, self.text(part, path, "label")))
        first = parts[0]
        fill = self.choice(first, path, "fill", FILLS[kind])
        right = self.choice(first, path, "yAxis", ("left", "right")) == "right"
        color = self.color(first, path)
        if not self.flag(first, path, "visible", True) or len(edges) < len(parts):
            return None
        return Annotation(tuple(edges), color, fill, right)

    def zone(self, of: Mapping[str, Any]) -> timezone:
        text = self.text(of, "", "timezone")
        match = _ZONE.fullmatch(text or "+0000")
        if match is None or int(match[2]) > 23 or int(match[3]) > 59:
            self.wrong("/timezone", "Should be of the form +HHMM")
            return UTC
        offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
        return timezone(-offset if match[1] == "-" else offset)

    def queries(self, rows: Sequence[MetricRow], period: int, stat: str) -> list[dict[str, Any]]:
        """A MetricDataQuery for each row; those without an Id get one that no other has."""
        given = {row.rendering.get("id") for row in rows if isinstance(row.rendering.get("id"), str)}
        free = (name for i in range(1, 2 * len(rows) + 1) if (name := f"m{i}") not in given)
        result: list[dict[str, Any]] = []
        seen: set[str] = set()
        for i, row in enumerate(rows):
            path, how = f"/metrics/{i}", row.rendering
            id_ = self.text(how, path, "id") or next(free)
            if not is_metric_id(id_) or id_ in seen:
                self.wrong(f"{path}/id", f"The id {id_} should match ^[a-z][a-zA-Z0-9_]*$ and be unique")
            seen.add(id_)
            query: dict[str, Any] = {"id": id_, "return_data": self.flag(how, path, "visible", True)}
            if label := self.text(how, path, "label"):
                query["label"] = label
            if row.fields:
                metric = {"namespace": row.fields[0], "metric_name": row.fields[1], "dimensions": row.dimensions}
                own = {"period": self.period(how, path, period), "stat": self.stat(how, path, stat)}
                query["metric_stat"] = {"metric": metric, **own}
            else:
                query["expression"] = str(how["expression"])
                if how.get("period") is not None:
                    query["period"] = self.period(how, path, period)
                elif "SEARCH" in query["expression"] or query["expression"].lstrip()[:6].upper() == "SELECT":
                    query["period"] = period
            self.color(how, path)
            self.choice(how, path, "yAxis", ("left", "right"))
            result.append(query)
        return result


def read_widget(source: str, now: float) -> Widget:
    """The widget. Raises: ApiError ValidationError, with all that is wrong."""
    if len(source.encode()) > BODY_MOST_BYTES:
        raise validation_error(f"MetricWidget must not be larger than {BODY_MOST_BYTES} bytes.")
    try:
        document: Any = msgspec.json.decode(source)
    except msgspec.DecodeError as error:
        raise validation_error(f"MetricWidget is not valid JSON: {error}.") from None
    if not isinstance(document, dict):
        raise validation_error("MetricWidget must be a JSON object.")
    reader = _Reader(now)
    rows: list[MetricRow] = []
    if document.get("metrics") is None:
        reader.wrong("", "Should have required property 'metrics'")
    else:
        rows, wrong = resolve_rows("/metrics", document["metrics"])
        reader.errors += wrong
        if not wrong and not 1 <= len(rows) <= METRICS_MOST:
            less = f"Should NOT have {'less than 1' if not rows else f'more than {METRICS_MOST}'} items"
            reader.wrong("/metrics", less)
    start = reader.time(document.get("start", "-PT3H"), "/start")
    end = reader.time(document.get("end", "-PT0H"), "/end")
    if start is not None and end is not None and start >= end:
        reader.wrong("/start", "Should be before end")
    y_axis = reader.part(document, "", "yAxis")
    annotations = reader.part(document, "", "annotations")
    period, stat = reader.period(document, "", 300), reader.stat(document, "", "Average")
    widget = Widget(
        rows=rows,
        queries=reader.queries(rows, period, stat),
        start=start or 0.0,
        end=end or 0.0,
        title=reader.text(document, "", "title"),
        width=reader.whole(document, "", "width", 600, SIDE_MOST),
        height=reader.whole(document, "", "height", 400, SIDE_MOST),
        view=reader.choice(document, "", "view", VIEWS),
        stacked=reader.flag(document, "", "stacked", False),
        dark=reader.choice(document, "", "theme", THEMES) == "dark",
        legend=reader.choice(reader.part(document, "", "legend"), "/legend", "position", LEGENDS),
        zone=reader.zone(document),
        region=reader.text(document, "", "region") or None,
        left=reader.axis(y_axis, "left"),
        right=reader.axis(y_axis, "right"),
        horizontal=reader.annotations(annotations, "horizontal"),
        vertical=reader.annotations(annotations, "vertical"),
    )
    if reader.errors:
        listed = [{"dataPath": e["data_path"] or "/", "message": e["message"]} for e in reader.errors]
        told = msgspec.json.format(msgspec.json.encode(listed), indent=2).decode()
        raise validation_error(f"The metric widget is invalid, there are {len(listed)} validation errors:\n{told}")
    return widget
