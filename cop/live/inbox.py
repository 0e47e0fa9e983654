"""What viewers are still owed: a tick's news, shared by all who keep up, and the debt of one who does not.

A debt is a set of features with the state that the viewer holds of each. It never grows beyond what the
viewer holds and what is in its view, however long it does not read.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from cop.live import wire
from cop.live.held import Held
from cop.live.interest import FILL, KEEP, Cell, Sight
from cop.live.picture import LayerPicture, Step
from layers.model import FeatureId


class Rows:
    """The rows of one layer of one frame, as they are gathered."""

    __slots__ = ("gones", "layer", "moved", "moves", "now", "packed", "puts", "size")

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

    def follow(self, step: Step, sight: Sight) -> None:
        """Add what *step* is to a viewer of *sight* who held what was before."""
        before, after, why = step
        seen = before if before is not None and before.seen_by(sight) else None
        if after is not None and after.seen_by(sight):
            self.show(after, seen)
        elif seen is not None:
            self.take(seen.id, why or why_unseen(after, sight))

    def body(self, *, packing: bool) -> wire.Body:
        """The rows as part of a frame, moves as records where that is asked for and they can be said so."""
        self._settle(packing)
        return wire.body(self.puts, self.moves, self.gones, b"".join(self.packed))

    def joined(self, *, packing: bool) -> tuple[str, str, str, bytes]:
        """Puts, moves, gones and records, each as one, to be handed to other rows."""
        self._settle(packing)
        return ",".join(self.puts), ",".join(self.moves), ",".join(self.gones), b"".join(self.packed)

    def add(self, puts: str, moves: str, gones: str, packed: bytes) -> None:
        """Take in what `joined` gave."""
        if puts:
            self.puts.append(puts)
        if moves:
            self.moves.append(moves)
        if gones:
            self.gones.append(gones)
        if packed:
            self.packed.append(packed)

    def _settle(self, packing: bool) -> None:
        for held in self.moved:
            if packing and (record := self.layer.packed(held, self.now)):
                self.packed.append(record)
            else:
                self.moves.append(held.move)
        self.moved = []


def why_unseen(after: Held | None, sight: Sight) -> str:
    """Why a feature that is still there is not to be held."""
    filtered = sight.statuses is not None and after is not None and after.status not in sight.statuses
    return "filter" if filtered else "view"


class CellNews:
    """The steps that began and ended within one cell, and their rows, joined once for each form of the wire."""

    __slots__ = ("_joined", "steps")

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self._joined: dict[bool, tuple[str, str, str, bytes]] = {}

    def add_to(self, rows: Rows, *, packing: bool) -> None:
        """Add everything, for a viewer who sees the whole cell."""
        joined = self._joined.get(packing)
        if joined is None:
            joined = self._joined[packing] = self._join(rows, packing)
        rows.add(*joined)

    def _join(self, rows: Rows, packing: bool) -> tuple[str, str, str, bytes]:
        mine = Rows(rows.layer, rows.now)
        for before, after, why in self.steps:
            if after is not None:
                mine.show(after, before)
            elif before is not None:
                mine.take(before.id, why)
        return mine.joined(packing=packing)


class News:
    """What happened to one layer in one tick, written once a cell; a viewer's share is a join of cells."""

    def __init__(self, layer: LayerPicture, steps: list[Step], now: int) -> None:
        self.steps = steps
        self._layer = layer
        self._now = now
        self._by_resolution: dict[int | None, tuple[dict[Cell, CellNews], list[Step]]] = {}
        self._bodies: dict[tuple[Sight, bool], wire.Body] = {}

    def body(self, sight: Sight, *, packing: bool) -> wire.Body:
        """The rows for a viewer who was up to date and sees *sight*; empty when nothing concerns it."""
        body = self._bodies.get((sight, packing))
        if body is None:
            body = self._bodies[sight, packing] = self._gathered(sight, packing)
        return body

    def _gathered(self, sight: Sight, packing: bool) -> wire.Body:
        if sight.resolution not in self._by_resolution:
            self._by_resolution[sight.resolution] = self._by_cell(sight.resolution)
        cells, crossing = self._by_resolution[sight.resolution]
        rows = Rows(self._layer, self._now)
        for cell in cells if sight.resolution is None else sight.cells & cells.keys():
            if sight.statuses is None:
                cells[cell].add_to(rows, packing=packing)
            else:
                for step in cells[cell].steps:
                    rows.follow(step, sight)
        for step in crossing:
            rows.follow(step, sight)
        return rows.body(packing=packing)

    def _by_cell(self, resolution: int | None) -> tuple[dict[Cell, CellNews], list[Step]]:
        """The steps within one cell, by cell, and those that touch several; for a sight of all, all as if in one."""
        cells: dict[Cell, CellNews] = {}
        crossing = []
        for step in self.steps:
            cell = 0 if resolution is None else _cell_of(step, resolution)
            if cell is None:
                crossing.append(step)
                continue
            if cell not in cells:
                cells[cell] = CellNews()
            cells[cell].steps.append(step)
        return cells, crossing


def _cell_of(step: Step, resolution: int) -> Cell | None:
    """The cell within which *step* began and ended; None: it did not, or is no matter of one cell."""
    before, after, _ = step
    keep, fill = KEEP[resolution], FILL[resolution]
    left = before.cell if before is not None else None
    entered = after.cell if after is not None else None
    if (before is not None and left is None) or (after is not None and entered is None):
        return None
    if left is None or entered is None:
        only = entered if left is None else left
        return None if only is None else only & keep | fill
    cell = entered & keep | fill
    return cell if cell == left & keep | fill else None


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
        self._held = dict.fromkeys((held.id for held in layer.features_in(sight)), None)

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
                seen = step.before is not None and step.before.seen_by(sight)
                self._held[state.id] = step.before if seen else None
            if step.after is None:
                self._why[state.id] = step.why
            else:
                self._why.pop(state.id, None)
            if self._held[state.id] is None and not (step.after and step.after.seen_by(sight)):
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
