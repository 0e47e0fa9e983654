"""What viewers are still owed: a tick's news, shared by all who keep up, and the debt of one who does not.

A debt is a set of features with the state that the viewer holds of each. It never grows beyond what the
viewer holds and what is in its view, however long it does not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import Enum
from typing import NamedTuple

from cop.live import wire
from cop.live.interest import FINEST_LEVEL, Cell, Sight, Span, around, cell_at
from cop.live.picture import Held, LayerPicture, Step
from layers.model import FeatureId


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

    def text(self) -> str:
        """The rows as part of a frame; "" when there are none."""
        return wire.rows(self.puts, self.moves, self.gones)


class Line(NamedTuple):
    """One step of a layer, written for those in whose sight it begins and ends."""

    reach: Span | None
    """All that the feature touched before and after; None where it had no place."""
    kind: int
    """0 put, 1 move, 2 gone: the place in the lists of a cell."""
    row: str
    step: Step


class News:
    """What happened to one layer in one tick, written once a cell; a viewer's share is a join of cells."""

    def __init__(self, steps: list[Step]) -> None:
        self.steps = steps
        self._written: list[Line] = []
        self._by_level: dict[int, tuple[dict[Cell, tuple[str, ...]], list[Step]]] = {}
        self._by_spans: dict[tuple[Span, ...], str] = {}

    def text(self, sight: Sight) -> str:
        """The rows for a viewer who was up to date and sees *sight*; "" when nothing concerns it."""
        text = self._by_spans.get(sight.spans)
        if text is None:
            text = self._by_spans[sight.spans] = self._gathered(sight)
        return text

    def _gathered(self, sight: Sight) -> str:
        cells, crossing = self._at(sight.level)
        rows = Rows()
        for cell in sight.cells & cells.keys():
            puts, moves, gones = cells[cell]
            if puts:
                rows.puts.append(puts)
            if moves:
                rows.moves.append(moves)
            if gones:
                rows.gones.append(gones)
        for step in crossing:
            _add(rows, step, sight)
        return rows.text()

    def _at(self, level: int) -> tuple[dict[Cell, tuple[str, ...]], list[Step]]:
        """The steps within one cell, joined by cell, and those that touch several."""
        if level not in self._by_level:
            self._by_level[level] = self._gathered_by_cell(FINEST_LEVEL - level)
        return self._by_level[level]

    def _gathered_by_cell(self, shift: int) -> tuple[dict[Cell, tuple[str, ...]], list[Step]]:
        cells: defaultdict[Cell, tuple[list[str], ...]] = defaultdict(lambda: ([], [], []))
        crossing = []
        self._written = self._written or [_line_of(step) for step in self.steps]
        for reach, kind, row, step in self._written:
            if reach is not None:
                west, south, east, north = reach
                column, line = west >> shift, south >> shift
                if column == east >> shift and line == north >> shift:
                    cells[cell_at(column, line)][kind].append(row)
                    continue
            crossing.append(step)
        return {cell: tuple(map(",".join, lists)) for cell, lists in cells.items()}, crossing


def _line_of(step: Step) -> Line:
    before, after, why = step
    if after is None:
        assert before is not None, "a picture tells of no step from nothing to nothing"
        return Line(before.span, 2, wire.gone_row(wire.text_of(before.id), why), step)
    row, is_move = after.news(before)
    reach = after.span
    if before is not None:
        reach = None if reach is None or before.span is None else around(before.span, reach)
    return Line(reach, int(is_move), row, step)


def _add(rows: Rows, step: Step, sight: Sight) -> None:
    """Add what *step* is to a viewer of *sight*."""
    before, after, why = step
    seen = before if before is not None and sight.sees(before.span) else None
    if after is not None and sight.sees(after.span):
        rows.show(after, seen)
    elif seen is not None:
        rows.take(seen.id, why or "view")


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
