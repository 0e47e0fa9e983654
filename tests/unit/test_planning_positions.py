"""Timelines of a file's positions: against looking at each instant by itself, and on a day of real buses."""

from __future__ import annotations

import csv
import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import Invalid
from layers.hexes import Field, disk, fill
from layers.planning import positions as module
from layers.planning.positions import ZonesTimeline, reached, timeline_of_positions
from layers.planning.timeline import micros, moment_of
from tests.unit.hexes_shapes import box

WEST, EAST = box(-97.80, 30.20, -97.75, 30.30), box(-97.76, 30.20, -97.70, 30.30)
NOON = datetime(2017, 4, 18, 12, tzinfo=UTC)
AUSTIN = Path(__file__).parents[3] / "shared" / "data" / "austin"
MINUTE = timedelta(minutes=1)
Fix = tuple[str, int, float, float]
"""Id, minutes after noon, longitude, latitude."""


def fixes() -> st.SearchStrategy[list[Fix]]:
    lngs, lats = st.sampled_from([-97.79, -97.76, -97.72, -97.5]), st.sampled_from([30.21, 30.25, 30.29])
    return st.lists(st.tuples(st.sampled_from("ab"), st.integers(-30, 90), lngs, lats), max_size=12)


def over(known: list[Fix], **options: Any) -> ZonesTimeline:
    return timeline_of_positions(
        [WEST, EAST],
        [id for id, *_ in known],
        [micros(NOON + minute * MINUTE) for _, minute, *_ in known],
        [(lng, lat) for _, _, lng, lat in known],
        **{
            "reach_m": 3_000.0,
            "stale_after_s": 600,
            "step": 7 * MINUTE,
            "window": (NOON, NOON + 60 * MINUTE),
            "resolution": 7,
        }
        | options,
    )


@pytest.mark.parametrize("window", [None, (NOON, NOON)])
def test_nothing_to_look_at_is_refused(window: tuple[datetime, datetime] | None) -> None:
    with pytest.raises(Invalid, match=r"position|after"):
        over([], window=window)


def test_columns_of_different_lengths_and_a_reach_that_is_none_are_refused() -> None:
    with pytest.raises(Invalid, match="one id, one time and one place"):
        timeline_of_positions([WEST], ["a"], [0, 1], [(0.0, 1.0)], reach_m=1, stale_after_s=1)
    with pytest.raises(Invalid, match="reach"):
        over([("a", 0, -97.72, 30.25)], reach_m=-1.0)


def test_positions_that_are_none_are_dropped_and_counted() -> None:
    odd = [("a", 0, 0.0, 0.0), ("a", 1, float("nan"), 30.2), ("a", 2, -197.0, 30.2)]
    assert over([*odd, ("a", 3, -97.72, 30.25)]).dropped == 3


@given(fixes(), st.integers(1, 2))
def test_each_zone_at_each_step_is_what_the_newest_positions_cover(known: list[Fix], at_least: int) -> None:
    found = over(known, at_least=at_least)
    for step, instant in enumerate(range(0, 60, 7)):
        newest: dict[str, Fix] = {}
        for fix in sorted(known, key=lambda fix: fix[1]):
            if fix[1] <= instant:
                newest[fix[0]] = fix
        disks = [disk(lng, lat, 3_000, 7) for _, at, lng, lat in newest.values() if instant - at <= 10]
        for number, zone in enumerate((WEST, EAST)):
            cells = set(fill(zone, 7))
            held = [cell for cell in cells if sum(cell in each for each in disks) >= at_least]
            field = Field(fill(zone, 7))
            covered = field.km2[field.places(np.array(held, np.uint64))].sum()
            assert found.covered_share[step, number] == pytest.approx(covered / field.km2.sum(), abs=1e-6)


@given(st.permutations(range(6)))
def test_the_order_of_rows_does_not_matter(order: list[int]) -> None:
    known = [("a" if at % 2 else "b", 9 * at, -97.79 + 0.01 * at, 30.25) for at in range(6)]
    found = over([known[at] for at in order])
    assert (found.covered_share == over(known).covered_share).all()


def test_the_mean_is_over_time_not_over_steps() -> None:
    found = over([("a", 3, -97.72, 30.25)], stale_after_s=60, reach_m=50_000.0)
    assert found.covered_share.tolist() == [[0.0, 0.0]] * 9
    assert found.mean_share.tolist() == [pytest.approx(1 / 60, rel=1e-5)] * 2


