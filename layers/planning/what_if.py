"""What if: a loaded coverage with units or stations removed, added, moved, committed or brought back, or a layer off.

Only the ground of what changes is made anew, and only its share of the depths added and taken away. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never
from uuid import UUID

import numpy as np

from layers.errors import Invalid
from layers.hexes.field import Mask
from layers.hexes.ranges import Ranges
from layers.model import FeatureId, LayerName
from layers.planning.coverage import Coverage, streets_for
from layers.planning.ground import grounds, hexes_errors
from layers.planning.model import Case, Cover, Row, Source, Standing

MAX_CHANGES = 1_000
"""Changes of one variant."""
WHAT_IF = LayerName("what-if")
"""The layer of what is added; no real one is called so, for names have a point. Ids are the changes' numbers."""


@dataclass(frozen=True, slots=True)
class Remove:
    """It is taken away."""

    layer: LayerName
    id: FeatureId


@dataclass(frozen=True, slots=True)
class Add:
    """One more, that counts."""

    lng: float
    lat: float
    reach_m: float | None
    """May be None where the rule says how far everything reaches."""
    agency: str
    kind: str = "units"
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Move:
    """It stands elsewhere, a point even if it had a footprint, and reaches as far from there. Its standing stays."""

    layer: LayerName
    id: FeatureId
    to: tuple[float, float]
    """Longitude and latitude."""


@dataclass(frozen=True, slots=True)
class Commit:
    """It is busy, and so no longer counts."""

    layer: LayerName
    id: FeatureId
    incident: str | None = None


@dataclass(frozen=True, slots=True)
class SwitchOff:
    """All of a layer is taken away."""

    layer: LayerName


@dataclass(frozen=True, slots=True)
class BringBack:
    """It counts, whatever kept it from counting."""

    layer: LayerName
    id: FeatureId


