"""From states to spells: at every instant they must say what loading that instant's case says."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from layers.hexes import Field, fill
from layers.planning.coverage import load
from layers.planning.judging import counts_during, standing_of
from layers.planning.model import Case, Rule, Standing, Straight
from layers.planning.spells import History, State, case_at, sources_at, spells_of
from layers.planning.timeline import Window, timeline
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

AREA = box(-87.66, 41.86, -87.62, 41.90)
SECOND = timedelta(seconds=1)
END = AT + 100 * SECOND
WINDOW = Window.of(AT, END, 7 * SECOND)
RULES = [
    Rule(),
    Rule(at_least=2),
    Rule(where={"status": ["available", None]}),
    Rule(stale_counts=True),
    Rule(agencies=frozenset({"ems"})),
    Rule(capabilities=frozenset({"als"}), reach=Straight(900)),
]


def seconds(low: int = -50, high: int = 150) -> st.SearchStrategy[datetime]:
    return st.integers(low, high).map(lambda number: AT + number * SECOND)


@st.composite
def stated(draw: st.DrawFn) -> dict[str, Any]:
    """Properties, some of which say that the feature does not count, or not now."""
    found = {
        "status": draw(st.sampled_from(["available", "busy", "out_of_service", None])),
        "unit_type": draw(st.sampled_from(["als", "bls", None])),
        "reach_m": draw(st.sampled_from([400, 1500, None])),
        "valid_from": draw(st.one_of(st.none(), seconds().map(datetime.isoformat))),
        "valid_to": draw(st.one_of(st.none(), seconds().map(datetime.isoformat))),
    }
    return {name: value for name, value in found.items() if value is not None}


@st.composite
def histories(draw: st.DrawFn) -> tuple[History, ...]:
    """Layers of units and assets of two agencies, each feature a chain of states with gaps between some."""
    found = []
    for layer, kind in (("cfd.units", "units"), ("ems.stations", "assets")):
        states = []
        for id in ("a", "b"):
            ends = sorted(draw(st.lists(st.integers(-50, 150), max_size=6, unique=True)))
            for begin, end in pairwise(ends):
                if draw(st.booleans()):
                    age = draw(st.integers(0, 60))
                    place = draw(st.sampled_from([(-87.64, 41.88), (-87.63, 41.89), (-87.5, 41.5)]))
                    known = row(
                        id,
                        lng=place[0],
                        lat=place[1],
                        observed_at=AT + (begin - age) * SECOND,
                        **draw(stated()),
                    )
                    last = None if draw(st.booleans()) and end == ends[-1] else AT + end * SECOND
                    states.append(State(known, AT + begin * SECOND, last))
        rules: dict[str, Any] = {"stale_after_s": 30, "reach_m": draw(st.sampled_from([None, 800.0]))}
        rules["as_of"] = draw(st.one_of(st.none(), seconds()))
        found.append(History(source(kind, layer=layer, **rules), tuple(states), None))
    return tuple(found)


@settings(max_examples=40)
@given(histories(), st.sampled_from(RULES))
def test_the_timeline_at_each_step_is_the_analysis_of_that_instant(
    known: tuple[History, ...], rule: Rule
) -> None:
    case = Case(AREA, 8, rule, (), AT)
    field = Field(fill(AREA, 8))
    found = timeline(field, spells_of(known, field, case, WINDOW), WINDOW, rule.at_least)
    for at, instant in enumerate(WINDOW.steps.tolist()):
        coverage, _ = load(case_at(case, known, AT + timedelta(microseconds=instant - WINDOW.begin_us)))
        assert abs(found.covered_km2[at] - coverage.km2(~coverage.gap)) < 1e-6
        assert abs(found.overlap_km2[at] - coverage.km2(coverage.overlap)) < 1e-6
        assert found.covers[at] == sum(cover.counts and len(cover.spans) > 0 for cover in coverage.covers)


@settings(max_examples=12)
@given(histories(), st.sampled_from(RULES))
def test_minutes_are_those_of_analysing_every_second(known: tuple[History, ...], rule: Rule) -> None:
    case = Case(AREA, 8, rule, (), AT)
    field = Field(fill(AREA, 8))
    found = timeline(field, spells_of(known, field, case, WINDOW), WINDOW, rule.at_least)
    uncovered = np.zeros(field.size, np.int64)
    # Everything happens at whole seconds, but for what is stale: that is so a microsecond later.
    for second in range(100):
        coverage, _ = load(case_at(case, known, AT + second * SECOND + timedelta(milliseconds=1)))
        uncovered += coverage.gap
    assert found.exact is not None
    assert (abs(found.exact.uncovered / 1e6 - uncovered) < 1e-3).all()


@given(
    stated(),
    st.sampled_from(["units", "assets"]),
    st.sampled_from(RULES),
    st.one_of(st.none(), seconds()),
    st.data(),
)
def test_what_counts_during_a_time_counts_at_each_moment_of_it(
    properties: dict[str, Any], kind: str, rule: Rule, as_of: datetime | None, data: st.DataObject
) -> None:
    layer = source(kind, layer="ems.x", stale_after_s=30, as_of=as_of)
    during = counts_during(properties, AT, layer, rule)
    edges = [each for each in during or () if each is not None]
    near = [edge + step * timedelta(microseconds=1) for edge in edges for step in (-1, 0, 1)]
    for at in [*near, data.draw(seconds())]:
        inside = during is not None and (
            (during[0] is None or during[0] <= at) and (during[1] is None or at < during[1])
        )
        assert inside == (standing_of(properties, AT, layer, rule, at) is Standing.COUNTS)


def test_a_state_ends_where_the_next_begins() -> None:
    first, second = row("a", lng=0.0, lat=0.0), row("a", lng=1.0, lat=0.0)
    states = (State(first, AT, AT + SECOND), State(second, AT + SECOND, None))
    known = (History(source("units"), states, None),)
    for after, expected in ((0, first), (1, second), (999, second)):
        assert sources_at(known, AT + after * SECOND)[0].rows == (expected,)
    assert sources_at(known, AT - SECOND)[0].rows == ()


def test_ground_is_made_once_for_whoever_stands_still() -> None:
    states = tuple(
        State(row("a", lng=-87.64, lat=41.88, observed_at=AT + at * SECOND), AT + at * SECOND, None)
        for at in range(3)
    )
    field = Field(fill(AREA, 8))
    known = (History(source("units", reach_m=900.0), states, None),)
    spells = spells_of(known, field, Case(AREA, 8, Rule(), (), AT), WINDOW)
    assert len(spells) == 3
    assert spells[0].spans is spells[1].spans is spells[2].spans


def test_what_states_no_reach_has_no_spell() -> None:
    known = (History(source("units"), (State(row("a", lng=-87.64, lat=41.88), AT, None),), None),)
    assert spells_of(known, Field(fill(AREA, 8)), Case(AREA, 8, Rule(), (), AT), WINDOW) == []
