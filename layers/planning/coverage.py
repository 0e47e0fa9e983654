"""The covers of one area at one moment, worked out: which cells each reaches, and how many reach each cell.

A `Case` is loaded once; gap, depth, reasons, what-ifs and placements are then asked of the `Coverage`. Pure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, lru_cache

import numpy as np
import orjson
from numpy.typing import NDArray

from layers.hexes import Field, Hexes, fill, fills, union
from layers.hexes.field import Counts, Mask
from layers.hexes.ranges import Ranges
from layers.model import BBox
from layers.planning.ground import boxes_near, grounds, hexes_errors
from layers.planning.judging import capabilities_of, name_of, standing_of
from layers.planning.model import Case, Cover, Input, Roads, Rule, Source, Standing
from layers.planning.streets import RESOLUTION, Streets, read_lines


@dataclass(frozen=True, slots=True)
class AgencyShare:
    """What an agency covers of the area, and the part of it that no other agency covers; km²."""

    agency: str
    covers_km2: float
    only_km2: float


@dataclass(frozen=True, eq=False)
class Coverage:
    """An area's covers and their depth. Arrays have a value for each place of *field*.

    The area's parts: *covered* at least `at_least` times, *gap* less often, *overlap* more often; so covered and
    gap make up the area, and overlap lies within covered.
    """

    field: Field
    covers: tuple[Cover, ...]
    """All that were considered, whether or not they count, in the order of layers and rows."""
    depth: Counts
    """How many covers that count reach each cell."""
    at_least: int = 1

    @classmethod
    def of(cls, field: Field, covers: Sequence[Cover], at_least: int = 1) -> Coverage:
        """With the depth that *covers* come to."""
        depth = field.depth([cover.spans for cover in covers if cover.counts])
        return cls(field, tuple(covers), depth, at_least)

    @cached_property
    def gap(self) -> Mask:
        """Where fewer than `at_least` reach."""
        return self.depth < self.at_least

    @cached_property
    def overlap(self) -> Mask:
        """Where more than `at_least` reach."""
        return self.depth > self.at_least

    def km2(self, mask: Mask) -> float:
        """The ground of the cells of *mask*."""
        return float(self.field.km2[mask].sum())

    def hexes(self, mask: Mask) -> Hexes:
        """The cells of *mask* as a set."""
        return self.field.hexes(mask)

    @cached_property
    def sole(self) -> NDArray[np.int64]:
        """For each cell the index of the only cover that reaches it; -1 where none or several do."""
        counting = [(at, cover.spans) for at, cover in enumerate(self.covers) if cover.counts]
        total = self.field.total([spans for _, spans in counting], [at for at, _ in counting])
        return np.where(self.depth == 1, np.rint(total).astype(np.int64), -1)

    def sole_km2(self) -> NDArray[np.float64]:
        """For each cover the ground that nobody else reaches: what is lost if it leaves."""
        alone = self.sole >= 0
        lost = np.bincount(self.sole[alone], self.field.km2[alone], len(self.covers))
        return lost.astype(np.float64)

    @cached_property
    def agency_counts(self) -> Counts:
        """How many different agencies reach each cell."""
        counts = np.zeros(self.field.size, np.int32)
        for mask in self.by_agency.values():
            counts += mask
        return counts

    @cached_property
    def by_agency(self) -> dict[str, Mask]:
        """Where each agency has a cover that counts, in order of name; those that reach nothing are left out."""
        return self._by(lambda cover: (cover.agency,))

    @cached_property
    def by_capability(self) -> dict[str, Mask]:
        """Where each capability is at hand, in order of name."""
        return self._by(lambda cover: cover.capabilities)

    def _by(self, groups_of: Callable[[Cover], Iterable[str]]) -> dict[str, Mask]:
        members: dict[str, list[Ranges]] = {}
        for cover in self.covers:
            if cover.counts and len(cover.spans):
                for group in groups_of(cover):
                    members.setdefault(group, []).append(cover.spans)
        return {group: self.field.depth(members[group]) > 0 for group in sorted(members)}

    @cached_property
    def agencies(self) -> tuple[AgencyShare, ...]:
        """Those that cover any of the area, by name. One cover is enough, whatever number was asked for."""
        alone = self.agency_counts == 1
        return tuple(
            AgencyShare(agency, self.km2(mask), self.km2(mask & alone))
            for agency, mask in self.by_agency.items()
        )


def load(case: Case) -> tuple[Coverage, tuple[Input, ...]]:
    """Work *case* out: the area's field, each feature's standing and ground, and what the answer rests on.

    Heavy: not for an event loop.
    """
    covers: list[Cover] = []
    inputs: list[Input] = []
    with hexes_errors():
        field = Field(area_of(case))
        boxes = boxes_near(case.area, 0.0, case.resolution)
        streets = streets_for(case)
        for source in case.sources:
            own, meant = covers_of(source, field, boxes, case.rule, case.at, streets)
            covering = sum(cover.counts and len(cover.spans) > 0 for cover in own)
            covers += own
            inputs.append(
                Input(
                    source.layer,
                    source.epoch,
                    source.revision,
                    source.held,
                    meant,
                    meant - len(own),
                    covering,
                )
            )
    if (roads := case.roads) is not None:
        held = len(roads.rows)
        inputs.append(Input(roads.layer, roads.epoch, roads.revision, held, held, 0, held))
    return Coverage.of(field, covers, case.rule.at_least), tuple(inputs)


def streets_for(case: Case) -> Streets | None:
    """The streets along which *case* counts minutes, if it does."""
    return None if case.roads is None else streets_of(case.roads, max(case.resolution, RESOLUTION))


@lru_cache(maxsize=2)
def streets_of(roads: Roads, resolution: int) -> Streets:
    """The graph of *roads*; the last two are kept, as one question follows another about the same streets."""
    return Streets.build(read_lines(roads.rows), resolution)


def area_of(case: Case) -> Hexes:
    """The cells of the area of *case*."""
    if case.zones:
        return union(fills([zone.geometry for zone in case.zones], case.resolution), case.resolution)
    return fill(case.area, case.resolution)


def covers_of(
    source: Source,
    field: Field,
    boxes: Sequence[BBox],
    rule: Rule,
    at: datetime,
    streets: Streets | None = None,
) -> tuple[list[Cover], int]:
    """The covers that *source* brings, and how many of its features *rule* is about: some may state no reach."""
    rows, stated, standings = [], [], []
    for row in source.rows:
        properties = orjson.loads(row.properties)
        standing = standing_of(properties, row.observed_at, source, rule, at)
        if standing is not Standing.EXCLUDED:
            rows.append(row)
            stated.append(properties)
            standings.append(standing)
    made = grounds(source, rows, stated, boxes, field.area.resolution, rule, streets)
    covers = [
        Cover(
            source.layer,
            row.id,
            source.agency,
            source.kind,
            name_of(properties, row.id),
            capabilities_of(properties),
            standing,
            ground.place,
            ground.reach_m,
            row.observed_at,
            field.spans(ground.hexes),
            None if (status := properties.get("status")) is None else str(status),
        )
        for row, properties, standing, ground in zip(rows, stated, standings, made, strict=True)
        if ground is not None
    ]
    return covers, len(rows)
