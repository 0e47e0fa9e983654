"""A briefing as a picture: the map beside the tables, A4 across at 150 dots an inch, for a slide or a printout."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import shapely
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from cop.briefing.basemap import Basemap
from cop.briefing.drawing import (
    CREDIT,
    DOTS_AN_INCH,
    blank,
    fill,
    foot,
    frame,
    ground,
    key,
    mark,
    plain,
    png_of,
    rgb,
)
from cop.briefing.facts import Facts, Table
from cop.briefing.numbers import Size, Spot, asides, each_metre, spots
from cop.briefing.page import COLORS, WORDS
from layers.model import BBox, JsonObject

HATCH = {"gap": "////", "overlap": "....", "covered": ""}
"""Nothing is told by colour alone."""
ROWS = {"The gaps, largest first": 9, "By agency": 7, "Would be missed most": 6}
"""Rows of a table at the most: the HTML file has them all."""
LINE = 0.0165
"""Height of a line of a table, as a share of the figure's."""
NUMBER_POINTS = 13.0
"""How wide and high the number of a gap is, with its frame."""
MOST_NOTES = 3
NOTE_CHARACTERS = 200
"""That fit on a line across the sheet."""
CHARACTERS = 86
"""That fit side by side into the column of tables."""


def as_picture(facts: Facts, pieces: Sequence[JsonObject], basemap: Basemap, box: BBox) -> bytes:
    """The briefing as a PNG. *pieces* are GeoJSON features with `role` and `km2`."""
    figure = blank()
    _head(figure, facts)
    axes = figure.add_axes((0.045, 0.135, 0.5, 0.66))
    _map(figure, axes, pieces, basemap, box)
    _numbers(axes, spots(facts.middles[: ROWS["The gaps, largest first"]], pieces), box)
    _tables(figure, facts.tables)
    foot(figure, [*facts.provenance, CREDIT])
    if facts.mark:
        mark(figure, facts.mark)
    return png_of(figure, title=facts.title, description=facts.headline)


def _head(figure: Figure, facts: Facts) -> None:
    figure.text(0.03, 0.925, plain(facts.title)[:70], fontsize=17, fontweight="bold")
    figure.text(0.03, 0.9, f"{facts.at}   {plain(facts.rule)}"[:170], fontsize=8, color="#454b57")
    figure.text(0.03, 0.865, plain(facts.headline), fontsize=11, fontweight="bold", color=COLORS["gap"])
    for line, note in enumerate(notes_in_short(facts.notes)):
        figure.text(0.03, 0.848 - 0.0155 * line, plain(note), fontsize=7, color="#9a4a05")


def notes_in_short(notes: Sequence[str]) -> list[str]:
    """A line for each of the first MOST_NOTES: what is cut ends in “…”, and how many others there are is said."""
    rest = len(notes) - MOST_NOTES
    more = f" (and {rest} more in the other forms)" if rest > 0 else ""
    told = [f"! {note}" for note in notes[:MOST_NOTES]]
    if more:
        told[-1] = _cut(told[-1], NOTE_CHARACTERS - len(more)) + more
    return [_cut(line, NOTE_CHARACTERS) for line in told]


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _numbers(axes: Axes, found: Sequence[Spot], box: BBox) -> None:
    """Each in its gap, or beside it where it would hide it, with a line to it."""
    axes.apply_aspect()
    points_a_dot = 72 / DOTS_AN_INCH
    shown = each_metre(box, axes.bbox.width * points_a_dot, axes.bbox.height * points_a_dot)
    ring = {"boxstyle": "round,pad=0.25", "facecolor": "white", "edgecolor": COLORS["gap"]}
    line = {"arrowstyle": "-", "color": COLORS["gap"], "linewidth": 0.9, "shrinkA": 0, "shrinkB": 0}
    aside = asides(found, Size(NUMBER_POINTS, NUMBER_POINTS, shown))
    for number, (spot, (right, up)) in enumerate(zip(found, aside, strict=True), 1):
        axes.annotate(
            str(number),
            (spot.lng, spot.lat),
            xytext=(right, up),
            textcoords="offset points",
            fontsize=7,
            fontweight="bold",
            ha="center",
            va="center",
            bbox=ring,
            arrowprops=line if right or up else None,
        )


def _map(figure: Figure, axes: Axes, pieces: Sequence[JsonObject], basemap: Basemap, box: BBox) -> None:
    ground(axes, basemap)
    patches = []
    for role, opacity in (("covered", 0.10), ("overlap", 0.20), ("gap", 0.45)):
        own = [
            shapely.geometry.shape(each["geometry"]) for each in pieces if each["properties"]["role"] == role
        ]
        color = COLORS[role]
        fill(axes, own, facecolor=(*rgb(color), opacity), edgecolor=color, linewidth=0.5, hatch=HATCH[role])
        if own:
            patch = Patch(
                facecolor=(*rgb(color), opacity), edgecolor=color, hatch=HATCH[role], label=WORDS[role]
            )
            patches.append(patch)
    frame(axes, box)
    if patches:
        key(figure, patches, (0.04, 0.073), fontsize=8)


def _tables(figure: Figure, tables: Sequence[Table]) -> None:
    top = 0.79
    for table in tables:
        # The place of a gap is on the map; the room is for the reasons.
        kept = [at for at, name in enumerate(table.columns) if name != "Middle"]
        rows = [[row[at] for at in kept] for row in (table.columns, *table.rows[: _shown(table)])]
        widths = _widths(rows)
        lines = [[_wrapped(text, width) for text, width in zip(row, widths, strict=True)] for row in rows]
        height = LINE * sum(max(map(len, row)) for row in lines)
        if top - height - LINE < 0.1:
            figure.text(0.57, top, f"{table.title}: see the other forms", fontsize=6.4, color="#454b57")
            top -= LINE
            continue
        figure.text(0.57, top, table.title, fontsize=9, fontweight="bold")
        top = _table(figure, lines, widths, top - 0.006)
        if left_out := told_elsewhere(table):
            figure.text(0.57, top, left_out, fontsize=6.4, va="top", color="#454b57")
            top -= LINE
        top -= 0.038


def _shown(table: Table) -> int:
    return min(len(table.rows), ROWS.get(table.title, 9))


def told_elsewhere(table: Table) -> str:
    """What of *table* the picture has no room for."""
    rest = len(table.rows) - _shown(table)
    cut = f"and {rest} more, listed in the other forms" if rest else ""
    return "; ".join(filter(None, (cut, table.more)))


def _table(
    figure: Figure, rows: Sequence[Sequence[Sequence[str]]], widths: Sequence[int], top: float
) -> float:
    """Write a table from *top* down; where it ends."""
    for number, row in enumerate(rows):
        left = 0.57
        for cell, width in zip(row, widths, strict=True):
            weight = "bold" if number == 0 else "normal"
            figure.text(
                left, top, "\n".join(cell), fontsize=6.4, va="top", fontweight=weight, linespacing=1.2
            )
            left += 0.41 * width / CHARACTERS
        top -= LINE * max(map(len, row))
    return top


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Characters for each column: as many as it wants up to 26, and the last one the rest."""
    wanted = [min(max(map(len, column)), 26) + 3 for column in zip(*rows, strict=True)]
    wanted[-1] = max(CHARACTERS - sum(wanted[:-1]), 12) if sum(wanted) > 50 else wanted[-1]
    return wanted


def _wrapped(text: str, width: int) -> list[str]:
    lines = textwrap.wrap(plain(text), max(width - 2, 4)) or [""]
    return lines if len(lines) <= 3 else [*lines[:2], lines[2][:-1] + "…"]
