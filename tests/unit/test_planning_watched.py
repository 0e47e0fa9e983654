"""A watched coverage against one loaded from scratch, after whatever happens in whatever order."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from layers.model import FeatureId, LayerName
from layers.planning.coverage import load
from layers.planning.model import Case, Row, Rule
from layers.planning.watched import Watched, next_change
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

AREA = box(-87.66, 41.86, -87.60, 41.90)
LAYER = LayerName("cfd.x")
RULE = Rule(1, {"status": ["available"]})


def case(*rows: Row, at: datetime = AT, rule: Rule = RULE) -> Case:
    return Case(AREA, 8, rule, (source("units", *rows, stale_after_s=60),), at)


def unit(id: str, lng: float = -87.63, **rest: Any) -> Row:
    return row(id, lng=lng, lat=41.88, **({"reach_m": 900, "status": "available"} | rest))


def same(watched: Watched, expected: Case) -> None:
    found, _ = load(expected)
    assert watched.coverage.depth.tolist() == found.depth.tolist()
    standings = {(cover.layer, cover.id): cover.standing for cover in found.covers}
    assert {key: cover.standing for key, cover in watched.covers.items()} == standings


def test_what_goes_leaves_its_gap() -> None:
    watched = Watched.of(case(unit("a")))
    assert watched.apply(LAYER, [], [FeatureId("a"), FeatureId("never there")], AT)
    same(watched, case())


def test_what_changes_nothing_says_so() -> None:
    watched = Watched.of(case(unit("a")))
    assert not watched.apply(LAYER, [unit("a", note="new")], [], AT)
    assert not watched.apply(LAYER, [unit("far", lng=-80.0)], [], AT)
    assert ("cfd.x", "far") not in watched.rows


def test_a_unit_that_is_not_heard_of_leaves_its_gap_when_it_is_stale() -> None:
    watched = Watched.of(case(unit("a")))
    assert not watched.advance(AT + timedelta(seconds=60))
    assert watched.advance(AT + timedelta(seconds=61))
    same(watched, case(unit("a"), at=AT + timedelta(seconds=61)))


def test_a_shift_begins_and_ends_without_a_change() -> None:
    shift = {"valid_from": "2026-01-31T12:00:10Z", "valid_to": "2026-01-31T12:00:20Z"}
    watched = Watched.of(case(unit("a", **shift)))
    for seconds, covered in ((9, False), (10, True), (19, True), (20, False)):
        watched.advance(AT + timedelta(seconds=seconds))
        assert (not watched.gap.all()) is covered


def test_the_next_change_is_the_first_that_is_still_to_come() -> None:
    of = source("units", stale_after_s=60)
    assert next_change(unit("a"), of, AT) == AT + timedelta(seconds=60, microseconds=1)
    assert next_change(unit("a"), of, AT + timedelta(seconds=61)) is None
    assert next_change(unit("a"), source("assets"), AT) is None


STEPS = st.lists(
    st.tuples(
        st.sampled_from("abcd"),
        st.sampled_from(["put", "gone", "wait"]),
        st.floats(-87.68, -87.58),
        st.sampled_from(["available", "on_scene", "out_of_service"]),
        st.integers(0, 50),
    ),
    max_size=20,
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abcd"), st.floats(-87.68, -87.58)), max_size=4), STEPS)
def test_after_whatever_happens_it_is_what_loading_anew_gives(
    begin: list[tuple[str, float]], steps: list[tuple[str, str, float, str, int]]
) -> None:
    rows = {id: unit(id, lng) for id, lng in begin}
    watched, now = Watched.of(case(*rows.values())), AT
    for id, what, lng, status, seconds in steps:
        now += timedelta(seconds=seconds)
        if what == "put":
            rows[id] = unit(id, lng, status=status, observed_at=now - timedelta(seconds=seconds // 2))
            watched.apply(LAYER, [rows[id]], [], now)
        elif what == "gone":
            rows.pop(id, None)
            watched.apply(LAYER, [], [FeatureId(id)], now)
        watched.advance(now)
        same(watched, replace(case(*rows.values()), at=now))
    assert watched.snapshot().gap.tolist() == watched.gap.tolist()
