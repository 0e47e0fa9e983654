"""What viewers are still owed: a tick's news, shared by all who keep up, and the debt of one who does not.

A debt is a set of features with the state that the viewer holds of each. It never grows beyond what the viewer
holds, what is in its view, and some that came and went, however long it does not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from cop.live import wire
from cop.live.held import Held
from cop.live.interest import FILL, KEEP, Cell, Sight
from cop.live.picture import LayerPicture, Step
from layers.model import FeatureId

MOST_GONE = 1_000
"""Departures owed, beyond which the viewer is not told of one of what it never heard of."""


class Rows:
    """The rows of one layer of one frame, as they are gathered."""

    __slots__ = ("gones", "layer", "moved", "moves", "now", "packed", "puts", "size")

    moved: list[Held]
    """Features of which only a move is to be told, in words or as a record."""
    size: int
    """What `show` and `take` have added, in characters, or so."""

    def __init__(self, layer: LayerPicture, now: int) -> None:
        self.layer = layer
        self.now = now
        self.puts: list[str] = []
        self.moved: list[Held] = []
        self.gones: list[str] = []
        self.moves: list[str] = []
        self.packed: list[bytes] = []
        self.size = 0

    def show(self, after: Held, before: Held | None) -> None:
        """The viewer holds *before* and is to hold *after*."""
        if after.moved_from(before):
            self.moved.append(after)
            self.size += wire.RECORD_BYTES
        else:
            self.puts.append(after.put)
            self.size += len(after.put)

    def take(self, feature_id: FeatureId, why: str) -> None:
        """The viewer holds the feature and is to hold it no more."""
        row = wire.gone_row(wire.text_of(feature_id), why)
        self.gones.append(row)
        self.size += len(row)

    def follow(self, before: Held | None, after: Held | None, why: str, sight: Sight) -> None:
        """Add what a step is to a viewer of *sight* who held what was before."""
        seen = before if before is not None and before.seen_by(sight) else None
        if after is not None and after.seen_by(sight):
            self.show(after, seen)
        elif seen is not None:
            self.take(seen.id, why or why_unseen(after, sight))

    def body(self, *, packing: bool) -> wire.Body:
        """The rows as part of a frame, moves as records where that is asked for and they can be said so."""
        for held in self.moved:
            if packing and (record := self.layer.packed(held, self.now)):
                self.packed.append(record)
            else:
                self.moves.append(held.move)
        self.moved = []
        return wire.body(self.puts, self.moves, self.gones, b"".join(self.packed))


def why_unseen(after: Held | None, sight: Sight) -> str:
    """Why a feature that is still there is not to be held."""
    filtered = sight.statuses is not None and after is not None and after.status not in sight.statuses
    return "filter" if filtered else "view"


class Line:
    """One step, and what it is to a viewer who sees both its ends; worked out once."""

    __slots__ = ("after", "before", "entered", "left", "moved", "record", "why")

    def __init__(self, step: Step) -> None:
        self.before, self.after, self.why, _ = step
        self.left = None if self.before is None else self.before.cell
        self.entered = None if self.after is None else self.after.cell
        self.moved = self.after is not None and self.after.moved_from(self.before)
        self.record: bytes | None = None
        """The packed move, once somebody wanted it; b"" where it must be told in words."""


class Lines:
    """The lines of one tick, sorted by the cells of one resolution."""

    def __init__(self, resolution: int | None, lines: list[Line]) -> None:
        self.within: dict[Cell, list[Line]] = {}
        """Those that begin and end in one cell."""
        self.leaving: dict[Cell, list[tuple[Cell, Line]]] = {}
        """Those that leave a cell for another, and that other."""
        self.entering: dict[Cell, list[tuple[Cell, Line]]] = {}
        """The same, by the cell that they enter, and the one that they left."""
        self.loose: list[Line] = []
        """Those that are no matter of cells."""
        if resolution is None:
            self.within[0] = lines
        else:
            for line in lines:
                self._sort(line, KEEP[resolution], FILL[resolution])

    def _sort(self, line: Line, keep: int, fill: int) -> None:
        left, entered = line.left, line.entered
        if (left is None and line.before is not None) or (entered is None and line.after is not None):
            self.loose.append(line)
            return
        old = None if left is None else left & keep | fill
        new = None if entered is None else entered & keep | fill
        if old is not None and new is not None and old != new:
            self.leaving.setdefault(old, []).append((new, line))
            self.entering.setdefault(new, []).append((old, line))
        else:
            cell = new if old is None else old
            assert cell is not None, "a step begins or ends somewhere"
            self.within.setdefault(cell, []).append(line)


Joined = tuple[str, str, str, bytes]
"""Puts, moves and gones as JSON rows, and moves as records, each joined to one."""


class News:
    """What happened to one layer in one tick, written once a cell; a viewer's share is a join of cells."""

    def __init__(self, layer: LayerPicture, steps: list[Step], now: int) -> None:
        self.steps = steps
        self._layer = layer
        self._now = now
        self._lines: list[Line] = []
        self._sorted: dict[int | None, Lines] = {}
        self._joined: dict[tuple[int | None, bool], dict[Cell, Joined]] = {}
        self._bodies: dict[tuple[Sight, bool], wire.Body] = {}

    def body(self, sight: Sight, *, packing: bool) -> wire.Body:
        """The rows for a viewer who was up to date and sees *sight*; empty when nothing concerns it."""
        body = self._bodies.get((sight, packing))
        if body is None:
            lines = self._sorted_by(sight.resolution)
            rows = Rows(self._layer, self._now)
            if sight.statuses is None:
                self._add_cells(rows, sight, packing)
                self._add_crossing(rows, lines, sight, packing)
            else:
                _add_filtered(rows, lines, sight)
            for line in lines.loose:
                rows.follow(line.before, line.after, line.why, sight)
            body = self._bodies[sight, packing] = rows.body(packing=packing)
        return body

    def _sorted_by(self, resolution: int | None) -> Lines:
        if resolution not in self._sorted:
            self._lines = self._lines or list(map(Line, self.steps))
            self._sorted[resolution] = Lines(resolution, self._lines)
        return self._sorted[resolution]

    def _add_cells(self, rows: Rows, sight: Sight, packing: bool) -> None:
        cells = self._joined.get((sight.resolution, packing))
        if cells is None:
            within = self._sorted_by(sight.resolution).within
            cells = {cell: self._join(lines, packing) for cell, lines in within.items()}
            self._joined[sight.resolution, packing] = cells
        # For each viewer and each of its cells, so it is written out.
        for cell in cells if sight.resolution is None else sight.cells & cells.keys():
            puts, moves, gones, packed = cells[cell]
            if packed:
                rows.packed.append(packed)
            if moves:
                rows.moves.append(moves)
            if puts:
                rows.puts.append(puts)
            if gones:
                rows.gones.append(gones)

    def _join(self, lines: list[Line], packing: bool) -> Joined:
        rows = Rows(self._layer, self._now)
        for line in lines:
            self._add_line(rows, line, packing)
        return ",".join(rows.puts), ",".join(rows.moves), ",".join(rows.gones), b"".join(rows.packed)

    def _add_line(self, rows: Rows, line: Line, packing: bool) -> None:
        """Add a line, for a viewer who sees both its ends."""
        after = line.after
        if after is None:
            assert line.before is not None, "a step begins or ends somewhere"
            rows.take(line.before.id, line.why)
        elif not line.moved:
            rows.puts.append(after.put)
        elif packing and (record := self._record(line, after)):
            rows.packed.append(record)
        else:
            rows.moves.append(after.move)

    def _record(self, line: Line, after: Held) -> bytes:
        if line.record is None:
            line.record = self._layer.packed(after, self._now)
        return line.record

    def _add_crossing(self, rows: Rows, lines: Lines, sight: Sight, packing: bool) -> None:
        """Add the lines between two cells, of which one or both are seen."""
        cells = sight.cells
        for cell in cells & lines.leaving.keys():
            for entered, line in lines.leaving[cell]:
                if entered in cells:
                    self._add_line(rows, line, packing)
                elif line.before is not None:
                    rows.take(line.before.id, "view")
        for cell in cells & lines.entering.keys():
            for left, line in lines.entering[cell]:
                if left not in cells and line.after is not None:
                    rows.puts.append(line.after.put)


