"""What viewers are still owed: a tick's news, shared by all who keep up, and the debt of one who does not.

A debt is a set of features with the state that the viewer holds of each. It never grows beyond what the
viewer holds and what is in its view, however long it does not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum

from cop.live import wire
from cop.live.interest import FINEST_LEVEL, Cell, Sight, cell_at
from cop.live.picture import Held, LayerPicture, Step
from layers.model import FeatureId

FRAME_CHARACTERS = 1_000_000
"""What one frame may carry, give or take one feature; the rest follows in the next."""


class Rows:
    """The rows of one layer of one frame, as they are gathered."""

    __slots__ = ("gones", "moves", "puts", "size")

    def __init__(self) -> None:
        self.puts: list[str] = []
        self.moves: list[str] = []
        self.gones: list[str] = []
        self.size = 0

    def show(self, after: Held, before: Held | None) -> None:
        """The viewer holds *before* and is to hold *after*."""
        row, is_move = after.news(before)
        (self.moves if is_move else self.puts).append(row)
        self.size += len(row)

    def take(self, feature_id: FeatureId, why: str) -> None:
        """The viewer holds the feature and is to hold it no more."""
        row = wire.gone_row(wire.text_of(feature_id), why)
        self.gones.append(row)
        self.size += len(row)

    def extend(self, others: Rows) -> None:
        """Add what *others* carries."""
        self.puts += others.puts
        self.moves += others.moves
        self.gones += others.gones

    def joined(self) -> Rows:
        """The same with one text a list, so that adding it to a frame costs the same however long it is."""
        joined = Rows()
        joined.puts = [",".join(self.puts)] if self.puts else []
        joined.moves = [",".join(self.moves)] if self.moves else []
        joined.gones = [",".join(self.gones)] if self.gones else []
        return joined

    def text(self) -> str:
        """The rows as part of a frame; "" when there are none."""
        return wire.rows(self.puts, self.moves, self.gones)


class News:
    """What happened to one layer in one tick, written once a cell; a viewer's share is a join of cells."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self._by_level: dict[int, tuple[dict[Cell, Rows], list[Step]]] = {}
        self._by_sight: dict[Sight, str] = {}

    def text(self, sight: Sight) -> str:
        """The rows for a viewer who was up to date and sees *sight*; "" when nothing concerns it."""
        text = self._by_sight.get(sight)
        if text is None:
            text = self._by_sight[sight] = self._gathered(sight).text()
        return text

    def _gathered(self, sight: Sight) -> Rows:
        cells, crossing = self._at(sight.level)
        rows = Rows()
        few, many = sorted((cells.keys(), sight.cells), key=len)
        for cell in few & many if len(few) > 64 else [cell for cell in few if cell in many]:
            rows.extend(cells[cell])
        for step in crossing:
            seen_before, seen_after = (held is not None and sight.sees(held.span) for held in step[:2])
            _add(rows, step, seen_before=seen_before, seen_after=seen_after)
        return rows

    def _at(self, level: int) -> tuple[dict[Cell, Rows], list[Step]]:
        """The steps within one cell, written by cell, and those that touch several."""
        if level not in self._by_level:
            shift = FINEST_LEVEL - level
            cells: defaultdict[Cell, Rows] = defaultdict(Rows)
            crossing = []
            for step in self.steps:
                cell = _cell_of(step, shift)
                if cell is None:
                    crossing.append(step)
                else:
                    _add(cells[cell], step, seen_before=True, seen_after=True)
            self._by_level[level] = {cell: rows.joined() for cell, rows in cells.items()}, crossing
        return self._by_level[level]


def _cell_of(step: Step, shift: int) -> Cell | None:
    """The one cell in which the feature was and is; None where there are several, or none."""
    held = step.after or step.before
    if held is None or held.span is None:
        return None
    west, south, east, north = held.span
    column, row = west >> shift, south >> shift
    if east >> shift != column or north >> shift != row:
        return None
    before = step.before
    if before is not held and before is not None:
        if before.span is None:
            return None
        west, south, east, north = before.span
        if not (west >> shift == column == east >> shift and south >> shift == row == north >> shift):
            return None
    return cell_at(column, row)


def _add(rows: Rows, step: Step, *, seen_before: bool, seen_after: bool) -> None:
    """Add what *step* is to a viewer in whose sight its two states are, as far as they exist."""
    if seen_after and step.after is not None:
        rows.show(step.after, step.before if seen_before else None)
    elif seen_before and step.before is not None:
        rows.take(step.before.id, step.why or "view")


class Unknown(Enum):
    """Stands for some older state, or none: we cannot know what a viewer who comes back held."""

    STATE = "unknown"


class Debt:
    """What one viewer is owed of one layer: of each feature that differs for it, the state that it holds.

    A feature that is not in here, the viewer holds as the picture does if it is in its view, and else not
    at all. Every method keeps that true.
    """

    __slots__ = ("_held", "_why")

    def __init__(self) -> None:
        self._held: dict[FeatureId, Held | Unknown | None] = {}
        self._why: dict[FeatureId, str] = {}

    def __len__(self) -> int:
        return len(self._held)

    def owe_everything(self, layer: LayerPicture, sight: Sight) -> None:
        """The viewer holds nothing of this layer."""
        self._why = {}
        self._held = {held.id: None for held in layer.features.values() if sight.sees(held.span)}

    def owe_since(self, changed: Iterable[Held], gone: dict[FeatureId, str]) -> None:
        """The viewer holds the layer as of some revision, after which this *changed* and that is *gone*."""
        self._why = gone
        self._held = {held.id: Unknown.STATE for held in changed}
        self._held.update(dict.fromkeys(gone, Unknown.STATE))

    def owe(self, steps: Iterable[Step], sight: Sight) -> None:
        """Take on what happened in a tick to a viewer who sees *sight*."""
        for step in steps:
            state = step.after or step.before
            if state is None:
                continue
            if state.id not in self._held:
                seen = step.before is not None and sight.sees(step.before.span)
                self._held[state.id] = step.before if seen else None
            if step.after is None:
                self._why[state.id] = step.why
            else:
                self._why.pop(state.id, None)
            if self._held[state.id] is None and not (step.after and sight.sees(step.after.span)):
                self._forget(state.id)

    def turn(self, layer: LayerPicture, before: Sight, after: Sight) -> None:
        """The viewer looked at *before* and now looks at *after*."""
        for held in layer.features.values():
            if held.id not in self._held:
                was_seen, is_seen = before.sees(held.span), after.sees(held.span)
                if was_seen != is_seen:
                    self._held[held.id] = held if was_seen else None

    def pay(self, layer: LayerPicture, sight: Sight, rows: Rows, *, characters: int) -> None:
        """Move what is owed into *rows* until they hold *characters*; what is left stays owed."""
        for feature_id in list(self._held):
            if rows.size >= characters:
                return
            before, after = self._held[feature_id], layer.features.get(feature_id)
            if after is not None and sight.sees(after.span):
                if after is not before:
                    rows.show(after, None if before is Unknown.STATE else before)
            elif before is not None:
                rows.take(feature_id, "view" if after is not None else self._why.get(feature_id, "deleted"))
            self._forget(feature_id)

    def _forget(self, feature_id: FeatureId) -> None:
        del self._held[feature_id]
        self._why.pop(feature_id, None)
