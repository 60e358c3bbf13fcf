"""A chart as a PNG. Reads no clock and no store; needs Pillow, which is loaded when the first image is asked for."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from operator import itemgetter

from elba.cloudwatch.widget_images.canvas import (
    DARK,
    LIGHT,
    SMALL,
    TEXT,
    TITLE,
    Box,
    Canvas,
    color_of,
    fitted,
    text_width,
)
from elba.cloudwatch.widget_images.scales import Scale, number_text, time_ticks, value_bounds, value_ticks
from elba.cloudwatch.widget_images.widget import Annotation, Axis, Widget

PALETTE = (
    "#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf",
)  # fmt: skip
SHORT_UNITS = {"None": "", "Count": "", "Percent": "%", "Seconds": "s", "Milliseconds": "ms", "Bytes": "B"}
PAD = 10
ROW = 18
STACKED_MOST = 200_000
"""Values of stacked series in all: of more, their common times are thinned."""


@dataclass(frozen=True, slots=True)
class Line:
    """One series: its points in order of time, `period` seconds apart where none is missing."""

    label: str
    points: Sequence[tuple[float, float]]
    period: int
    color: str | None = None
    right: bool = False
    unit: str = ""


def colors_of(lines: Sequence[Line]) -> list[str]:
    return [line.color or PALETTE[i % len(PALETTE)] for i, line in enumerate(lines)]


def thinned(line: Line, start: float, end: float, columns: int) -> Line:
    """The line as it looks on so many columns: of each its first, least, greatest and last point."""
    if len(line.points) <= 4 * columns:
        return line
    step = (end - start) / columns
    groups: dict[int, list[tuple[float, float]]] = {}
    for point in line.points:
        groups.setdefault(int((point[0] - start) // step), []).append(point)
    kept: list[tuple[float, float]] = []
    for group in groups.values():
        value = itemgetter(1)
        kept += sorted({group[0], min(group, key=value), max(group, key=value), group[-1]})
    return replace(line, points=kept, period=max(line.period, math.ceil(step)))


def paint(widget: Widget, lines: Sequence[Line]) -> bytes:
    """The PNG of the widget with these series. Takes 20 to 50 ms for the usual size, some 200 for the largest."""
    lines = [thinned(line, widget.start, widget.end, widget.width) for line in lines]
    canvas = Canvas(widget.width, widget.height, DARK if widget.dark else LIGHT)
    top = PAD + (TITLE + 10 if widget.title else 0)
    room: Box = (PAD, top, widget.width - PAD, widget.height - PAD)
    if widget.title:
        title = fitted(widget.title, widget.width - 2 * PAD, TITLE)
        canvas.text(widget.width / 2, PAD, title, canvas.theme.ink, TITLE, "ma")
    painter = {"bar": _bars, "pie": _pie, "singleValue": _numbers, "gauge": _gauge}.get(widget.view, _time_series)
    if widget.view in ("timeSeries", "pie") and lines:
        room = _legend(canvas, widget, lines, room)
    painter(canvas, widget, lines, room)
    return canvas.png()


def _legend(canvas: Canvas, widget: Widget, lines: Sequence[Line], room: Box) -> Box:
    """The legend's entries; what is left of the room."""
    if widget.legend == "hidden":
        return room
    x0, y0, x1, y1 = room
    right = widget.legend == "right"
    width = min((x1 - x0) / 3, max(text_width(line.label) for line in lines) + 30) if right else x1 - x0
    entries = [(fitted(line.label, width - 24), color) for line, color in zip(lines, colors_of(lines), strict=True)]
    rows: list[list[tuple[float, str, str]]] = [[]]
    at = 0.0
    for label, color in entries:
        taken = text_width(label) + 28
        if rows[-1] and (right or at + taken > width):
            rows.append([])
            at = 0.0
        rows[-1].append((at, label, color))
        at += taken
    shown = rows[: max(1, int((y1 - y0) / 3 // ROW) if not right else int((y1 - y0) // ROW))]
    left = x1 - width if right else x0
    top = y0 if right else y1 - len(shown) * ROW
    for i, row in enumerate(shown):
        y = top + i * ROW
        for x, label, color in row:
            canvas.box((left + x, y + 4, left + x + 9, y + 13), color_of(color))
            canvas.text(left + x + 14, y + 8, label, canvas.theme.ink, anchor="lm")
    return (x0, y0, left - PAD, y1) if right else (x0, y0, x1, top - 4)


def _time_series(canvas: Canvas, widget: Widget, lines: Sequence[Line], room: Box) -> None:
    theme = canvas.theme
    x0, y0, x1, y1 = room
    count = max(2, int((y1 - y0) / 50))
    sides: list[tuple[Axis, list[Line], bool]] = []
    for axis, right in ((widget.left, False), (widget.right, True)):
        own = [line for line in lines if line.right == right]
        if own or not right or any(a.right for a in widget.horizontal):
            sides.append((axis, own, right))
    heights = {right: stacks(own) if widget.stacked else [] for _, own, right in sides}
    bounds: dict[bool, tuple[float, float]] = {}
    for axis, own, right in sides:
        values = [v for line in own for t, v in line.points if widget.start <= t <= widget.end]
        values += [top for stack in heights[right] for _, _, top in stack]
        values += [edge.value for a in widget.horizontal if a.right == right for edge in a.edges]
        bounds[right] = value_bounds(values, axis, count, from_zero=widget.stacked)
    margins = dict.fromkeys((False, True), 0.0)
    headings: dict[bool, str] = {}
    for axis, own, right in sides:
        ticks = value_ticks(*bounds[right], count)
        margins[right] = max((text_width(number_text(tick)) for tick in ticks), default=0.0) + 8
        units = {line.unit for line in own}
        unit = units.pop() if axis.show_units and len(units) == 1 else ""
        headings[right] = axis.label or ("" if unit == "None" else unit)
    head = ROW if any(headings.values()) else 8
    plot: Box = (x0 + margins[False], y0 + head, x1 - max(margins[True], 14.0), y1 - ROW)
    if plot[2] - plot[0] < 10 or plot[3] - plot[1] < 10:
        plot = room
    across = Scale(widget.start, widget.end, plot[0], plot[2])
    upright = {right: Scale(*bounds[right], plot[3], plot[1]) for _, _, right in sides}
    for tick in value_ticks(*bounds[False], count):
        y = upright[False].at(tick)
        canvas.line([(plot[0], y), (plot[2], y)], color_of(theme.grid))
    for _, _, right in sides:
        for tick in value_ticks(*bounds[right], count):
            y, x, anchor = upright[right].at(tick), plot[2] + 5 if right else plot[0] - 5, "lm" if right else "rm"
            canvas.text(x, y, number_text(tick), theme.faint, SMALL, anchor)
        if headings[right]:
            x, anchor = (plot[2], "ra") if right else (plot[0], "la")
            canvas.text(
                x,
                y0,
                fitted(headings[right], (plot[2] - plot[0]) / 2, SMALL),
                theme.faint,
                SMALL,
                anchor,
            )
    for time, text in time_ticks(widget.start, widget.end, widget.zone, max(1, int((plot[2] - plot[0]) / 70))):
        x = across.at(time)
        canvas.line([(x, plot[3]), (x, plot[3] + 4)], color_of(theme.faint))
        canvas.text(x, plot[3] + 6, text, theme.faint, SMALL, "ma")
    canvas.line([(plot[0], plot[3]), (plot[2], plot[3])], color_of(theme.faint))
    named = dict(zip(map(id, lines), colors_of(lines), strict=True))
    for _, own, right in sides:
        for line, stack in zip(own, heights[right], strict=False):
            upper = [(across.at(t), upright[right].at(top)) for t, _, top in stack]
            lower = [(across.at(t), upright[right].at(bottom)) for t, bottom, _ in stack]
            canvas.area([*upper, *reversed(lower)], color_of(named[id(line)], 90))
            if len(upper) > 1:
                canvas.line(upper, color_of(named[id(line)]), 1.5)
        for line in [] if widget.stacked else own:
            _curve(canvas, widget, line, named[id(line)], across, upright[right])
    _annotations(canvas, widget, plot, across, upright)


def stacks(lines: Sequence[Line]) -> list[list[tuple[float, float, float]]]:
    """(time, bottom, top) of each series over those before it; a value holds for its period, a missing one is 0."""
    times = sorted({t for line in lines for t, _ in line.points})
    times = times[:: 1 + len(times) * len(lines) // STACKED_MOST]
    bottoms = dict.fromkeys(times, 0.0)
    result = []
    for line in lines:
        starts = [t for t, _ in line.points]
        stack = []
        for t in times:
            place = bisect_right(starts, t) - 1
            value = line.points[place][1] if place >= 0 and t < starts[place] + line.period else 0.0
            stack.append((t, bottoms[t], bottoms[t] + value))
        result.append(stack)
        bottoms = {t: top for t, _, top in stack}
    return result


def _curve(canvas: Canvas, widget: Widget, line: Line, color: str, across: Scale, upright: Scale) -> None:
    """Neighbours are joined; a point without any is a dot."""
    part: list[tuple[float, float]] = []
    before: float | None = None
    parts: list[list[tuple[float, float]]] = []
    for time, value in line.points:
        if not widget.start - line.period <= time <= widget.end:
            continue
        if before is not None and time - before > line.period * 1.5:
            parts.append(part)
            part = []
        part.append((across.at(time), upright.at(value)))
        before = time
    for each in [*parts, part]:
        if len(each) > 1:
            canvas.line(each, color_of(color), 1.5)
        for x, y in each if len(each) == 1 else ():
            canvas.dot(x, y, 2.5, color_of(color))


def _annotations(canvas: Canvas, widget: Widget, plot: Box, across: Scale, upright: dict[bool, Scale]) -> None:
    for i, each in enumerate(widget.horizontal):
        color = _annotation_color(each, i)
        scale = upright[each.right]
        ys = [scale.at(edge.value) for edge in each.edges]
        if len(ys) == 2:
            canvas.box((plot[0], min(ys), plot[2], max(ys)), color_of(color, 50))
        elif each.fill != "none":
            edge = plot[1] if each.fill == "above" else plot[3]
            canvas.box((plot[0], min(ys[0], edge), plot[2], max(ys[0], edge)), color_of(color, 50))
        for y, written in zip(ys, each.edges, strict=True):
            _dashed(canvas, (plot[0], y), (plot[2], y), color)
            canvas.text(plot[2] - 4, y - 3, fitted(written.label, plot[2] - plot[0], SMALL), color, SMALL, "rs")
    for i, each in enumerate(widget.vertical):
        color = _annotation_color(each, i + len(widget.horizontal))
        xs = [across.at(edge.value) for edge in each.edges]
        if not any(widget.start <= edge.value <= widget.end for edge in each.edges):
            continue
        if len(xs) == 2:
            canvas.box((min(xs), plot[1], max(xs), plot[3]), color_of(color, 50))
        elif each.fill != "none":
            edge = plot[0] if each.fill == "before" else plot[2]
            canvas.box((min(xs[0], edge), plot[1], max(xs[0], edge), plot[3]), color_of(color, 50))
        for x, written in zip(xs, each.edges, strict=True):
            _dashed(canvas, (x, plot[1]), (x, plot[3]), color)
            canvas.text(x + 4, plot[1] + 2, fitted(written.label, plot[2] - x - 4, SMALL), color, SMALL)


def _annotation_color(annotation: Annotation, place: int) -> str:
    return annotation.color or PALETTE[(place + 3) % len(PALETTE)]


def _dashed(canvas: Canvas, start: tuple[float, float], end: tuple[float, float], color: str) -> None:
    length = math.dist(start, end)
    for i in range(int(length // 8) + 1):
        a, b = 8 * i / (length or 1), min(1.0, (8 * i + 5) / (length or 1))
        if a < b:
            ends = [(start[0] + (end[0] - start[0]) * at, start[1] + (end[1] - start[1]) * at) for at in (a, b)]
            canvas.line(ends, color_of(color))


def newest(line: Line) -> float | None:
    """The value of the latest point: what bars, pies, numbers and gauges show."""
    return line.points[-1][1] if line.points else None


def _bars(canvas: Canvas, widget: Widget, lines: Sequence[Line], room: Box) -> None:
    x0, y0, x1, y1 = room
    shown = [(line, value, color) for line, color in zip(lines, colors_of(lines), strict=True)
             if (value := newest(line)) is not None]  # fmt: skip
    least, most = value_bounds([value for _, value, _ in shown], widget.left, 4, from_zero=True)
    names = min((x1 - x0) / 3, max((text_width(line.label) for line, _, _ in shown), default=0.0) + 8)
    across = Scale(least, most, x0 + names, x1 - 50)
    high = (y1 - y0 - ROW) / max(1, len(shown))
    for tick in value_ticks(least, most, 4):
        x = across.at(tick)
        canvas.line([(x, y0), (x, y1 - ROW)], color_of(canvas.theme.grid))
        canvas.text(x, y1 - ROW + 4, number_text(tick), canvas.theme.faint, SMALL, "ma")
    for i, (line, value, color) in enumerate(shown):
        top, bottom = y0 + i * high + high * 0.15, y0 + (i + 1) * high - high * 0.15
        ends = sorted((across.at(0.0), across.at(value)))
        canvas.box((ends[0], top, ends[1], bottom), color_of(color))
        middle = (top + bottom) / 2
        canvas.text(x0, middle, fitted(line.label, names - 8), canvas.theme.ink, TEXT, "lm")
        canvas.text(ends[1] + 4, middle, number_text(value), canvas.theme.faint, TEXT, "lm")


def _pie(canvas: Canvas, widget: Widget, lines: Sequence[Line], room: Box) -> None:
    x0, y0, x1, y1 = room
    shown = [(value, color) for line, color in zip(lines, colors_of(lines), strict=True)
             if (value := newest(line)) is not None and value > 0]  # fmt: skip
    total = max((value for value, _ in shown), default=1.0)
    shares = [value / total for value, _ in shown]
    whole = math.fsum(shares)
    radius = min(x1 - x0, y1 - y0) / 2 - 4
    middle = ((x0 + x1) / 2, (y0 + y1) / 2)
    box = (middle[0] - radius, middle[1] - radius, middle[0] + radius, middle[1] + radius)
    at = -90.0
    for share, (_, color) in zip(shares, shown, strict=True):
        size = 360 * share / whole
        canvas.slice(box, at, at + size, color_of(color))
        if share / whole > 0.05:
            angle = math.radians(at + size / 2)
            x, y = middle[0] + math.cos(angle) * radius * 0.6, middle[1] + math.sin(angle) * radius * 0.6
            canvas.text(x, y, f"{100 * share / whole:.3g}%", "#ffffff", TEXT, "mm")
        at += size


def _numbers(canvas: Canvas, widget: Widget, lines: Sequence[Line], room: Box) -> None:
    x0, y0, x1, y1 = room
    columns = max(1, min(len(lines), int((x1 - x0) // 110)))
    rows = max(1, math.ceil(len(lines) / columns))
    wide, high = (x1 - x0) / columns, (y1 - y0) / rows
    for i, line in enumerate(lines):
        x, y = x0 + (i % columns + 0.5) * wide, y0 + (i // columns + 0.5) * high
        value = newest(line)
        unit = SHORT_UNITS.get(line.unit, f" {line.unit}") if widget.left.show_units and line.unit else ""
        shown = "--" if value is None else f"{number_text(value)}{unit}"
        size = int(max(TEXT, min(40, high / 2.5)))
        while size > TEXT and text_width(shown, size) > wide - 6:
            size -= 1
        canvas.text(x, y, fitted(shown, wide - 6, size), canvas.theme.ink, size, "ms")
        canvas.text(x, y + 8, fitted(line.label, wide - 6), canvas.theme.faint, TEXT, "ma")


def _gauge(canvas: Canvas, widget: Widget, lines: Sequence[Line], room: Box) -> None:
    x0, y0, x1, y1 = room
    wide = (x1 - x0) / max(1, len(lines))
    for i, (line, color) in enumerate(zip(lines, colors_of(lines), strict=True)):
        value = newest(line)
        least, most = value_bounds([] if value is None else [value], widget.left, 4, from_zero=True)
        radius = max(4.0, min(wide / 2 - 6, y1 - y0 - 3 * ROW))
        middle, base = x0 + (i + 0.5) * wide, y0 + radius + 4
        dial = Scale(least, most, 180.0, 360.0)
        box = (middle - radius, base - radius, middle + radius, base + radius)
        canvas.slice(box, 180, 360, color_of(canvas.theme.grid))
        if value is not None:
            canvas.slice(box, 180, dial.at(value), color_of(color))
        inner = radius * 0.7
        canvas.slice(
            (middle - inner, base - inner, middle + inner, base + inner), 180, 360, color_of(canvas.theme.paper)
        )
        canvas.box((box[0] - 1, base, box[2] + 1, base + 1), color_of(canvas.theme.paper))
        shown = "--" if value is None else number_text(value)
        canvas.text(middle, base - 2, shown, canvas.theme.ink, int(max(12, min(32, radius / 3))), "ms")
        canvas.text(middle, base + 6 + ROW, fitted(line.label, wide - 6), canvas.theme.faint, TEXT, "ma")
        canvas.text(box[0], base + 6, number_text(least), canvas.theme.faint, SMALL, "la")
        canvas.text(box[2], base + 6, number_text(most), canvas.theme.faint, SMALL, "ra")