@given(fixes(), st.integers(1, 2))
def test_what_holds_within_each_step_is_what_holds_at_each_of_its_minutes(
    known: list[Fix], at_least: int
) -> None:
    # Positions are of whole minutes and hold for ten, a millisecond less: within a minute nothing else changes.
    found = over(known, at_least=at_least, stale_after_s=599.999)
    minutes = over(known, at_least=at_least, stale_after_s=599.999, step=MINUTE).covered_share
    for step, first in enumerate(range(0, 60, 7)):
        mean = minutes[first : first + 7].mean(axis=0)
        assert found.within_share[step] == pytest.approx(mean, abs=1e-4)


def test_the_steps_make_up_the_mean() -> None:
    found = over([("a", 3, -97.72, 30.25), ("b", 17, -97.79, 30.21)], step=10 * MINUTE)
    assert found.within_share.mean(axis=0) == pytest.approx(found.mean_share, abs=1e-9)


def test_without_a_window_it_is_the_whole_steps_of_the_positions() -> None:
    found = over([("a", 20, -97.72, 30.25), ("a", 80, -97.72, 30.25)], window=None, step=15 * MINUTE)
    window = found.timeline.window
    assert (moment_of(window.begin_us), moment_of(window.end_us)) == (NOON + 30 * MINUTE, NOON + 90 * MINUTE)
    one = over([("a", 20, -97.72, 30.25)], window=None, step=15 * MINUTE).timeline.window
    assert (moment_of(one.begin_us), moment_of(one.end_us)) == (NOON + 15 * MINUTE, NOON + 30 * MINUTE)


points = st.tuples(st.floats(-98.0, -97.5), st.floats(30.0, 30.5))


@given(st.lists(points, max_size=8), st.floats(0, 9_000), st.sampled_from([1, 40, 4_000_000]))
def test_what_is_reached_is_the_disk_in_the_field(
    known: list[tuple[float, float]], reach_m: float, at_once: int
) -> None:
    field = Field(fill(WEST, 8) | fill(EAST, 8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "MAX_REACHED", at_once)
        found = reached(field, np.array(known).reshape(-1, 2), reach_m)
    for (lng, lat), spans in zip(known, found, strict=True):
        assert spans.tolist() == field.spans(disk(lng, lat, reach_m, 8)).tolist()


def test_across_the_antimeridian_what_is_near_is_reached() -> None:
    field = Field(fill(box(179.9, -0.1, 180, 0.1), 8) | fill(box(-180, -0.1, -179.9, 0.1), 8))
    for lng in (179.99, -179.99):
        (spans,) = reached(field, np.array([[lng, 0.0]]), 5_000)
        assert spans.tolist() == field.spans(disk(lng, 0.0, 5_000, 8)).tolist()


def read_austin() -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The neighbourhoods, and the columns of a day of buses."""
    with gzip.open(AUSTIN / "avl-2017-04-18.csv.gz", "rt") as lines:
        rows = list(csv.DictReader(lines))
    zones = json.loads((AUSTIN / "neighborhoods.geojson").read_text())["features"]
    return [each["geometry"] for each in zones], {
        "ids": [each["vehicle_id"] for each in rows],
        "times_us": [micros(datetime.fromisoformat(each["timestamp"])) for each in rows],
        "lng_lat": [(float(each["longitude"]), float(each["latitude"])) for each in rows],
    }


@pytest.mark.skipif(not AUSTIN.is_dir(), reason="the real positions are not here: ../shared/data/austin")
def test_a_day_of_real_buses_is_what_the_newest_fixes_cover_at_each_hour() -> None:
    zones, columns = read_austin()
    found = timeline_of_positions(zones, **columns, reach_m=800, stale_after_s=300)
    assert (len(columns["ids"]), found.dropped, found.covered_share.shape) == (44_300, 22, (6, 70))
    for step, instant in enumerate(found.timeline.window.steps.tolist()):
        newest: dict[str, tuple[int, tuple[float, float]]] = {}
        for id, at, place in zip(*columns.values(), strict=True):
            if at <= instant and any(place) and at >= newest.get(id, (0,))[0]:
                newest[id] = (at, place)
        disks = [disk(*place, 800, 9) for at, place in newest.values() if instant - at <= 300_000_000]
        field = found.timeline.field
        covered = field.km2[field.depth([field.spans(each) for each in disks]) > 0].sum()
        assert found.timeline.covered_km2[step] == pytest.approx(covered, abs=1e-6)
