"""A layer with more features than a viewer is to be told one by one, as sums: how many in each cell, how bad, how old.

Sums are for drawing, so they may be a second old. What is counted is what the same viewer would be told of nearer.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from h3.api import basic_int as h3

from cop.live import wire
from cop.live.held import Held
from cop.live.interest import FILL, KEEP, Cell, Sight, finest_cell
from layers.kinds import DISTRESS

GOOD_MS = 1_000
"""A sum is counted anew at most so often, however many viewers ask and however fast the layer changes."""
WORST_FIRST = (
    DISTRESS,
    "on_scene",
    "transporting",
    "en_route",
    "dispatched",
    "returning",
    "available",
    "out_of_service",
)
"""The statuses of units, in the order in which a dispatcher must see them; others come after, by their names."""
_RANKS = {status: rank for rank, status in enumerate(WORST_FIRST)}


def resolution_of(sight: Sight) -> int:
    """The resolution of the sums for *sight*: seven for each of its cells, or the world in 842."""
    return 1 if sight.resolution is None else sight.resolution + 1


class Summary:
    """The sums of a layer at one resolution, each as its row; *resolution* is at least 1."""

    def __init__(self, resolution: int, features: Iterable[Held], revision: int, now: int) -> None:
        self._revision = revision
        self._counted_at = now
        self._rows: dict[Cell, dict[Cell, str]] = defaultdict(dict)
        """By the cell one resolution up."""
        self._everywhere: dict[Cell, str] = {}
        """Those that hold somebody in distress."""
        keep, fill = KEEP[resolution], FILL[resolution]
        cells: defaultdict[Cell, list[Held]] = defaultdict(list)
        for held in features:
            cell = held.cell if held.cell is not None else _middle(held)
            if cell is not None:
                cells[cell & keep | fill].append(held)
        keep, fill = KEEP[resolution - 1], FILL[resolution - 1]
        for cell, inside in cells.items():
            row = self._rows[cell & keep | fill][cell] = _row(cell, inside)
            if any(held.everywhere for held in inside):
                self._everywhere[cell] = row

    def good(self, revision: int, now: int) -> bool:
        """Whether it still serves for a layer that stands at *revision*."""
        return revision == self._revision or now - self._counted_at < GOOD_MS

    def rows_for(self, sight: Sight) -> dict[Cell, str]:
        """The rows of the cells within *sight*, whose cells are one resolution coarser, and of those in distress."""
        rows = dict(self._everywhere)
        for parent in self._rows if sight.resolution is None else sight.cells & self._rows.keys():
            rows |= self._rows[parent]
        return rows


def _middle(held: Held) -> Cell | None:
    if held.bbox is None:
        return None
    west, south, east, north = held.bbox
    return finest_cell(west if west > east else (west + east) / 2, (south + north) / 2)


def _row(cell: Cell, features: list[Held]) -> str:
    statuses = {held.status for held in features} - {None}
    worst = min(statuses, key=lambda status: (_RANKS.get(status or "", len(_RANKS)), status), default=None)
    oldest_ms = min(held.observed_ms for held in features)
    return wire.text_of([h3.int_to_str(cell), len(features), worst, oldest_ms])


def no_more(cell: Cell) -> str:
    """The row of a cell that a viewer holds and in which there is nothing any more."""
    return wire.text_of([h3.int_to_str(cell), 0, None, 0])
