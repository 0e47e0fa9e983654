"""Sets of H3 cells and their algebra, by dense ranks: exact, fast, and free of everything but numpy and h3.

A cell's *dense rank* counts the cells of its resolution in tree order, so that the descendants of any cell are
neighbours in rank, and a set is a short sorted list of ranges, like astronomy's multi-order coverage maps (IVOA
MOC 2.0). Union, intersection, difference and depth are a sort and a few comparisons in numpy; time and memory follow
the border of a set, not its area.

- `fill`, `fills`: polygons to cells, the very ones that h3's experimental fill finds by their centres; `disk`,
  `disks`: a reach in metres. Many at once cost far less than one by one.
- `Hexes`: one set. `|`, `&`, `-`, `in`, `count`, true ground as `area_km2`, `cells()`, `compact_cells()`,
  `to_resolution()`; `pack()` and `Hexes.unpack()` to store it.
- `depth`: how many sets cover each cell, or how many groups of them; `union`, `union_by`.
- `patches`: the separate pieces of a set; `outlines`: its polygons, to draw.
- `Field`: the cells of one area as places in arrays, for what is asked again and again.
- `Spells`: sets that each hold over a spell of time; what a field lacks of them, when, and for how long (`Course`).

Positions are longitude and latitude in degrees, as in GeoJSON. Sets that meet must be of one resolution. What is no
cell, polygon, disk or resolution is a `HexesError` with a stable `code`; what would need too many cells is
`TooManyCells`, before any work.

Two stations and a city; the southern one closes at noon:

>>> from layers.hexes import Field, Spells, depth, disks, fill, patches
>>> ring = [[-87.94, 41.64], [-87.52, 41.64], [-87.52, 42.03], [-87.94, 42.03], [-87.94, 41.64]]
>>> city = fill({"type": "Polygon", "coordinates": [ring]}, 9)
>>> north, south = disks([(-87.66, 41.95), (-87.70, 41.80)], [12_000, 15_000], 9)
>>> covered = depth([north, south], 9)
>>> gap, overlap = city - covered.at_least(1), city & covered.at_least(2)
>>> city.count, gap.count, overlap.count
(14221, 4991, 1361)
>>> f"{gap.area_km2:.0f} km² of {city.area_km2:.0f} km² lack cover"
'529 km² of 1509 km² lack cover'
>>> [round(patch.km2, 1) for patch in patches(gap)]
[509.2, 12.1, 7.7, 0.1, 0.1]
>>> "89266419003ffff" in gap, gap == gap.unpack(gap.pack())
(True, True)
>>> field = Field(city)
>>> shifts = Spells.of(field, [(0, 24, north), (0, 12, south)])
>>> day = shifts.over(0, 24)
>>> day.moments.tolist(), day.held.tolist()
([0, 12, 24], [9230.0, 3918.0])
>>> day.worst, field.hexes(shifts.at(day.worst.begin) == 0) == city - north
(Stretch(begin=12, end=24, held=3918.0), True)
>>> hours = day.uncovered
>>> len(hours), f"{hours.mean():.1f} hours without cover, {hours.max()} at most"
(14221, '12.9 hours without cover, 24 at most')
"""

from layers.hexes.depth import Depth, depth, union, union_by
from layers.hexes.disks import disk, disks
from layers.hexes.errors import HexesError, TooManyCells
from layers.hexes.field import Field, span_sums, spans_of
from layers.hexes.filling import MAX_CELLS, estimate_cells, fill, fills
from layers.hexes.outlines import Outline, outlines
from layers.hexes.patches import Patch, patches
from layers.hexes.sets import Hexes
from layers.hexes.spells import Course, Spells, Stretch, summable

__all__ = [
    "MAX_CELLS",
    "Course",
    "Depth",
    "Field",
    "Hexes",
    "HexesError",
    "Outline",
    "Patch",
    "Spells",
    "Stretch",
    "TooManyCells",
    "depth",
    "disk",
    "disks",
    "estimate_cells",
    "fill",
    "fills",
    "outlines",
    "patches",
    "span_sums",
    "spans_of",
    "summable",
    "union",
    "union_by",
]
