"""Gaps by zone and hour as a picture: a map of the zones, the worst of them hour by hour, and the whole over time."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.transforms import Bbox
from numpy.typing import NDArray

from cop.briefing.basemap import read_basemap
from cop.briefing.drawing import CREDIT, blank, fill, foot, frame, ground, key, mark, plain, png_of
from cop.briefing.facts import Facts
from cop.gaps.hours import MOST_ZONES, ByHour, facts_of, shares_between
from layers.model import BBox

CLASSES = ((0.2, "#b30000", "xxxx"), (0.4, "#e34a33", "////"), (0.6, "#fc8d59", "..."), (0.8, "#fdcc8a", "."),
           (1.0, "#fef0d9", ""))  # fmt: skip
"""Up to which share covered, in which colour and hatching: ColorBrewer's OrRd, which the colour-blind tell apart by its
lightness."""
COLORS = ListedColormap([color for _, color, _ in CLASSES])
INK, FAINT = "#16181d", "#454b57"
MOST_COLUMNS = 24
"""Numbers that fit side by side; of more steps, each column is the mean of some."""
NAMED = 5
"""Of the worst zones, with their name on the map; the others of the table have their number."""
ASIDE = ((0, 0), (0, 8), (0, -8), (9, 0), (-9, 0), (0, 15), (0, -15), (16, 0), (-16, 0))
"""Where a label is put, in points from the middle of its zone: the first that is free, or the last."""
BINS = 240
MARGIN = 0.04


def as_png(told: ByHour, static: Path | None) -> bytes:
    """The picture; *static* is the built page's folder, with the basemap, if there is one."""
    facts = facts_of(told)
    return png_of(drawn(told, facts, static), title=facts.title, description=facts.headline)


def drawn(told: ByHour, facts: Facts, static: Path | None) -> Figure:
    """The sheet; what it says in words are *facts*."""
    figure = blank()
    _head(figure, facts)
    _map(figure, figure.add_axes((0.035, 0.16, 0.46, 0.65)), told, static)
    _table(figure.add_axes((0.655, 0.335, 0.32, 0.47)), told)
    _line(figure.add_axes((0.655, 0.13, 0.32, 0.14)), told)
    foot(figure, [*facts.provenance, CREDIT])
    if facts.mark:
        mark(figure, facts.mark)
    return figure


def _head(figure: Figure, facts: Facts) -> None:
    figure.text(0.03, 0.93, plain(facts.title)[:80], fontsize=17, fontweight="bold", color=INK)
    figure.text(0.03, 0.91, plain(f"{facts.at}.   {facts.rule}")[:190], fontsize=8, color=FAINT)
    figure.text(0.03, 0.885, plain(facts.headline)[:140], fontsize=11, fontweight="bold", color="#b30000")
    for line, note in enumerate(facts.notes[:3]):
        figure.text(0.03, 0.865 - 0.017 * line, "! " + plain(note)[:170], fontsize=7, color="#9a4a05")


def _map(figure: Figure, axes: Axes, told: ByHour, static: Path | None) -> None:
    box = _box(told.zones.shapes)
    ground(axes, read_basemap(None if static is None else static / "basemap", box))
    at = _class_of(told.found.mean_share)
    keys = []
    for number, (most, color, hatch) in enumerate(CLASSES):
        own = [shape for shape, own in zip(told.zones.shapes, at, strict=True) if own == number]
        style: dict[str, Any] = {"facecolor": color, "edgecolor": FAINT, "linewidth": 0.5, "hatch": hatch}
        fill(axes, own, **style)
        keys.append(Patch(**style, label=f"{100 * most - 20:.0f}–{100 * most:.0f} %"))
    frame(axes, box)
    axes.set_anchor("N")
    axes.apply_aspect()
    taken: list[Bbox] = []
    for rank, zone in enumerate(told.worst_first[:MOST_ZONES], start=1):
        taken.append(_label(axes, told, rank, zone, taken))
    title = "Covered, on the average of time"
    key(figure, keys, (0.028, 0.078), fontsize=6.5, title=title, title_fontsize=7, alignment="left")


def _label(axes: Axes, told: ByHour, rank: int, zone: int, taken: Sequence[Bbox]) -> Bbox:
    """Write number and name into the zone, or beside it where another stands already; the room that it takes."""
    middle = told.zones.shapes[zone].representative_point()
    named = rank <= NAMED
    text = axes.annotate(
        f"{rank} {plain(_short(told.zones.names[zone]))}" if named else str(rank),
        (middle.x, middle.y),
        xytext=ASIDE[0],
        textcoords="offset points",
        fontsize=6.5 if named else 5,
        fontweight="bold",
        color=INK,
        ha="center",
        va="center",
        bbox={"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": INK, "linewidth": 0.6},
        annotation_clip=True,
    )
    for offset in ASIDE:
        text.set_position(offset)
        room = text.get_window_extent().padded(3)
        if not room.count_overlaps(taken):
            break
    return room