Start = tuple[float, float, float | None]
"""Longitude, latitude, and how far it reaches if the rule does not say."""


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Where something stands that was added or moved, and what it covers of the area from there."""

    place: tuple[float, float]
    reach_m: float | None
    spans: Ranges


Change = Remove | Add | Move | Commit | SwitchOff | BringBack


def what_if(
    coverage: Coverage, case: Case, changes: Sequence[Change], *, pointer: str = "/changes"
) -> Coverage:
    """*coverage*, which was loaded from *case*, after *changes* in their order.

    Covers keep their places, whatever becomes of them; what is added comes after them. Raises `Invalid`, with the
    change below *pointer*, for a feature that is no cover near the area (`whatif.feature`), a layer that was not read
    (`whatif.layer`), a polygon that would move (`whatif.move`) and an addition without reach (`whatif.reach`).
    """
    at = _index(coverage.covers, changes)
    made = _placed(coverage, case, changes, at, pointer)
    now: dict[int, Cover] = {}
    added: list[Cover] = []
    for number, change in enumerate(changes):
        match change:
            case Add():
                added.append(_added(change, number, made[number], case.at))
            case SwitchOff(layer):
                _check_layer(layer, case, f"{pointer}/{number}/layer")
                for index, cover in enumerate(coverage.covers):
                    if cover.layer == layer:
                        now[index] = replace(now.get(index, cover), standing=Standing.REMOVED)
            case _:
                index = _known(change, at, f"{pointer}/{number}/id")
                before = now.get(index, coverage.covers[index])
                now[index] = _changed(change, before, made.get(number))
    return _with(coverage, now, added)


def newly(base: Coverage, other: Coverage) -> tuple[Mask, Mask]:
    """Where *other*, of the same field, has a gap that *base* has not, and the other way round."""
    return other.gap & ~base.gap, base.gap & ~other.gap


def _index(covers: Sequence[Cover], changes: Iterable[Change]) -> Mapping[tuple[LayerName, FeatureId], int]:
    """Where the covers are that *changes* name."""
    named = {(each.layer, each.id) for each in changes if not isinstance(each, Add | SwitchOff)}
    if not named:
        return {}
    keys = ((cover.layer, cover.id) for cover in covers)
    return {key: index for index, key in enumerate(keys) if key in named}


def _known(
    change: Remove | Move | Commit | BringBack,
    at: Mapping[tuple[LayerName, FeatureId], int],
    pointer: str,
) -> int:
    index = at.get((change.layer, change.id))
    if index is None:
        detail = f"No feature “{change.id}” of “{change.layer}” is near the area, of those that are meant and reach."
        raise Invalid(detail, pointer=pointer, code="whatif.feature")
    return index


def _check_layer(layer: LayerName, case: Case, pointer: str) -> None:
    if all(source.layer != layer for source in case.sources):
        raise Invalid(
            f"“{layer}” is not among the layers of the question.", pointer=pointer, code="whatif.layer"
        )


def _placed(
    coverage: Coverage,
    case: Case,
    changes: Sequence[Change],
    at: Mapping[tuple[LayerName, FeatureId], int],
    pointer: str,
) -> dict[int, Placed]:
    """By number of the change where what is added or moved stands; the ground of all is made at once."""
    starts: dict[int, Start] = {}
    for number, change in enumerate(changes):
        at_change = f"{pointer}/{number}"
        if isinstance(change, Add):
            starts[number] = _start_of_added(change, case, at_change)
        elif isinstance(change, Move):
            cover = coverage.covers[_known(change, at, f"{at_change}/id")]
            starts[number] = _start_of_moved(change, cover, at_change)
    return dict(zip(starts, _made(coverage, case, list(starts.values())), strict=True))


def _start_of_added(change: Add, case: Case, pointer: str) -> Start:
    if change.reach_m is None and case.rule.reach is None:
        detail = "How far does it reach? The question asks for what each feature states."
        raise Invalid(detail, pointer=f"{pointer}/reach_m", code="whatif.reach")
    return change.lng, change.lat, change.reach_m


def _start_of_moved(change: Move, cover: Cover, pointer: str) -> Start:
    if cover.reach_m is None:
        detail = f"“{cover.name}” covers a polygon; only what reaches from a point can be moved."
        raise Invalid(detail, pointer=f"{pointer}/to", code="whatif.move")
    return *change.to, cover.reach_m


def _made(coverage: Coverage, case: Case, starts: Sequence[Start]) -> list[Placed]:
    """The ground of points, by the same code that a case is loaded with."""
    if not starts:
        return []
    source = Source(WHAT_IF, "", "units", UUID(int=0), 0, ())
    rows = [Row(FeatureId(""), "{}", case.at, lng, lat, None) for lng, lat, _ in starts]
    stated = [{"reach_m": reach_m} for *_, reach_m in starts]
    with hexes_errors():
        found = grounds(source, rows, stated, [], case.resolution, case.rule, streets_for(case))
    return [
        Placed(each.place, each.reach_m, coverage.field.spans(each.hexes))
        for each in found
        if each is not None
    ]


def _added(change: Add, number: int, placed: Placed, at: datetime) -> Cover:
    id = FeatureId(f"{number}")
    return Cover(
        WHAT_IF,
        id,
        change.agency,
        change.kind,
        change.name or f"added {number + 1}",
        frozenset(),
        Standing.COUNTS,
        placed.place,
        placed.reach_m,
        at,
        placed.spans,
    )


def _changed(change: Remove | Move | Commit | BringBack, before: Cover, placed: Placed | None) -> Cover:
    match change:
        case Remove():
            return replace(before, standing=Standing.REMOVED)
        case Commit():
            return replace(before, standing=Standing.BUSY)
        case BringBack():
            return replace(before, standing=Standing.COUNTS)
        case Move():
            assert placed is not None, "made with the others"
            return replace(before, place=placed.place, reach_m=placed.reach_m, spans=placed.spans)
        case _:
            assert_never(change)


def _with(coverage: Coverage, now: Mapping[int, Cover], added: Sequence[Cover]) -> Coverage:
    """*coverage* with other covers in some places, and more of them; the depths follow by what differs."""
    covers = list(coverage.covers)
    spans: list[Ranges] = []
    steps: list[int] = []
    for index, cover in now.items():
        for each, step in ((covers[index], -1), (cover, 1)):
            if each.counts:
                spans.append(each.spans)
                steps.append(step)
        covers[index] = cover
    spans += [cover.spans for cover in added]
    steps += [1] * len(added)
    depth = coverage.depth + coverage.field.total(spans, steps).astype(np.int32) if spans else coverage.depth
    return Coverage(coverage.field, (*covers, *added), depth, coverage.at_least)
