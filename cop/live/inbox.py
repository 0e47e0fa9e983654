"""What viewers are still owed: a tick's news, shared by all who keep up, and the debt of one who does not.

A debt is a set of features with the state that the viewer holds of each. It never grows beyond what the viewer
holds, what is in its view, and some that came and went, however long it does not read.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import NamedTuple, TypeVar

from cop.live import wire
from cop.live.held import Held
from cop.live.interest import EVERYTHING, FILL, KEEP, Cell, Sight
from cop.live.picture import LayerPicture, Step
from layers.model import FeatureId

Told = TypeVar("Told")

WORLD = frozenset({0})
"""The one cell of who sees everything."""
MOST_GONE = 1_000
"""Departures owed, beyond which the viewer is not told of one of what it never heard of."""


class Others(NamedTuple):
    """Rows besides those that are the rule, each kind as one piece (`wire.led`)."""

    puts: bytes
    moves: bytes
    """In words, for a viewer who takes records; b"" for any other, to whom words are the rule."""
    gones: bytes


class Joined(NamedTuple):
    """Rows as one piece, for viewers who take moves in the same form."""

    plain: bytes
    """Moves in the form that is the rule: records for who takes them, else words (`wire.led`)."""
    others: Others | None
    """What else there is, if anything."""


def together(others: list[Others]) -> Others:
    """What these say, in one."""
    return Others(*map(b"".join, zip(*others, strict=True)))


def with_parents(
    rows: dict[Cell, Told], resolution: int | None, join: Callable[[list[Told]], Told]
) -> dict[Cell, Told]:
    """*rows* of cells of *resolution*, and those of all children of a parent as its own.

    What went from one child to another is in neither.
    """
    if not resolution:
        return rows
    keep, fill = KEEP[resolution - 1], FILL[resolution - 1]
    children: defaultdict[Cell, list[Told]] = defaultdict(list)
    for cell, each in rows.items():
        children[cell & keep | fill].append(each)
    return rows | {parent: join(each) for parent, each in children.items()}


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
        words = wire.led(self.moves)
        others = Others(wire.led(self.puts), words if packing else b"", wire.led(self.gones))
        return Joined(b"".join(self.packed) if packing else words, others if any(others) else None)

    def body(self, *, packing: bool) -> wire.Body:
        """The rows as part of a frame, moves as records where that is asked for and they can be said so."""
        plain, others = self.joined(packing=packing)
        return body_of([plain] if plain else [], [others] if others else [], packing=packing)


def body_of(plain: list[bytes], others: list[Others], *, packing: bool) -> wire.Body:
    """Moves in the form that is the rule, none empty, and what else there is, as part of a frame."""
    moves, packed = ([], plain) if packing else (plain, [])
    if not others:
        return wire.body(moves=moves, packed=packed)
    puts, gones = [each.puts for each in others if each.puts], [each.gones for each in others if each.gones]
    if packing:
        moves = [each.moves for each in others if each.moves]
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
        self.both: list[Joined | None] = [None, None]
        """To those who see both, by whether they take records; None: nobody has wanted it yet."""
        self.left: Joined | None = None
        """To those who see only where they came from …"""
        self.entered: Joined | None = None
        """… or only where they went to."""


class Leaving:
    """The crossings of one tick out of one cell, by the cell that they enter."""

    __slots__ = ("crossings", "whole")

    def __init__(self) -> None:
        self.crossings: dict[Cell, Crossing] = {}
        self.whole: list[Joined | None] = [None, None]
        """To those who see all of these cells, by whether they take records; None: nobody has wanted it yet."""


class Sorted:
    """The lines of one tick by the cells of one resolution; without a resolution there is but the one, 0, the world."""

    def __init__(self, resolution: int | None, lines: list[Line]) -> None:
        self.within: defaultdict[Cell, list[Line]] = defaultdict(list)
        """Those that begin and end in one cell."""
        self.leaving: defaultdict[Cell, Leaving] = defaultdict(Leaving)
        """Those that leave a cell for another."""
        self.entering: defaultdict[Cell, dict[Cell, Crossing]] = defaultdict(dict)
        """The same, by the cell that they enter, and the one that they left."""
        self.loose: list[Line] = []
        """Those that are no matter of cells."""
        if resolution is None:
            self.within[0] = lines
        else:
            for line in lines:
                self._sort(line, KEEP[resolution], FILL[resolution])
        self.left, self.entered = frozenset(self.leaving), frozenset(self.entering)
        self._somewhere = self.left.union(self.entered, self.within)

    def _sort(self, line: Line, keep: int, fill: int) -> None:
        left, entered = line.left, line.entered
        if (left is None and line.before is not None) or (entered is None and line.after is not None):
            self.loose.append(line)
            return
        old = None if left is None else left & keep | fill
        new = None if entered is None else entered & keep | fill
        if old is not None and new is not None and old != new:
            crossing = self.leaving[old].crossings.setdefault(new, Crossing())
            crossing.lines.append(line)
            self.entering[new][old] = crossing
        else:
            cell = new if old is None else old
            assert cell is not None, "a step begins or ends somewhere"
            self.within[cell].append(line)

    def all_seen(self, sight: frozenset[Cell]) -> bool:
        """Whether nothing happened beyond *sight*."""
        return not self.loose and self._somewhere <= sight

    def seen(self, sight: frozenset[Cell]) -> Iterator[Line]:
        """All that concerns *sight*, each line once."""
        for cell in sight & self.within.keys():
            yield from self.within[cell]
        for old in sight & self.left:
            for crossing in self.leaving[old].crossings.values():
                yield from crossing.lines
        for new in sight & self.entered:
            for old, crossing in self.entering[new].items():
                if old not in sight:
                    yield from crossing.lines


class Written(NamedTuple):
    """What happened within cells, and by parent within its children; moves apart, for most of what happens is moves."""

    plain: dict[Cell, bytes]
    others: dict[Cell, Others]


class News:
    """What happened to one layer in one tick, written once a cell; a viewer's share is a join of cells."""

    def __init__(self, layer: LayerPicture, steps: list[Step], now: int) -> None:
        self.steps = steps
        self._layer = layer
        self._now = now
        self._lines: list[Line] = []
        self._sorted: dict[int | None, Sorted] = {}
        self._written: dict[tuple[int | None, bool], Written] = {}
        self._bodies: tuple[dict[Sight, wire.Body], dict[Sight, wire.Body]] = ({}, {})
        """By whether records are taken."""

    def body(self, sight: Sight, *, packing: bool) -> wire.Body:
        """The rows for a viewer who was up to date and sees *sight*; empty when nothing concerns it."""
        bodies = self._bodies[packing]
        body = bodies.get(sight)
        if body is None:
            body = bodies[sight] = self._join_for(sight, packing)
        return body

    def _join_for(self, sight: Sight, packing: bool) -> wire.Body:
        """It is done for each viewer in each tick: no loop in Python over the cells of the sight."""
        lines = self._sorted_by(sight.resolution)
        if sight.resolution is not None and sight.statuses is None and lines.all_seen(sight.cells):
            return self.body(EVERYTHING, packing=packing)
        cells, compact = (WORLD, WORLD) if sight.resolution is None else (sight.cells, sight.compact)
        plain: list[bytes] = []
        others: list[Others] = []
        further: list[Joined] = []
        if sight.statuses is None:
            written = self._written_by(sight.resolution, packing)
            plain += filter(None, map(written.plain.get, compact))
            if written.others:  # There are hardly ever any.
                others += filter(None, map(written.others.get, compact))
            if lines.leaving:
                further += self._crossing(lines, cells, packing)
        if lines.loose or sight.statuses is not None:
            further.append(self._own(lines, cells, sight).joined(packing=packing))
        plain += [rows.plain for rows in further if rows.plain]
        others += [rows.others for rows in further if rows.others]
        return body_of(plain, others, packing=packing)

    def _own(self, lines: Sorted, cells: frozenset[Cell], sight: Sight) -> Rows:
        """What cells cannot tell: shapes, and where each feature may enter or leave the filter where it stands."""
        rows = Rows(self._layer, self._now)
        filtered = lines.seen(cells) if sight.statuses is not None else ()
        for line in chain(filtered, lines.loose):
            rows.follow(line.before, line.after, line.why, sight)
        return rows

    def _sorted_by(self, resolution: int | None) -> Sorted:
        if resolution not in self._sorted:
            self._lines = self._lines or list(map(Line, self.steps))
            self._sorted[resolution] = Sorted(resolution, self._lines)
        return self._sorted[resolution]

    def _written_by(self, resolution: int | None, packing: bool) -> Written:
        written = self._written.get((resolution, packing))
        if written is None:
            within = self._sorted_by(resolution).within
            cells = {cell: self._join(lines, packing) for cell, lines in within.items()}
            plain = {cell: rows.plain for cell, rows in cells.items() if rows.plain}
            others = {cell: rows.others for cell, rows in cells.items() if rows.others is not None}
            written = Written(
                with_parents(plain, resolution, b"".join), with_parents(others, resolution, together)
            )
            self._written[resolution, packing] = written
        return written

    def _crossing(self, lines: Sorted, sight: frozenset[Cell], packing: bool) -> Iterator[Joined]:
        """What happened between two cells, of which one or both are seen."""
        for old in sight & lines.left:
            leaving = lines.leaving[old]
            if leaving.crossings.keys() <= sight:
                yield leaving.whole[packing] or self._whole(leaving, packing)
                continue
            for new, crossing in leaving.crossings.items():
                if new in sight:
                    yield crossing.both[packing] or self._both(crossing, packing)
                else:
                    yield crossing.left or self._left(crossing)
        for new in sight & lines.entered:
            for old, crossing in lines.entering[new].items():
                if old not in sight:
                    yield crossing.entered or self._entered(crossing)

    def _join(self, lines: Iterable[Line], packing: bool) -> Joined:
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
        return rows.joined(packing=packing)

    def _record(self, line: Line, after: Held) -> bytes:
        if line.record is None:
            line.record = self._layer.packed(after, self._now)
        return line.record

    def _whole(self, leaving: Leaving, packing: bool) -> Joined:
        lines = chain.from_iterable(crossing.lines for crossing in leaving.crossings.values())
        whole = leaving.whole[packing] = self._join(lines, packing)
        return whole

    def _both(self, crossing: Crossing, packing: bool) -> Joined:
        both = crossing.both[packing] = self._join(crossing.lines, packing)
        return both

    def _left(self, crossing: Crossing) -> Joined:
        rows = Rows(self._layer, self._now)
        for line in crossing.lines:
            assert line.before is not None, "it was in a cell"
            rows.take(line.before.id, "view")
        crossing.left = rows.joined(packing=False)
        return crossing.left

    def _entered(self, crossing: Crossing) -> Joined:
        rows = Rows(self._layer, self._now)
        for line in crossing.lines:
            assert line.after is not None, "it is in a cell"
            rows.puts.append(line.after.put)
        crossing.entered = rows.joined(packing=False)
        return crossing.entered


