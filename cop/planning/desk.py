"""Where cases are worked out: in processes of their own, each of which keeps the last few loaded.

A case that is asked about again (a what-if, a hex under the mouse) is not loaded again, and not even sent again.
"""

from __future__ import annotations

import asyncio
import itertools
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Concatenate, ParamSpec, TypeVar, TypeVarTuple
from uuid import UUID

from cop.analysts import Analysts, report
from layers.model import LayerName
from layers.planning.coverage import Coverage, load
from layers.planning.model import Case, CellValues, FeatureValues, Input, Weights
from layers.planning.weights import Demand, weigh

Arguments = ParamSpec("Arguments")
Given = TypeVarTuple("Given")
Result = TypeVar("Result")

LOADED_SHARE = 0.2
"""How far a job is once its case is loaded."""
KEPT_CASES = 32
"""Cases that a serving process remembers; …"""
KEPT_BYTES = 256_000_000
"""… and what is read for all of them together: a single one may hold 64 MB of features, of streets and of weights."""
ROW_BYTES = 500
"""Of a feature besides its own words, as Python keeps it."""
KEPT_LOADED = 8
"""Coverages that each analyst keeps, with their cases as above; …"""
KEPT_CELLS = 10_000_000
"""… and the cells of all of them together: 12 bytes each, so some 120 MB."""


@dataclass(frozen=True, eq=False)
class Loaded:
    """A case, worked out."""

    run: UUID
    case: Case
    coverage: Coverage
    inputs: tuple[Input, ...]

    @cached_property
    def size(self) -> int:
        """About how many bytes its features take, with the spans that they cover."""
        return size_of(self.case) + sum(cover.spans.nbytes for cover in self.coverage.covers)

    @cached_property
    def demand(self) -> Demand | None:
        """What each cell weighs, if the question says by what."""
        weights = self.case.weights
        return None if weights is None else weigh(weights, self.coverage.field)


class NotLoaded(Exception):
    """The analyst does not know the run; send its case along."""


class Desk:
    """Asks the analysts, and remembers the cases that were asked about last."""

    def __init__(self, analysts: Analysts) -> None:
        self._analysts = analysts
        self._cases: OrderedDict[UUID, _Remembered] = OrderedDict()

    @asynccontextmanager
    async def turn(self, asker: Hashable) -> AsyncIterator[None]:
        """A place in line for *asker*, an agency; see `Analysts.turn`."""
        async with self._analysts.turn(asker):
            yield

    def case(self, run: UUID) -> Case | None:
        """The case of *run*, if it is still remembered. Whether the viewer may know of it is the caller's to judge."""
        remembered = self._cases.get(run)
        return None if remembered is None else remembered.case

    async def ask(
        self,
        run: UUID,
        case: Case,
        work: Callable[Concatenate[Loaded, Arguments], Result],
        *args: Arguments.args,
        **options: Arguments.kwargs,
    ) -> Result:
        """`work(loaded, …)` in an analyst; all is pickled. Take a `turn` first; raises what `Analysts.run` does."""
        # Shared differently since, the same run is another case: who may only count is not answered from what is seen.
        key = run, case.generalized
        known = (before := self.case(run)) is not None and before.generalized == case.generalized
        if not known:
            # Zones are asked about once, and are large.
            self._remember(run, replace(case, zones=()), await asyncio.to_thread(size_of, case))
        self._cases.move_to_end(run)
        if known:
            try:
                return await self._analysts.run(_on_loaded, key, None, work, args, options)
            except NotLoaded:
                pass  # another analyst had it, or it had to make room
        return await self._analysts.run(_on_loaded, key, case, work, args, options)

    async def run(self, work: Callable[[*Given], Result], *args: *Given) -> Result:
        """`work(…)` in an analyst, for what is about no case that may be asked about again; as `ask` otherwise."""
        return await self._analysts.run(work, *args)

    def _remember(self, run: UUID, case: Case, size: int) -> None:
        self._cases[run] = _Remembered(case, size)
        while len(self._cases) > 1 and (
            len(self._cases) > KEPT_CASES or sum(each.size for each in self._cases.values()) > KEPT_BYTES
        ):
            self._cases.popitem(last=False)


@dataclass(frozen=True, slots=True, eq=False)
class _Remembered:
    """A case with its `size_of`."""

    case: Case
    size: int


def size_of(case: Case) -> int:
    """About how many bytes what was read for *case* takes: its features, streets and weights."""
    roads = () if case.roads is None else case.roads.rows
    rows = itertools.chain(roads, *(source.rows for source in case.sources))
    size = sum(
        ROW_BYTES + len(row.properties) + len(row.shape or "") + len(row.stored or b"") for row in rows
    )
    return size if case.weights is None else size + _size_of(case.weights)


def _size_of(weights: Weights) -> int:
    match weights.given:
        case CellValues() as given:
            return given.ranks.nbytes + given.values.nbytes
        case FeatureValues() as given:
            arrays = given.lng_lat.nbytes + given.at_points.nbytes + given.at_shapes.nbytes
            return arrays + sum(map(len, given.shapes))


# What an analyst, a process that does one thing at a time, has loaded; the newest last.
Key = tuple[UUID, frozenset[LayerName]]
"""A run, and the layers that it had generalized."""
_loaded: OrderedDict[Key, Loaded] = OrderedDict()


def _on_loaded(
    key: Key,
    case: Case | None,
    work: Callable[..., Result],
    args: tuple[object, ...],
    options: dict[str, object],
) -> Result:
    loaded = _loaded.pop(key, None)
    if loaded is None:
        if case is None:
            raise NotLoaded
        loaded = Loaded(key[0], case, *load(case))
    report(LOADED_SHARE)
    _loaded[key] = loaded
    while len(_loaded) > 1 and (
        len(_loaded) > KEPT_LOADED
        or sum(each.coverage.field.size for each in _loaded.values()) > KEPT_CELLS
        or sum(each.size for each in _loaded.values()) > KEPT_BYTES
    ):
        _loaded.popitem(last=False)
    return work(loaded, *args, **options)
