"""How zones are covered over time by what was at some positions: for files of them, without a database. Pure.

Each position counts from its time until the next of the same id, or until it is stale.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import ArrayLike, NDArray
from scipy.spatial import KDTree

from layers.errors import Invalid
from layers.hexes import Field, fills, union
from layers.hexes import ranges as rg
from layers.hexes.field import Mask
from layers.hexes.ranges import Ranges
from layers.hexes.sphere import EARTH_RADIUS_M, angle, centers_deg, mean_spacing, on_sphere
from layers.planning.ground import hexes_errors
from layers.planning.model import MAX_REACH_M, Geometry
from layers.planning.timeline import Integers, Progress, Spell, Timeline, Window, moment_of, timeline

MAX_REACHED = 4_000_000
"""Cells reached, of all positions looked at once: some 300 MB."""


@dataclass(frozen=True, eq=False)
class ZonesTimeline:
    """How each zone is covered at each step of the timeline of all zones together."""

    timeline: Timeline
    zone_km2: NDArray[np.float64]
    """The ground of each zone: that of its cells."""
    covered_share: NDArray[np.float64]
    """(steps, zones), 0 to 1: at the step."""
    within_share: NDArray[np.float64]
    """(steps, zones): on the average of the time from the step until the next, exact. What comes by every full hour is
    always there at the steps of an hour."""
    mean_share: NDArray[np.float64]
    """Of each zone, on the average of the whole window: exact, not of the steps."""
    dropped: int
    """Positions that are none: not finite, out of range, or at exactly 0, 0, where no receiver is but many say so."""


def timeline_of_positions(
    zones: Sequence[Geometry],
    ids: ArrayLike,
    times_us: ArrayLike,
    lng_lat: ArrayLike,
    *,
    reach_m: float,
    stale_after_s: float,
    step: timedelta = timedelta(hours=1),
    window: tuple[datetime, datetime] | None = None,
    resolution: int = 9,
    at_least: int = 1,
    progress: Progress | None = None,
) -> ZonesTimeline:
    """How *zones* are covered, at least *at_least* times, by the disks of *reach_m* round some positions.

    Position i of unit `ids[i]` (numbers or text) was taken at `times_us[i]`, microseconds since 1970, at longitude and
    latitude `lng_lat[i]`. They may come in any order; of several of a unit at one time the last counts. Without
    *window* it is that of the positions, in whole steps. Raises `Invalid` (`timeline.*`, `h3.*`) and `TooLarge`.
    """
    if not 0 <= reach_m <= MAX_REACH_M:
        raise Invalid(f"A reach is 0 to {MAX_REACH_M:,.0f} m.", code="timeline.reach")
    names, unit = np.unique(np.asarray(ids), return_inverse=True)
    times, places = np.asarray(times_us, np.int64), np.asarray(lng_lat, np.float64).reshape(-1, 2)
    if not len(unit) == len(times) == len(places):
        raise Invalid("Each position has one id, one time and one place.", code="timeline.positions")
    kept = on_earth(places)
    order = np.flatnonzero(kept)[np.lexsort((times[kept], unit[kept]))]
    unit, times, places = unit[order], times[order], places[order]
    asked = Window.of(*(window or _whole_steps(times, step)), step)
    with hexes_errors():
        filled = fills(zones, resolution)
        field = Field(union(filled, resolution))
        parts = [field.spans(each) for each in filled]
        end = _ends(unit, times, round(stale_after_s * 1e6))
        seen = (times < asked.end_us) & (end > asked.begin_us) & (times < end)
        spans = reached(field, places[seen], reach_m)
    spells = [
        Spell(("", name), "", begin_us, end_us, own)
        for name, begin_us, end_us, own in zip(
            names[unit[seen]].astype(str).tolist(),
            times[seen].tolist(),
            end[seen].tolist(),
            spans,
            strict=True,
        )
    ]
    found = timeline(field, spells, asked, at_least, parts=parts, progress=progress)
    zone_km2 = _sums(field.km2, parts)
    with np.errstate(invalid="ignore"):
        shares = np.minimum(found.parts_km2 / zone_km2, 1.0)
        within = [_sums(held, parts) / zone_km2 for held in _held_within(field, spells, asked, at_least)]
        mean = _sums(_held(found), parts) / zone_km2
    return ZonesTimeline(found, zone_km2, shares, np.array(within), mean, len(kept) - len(order))


def _held_within(
    field: Field, spells: Sequence[Spell], asked: Window, at_least: int
) -> Iterator[NDArray[np.float64]]:
    """The km² of each place that are held on the average of each step: step by step, which costs little more than the
    whole at once.
    """
    begin_us, end_us = np.array([each[2:4] for each in spells], np.int64).reshape(-1, 2).T
    for first_us in asked.steps.tolist():
        step = Window(first_us, min(first_us + asked.step_us, asked.end_us), asked.step_us)
        near = np.flatnonzero((begin_us < step.end_us) & (end_us > step.begin_us))
        yield _held(timeline(field, [spells[number] for number in near.tolist()], step, at_least))


def _held(found: Timeline) -> NDArray[np.float64]:
    assert found.exact is not None, "asked for"
    held: NDArray[np.float64] = found.field.km2 * (1 - found.exact.uncovered / found.window.length_us)
    return held


def on_earth(lng_lat: NDArray[np.float64]) -> Mask:
    """Which positions are any: finite, in range, and not at exactly 0, 0."""
    in_range = np.all(np.isfinite(lng_lat) & (abs(lng_lat) <= (180, 90)), axis=1)
    found: Mask = in_range & np.any(lng_lat, axis=1)
    return found


def reached(field: Field, lng_lat: NDArray[np.float64], reach_m: float) -> list[Ranges]:
    """For each point what `hexes.disk` of that radius has in *field*, as spans.

    For thousands of points over a field that fits in memory: a tree of the field's centres finds the cells near each.
    """
    different, back = np.unique(lng_lat.reshape(-1, 2), axis=0, return_inverse=True)
    resolution = field.area.resolution
    centers = on_sphere(centers_deg(field.ranks(np.arange(field.size)), resolution))
    tree = KDTree(centers) if field.size else None
    each_has = 1 + 4 * (reach_m / EARTH_RADIUS_M / mean_spacing(resolution)) ** 2
    at_once = max(int(MAX_REACHED / min(each_has, max(field.size, 1))), 1)
    spans: list[Ranges] = []
    for first in range(0, len(different), at_once):
        points = different[first : first + at_once]
        owner, place = _near(tree, centers, points, reach_m)
        own = field.places(_cells_at(points, resolution))
        owner = np.concatenate((owner, np.flatnonzero(own >= 0)))
        place = np.concatenate((place, own[own >= 0]))
        spans += rg.by_owner(owner, np.column_stack((place, place + 1)), len(points), field.size)
    return [spans[number] for number in back.ravel().tolist()]


def _near(
    tree: KDTree | None, centers: NDArray[np.float64], points: NDArray[np.float64], reach_m: float
) -> tuple[Integers, Integers]:
    """Each of *points* (its number) with each of *centers* (its number) within *reach_m* of it."""
    if tree is None or not len(points):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    at = on_sphere(points[:, ::-1])
    reach = reach_m / EARTH_RADIUS_M
    # Somewhat wider, and then measured as `disk` measures.
    chord = 2 * np.sin(min(reach, np.pi) / 2) * (1 + 1e-9) + 1e-12
    pairs = KDTree(at).sparse_distance_matrix(tree, chord, output_type="ndarray")
    owner, place = pairs["i"].astype(np.int64), pairs["j"].astype(np.int64)
    inside = angle(centers[place], at[owner]) <= reach
    return owner[inside], place[inside]


def _cells_at(lng_lat: NDArray[np.float64], resolution: int) -> NDArray[np.uint64]:
    cells = [h3.latlng_to_cell(lat, lng, resolution) for lng, lat in lng_lat.tolist()]
    return np.array(cells, dtype=np.uint64)


def _ends(unit: Integers, times: Integers, stale_us: int) -> Integers:
    """Until when each position counts: they are in order of unit and time. At the very moment it is not stale yet."""
    end = times + stale_us + 1
    same = unit[1:] == unit[:-1]
    end[:-1] = np.where(same, np.minimum(end[:-1], times[1:]), end[:-1])
    return end


def _whole_steps(times: Integers, step: timedelta) -> tuple[datetime, datetime]:
    """From the first whole step within the times, or before them if there is none, to the one after the last."""
    if not len(times):
        raise Invalid("There is no position.", code="timeline.positions")
    step_us = max(step // timedelta(microseconds=1), 1)
    first, last = int(times.min()), int(times.max())
    end = (last // step_us + 1) * step_us
    begin = -(-first // step_us) * step_us
    return moment_of(begin if begin < end else end - step_us), moment_of(end)


def _sums(values: NDArray[np.float64], parts: Sequence[Ranges]) -> NDArray[np.float64]:
    """The sum of *values* over the places of each of *parts*."""
    before = np.concatenate(([0.0], np.cumsum(values)))
    return np.array([(before[each[:, 1]] - before[each[:, 0]]).sum() for each in parts])
