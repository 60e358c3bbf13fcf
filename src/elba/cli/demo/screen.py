"""What a person sees: a live screen on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from dataclasses import dataclass, field

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from elba.cli.demo.load import Load
from elba.cli.demo.watch import View, Watcher

PLAIN_SECONDS = 5.0
STATE_STYLES = {
    "OK": "green",
    "ALARM": "bold red",
    "INSUFFICIENT_DATA": "yellow",
    "healthy": "green",
    "unhealthy": "red",
    "InService": "green",
}


@dataclass
class Timeline:
    """What happened when; seconds since the demo began."""

    began: float = field(default_factory=time.monotonic)
    entries: list[tuple[float, str]] = field(default_factory=list)

    def add(self, text: str) -> None:
        self.entries.append((time.monotonic() - self.began, text))


def styled(text: str) -> Text:
    return Text(text, style=STATE_STYLES.get(text, ""))


def bar(percent: float | None, width: int = 10) -> Text:
    """CPU as a bar and a number."""
    if percent is None:
        return Text("–", style="dim")
    filled = round(min(100.0, percent) / 100 * width)
    style = "red" if percent > 50 else "green"
    return Text.assemble(("█" * filled, style), ("░" * (width - filled), "dim"), f" {percent:3.0f} %")


class Screen:
    """Draws `watcher` and `load` four times a second until stopped."""

    def __init__(self, console: Console, timeline: Timeline, time_scale: float) -> None:
        self._console = console
        self._timeline = timeline
        self._time_scale = time_scale
        self._live: Live | None = None
        self._printed = 0
        self._plain_at = 0.0
        self.step = ""

    def start(self, watcher: Watcher, load: Load) -> None:
        self._watcher, self._load = watcher, load
        if self._console.is_terminal:
            self._live = Live(get_renderable=self._render, console=self._console, refresh_per_second=4, transient=False)
            self._live.start()

    def stop(self) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def tick(self) -> None:
        """On anything but a terminal: print what is new, and a line of numbers now and then."""
        if self._live is not None:
            return
        for at, text in self._timeline.entries[self._printed :]:
            self._console.print(f"{at:6.1f} s  {text}", soft_wrap=True)
        self._printed = len(self._timeline.entries)
        if time.monotonic() - self._plain_at >= PLAIN_SECONDS and hasattr(self, "_load"):
            self._plain_at = time.monotonic()
            view, window = self._watcher.view, self._load.window()
            cpus = [m.cpu for m in view.members if m.cpu is not None]
            self._console.print(
                f"{time.monotonic() - self._timeline.began:6.1f} s  {window.requests_per_second:.0f} requests/s, "
                f"p50 {window.p50 * 1000:.1f} ms, p99 {window.p99 * 1000:.1f} ms, {len(self._load.failures)} failed; "
                f"desired {view.desired}, in service {len(view.in_service)}, "
                f"CPU {sum(cpus) / len(cpus) if cpus else 0:.0f} %, alarms {view.alarms or 'none yet'}",
                style="dim",
                soft_wrap=True,
            )

    def _render(self) -> RenderableType:
        view, window = self._watcher.view, self._load.window()
        elapsed = time.monotonic() - self._timeline.began
        failed = len(self._load.failures)
        head = Text.assemble(
            (self.step, "bold"),
            "   ",
            (f"{elapsed:.0f} s (AWS time ×{self._time_scale:g})", "dim"),
        )
        traffic = Text.assemble(
            (f"{window.requests_per_second:.0f}", "bold"),
            " requests/s   p50 ",
            (f"{window.p50 * 1000:.1f} ms", "bold"),
            "   p99 ",
            (f"{window.p99 * 1000:.1f} ms", "bold"),
            f"   {self._load.sent} sent   ",
            (f"{failed} failed", "bold red" if failed else "bold green"),
            "\nper zone   ",
            "   ".join(f"{zone} {rate:.0f}/s" for zone, rate in window.by_zone.items()) or "–",
        )
        return Group(
            head,
            Panel(traffic, title="traffic through the load balancer", title_align="left"),
            Panel(self._members(view), title=self._group_title(view), title_align="left"),
            Panel(self._activities(view), title="scaling activities", title_align="left"),
            Panel(self._timeline_text(), title="timeline", title_align="left"),
        )

    def _group_title(self, view: View) -> Text:
        alarms = [Text.assemble(f"alarm {name} ", styled(state)) for name, state in sorted(view.alarms.items())]
        return Text("   ").join([Text(f"group: desired {view.desired}, in service {len(view.in_service)}"), *alarms])

    def _members(self, view: View) -> Table:
        table = Table(box=None, expand=True, pad_edge=False)
        for column in ("instance", "zone", "lifecycle", "target", "CPU", "requests/s"):
            table.add_column(column, header_style="dim")
        rates = self._load.window().by_instance
        for member in view.members:
            table.add_row(
                member.id,
                member.zone,
                styled(member.lifecycle),
                styled(member.target),
                bar(member.cpu),
                f"{rates.get(member.id, 0):.0f}",
            )
        return table

    def _activities(self, view: View) -> Text:
        lines = [
            Text.assemble((f"{each.status:<12}", "dim"), each.description, ("  " + each.cause, "dim"))
            for each in view.activities[:4]
        ]
        for line in lines:
            line.truncate(self._console.width - 6, overflow="ellipsis")
        return Text("\n").join(lines)

    def _timeline_text(self) -> Text:
        return Text("\n".join(f"{at:6.1f} s  {text}" for at, text in self._timeline.entries[-6:]))
