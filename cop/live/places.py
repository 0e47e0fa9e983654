"""Where the features of a layer are: found by the cells of a sight, without a look at all the others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from cop.live.held import Held
from cop.live.interest import FILL, KEEP, Cell, Sight
from layers.model import FeatureId


class Places:
    """An index of *features*, which its owner changes and tells `move` of."""

    def __init__(self, features: Mapping[FeatureId, Held]) -> None:
        self._features = features
        self._extended: dict[FeatureId, Held] = {}
        """Those that no cell holds: shapes, what has no place, and what is in every view."""
        self._levels: dict[int, dict[Cell, set[FeatureId]]] = {}
        """By resolution, for those that anybody has looked at: what stands in each cell."""

    def move(self, before: Held | None, after: Held | None) -> None:
        """A feature that was as *before* is now as *after*; None: is not there."""
        if after is not None and not after.has_cell:
            self._extended[after.id] = after
        elif self._extended and before is not None:
            self._extended.pop(before.id, None)
        if self._levels:
            left = None if before is None else before.cell
            entered = None if after is None else after.cell
            if left != entered:
                self._move_cells((after or before).id, left, entered)  # type: ignore[union-attr]

    def _move_cells(self, feature_id: FeatureId, left: Cell | None, entered: Cell | None) -> None:
        for resolution, level in self._levels.items():
            keep, fill = KEEP[resolution], FILL[resolution]
            old = None if left is None else left & keep | fill
            new = None if entered is None else entered & keep | fill
            if old == new:
                continue
            if old is not None:
                level[old].remove(feature_id)
                if not level[old]:
                    del level[old]
            if new is not None:
                level.setdefault(new, set()).add(feature_id)

    def within(self, sight: Sight) -> Iterator[Held]:
        """The features in sight, of whatever status, in no promised order."""
        if sight.resolution is None:
            yield from self._features.values()
            return
        for _, inside in self.by_cell(sight):
            for feature_id in inside:
                yield self._features[feature_id]
        yield from self.extended_in(sight)

    def by_cell(self, sight: Sight) -> Iterator[tuple[Cell, Collection[FeatureId]]]:
        """The cells of *sight*, which is a limited one, in which anything stands, and what."""
        assert sight.resolution is not None, "a limited sight"
        level = self._level(sight.resolution)
        for cell in sight.cells & level.keys():
            yield cell, level[cell]

    def extended_in(self, sight: Sight) -> Iterator[Held]:
        """Those in sight that no cell holds."""
        return (held for held in self._extended.values() if held.everywhere or sight.touches(held.bbox))

    def count(self, sight: Sight) -> int:
        """How many `within` gives."""
        if sight.resolution is None:
            return len(self._features)
        placed = sum(len(inside) for _, inside in self.by_cell(sight))
        return placed + sum(1 for _ in self.extended_in(sight))

    def _level(self, resolution: int) -> dict[Cell, set[FeatureId]]:
        level = self._levels.get(resolution)
        if level is None:
            level = self._levels[resolution] = {}
            keep, fill = KEEP[resolution], FILL[resolution]
            for held in self._features.values():
                if held.cell is not None:
                    level.setdefault(held.cell & keep | fill, set()).add(held.id)
        return level
