"""What viewers are still owed: a tick's news, shared by all who keep up, and the debt of one who does not.

A debt is a set of features with the state that the viewer holds of each. It never grows beyond what the viewer
holds, what is in its view, and some that came and went, however long it does not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import NamedTuple

from cop.live import wire
from cop.live.held import Held
from cop.live.interest import FILL, KEEP, Cell, Sight
from cop.live.picture import LayerPicture, Step
from layers.model import FeatureId

WORLD = frozenset({0})
"""The one cell of who sees everything."""
MOST_GONE = 1_000
"""Departures owed, beyond which the viewer is not told of one of what it never heard of."""


class Joined(NamedTuple):
    """Rows of each kind, joined to one: puts, moves and gones as JSON, and moves as records."""

    puts: bytes
    moves: bytes
    gones: bytes
    packed: bytes

    @property
    def shared(self) -> Shared:
        """The same, for many to pick from."""
        return self.packed, self if self.puts or self.moves or self.gones else None


Shared = tuple[bytes, Joined | None]
"""Records, and all of it if there is anything else."""


class Rows:
    """The rows of one layer of one frame, as they are gathered."""

    __slots__ = ("gones", "layer", "moved", "moves", "now", "packed", "puts", "size")

    moved: list[Held]
    """Features of which only a move is to be told, in words or as a record."""
    size: int
    """What `show` and `take` have added, in bytes, or so."""

    def __init__(self, layer: LayerPicture, now: int) -> None:
        self.layer = layer
        self.now = now
        self.puts: list[bytes] = []
        self.moved = []
        self.gones: list[bytes] = []
        self.moves: list[bytes] = []
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

    def joined(self, *, packing: bool) -> Joined:
        """The rows that were added one by one, each kind joined; moves as records where they can be said so."""
        for held in self.moved:
            if packing and (record := self.layer.packed(held, self.now)):
                self.packed.append(record)
            else:
                self.moves.append(held.move)
        self.moved = []
        return Joined(
            b",".join(self.puts), b",".join(self.moves), b",".join(self.gones), b"".join(self.packed)
        )

    def body(self, *, packing: bool) -> wire.Body:
        """The rows as part of a frame, moves as records where that is asked for and they can be said so."""
        return body_of([self.joined(packing=packing).shared])


def body_of(told: Iterable[Shared]) -> wire.Body:
    """All that is *told* as part of a frame."""
    packed: list[bytes] = []
    words: list[Joined] = []
    for records, rows in told:
        if records:
            packed.append(records)
        if rows is not None:
            words.append(rows)
    if not words:
        return wire.body(packed=packed)
    puts, moves, gones = ([rows[kind] for rows in words if rows[kind]] for kind in range(3))
    return wire.body(puts, moves, gones, packed)


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


class Crossing:
    """The lines of one tick that leave one cell for another, and what they are to those who see one or both."""

    __slots__ = ("both", "entered", "left", "lines")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.both: list[Shared | None] = [None, None]
        """To those who see both, by whether they take records; None: nobody has wanted it yet."""
        self.left: Shared | None = None
        """To those who see only where they came from …"""
        self.entered: Shared | None = None
        """… or only where they went to."""


class CellNews:
    """What happened in one cell in one tick."""

    __slots__ = ("entering", "leaving", "lines", "within")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        """What began and ended here."""
        self.within: list[Shared | None] = [None, None]
        """The same as rows, by whether moves are records; None: nobody has wanted it yet."""
        self.leaving: dict[Cell, Crossing] = {}
        """What left for another cell, by that …"""
        self.entering: dict[Cell, Crossing] = {}
        """… and what came from another, by that."""


class News:
    """What happened to one layer in one tick, written once a cell; a viewer's share is a join of cells."""

    def __init__(self, layer: LayerPicture, steps: list[Step], now: int) -> None:
        self.steps = steps
        self._layer = layer
        self._now = now
        self._lines: list[Line] = []
        self._loose: list[Line] = []
        """Those that are no matter of cells."""
        self._cells: dict[int | None, dict[Cell, CellNews]] = {}
        """By resolution, and by cell; without a resolution there is but the one, 0, the world."""
        self._bodies: dict[tuple[Sight, bool], wire.Body] = {}

    def body(self, sight: Sight, *, packing: bool) -> wire.Body:
        """The rows for a viewer who was up to date and sees *sight*; empty when nothing concerns it."""
        body = self._bodies.get((sight, packing))
        if body is None:
            body = self._bodies[sight, packing] = body_of(self._told(sight, packing))
        return body

    def _told(self, sight: Sight, packing: bool) -> list[Shared]:
        cells = self._sorted_by(sight.resolution)
        seen = [news for cell in sight.cells or WORLD if (news := cells.get(cell)) is not None]
        if sight.statuses is None:
            told = [news.within[packing] or self._within(news, packing) for news in seen]
            for news in seen:
                if news.leaving or news.entering:
                    told += self._crossing(news, sight.cells, packing)
            if not self._loose or sight.resolution is None:
                return told
            rows = Rows(self._layer, self._now)
        else:
            told, rows = [], Rows(self._layer, self._now)
            _add_filtered(rows, seen, sight)
        for line in self._loose if sight.resolution is not None else ():
            rows.follow(line.before, line.after, line.why, sight)
        told.append(rows.joined(packing=packing).shared)
        return told

    def _sorted_by(self, resolution: int | None) -> dict[Cell, CellNews]:
        if resolution not in self._cells:
            self._lines = self._lines or list(map(Line, self.steps))
            cells: defaultdict[Cell, CellNews] = defaultdict(CellNews)
            self._cells[resolution] = cells
            if resolution is None:
                cells[0].lines = self._lines
            else:
                self._loose = []
                for line in self._lines:
                    self._sort(line, cells, KEEP[resolution], FILL[resolution])
        return self._cells[resolution]

    def _sort(self, line: Line, cells: defaultdict[Cell, CellNews], keep: int, fill: int) -> None:
        left, entered = line.left, line.entered
        if (left is None and line.before is not None) or (entered is None and line.after is not None):
            self._loose.append(line)
            return
        old = None if left is None else left & keep | fill
        new = None if entered is None else entered & keep | fill
        if old is not None and new is not None and old != new:
            crossing = cells[old].leaving.setdefault(new, Crossing())
            crossing.lines.append(line)
            cells[new].entering[old] = crossing
        else:
            cell = new if old is None else old
            assert cell is not None, "a step begins or ends somewhere"
            cells[cell].lines.append(line)

    def _crossing(self, news: CellNews, sight: frozenset[Cell], packing: bool) -> Iterator[Shared]:
        """What left a cell that is seen, and what entered it from one that is not."""
        for new, crossing in news.leaving.items():
            if new in sight:
                yield crossing.both[packing] or self._both(crossing, packing)
            else:
                yield crossing.left or self._left(crossing)
        for old, crossing in news.entering.items():
            if old not in sight:
                yield crossing.entered or self._entered(crossing)

    def _within(self, news: CellNews, packing: bool) -> Shared:
        within = news.within[packing] = self._join(news.lines, packing)
        return within

    def _both(self, crossing: Crossing, packing: bool) -> Shared:
        both = crossing.both[packing] = self._join(crossing.lines, packing)
        return both

    def _join(self, lines: list[Line], packing: bool) -> Shared:
        """The lines, for a viewer who sees both their ends."""
        rows = Rows(self._layer, self._now)
        for line in lines:
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
        return rows.joined(packing=packing).shared

    def _record(self, line: Line, after: Held) -> bytes:
        if line.record is None:
            line.record = self._layer.packed(after, self._now)
        return line.record

    def _left(self, crossing: Crossing) -> Shared:
        rows = Rows(self._layer, self._now)
        for line in crossing.lines:
            assert line.before is not None, "it was in a cell"
            rows.take(line.before.id, "view")
        crossing.left = rows.joined(packing=False).shared
        return crossing.left

    def _entered(self, crossing: Crossing) -> Shared:
        rows = Rows(self._layer, self._now)
        for line in crossing.lines:
            assert line.after is not None, "it is in a cell"
            rows.puts.append(line.after.put)
        crossing.entered = rows.joined(packing=False).shared
        return crossing.entered


def _add_filtered(rows: Rows, seen: list[CellNews], sight: Sight) -> None:
    """Add what a viewer of some statuses is told: each feature may enter or leave the filter where it stands."""
    for news in seen:
        entered = (crossing for old, crossing in news.entering.items() if old not in sight.cells)
        for line in chain(news.lines, *(crossing.lines for crossing in (*news.leaving.values(), *entered))):
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
        """Move what is owed into *rows* until they hold *room* bytes; what is left stays owed."""
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
