"""How many sets cover each cell: two sorts, whatever the number of sets."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from layers.hexes import ranges as rg
from layers.hexes.ranges import Ranges
from layers.hexes.ranks import check_resolution
from layers.hexes.sets import Hexes, check_same

Group = TypeVar("Group", bound=Hashable)


@dataclass(frozen=True, eq=False)
class Depth:
    """The number of covers of every cell, kept as all starts and all ends of the covers' ranges, each sorted."""

    resolution: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def pieces(self) -> tuple[Ranges, NDArray[np.int64]]:
        """Ranges (n, 2) of ranks with one count each, sorted, and the counts; those with no cover are left out."""
        at = np.union1d(self.starts, self.ends)
        counts = np.searchsorted(self.starts, at, side="right") - np.searchsorted(self.ends, at, side="right")
        covered = np.flatnonzero(counts)
        return np.column_stack((at[covered], at[covered + 1])) if len(covered) else rg.EMPTY, counts[covered]

    def at_least(self, count: int) -> Hexes:
        """Cells with *count* covers or more; *count* is 1 or more."""
        if count < 1:
            raise ValueError("every cell of the world has at least 0 covers")
        return Hexes(self.resolution, rg.deep(self.starts, self.ends, count))

    def exactly(self, count: int) -> Hexes:
        """Cells with *count* covers, *count* being 1 or more."""
        return self.at_least(count) - self.at_least(count + 1)


def depth(sets: Sequence[Hexes], resolution: int, groups: Sequence[Hashable] | None = None) -> Depth:
    """How many of *sets* cover each cell. With *groups* (one for each set): by how many different groups.

    All sets must be of *resolution*, else `HexesError` with code `h3.resolution`.
    """
    if groups is not None:
        sets = list(union_by(sets, resolution, groups).values())
    check_same(sets, check_resolution(resolution))
    return Depth(resolution, *rg.starts_and_ends([hexes.ranges for hexes in sets]))


def union(sets: Sequence[Hexes], resolution: int) -> Hexes:
    """Cells in any of *sets*; the empty set of *resolution* for none."""
    return depth(sets, resolution).at_least(1)


def union_by(sets: Sequence[Hexes], resolution: int, groups: Sequence[Group]) -> dict[Group, Hexes]:
    """The union of the sets of each group, in order of first appearance."""
    members: dict[Group, list[Hexes]] = {}
    for hexes, group in zip(sets, groups, strict=True):
        members.setdefault(group, []).append(hexes)
    return {group: union(own, resolution) for group, own in members.items()}
