"""Pieces of edges seen from the centres of cells, in the lattice of the cells' children: which of the lines from a
centre to the children cross them, and which children are near.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from layers.hexes.faces import CHILDREN, Complex

Reals = NDArray[np.float64]
Mask = NDArray[np.bool_]

_X, _Y = CHILDREN.real[:, None], CHILDREN.imag[:, None]


@dataclass(frozen=True, eq=False)
class Crossings:
    """n pieces, each seen from a cell of its own; children are at `CHILDREN`, so answers on them are (7, n).

    `offset` is how far left of the piece's line the cell's centre lies, `offsets` the same of each child.
    """

    start: tuple[Reals, Reals]
    end: tuple[Reals, Reals]
    along: tuple[Reals, Reals]
    half: Reals
    offset: Reals
    offsets: Reals

    @classmethod
    def of(cls, start: Complex, end: Complex) -> Crossings:
        """From where the pieces start and end."""
        (start_x, start_y), (end_x, end_y) = _parts(start), _parts(end)
        length = np.hypot(end_x - start_x, end_y - start_y)
        safe = np.where(length > 0, length, 1.0)
        x, y = np.where(length > 0, (end_x - start_x) / safe, 1.0), (end_y - start_y) / safe
        offset = y * start_x - x * start_y
        offsets = offset + (_Y * x - _X * y)
        return cls((start_x, start_y), (end_x, end_y), (x, y), length / 2, offset, offsets)

    def crossed(self) -> Mask:
        """Where the line to the child crosses the piece: the ends of each lie on different sides of the other.

        Ends that pieces share are computed alike. So a line that meets one is taken to pass it on one side, by both
        pieces: it crosses one of them if they lie on different sides, and both or none if not.
        """
        left, right = (_X * y >= _Y * x for x, y in (self.start, self.end))
        crossed: Mask = (left != right) & ((self.offset >= 0) != (self.offsets >= 0))
        return crossed

    def near(self, reach: Reals) -> Mask:
        """Where the child is within *reach* of the piece, or not much more."""
        x, y = self.along
        past = -(x * self.start[0] + y * self.start[1]) - self.half
        near: Mask = (abs(self.offsets) <= reach) & (abs((_X * x + _Y * y) + past) <= self.half + reach)
        return near


def _parts(places: Complex) -> tuple[Reals, Reals]:
    return np.ascontiguousarray(places.real), np.ascontiguousarray(places.imag)