class Unknown(Enum):
    """Stands for some older state, or none: of a viewer who comes back, or of what came and went meanwhile."""

    STATE = "unknown"


class Debt:
    """What one viewer is owed of one layer: of each feature that differs for it, the state that it holds.

    A feature that is not in here, the viewer holds as the picture does if it is in its view, and else not
    at all. Every method keeps that true.
    """

    __slots__ = ("_why", "held")

    def __init__(self) -> None:
        self.held: dict[FeatureId, Held | Unknown | None] = {}
        """Empty when nothing is owed; asked for each viewer in each tick."""
        self._why: dict[FeatureId, str] = {}

    def owe_whole(self, ids: Iterable[FeatureId]) -> None:
        """The viewer holds none of these."""
        self.held.update(dict.fromkeys(ids))

    def owe_since(self, changed: Iterable[Held], gone: dict[FeatureId, str]) -> None:
        """The viewer holds the layer as of some revision, after which this *changed* and that is *gone*."""
        self._why = dict(gone)
        self.held = {held.id: Unknown.STATE for held in changed}
        self.held.update(dict.fromkeys(gone, Unknown.STATE))

    def owe(self, steps: Iterable[Step], sight: Sight, *, passing: bool) -> None:
        """Take on what happened in a tick to a viewer who sees *sight*.

        *passing*: it is told also that something is gone that it was never told of, as long as it is not owed
        `MOST_GONE` departures. To put what is no more would be a ghost for all who fold the frame.
        """
        for step in steps:
            state = step.after or step.before
            if state is None:
                continue
            if state.id not in self.held:
                seen = step.before is not None and step.before.seen_by(sight) and not step.passed
                self.held[state.id] = step.before if seen else None
            if step.after is None:
                self._why[state.id] = step.why
            else:
                self._why.pop(state.id, None)
            if self.held[state.id] is None and (step.after is None or not step.after.seen_by(sight)):
                if passing and step.after is None and state.seen_by(sight) and len(self._why) <= MOST_GONE:
                    self.held[state.id] = Unknown.STATE
                else:
                    self._forget(state.id)

    def turn(self, layer: LayerPicture, before: Sight, after: Sight) -> None:
        """The viewer looked at *before* and now looks at *after*."""
        was = {held.id: held for held in layer.features_in(before)}
        entered = [held.id for held in layer.features_in(after) if was.pop(held.id, None) is None]
        for feature_id, held in was.items():
            self.held.setdefault(feature_id, held)
        for feature_id in entered:
            self.held.setdefault(feature_id, None)

    def pay(self, layer: LayerPicture, sight: Sight, rows: Rows, *, room: int) -> None:
        """Move what is owed into *rows* until they hold *room* bytes; what is left stays owed."""
        for feature_id in list(self.held):
            if rows.size >= room:
                return
            before, after = self.held[feature_id], layer.features.get(feature_id)
            if after is not None and after.seen_by(sight):
                if after is not before:
                    rows.show(after, None if before is Unknown.STATE else before)
            elif before is not None:
                gone = self._why.get(feature_id, "deleted") if after is None else why_unseen(after, sight)
                rows.take(feature_id, gone)
            self._forget(feature_id)

    def _forget(self, feature_id: FeatureId) -> None:
        del self.held[feature_id]
        self._why.pop(feature_id, None)
