"""Gap and overlap over a window of time: at each step, and for each cell to the microsecond. Pure, and heavy.

What is handed in are spells: covers that count from … until …, as `spells` makes them of the log and of shifts, and
`positions` of a file's rows.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from layers.errors import Invalid, TooLarge
from layers.hexes import Course, Field, Spells, summable
from layers.hexes.field import Mask
from layers.hexes.ranges import EMPTY, Ranges

Integers = NDArray[np.int64]
Progress = Callable[[float], None]
"""Told the share of the work that is done, 0 to 1, every few ten milliseconds or less often."""

MAX_STEPS = 1_000
MAX_WINDOW = timedelta(days=400)

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
    covered_demand: NDArray[np.float64] | None
    """The demand that is covered, if any was given."""
    covers: Integers
    """How many covers that reach any of the area are on duty."""
    duties: tuple[Duty, ...]
    """By name of agency."""
    exact: Course | None
    """What holds between the steps as well, in microseconds and km²; None where only the steps were asked for."""
    known_us: int
    """From when on anything was known: what was before is told at its steps, but is neither best, worst nor counted."""

    @cached_property
    def area_km2(self) -> float:
        """The whole field."""
        return float(summable(self.field.km2).sum())

    @property
    def gap_km2(self) -> NDArray[np.float64]:
        """What is less often covered than asked for, at each step."""
        return self.area_km2 - self.covered_km2

    @property
    def worst(self) -> Stretch:
        """When least is covered: exactly where that is known, else the first of the steps that are worst."""
        return Stretch(*self.exact.worst) if self.exact else self._step(int(self._known_km2.argmin()))

    @property
    def best(self) -> Stretch:
        """When most is covered, as `worst`."""
        return Stretch(*self.exact.best) if self.exact else self._step(int(self._known_km2.argmax()))

    @property
    def mean_km2(self) -> float:
        """How much is covered on the average: of time where that is known, else of the steps."""
        return self.exact.mean if self.exact else float(self._known_km2.mean())

    @property
    def known_length_us(self) -> int:
        """How long it is from `known_us` to the window's end."""
        return self.window.end_us - self.known_us

    @property
    def first_known(self) -> int:
        """The first step at which anything was known; the last one where that came after all of them."""
        steps = self.window.steps
        return min(int(np.searchsorted(steps, self.known_us)), len(steps) - 1)

    @property
    def _known_km2(self) -> NDArray[np.float64]:
        return self.covered_km2[self.first_known :]

    def _step(self, from_known: int) -> Stretch:
        at = self.first_known + from_known
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
    demand: NDArray[np.float64] | None = None,
    exact: bool = True,
    known_us: int | None = None,
    progress: Progress | None = None,
) -> Timeline:
    """How *field* is covered by *spells* during *window*; *at_least* covers at once are asked for.

    *parts* are spans of the field, such as its jurisdictions, whose covered ground is told at each step as well;
    *demand* is what each place weighs, such as people. The steps cost a pass over the pieces of ground each; what is
    `exact` beyond them, what `Spells.over` does, whatever the number of steps. What was before *known_us*, if that lies
    in the window, was not known: only its steps are told.
    """
    told = progress or (lambda _: None)
    known_us = window.begin_us if known_us is None else known_us
    shown = [each for each in spells if len(each.spans) and _within(each, window)]
    times = np.array([each[2:4] for each in shown], np.int64).reshape(-1, 2)
    begin, end = times.clip(window.begin_us, window.end_us).T
    held = Spells.of_spans(field, begin, end, [each.spans for each in shown], cuts=parts)
    ground = _Ground(held, parts, demand)
    steps = len(window.steps)
    at_steps = np.zeros((steps, ground.sums))
    for step, depth in enumerate(held.depths(window.steps)):
        at_steps[step] = ground.at(depth, at_least)
        if step % 16 == 0:
            told((_STEPS_SHARE if exact else 1.0) * step / steps)
    found = (
        held.over(
            known_us,
            window.end_us,
            at_least,
            field.km2,
            progress=lambda share: told(_STEPS_SHARE + (1 - _STEPS_SHARE) * share),
        )
        if exact
        else None
    )
    told(1.0)
    first, last = (np.searchsorted(window.steps, each) for each in (begin, end))
    covers = np.cumsum(np.bincount(first, minlength=steps + 1) - np.bincount(last, minlength=steps + 1))
    duty_us: Counter[str] = Counter()
    for each, length_us in zip(shown, (end - begin).tolist(), strict=True):
        duty_us[each.agency] += length_us
    features = Counter(agency for agency, _ in {(each.agency, each.feature) for each in shown})
    duties = [Duty(agency, features[agency], duty_us[agency]) for agency in sorted(duty_us)]
    covered, overlap, weighed = at_steps[:, :3].T
    return Timeline(
        field,
        window,
        covered,
        overlap,
        at_steps[:, 3:],
        None if demand is None else weighed,
        covers[:steps],
        tuple(duties),
        found,
        known_us,
    )


def by_length(uncovered_us: Integers, edges_us: Sequence[int]) -> list[Mask]:
    """The places by how long they are uncovered: up to each of ascending *edges_us*, more than the one before."""
    bins = np.searchsorted(np.asarray(edges_us, np.int64), uncovered_us, side="left")
    return [bins == at for at in range(len(edges_us))]


def _within(spell: Spell, window: Window) -> bool:
    return max(spell.begin_us, window.begin_us) < min(spell.end_us, window.end_us)


class _Ground:
    """What of the ground, of parts of it, and of demand is covered, by the depth of each piece."""

    def __init__(self, spells: Spells, parts: Sequence[Ranges], demand: NDArray[np.float64] | None) -> None:
        self._km2 = spells.sums(summable(spells.field.km2))
        self._demand = None if demand is None else spells.sums(summable(demand))
        self._part = np.repeat(np.arange(len(parts)), [len(each) for each in parts])
        self._first, self._end = spells.pieces_of(np.concatenate([EMPTY, *parts])).T
        self.sums = 3 + len(parts)
        """How many there are: covered, overlap, demand, and covered of each part."""

    def at(self, depth: Integers, at_least: int) -> NDArray[np.float64]:
        """The sums."""
        found = np.zeros(self.sums)
        enough = depth >= at_least
        covered = np.where(enough, self._km2, 0.0)
        found[0], found[1] = covered.sum(), np.where(depth > at_least, self._km2, 0.0).sum()
        if self._demand is not None:
            found[2] = np.where(enough, self._demand, 0.0).sum()
        if len(self._part):
            before = np.concatenate(([0.0], np.cumsum(covered)))
            np.add.at(found[3:], self._part, before[self._end] - before[self._first])
        return found
