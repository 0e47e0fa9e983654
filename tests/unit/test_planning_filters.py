"""What a filter says of what nobody has, against looking whether any feature meets it."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from layers.planning.filters import unmet
from layers.planning.judging import meets
from tests.unit.planning_cases import row, source

VALUES = st.none() | st.booleans() | st.integers(0, 2) | st.sampled_from(["a", "b", "1", "true", 1.0, 0.5])


def said(where: dict[str, list[Any]], *stated: dict[str, Any]) -> list[str]:
    rows = [row(f"{at}", lng=0.0, lat=0.0, **properties) for at, properties in enumerate(stated)]
    return unmet(where, [source("units", *rows)])


def test_a_misspelt_property_is_told_with_those_that_resemble_it() -> None:
    assert said({"statu": ["available"]}, {"callsign": "E1", "status": "available"}) == [
        "No feature near the area has a property “statu”; there are: status, callsign."
    ]


def test_a_misspelt_value_is_told_with_those_there_are_the_commonest_first() -> None:
    stated = [{"status": "on_scene"}, {"status": "available"}, {"status": "available"}]
    assert said({"status": ["avialable", None]}, *stated) == [
        "No feature near the area has “avialable” as its status; there are: available, on_scene."
    ]


def test_no_more_than_five_values_are_told_and_none_at_length() -> None:
    stated = [{"unit": f"{at}" * 100} for at in range(9)]
    (line,) = said({"unit": ["x"]}, *stated)
    assert line.endswith(" and 4 more.")
    assert line.count(",") == 4
    assert len(line) < 300


def test_where_nobody_is_or_nothing_is_asked_nothing_is_said() -> None:
    assert said({"status": ["x"]}) == []
    assert said({}, {"status": "x"}) == []


@given(
    st.lists(st.dictionaries(st.sampled_from(["p", "q"]), VALUES | st.lists(VALUES, max_size=2)), min_size=1),
    VALUES.filter(lambda value: value is not None),
)
def test_what_is_said_is_that_no_feature_meets_it(stated: list[dict[str, Any]], value: Any) -> None:
    met = any(meets(properties, {"p": [value]}) for properties in stated)
    assert bool(said({"p": [value]}, *stated)) == (not met)
