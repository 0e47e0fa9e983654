"""A what-if against the same question loaded from scratch; and what cannot be done is said, with the spot."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.errors import Invalid
from layers.model import FeatureId, LayerName
from layers.planning.coverage import Coverage, load
from layers.planning.model import Along, Case, Roads, Rule, Source, Standing, Straight
from layers.planning.what_if import (
    WHAT_IF,
    Add,
    BringBack,
    Change,
    Commit,
    Move,
    Remove,
    SwitchOff,
    newly,
    what_if,
)
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

CITY = box(-87.70, 41.85, -87.60, 41.93)
FREE = Rule(where={"status": ["available"]})
UNITS, STATIONS, AREAS = LayerName("cfd.units"), LayerName("ems.stations"), LayerName("ems.areas")
SHAPE = '{"type":"Polygon","coordinates":[[[-87.68,41.86],[-87.65,41.86],[-87.65,41.9],[-87.68,41.86]]]}'


@dataclass(frozen=True)
class Feature:
    """A feature of the model: where it is, and whether it is free and there."""

    layer: LayerName
    id: FeatureId
    lng: float
    lat: float
    reach_m: float
    free: bool = True
    there: bool = True


START = tuple(
    Feature(layer, FeatureId(f"{layer[0]}{n}"), -87.69 + n * 0.02, lat, 700 + 300 * n, free=n % 3 > 0)
    for layer, lat in ((UNITS, 41.87), (STATIONS, 41.91))
    for n in range(5)
)


def case_of(features: tuple[Feature, ...], rule: Rule = FREE) -> Case:
    """As it would be read: what is not there is left out, what is not free has another status."""

    def of(layer: LayerName, kind: str) -> Source:
        rows = [
            row(f.id, lng=f.lng, lat=f.lat, reach_m=f.reach_m, status="available" if f.free else "on_scene")
            for f in features
            if f.layer == layer and f.there
        ]
        return source(kind, *rows, layer=layer)

    areas = source("coverage", row("area", shape=SHAPE, status="available"), layer=AREAS)
    return Case(CITY, 9, rule, (of(UNITS, "units"), of(STATIONS, "assets"), areas, of(WHAT_IF, "units")), AT)


CASE = case_of(START)
BASE, _ = load(CASE)


def after(*changes: Change, case: Case = CASE, base: Coverage = BASE) -> Coverage:
    return what_if(base, case, changes)


def standings(found: Coverage) -> dict[str, Standing]:
    return {cover.id: cover.standing for cover in found.covers}


@pytest.mark.parametrize(
    ("change", "code", "spot"),
    [
        (Remove(UNITS, FeatureId("c9")), "whatif.feature", "id"),
        (Remove(LayerName("cfd.hidden"), FeatureId("c1")), "whatif.feature", "id"),
        (Move(UNITS, FeatureId("c9"), (0, 0)), "whatif.feature", "id"),
        (Move(AREAS, FeatureId("area"), (0, 0)), "whatif.move", "to"),
        (Commit(STATIONS, FeatureId("c1")), "whatif.feature", "id"),
        (BringBack(UNITS, FeatureId("")), "whatif.feature", "id"),
        (SwitchOff(LayerName("cfd.hidden")), "whatif.layer", "layer"),
        (Add(-87.65, 41.88, None, "cfd"), "whatif.reach", "reach_m"),
    ],
)
def test_what_cannot_be_done_is_refused_with_its_spot(change: Change, code: str, spot: str) -> None:
    with pytest.raises(Invalid) as refusal:
        what_if(BASE, CASE, [Remove(UNITS, FeatureId("c1")), change], pointer="/b")
    assert (refusal.value.code, refusal.value.pointer) == (code, f"/b/1/{spot}")


def test_nothing_done_changes_nothing() -> None:
    found = after()
    assert found.depth is BASE.depth
    assert found.covers == BASE.covers
    assert not any(mask.any() for mask in newly(BASE, found))


def test_the_base_stays_as_it_was() -> None:
    before = BASE.depth.copy()
    after(SwitchOff(UNITS), Add(-87.65, 41.88, 5_000, "cfd"))
    assert (BASE.depth == before).all()
    assert standings(BASE)["c1"] is Standing.COUNTS


def test_who_is_away_says_why() -> None:
    found = after(Remove(UNITS, FeatureId("c1")), Commit(UNITS, FeatureId("c2")), SwitchOff(STATIONS))
    told = standings(found)
    assert (told["c1"], told["c2"], told["e0"]) == (Standing.REMOVED, Standing.BUSY, Standing.REMOVED)


def test_what_was_taken_away_can_be_brought_back_where_it_was_moved() -> None:
    key = (UNITS, FeatureId("c1"))
    found = after(Remove(*key), Move(*key, (-87.62, 41.86)), BringBack(*key), BringBack(*key))
    assert (found.depth == after(Move(*key, (-87.62, 41.86))).depth).all()


def test_a_reach_that_the_question_asks_for_is_that_of_the_added_too() -> None:
    case = case_of(START, replace(FREE, reach=Straight(1_000)))
    base, _ = load(case)
    none, some = (after(Add(-87.65, 41.88, reach, "cfd"), case=case, base=base) for reach in (None, 9_000))
    assert none.covers[-1].reach_m == 1_000
    assert (none.depth == some.depth).all()


def test_what_is_added_drives_along_the_streets_like_all_others() -> None:
    line = '{"type":"LineString","coordinates":[[-87.69,41.89],[-87.65,41.89],[-87.61,41.89]]}'
    street = row("street", shape=line, speed_kmh=60)
    roads = Roads(LayerName("cfd.roads"), UUID(int=1), 1, (), (street,))
    case = replace(case_of(START, Rule(reach=Along(3))), roads=roads)
    base, _ = load(case)
    spare = Feature(WHAT_IF, FeatureId("0"), -87.65, 41.89, 0)
    expected, _ = load(replace(case_of((*START, spare), case.rule), roads=roads))
    found = after(Add(spare.lng, spare.lat, None, "ems"), case=case, base=base)
    assert (found.depth == expected.depth).all()
    straight = load(case_of((*START, spare), case.rule))[0]
    assert (found.depth != straight.depth).any()


def done(features: tuple[Feature, ...], change: Change, number: int) -> tuple[Feature, ...]:
    """The model's version of one change."""
    if isinstance(change, Add):
        assert change.reach_m is not None
        new = Feature(WHAT_IF, FeatureId(str(number)), change.lng, change.lat, change.reach_m)
        return (*features, new)
    steps: dict[type[Any], dict[str, Any]] = {
        Remove: {"there": False},
        SwitchOff: {"there": False},
        Commit: {"free": False, "there": True},
        BringBack: {"free": True, "there": True},
    }
    step = steps.get(type(change)) or dict(zip(("lng", "lat"), change.to, strict=True))  # type: ignore[union-attr]
    return tuple(
        replace(f, **step) if f.layer == change.layer and getattr(change, "id", f.id) == f.id else f
        for f in features
    )


