"""Sets of H3 cells and their algebra, by dense ranks: exact, fast, and free of everything but numpy and h3.

A cell's dense rank counts the cells of its resolution in tree order, so a set is a short list of ranges, like
astronomy's multi-order coverage maps (IVOA MOC 2.0).
"""

from layers.hexes.depth import Depth, depth, union, union_by
from layers.hexes.disks import disk, disks
from layers.hexes.errors import HexesError, TooManyCells
from layers.hexes.field import Field, span_sums, spans_of
from layers.hexes.filling import MAX_CELLS, estimate_cells, fill, fills
from layers.hexes.outlines import Outline, outlines
from layers.hexes.patches import Patch, patches
from layers.hexes.sets import Hexes
from layers.hexes.spells import Course, Spells

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
    "union",
    "union_by",
]
