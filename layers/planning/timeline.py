"""Gap and overlap over a window of time: at each step, and for each cell to the microsecond. Pure, and heavy.

What is handed in are spells: covers that count from … until …, as `spells` makes them of the log and of shifts, and
`positions` of a file's rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from layers.errors import Invalid, TooLarge
from layers.hexes import Field
from layers.hexes import ranges as rg
from layers.hexes.field import Mask
from layers.hexes.ranges import Ranges

Integers = NDArray[np.int64]
Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1, every few ten milliseconds or less often."""

MAX_STEPS = 1_000
MAX_WINDOW = timedelta(days=400)
MAX_PAIRS = 2_000_000
"""Spells times pieces of ground that are sorted at once: some 200 MB."""
GRAINS_PER_KM2 = 1e9
"""Ground is added up in whole grains of 10 cm²: sums do not depend on their order, so equal moments compare equal."""

_STEPS_SHARE = 0.3
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def micros(moment: datetime) -> int:
    """Microseconds since 1970, as exact as a `datetime` and the database are."""
    return (moment - _EPOCH) // _MICROSECOND


def moment_of(us: int) -> datetime:
    """The moment that `micros` makes *us* of, in UTC."""
    return _EPOCH + us * _MICROSECOND


@dataclass(frozen=True, slots=True)
class Window:
    """From `begin_us`, which belongs to it, to `end_us`, which does not, in steps of `step_us`; microseconds."""

    begin_us: int
    end_us: int
    step_us: int

    @classmethod
    def of(cls, begin: datetime, end: datetime, step: timedelta) -> Self:
        """Raises `Invalid` (`timeline.order`, `timeline.step`) or `TooLarge` (`timeline.too_long`)."""
        if end <= begin:
            raise Invalid("“to” lies after “from”.", pointer="/window/to", code="timeline.order")
        if step < _MICROSECOND:
            raise Invalid(
                "A step is longer than nothing.", pointer="/window/step_minutes", code="timeline.step"
            )
        if end - begin > MAX_WINDOW:
            detail = f"A window is at most {MAX_WINDOW.days} days long; this one has {(end - begin).days}."
            raise TooLarge(detail, pointer="/window/to", code="timeline.too_long")
        steps = -(-(end - begin) // step)
        if steps > MAX_STEPS:
            detail = f"{steps:,} steps are more than the {MAX_STEPS:,} of one timeline: take longer steps."
            raise TooLarge(detail, pointer="/window/step_minutes", code="timeline.too_many_steps")
        return cls(micros(begin), micros(end), step // _MICROSECOND)

    @property
    def steps(self) -> Integers:
        """The instants that are looked at: the beginning, and on from it as long as they lie before the end."""
        return np.arange(self.begin_us, self.end_us, self.step_us, dtype=np.int64)

    @property
    def length_us(self) -> int:
        """How long it is."""
        return self.end_us - self.begin_us


class Spell(NamedTuple):
    """A feature's cover that counts from `begin_us`, which is part of it, until `end_us`, which is not.

    The spells of one feature do not overlap in time: one that moves is a chain of them.
    """

    feature: tuple[str, str]
    """Layer and id."""
    agency: str
    begin_us: int
    end_us: int
    spans: Ranges
    """What it covers of the area, as places of the field."""


class Duty(NamedTuple):
    """How many different features of an agency count at any time of the window and reach any of the area, and for how
    long all together.
    """

    agency: str
    features: int
    us: int


class Stretch(NamedTuple):
    """A time during which the covered ground does not change; the end is not part of it."""

    begin_us: int
    end_us: int
    covered_km2: float


@dataclass(frozen=True, eq=False)
class Exact:
    """What holds between the steps as well.

    Covered ground is constant from each of `moments_us` to the next; `covered_km2` has a value for each such stretch.
    """

    uncovered_us: Integers
    """For each place of the field how long fewer than asked for reach it."""
    moments_us: Integers
    covered_km2: NDArray[np.float64]

    @cached_property
    def worst(self) -> Stretch:
        """When least is covered: the first such time, as long as it lasts."""
        return self._stretch(int(self.covered_km2.argmin()))

    @cached_property
    def best(self) -> Stretch:
        """When most is covered: the first such time."""
        return self._stretch(int(self.covered_km2.argmax()))

    @property
    def mean_km2(self) -> float:
        """How much is covered on the average of time."""
        lengths = np.diff(self.moments_us)
        return float((self.covered_km2 * lengths).sum() / lengths.sum())

    def _stretch(self, at: int) -> Stretch:
        same = self.covered_km2[at:] == self.covered_km2[at]
        after = at + (len(same) if same.all() else int(same.argmin()))
        return Stretch(int(self.moments_us[at]), int(self.moments_us[after]), float(self.covered_km2[at]))


@dataclass(frozen=True, eq=False)
class Timeline:
    """A window over the covers of a field. What is of the steps has a value for each of `window.steps`."""

    field: Field
    window: Window
    covered_km2: NDArray[np.float64]
    """At least as often as asked for."""
    overlap_km2: NDArray[np.float64]
    """More often."""
    parts_km2: NDArray[np.float64]
    """What is covered of each part that was asked for, (steps, parts)."""
    covers: Integers
    """How many covers that reach any of the area are on duty."""
    duties: tuple[Duty, ...]
    """By name of agency."""
    exact: Exact | None
    """None where only the steps were asked for."""

    @cached_property
    def area_km2(self) -> float:
        """The whole field."""
        return float(_grains(self.field).sum()) / GRAINS_PER_KM2

    @property
    def gap_km2(self) -> NDArray[np.float64]:
        """What is less often covered than asked for, at each step."""
        return self.area_km2 - self.covered_km2

    @property
    def worst(self) -> Stretch:
        """When least is covered: exactly where that is known, else the first of the steps that are worst."""
        return self.exact.worst if self.exact else self._step(int(self.covered_km2.argmin()))

    @property
    def best(self) -> Stretch:
        """When most is covered, as `worst`."""
        return self.exact.best if self.exact else self._step(int(self.covered_km2.argmax()))

    @property
    def mean_km2(self) -> float:
        """How much is covered on the average: of time where that is known, else of the steps."""
        return self.exact.mean_km2 if self.exact else float(self.covered_km2.mean())

    def _step(self, at: int) -> Stretch:
        begin = int(self.window.steps[at])
        return Stretch(
            begin, min(begin + self.window.step_us, self.window.end_us), float(self.covered_km2[at])
        )


def timeline(
    field: Field,
    spells: Sequence[Spell],
    window: Window,
    at_least: int = 1,
    *,
    parts: Sequence[Ranges] = (),
    exact: bool = True,
    progress: Progress | None = None,
) -> Timeline:
    """How *field* is covered by *spells* during *window*; *at_least* covers at once are asked for.

    *parts* are spans of the field, such as its jurisdictions, whose covered ground is told at each step as well.
    The steps cost a pass over the pieces of ground each; what is `exact` beyond them, two sorts of a number for each
    spell and each piece of ground that it reaches, whatever the number of steps.
    """
    told = progress or (lambda _: None)
    shown = [each for each in spells if len(each.spans) and _within(each, window)]
    times = np.array([each[2:4] for each in shown], np.int64).reshape(-1, 2)
    begin, end = times.clip(window.begin_us, window.end_us).T
    pieces = _Pieces.of(field, [each.spans for each in shown], parts)
    first, last = (np.searchsorted(window.steps, each) for each in (begin, end))
    steps = len(window.steps)
    ground = np.zeros((steps, 2 + len(parts)), np.int64)
    for step, depth in enumerate(_depths(pieces, first, last, steps)):
        ground[step] = pieces.ground(depth, at_least)
        if step % 16 == 0:
            told((_STEPS_SHARE if exact else 1.0) * step / steps)
    found = _throughout(pieces, begin, end, window, at_least, told) if exact else None
    told(1.0)
    km2 = ground / GRAINS_PER_KM2
    covers = np.cumsum(np.bincount(first, minlength=steps + 1) - np.bincount(last, minlength=steps + 1))
    duty_us: Counter[str] = Counter()
    for each, length_us in zip(shown, (end - begin).tolist(), strict=True):
        duty_us[each.agency] += length_us
    features = Counter(agency for agency, _ in {(each.agency, each.feature) for each in shown})
    duties = [Duty(agency, features[agency], duty_us[agency]) for agency in sorted(duty_us)]
    return Timeline(field, window, km2[:, 0], km2[:, 1], km2[:, 2:], covers[:steps], tuple(duties), found)


def by_length(uncovered_us: Integers, edges_us: Sequence[int]) -> list[Mask]:
    """The places by how long they are uncovered: up to each of ascending *edges_us*, more than the one before."""
    bins = np.searchsorted(np.asarray(edges_us, np.int64), uncovered_us, side="left")
    return [bins == at for at in range(len(edges_us))]


def _within(spell: Spell, window: Window) -> bool:
    return max(spell.begin_us, window.begin_us) < min(spell.end_us, window.end_us)


def _grains(field: Field) -> Integers:
    return np.rint(field.km2 * GRAINS_PER_KM2).astype(np.int64)


@dataclass(frozen=True, eq=False)
class _Pieces:
    """The field cut wherever the ground of a spell or of a part begins or ends: no piece is only partly in one."""

    lengths: Integers
    """How many places each piece has."""
    grains: Integers
    """And how much ground."""
    owner: Integers
    """For each span of a spell which spell that is; …"""
    first: Integers
    end: Integers
    """… and its pieces."""
    parts: tuple[Integers, Integers, Integers]
    """The same of the parts."""

    @classmethod
    def of(cls, field: Field, spans: Sequence[Ranges], parts: Sequence[Ranges]) -> _Pieces:
        own, ours = np.concatenate([rg.EMPTY, *spans]), np.concatenate([rg.EMPTY, *parts])
        cuts = np.unique(np.concatenate(([0, field.size], own.ravel(), ours.ravel())))
        grains = np.add.reduceat(_grains(field), cuts[:-1]) if field.size else np.empty(0, np.int64)
        owner, first, end = _owned(spans, np.searchsorted(cuts, own))
        return cls(np.diff(cuts), grains, owner, first, end, _owned(parts, np.searchsorted(cuts, ours)))

    def ground(self, depth: Integers, at_least: int) -> Integers:
        """Grains covered, overlapped, and covered of each part."""
        covered = np.where(depth >= at_least, self.grains, 0)
        before = np.concatenate(([0], np.cumsum(covered)))
        part, first, end = self.parts
        of_parts = np.zeros(part[-1] + 1 if len(part) else 0, np.int64)
        np.add.at(of_parts, part, before[end] - before[first])
        return np.concatenate(([before[-1], self.grains[depth > at_least].sum()], of_parts))

    def change(self, spans: Integers) -> Integers:
        """By how much the depth of each piece exceeds that of the one before, for some of the spans."""
        count = len(self.lengths) + 1
        return np.bincount(self.first[spans], minlength=count) - np.bincount(self.end[spans], minlength=count)

    def blocks(self, most: int) -> Iterator[tuple[int, int]]:
        """The pieces in runs of which each is held by about *most* spells, all of its pieces together."""
        held = np.cumsum(np.cumsum(self.change(np.arange(len(self.owner))))[:-1])
        ends = np.searchsorted(held, np.arange(most, held[-1] if len(held) else 0, most), side="right")
        edges = np.unique(np.concatenate(([0], ends, [len(self.lengths)])))
        yield from zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True)

    def pairs(self, low: int, high: int) -> tuple[Integers, Integers]:
        """Each spell with each piece from *low* to before *high* that it holds: two columns."""
        first, end = self.first.clip(low, high), self.end.clip(low, high)
        return np.repeat(self.owner, end - first), rg.runs(first, end - first)


def _owned(lists: Sequence[Ranges], at: Integers) -> tuple[Integers, Integers, Integers]:
    """For each row of *lists*, all together, the number of its list, and the two columns of *at*."""
    return np.repeat(np.arange(len(lists)), [len(each) for each in lists]), at[:, 0], at[:, 1]


def _depths(pieces: _Pieces, first: Integers, last: Integers, steps: int) -> Iterator[Integers]:
    """The depth of each piece at each step, by spells that count from step *first* until before step *last*."""
    come, come_at = _sorted_by(first[pieces.owner], steps)
    go, go_at = _sorted_by(last[pieces.owner], steps)
    change = np.zeros(len(pieces.lengths) + 1, np.int64)
    for step in range(steps):
        change += pieces.change(come[come_at[step] : come_at[step + 1]])
        change -= pieces.change(go[go_at[step] : go_at[step + 1]])
        yield np.cumsum(change[:-1])


def _sorted_by(step: Integers, steps: int) -> tuple[Integers, list[int]]:
    """The indices of *step* in its order, and where in it each of 0 … *steps* begins."""
    order = np.argsort(step, kind="stable")
    return order, np.searchsorted(step[order], np.arange(steps + 1)).tolist()


def _throughout(
    pieces: _Pieces, begin: Integers, end: Integers, window: Window, at_least: int, told: Progress
) -> Exact:
    """Space and time as one line: piece after piece, and on each the moments at which anything begins or ends.

    The stretches on which enough spells hold it are found as those of a set of cells are.
    """
    moments = np.unique(np.concatenate(([window.begin_us, window.end_us], begin, end)))
    begins, ends = np.searchsorted(moments, begin), np.searchsorted(moments, end)
    covered_us = np.zeros(len(pieces.lengths), np.int64)
    change = np.zeros(len(moments), np.int64)
    for low, high in pieces.blocks(MAX_PAIRS):
        owner, piece = pieces.pairs(low, high)
        line = piece * len(moments)
        held = rg.deep(np.sort(line + begins[owner]), np.sort(line + ends[owner]), at_least)
        at, since = np.divmod(held[:, 0], len(moments))
        until = held[:, 1] % len(moments)
        np.add.at(covered_us, at, moments[until] - moments[since])
        np.add.at(change, since, pieces.grains[at])
        np.subtract.at(change, until, pieces.grains[at])
        told(_STEPS_SHARE + (1 - _STEPS_SHARE) * high / len(pieces.lengths))
    return Exact(
        np.repeat(window.length_us - covered_us, pieces.lengths),
        moments,
        np.cumsum(change[:-1]) / GRAINS_PER_KM2,
    )