PLACES = st.tuples(st.floats(-87.75, -87.55), st.floats(41.80, 41.95))
NAMED = st.sampled_from([(feature.layer, feature.id) for feature in START])
CHANGES = st.one_of(
    NAMED.map(lambda key: Remove(*key)),
    NAMED.map(lambda key: Commit(*key)),
    NAMED.map(lambda key: BringBack(*key)),
    st.sampled_from([UNITS, STATIONS]).map(SwitchOff),
    st.tuples(NAMED, PLACES).map(lambda both: Move(*both[0], both[1])),
    st.tuples(PLACES, st.floats(0, 5_000)).map(lambda both: Add(*both[0], both[1], "ems")),
)


@settings(max_examples=60)
@given(st.lists(CHANGES, max_size=12))
def test_a_what_if_is_what_loading_from_scratch_says(changes: list[Change]) -> None:
    features = START
    for number, change in enumerate(changes):
        features = done(features, change, number)
    expected, _ = load(case_of(features))
    found = after(*changes)
    assert (found.depth == expected.depth).all()
    assert (found.agencies, found.km2(found.gap)) == (with_added(expected), expected.km2(expected.gap))
    uncovered, covered = newly(BASE, found)
    assert (uncovered == (expected.gap & ~BASE.gap)).all()
    assert (covered == (BASE.gap & ~expected.gap)).all()
    assert np.array_equal(Coverage.of(found.field, found.covers).depth, found.depth)


def with_added(expected: Coverage) -> tuple[Any, ...]:
    """Its agencies, with what was added to the model counted as that of ems."""
    own = [replace(c, agency="ems") if c.layer == WHAT_IF else c for c in expected.covers]
    return Coverage.of(expected.field, own).agencies
