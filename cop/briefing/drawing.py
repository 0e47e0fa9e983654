"""What the pictures of briefings are drawn with: a blank sheet, shapes on a map, the ground below them, the foot."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import shapely
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection, PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle
from matplotlib.path import Path as Outline

from cop.briefing.basemap import Basemap
from layers.model import BBox

SIZE_IN = (11.7, 8.3)
DOTS_AN_INCH = 150
MARK = "#b3001b"
CREDIT = "Basemap © OpenStreetMap contributors, Natural Earth, U.S. Census Bureau."


def blank() -> Figure:
    """A4 across, on which nothing is drawn yet."""
    figure = Figure(figsize=SIZE_IN, dpi=DOTS_AN_INCH, facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def png_of(figure: Figure, *, title: str, description: str) -> bytes:
    """The picture as a file that says what it shows."""
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Title": title, "Description": description})
    return out.getvalue()


def ground(axes: Axes, basemap: Basemap) -> None:
    """What lies below: land, water, borders, main roads."""
    axes.set_facecolor("#eef0ea" if basemap.land else "#f6f4ee")
    fill(axes, basemap.land, facecolor="#f6f4ee", linewidth=0)
    fill(axes, basemap.water, facecolor="#c9dcea", linewidth=0)
    _lines(axes, basemap.borders, color="#a9a9b5", linewidth=0.6, linestyle="--")
    _lines(axes, basemap.roads, color="#cfcabd", linewidth=0.7)


def frame(axes: Axes, box: BBox) -> None:
    """Show *box* (west ≤ east), a kilometre as long upwards as across."""
    west, south, east, north = box
    axes.set_xlim(west, east)
    axes.set_ylim(south, north)
    axes.set_aspect(1 / max(math.cos(math.radians((south + north) / 2)), 0.05))
    axes.tick_params(labelsize=6, colors="#454b57")


def foot(figure: Figure, lines: Sequence[str]) -> None:
    """What makes the answer repeatable, small, at the bottom: two lines of it."""
    wrapped = textwrap.wrap(plain(" ".join(lines)), 235)[:2]
    figure.text(0.03, 0.05, "\n".join(wrapped), fontsize=5.8, color="#454b57", va="bottom")


def key(figure: Figure, patches: Sequence[Patch], at: tuple[float, float], **style: Any) -> None:
    """A legend in one line, below a map: on it there is no corner that nothing may lie in. *at* is its lower left."""
    figure.legend(
        handles=patches, loc="lower left", bbox_to_anchor=at, ncols=len(patches), frameon=False, **style
    )


def mark(figure: Figure, words: str) -> None:
    """Say *words* over and over on a strip along the top, and on one along the bottom, of what is not for real."""
    for height in (0.965, 0.0):
        strip = figure.add_axes((0, height, 1, 0.035))
        strip.set_axis_off()
        strip.add_patch(Rectangle((0, 0), 1, 1, transform=strip.transAxes, color=MARK))
        told = "  ".join([words] * 5)
        strip.text(0.5, 0.5, told, color="white", ha="center", va="center", fontsize=9, fontweight="bold")


def fill(axes: Axes, shapes: Sequence[Any], **style: Any) -> None:
    """Draw the polygons of *shapes*, of WGS 84; *style* is that of a matplotlib collection."""
    polygons = [part for shape in shapes for part in shapely.get_parts(shape) if part.geom_type == "Polygon"]
    if polygons:
        axes.add_collection(PathCollection([_outline(each) for each in polygons], **style), autolim=False)


def _outline(polygon: Any) -> Outline:
    rings = [shapely.orient_polygons(polygon).exterior, *shapely.orient_polygons(polygon).interiors]
    return Outline.make_compound_path(
        *(Outline(shapely.get_coordinates(ring), closed=True) for ring in rings)
    )


def _lines(axes: Axes, shapes: Sequence[Any], **style: Any) -> None:
    parts = [part for shape in shapes for part in shapely.get_parts(shape)]
    lines = [
        shapely.get_coordinates(part.boundary if part.geom_type == "Polygon" else part) for part in parts
    ]
    axes.add_collection(LineCollection(lines, **style), autolim=False)


def rgb(color: str) -> tuple[float, float, float]:
    """`#rrggbb` as shares of red, green and blue."""
    red, green, blue = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    return red, green, blue


def plain(text: str) -> str:
    """*text* as it stands: dollar signs would be read as mathematics."""
    return text.replace("$", r"\$")
