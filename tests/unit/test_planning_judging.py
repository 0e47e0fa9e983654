"""Whether a feature counts, by what it says of itself, how old that is, and what is asked."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from layers.planning.judging import capabilities_of, is_valid, meets, name_of, standing_of
from layers.planning.model import Rule, Standing, Where
from tests.unit.planning_cases import AT, source

UNITS = source("units", stale_after_s=60)


def standing(
    properties: dict[str, Any], rule: Rule | None = None, kind: str = "units", age_s: float = 0
) -> Standing:
    of = source(kind, stale_after_s=60)
    return standing_of(properties, AT - timedelta(seconds=age_s), of, rule or Rule(), AT)


def test_who_is_not_asked_about_is_left_out_whatever_else_holds() -> None:
    busy = {"status": "on_scene", "unit_type": "engine", "shift": "b"}
    for rule in (
        Rule(agencies=frozenset({"ems"})),
        Rule(capabilities=frozenset({"als"})),
        Rule(where={"shift": ["a"]}),
    ):
        assert standing(busy, rule, age_s=1e6) is Standing.EXCLUDED


def test_a_status_that_is_not_asked_for_says_why() -> None:
    rule = Rule(where={"status": ["available"]})
    assert standing({"status": "available"}, rule) is Standing.COUNTS
    assert standing({"status": "on_scene"}, rule) is Standing.BUSY
    assert standing({"status": "out_of_service"}, rule) is Standing.OUT_OF_SERVICE
    assert standing({}, rule) is Standing.BUSY
    for kind in ("assets", "coverage"):
        assert standing({"status": "open"}, rule, kind) is Standing.OTHER_STATUS
        assert standing({"status": "out_of_service"}, rule, kind) is Standing.OUT_OF_SERVICE


def test_units_grow_stale_and_what_stands_does_not() -> None:
    assert standing({}, age_s=60) is Standing.COUNTS
    assert standing({}, age_s=61) is Standing.STALE
    assert standing({}, Rule(stale_counts=True), age_s=61) is Standing.COUNTS
    assert standing({}, kind="assets", age_s=1e6) is Standing.COUNTS
    assert standing({}, kind="coverage", age_s=1e6) is Standing.COUNTS


def test_a_unit_grows_no_older_than_what_is_known() -> None:
    heard = source("units", stale_after_s=60, as_of=AT)
    tomorrow = AT + timedelta(days=1)
    assert standing_of({}, AT - timedelta(seconds=60), heard, Rule(), tomorrow) is Standing.COUNTS
    assert standing_of({}, AT - timedelta(seconds=61), heard, Rule(), tomorrow) is Standing.STALE


def test_a_shift_begins_at_its_first_moment_and_ends_before_its_last() -> None:
    shift = {"valid_from": "2026-01-31T12:00:00Z", "valid_to": "2026-01-31T14:00:00+01:00"}
    assert is_valid(shift, AT)
    assert not is_valid(shift, AT + timedelta(hours=1))
    day = {"valid_from": "2026-01-31T12:00:00Z", "valid_to": "2026-01-31T20:00:00Z"}
    assert is_valid(day, AT)
    assert not is_valid(day, AT - timedelta(microseconds=1))
    assert not is_valid(day, AT + timedelta(hours=8))
    assert standing(day | {"valid_from": "2026-01-31T13:00:00Z"}) is Standing.OFF_SHIFT
    assert is_valid({"valid_from": 5, "valid_to": "soon"}, AT)
    assert not is_valid({"valid_to": "2026-01-31t12:00:00z"}, AT)


@pytest.mark.parametrize(
    ("where", "names"),
    [
        ({}, {"plain", "listed", "odd"}),
        ({"status": ["open"]}, {"plain"}),
        ({"status": [None]}, {"odd"}),
        ({"status": [None, "shut"]}, {"listed", "odd"}),
        ({"skills": ["als"]}, {"listed"}),
        ({"skills": ["als"], "status": ["open"]}, set()),
        ({"beds": [2]}, {"plain"}),
        ({"beds": [2.0]}, {"plain"}),
        ({"beds": ["2"]}, set()),
        ({"beds": [True]}, {"listed"}),
        ({"beds": [1]}, set()),
    ],
)
def test_a_filter_takes_what_has_one_of_the_values(where: Where, names: set[str]) -> None:
    features: dict[str, dict[str, Any]] = {
        "plain": {"status": "open", "beds": 2},
        "listed": {"status": "shut", "skills": ["als", "bls"], "beds": True},
        "odd": {},
    }
    assert {name for name, properties in features.items() if meets(properties, where)} == names


def test_capabilities_are_words_wherever_they_are_said() -> None:
    said = {"capability": "als", "capabilities": ["hazmat", 5], "unit_type": "medic", "asset_type": None}
    assert capabilities_of(said) == {"als", "hazmat", "medic"}


def test_a_feature_goes_by_what_people_call_it() -> None:
    assert name_of({"name": "Station 5", "callsign": "E5"}, "x") == "E5"
    assert name_of({"name": 5}, "x") == "x"