def _add_filtered(rows: Rows, lines: Lines, sight: Sight) -> None:
    """Add what a viewer of some statuses is told: each feature may enter or leave the filter where it stands."""
    for cell in lines.within if sight.resolution is None else sight.cells & lines.within.keys():
        for line in lines.within[cell]:
            rows.follow(line.before, line.after, line.why, sight)
    for cell in sight.cells & lines.leaving.keys():
        for _, line in lines.leaving[cell]:
            rows.follow(line.before, line.after, line.why, sight)
    for cell in sight.cells & lines.entering.keys():
        for left, line in lines.entering[cell]:
            if left not in sight.cells:
                rows.follow(line.before, line.after, line.why, sight)


class Unknown(Enum):
    """Stands for some older state, or none: of a viewer who comes back, or of what came and went meanwhile."""

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

    def owe_whole(self, ids: Iterable[FeatureId]) -> None:
        """The viewer holds none of these."""
        self._held.update(dict.fromkeys(ids))

    def owe_since(self, changed: Iterable[Held], gone: dict[FeatureId, str]) -> None:
        """The viewer holds the layer as of some revision, after which this *changed* and that is *gone*."""
        self._why = dict(gone)
        self._held = {held.id: Unknown.STATE for held in changed}
        self._held.update(dict.fromkeys(gone, Unknown.STATE))

    def owe(self, steps: Iterable[Step], sight: Sight, *, passing: bool) -> None:
        """Take on what happened in a tick to a viewer who sees *sight*.

        *passing*: it is told also that something is gone that it was never told of, as long as it is not owed
        `MOST_GONE` departures. To put what is no more would be a ghost for all who fold the frame.
        """
        for step in steps:
            state = step.after or step.before
            if state is None:
                continue
            if state.id not in self._held:
                seen = step.before is not None and step.before.seen_by(sight) and not step.passed
                self._held[state.id] = step.before if seen else None
            if step.after is None:
                self._why[state.id] = step.why
            else:
                self._why.pop(state.id, None)
            if self._held[state.id] is None and (step.after is None or not step.after.seen_by(sight)):
                if passing and step.after is None and state.seen_by(sight) and len(self._why) <= MOST_GONE:
                    self._held[state.id] = Unknown.STATE
                else:
                    self._forget(state.id)

    def turn(self, layer: LayerPicture, before: Sight, after: Sight) -> None:
        """The viewer looked at *before* and now looks at *after*."""
        was = {held.id: held for held in layer.features_in(before)}
        entered = [held.id for held in layer.features_in(after) if was.pop(held.id, None) is None]
        for feature_id, held in was.items():
            self._held.setdefault(feature_id, held)
        for feature_id in entered:
            self._held.setdefault(feature_id, None)

    def pay(self, layer: LayerPicture, sight: Sight, rows: Rows, *, room: int) -> None:
        """Move what is owed into *rows* until they hold *room* characters; what is left stays owed."""
        for feature_id in list(self._held):
            if rows.size >= room:
                return
            before, after = self._held[feature_id], layer.features.get(feature_id)
            if after is not None and after.seen_by(sight):
                if after is not before:
                    rows.show(after, None if before is Unknown.STATE else before)
            elif before is not None:
                gone = self._why.get(feature_id, "deleted") if after is None else why_unseen(after, sight)
                rows.take(feature_id, gone)
            self._forget(feature_id)

    def _forget(self, feature_id: FeatureId) -> None:
        del self._held[feature_id]
        self._why.pop(feature_id, None)