def _table(axes: Axes, told: ByHour) -> None:
    zones = told.worst_first[:MOST_ZONES]
    groups = _groups(len(told.steps))
    shares = np.array([np.mean(told.shares[group], axis=0) for group in groups]).T[list(zones)]
    at = _class_of(shares)
    size = min(7.0, 130.0 / len(groups))
    axes.pcolormesh(at, cmap=COLORS, vmin=-0.5, vmax=len(CLASSES) - 0.5)
    for (row, column), number in np.ndenumerate(at):
        ink = "white" if number < 2 else INK
        text = _number(float(shares[row, column]))
        axes.text(column + 0.5, row + 0.5, text, fontsize=size, color=ink, ha="center", va="center")
    axes.set_xlim(0, len(groups))
    axes.set_ylim(max(len(zones), 8), 0)
    names = [f"{plain(_short(told.zones.names[zone]))}  {rank}" for rank, zone in enumerate(zones, start=1)]
    axes.set_yticks(np.arange(len(zones)) + 0.5, names, fontsize=6.5)
    begins = [told.steps[group.start] for group in groups]
    shown = range(0, len(groups), 1 if len(groups) <= 8 else 2 if len(groups) <= 16 else 3)
    axes.set_xticks([each + 0.5 for each in shown], [_clock(begins, each) for each in shown], fontsize=6.5)
    axes.xaxis.tick_top()
    axes.tick_params(length=0, colors=INK)
    axes.set_frame_on(False)
    axes.text(
        -0.5,
        1.1,
        _heading(told, groups),
        transform=axes.transAxes,
        va="bottom",
        fontsize=9,
        fontweight="bold",
    )


def _heading(told: ByHour, groups: Sequence[slice]) -> str:
    minutes = told.asked.step // timedelta(minutes=1) * groups[0].stop
    if len(told.zones.names) <= MOST_ZONES:
        zones = "The zones, worst first"
    else:
        zones = f"The {MOST_ZONES} worst of {len(told.zones.names):,} zones"
    return f"{zones}: % covered, on the average of {minutes} minutes from …"


def _line(axes: Axes, told: ByHour) -> None:
    window = told.found.timeline.window
    edges = np.linspace(window.begin_us, window.end_us, BINS + 1).astype(np.int64)
    edges = np.unique(edges)
    shares = 100 * shares_between(told, edges)
    axes.stairs(shares, edges, color="#b30000", linewidth=1.1, baseline=None)
    steps = np.append(window.steps, window.end_us)
    axes.stairs(100 * told.whole_share, steps, color=INK, linewidth=0.8, baseline=None)
    if len(told.steps) <= 12:
        # above all that can be drawn, as the curve within a step goes higher than its mean
        for middle, share in zip((steps[1:] + steps[:-1]) / 2, told.whole_share, strict=True):
            at = axes.get_xaxis_transform()
            axes.text(middle, 1.04, _number(share), transform=at, ha="center", fontsize=6.5)
    axes.set_xlim(window.begin_us, window.end_us)
    axes.set_ylim(0, 100)
    shown = range(0, len(told.steps), max(len(told.steps) // 8, 1))
    axes.set_xticks(window.steps[list(shown)], [f"{told.steps[each]:%H:%M}" for each in shown], fontsize=6.5)
    axes.set_yticks([0, 50, 100], ["0 %", "50 %", "100 %"], fontsize=6.5)
    axes.grid(axis="y", color="#d8dbe2", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title("All zones together: % covered", fontsize=9, fontweight="bold", loc="left", pad=14)


def _class_of(shares: NDArray[np.float64]) -> NDArray[np.int64]:
    """Which of CLASSES each share falls into; one that there is none of counts as uncovered."""
    edges = [most for most, *_ in CLASSES[:-1]]
    return np.searchsorted(edges, np.nan_to_num(shares), side="right")


def _groups(steps: int) -> list[slice]:
    """The steps in columns, no more than MOST_COLUMNS: each of one step, or of as many."""
    each = -(-steps // MOST_COLUMNS)
    return [slice(first, first + each) for first in range(0, steps, each)]


def _number(share: float) -> str:
    return "–" if np.isnan(share) else f"{100 * share:.0f}"


def _short(name: str) -> str:
    return name if len(name) <= 30 else name[:29] + "…"


def _clock(begins: Sequence[datetime], at: int) -> str:
    """The time of a column, below the day where another one begins."""
    new = at == 0 or begins[at].date() != begins[at - 1].date()
    return f"{begins[at]:%d %b}\n{begins[at]:%H:%M}" if new else f"{begins[at]:%H:%M}"


def _box(shapes: Sequence[Any]) -> BBox:
    west, south, east, north = shapely.total_bounds(list(shapes)).tolist()
    across, up = max(east - west, 1e-3) * MARGIN, max(north - south, 1e-3) * MARGIN
    return (
        max(west - across, -180.0),
        max(south - up, -90.0),
        min(east + across, 180.0),
        min(north + up, 90.0),
    )
