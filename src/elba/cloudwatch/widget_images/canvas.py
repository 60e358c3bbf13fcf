"""An image to paint on, with smooth lines. Needs Pillow."""

from __future__ import annotations

import io
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from PIL import Image, ImageColor, ImageDraw, ImageFont

SMOOTHED_MOST = 1_500_000
"""Pixels; larger images are painted at their own size, unsmoothed."""
TEXT, TITLE, SMALL = 11, 14, 10


@dataclass(frozen=True, slots=True)
class Theme:
    paper: str
    ink: str
    faint: str
    grid: str


LIGHT = Theme("#ffffff", "#16191f", "#545b64", "#e9ebed")
DARK = Theme("#1a1c21", "#eaeded", "#a9b1ba", "#343a42")

Box = tuple[float, float, float, float]
Color = tuple[int, ...]


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


@dataclass(frozen=True, slots=True)
class _Text:
    x: float
    y: float
    text: str
    color: str
    size: int
    anchor: str


class Canvas:
    """Painted on at twice its size, which smooths lines and edges when `png` reduces it; texts are written then.

    Coordinates are those of the finished image.
    """

    def __init__(self, width: int, height: int, theme: Theme) -> None:
        self.size = width, height
        self.theme = theme
        self._factor = 2 if width * height <= SMOOTHED_MOST else 1
        self._texts: list[_Text] = []
        self._image = Image.new("RGB", (width * self._factor, height * self._factor), theme.paper)
        self._draw = ImageDraw.Draw(self._image, "RGBA")

    def _scaled(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        return [(x * self._factor, y * self._factor) for x, y in points]

    def line(self, points: Sequence[tuple[float, float]], color: Color, width: float = 1) -> None:
        self._draw.line(self._scaled(points), fill=color, width=max(1, round(width * self._factor)), joint="curve")

    def area(self, points: Sequence[tuple[float, float]], color: Color) -> None:
        if len(points) > 2:
            self._draw.polygon(self._scaled(points), fill=color)

    def box(self, box: Box, color: Color) -> None:
        (x0, y0), (x1, y1) = self._scaled([box[:2], box[2:]])
        if x1 >= x0 and y1 >= y0:
            self._draw.rectangle((x0, y0, x1, y1), fill=color)

    def dot(self, x: float, y: float, radius: float, color: Color) -> None:
        (cx, cy), r = self._scaled([(x, y)])[0], radius * self._factor
        self._draw.ellipse((cx - r, cy - r, cx + r, cy + r), fill=color)

    def slice(self, box: Box, start: float, end: float, color: Color) -> None:
        (x0, y0), (x1, y1) = self._scaled([box[:2], box[2:]])
        if x1 > x0 and y1 > y0 and end > start:
            self._draw.pieslice((x0, y0, x1, y1), start, end, fill=color)

    def text(self, x: float, y: float, text: str, color: str, size: int = TEXT, anchor: str = "la") -> None:
        """`anchor` is Pillow's: left, middle or right, and ascender, middle or baseline, at the point."""
        self._texts.append(_Text(x, y, text, color, size, anchor))

    def png(self) -> bytes:
        image = self._image.reduce(self._factor) if self._factor > 1 else self._image
        draw = ImageDraw.Draw(image)
        for each in self._texts:
            draw.text((each.x, each.y), each.text, fill=each.color, font=_font(each.size), anchor=each.anchor)
        out = io.BytesIO()
        image.save(out, "PNG")
        return out.getvalue()


def text_width(text: str, size: int = TEXT) -> float:
    return float(_font(size).getlength(text))


def fitted(text: str, room: float, size: int = TEXT) -> str:
    """The text, shortened to `room` pixels."""
    if text_width(text, size) <= room:
        return text
    fitting = bisect_right(range(1, len(text) + 1), room, key=lambda n: text_width(f"{text[:n]}...", size))
    return f"{text[:fitting]}..." if fitting else ""


def color_of(text: str, alpha: int = 255) -> Color:
    return (*ImageColor.getrgb(text)[:3], alpha)
