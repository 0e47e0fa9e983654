"""Properties are kept as they were sent, unless their kind knows better or they cannot be stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import InvalidFeature
from layers.kinds import KINDS, MAX_PROPERTIES_BYTES, check_properties, properties_text


def kept(properties: dict[str, Any], kind: str = "units") -> dict[str, Any]:
    return check_properties(KINDS[kind], properties, "/properties")


def refused(properties: dict[str, Any], kind: str = "units") -> tuple[str, str]:
    with pytest.raises(InvalidFeature) as refusal:
        properties_text(kept(properties, kind), "/properties")
    return refusal.value.code, refusal.value.pointer.removeprefix("/properties")


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [("heading_deg", 400, "400"), ("reach_m", -0.5, "-0.5"), ("status", "400", "'400'")],
)
def test_a_value_is_shown_as_it_was_sent(name: str, value: object, shown: str) -> None:
    with pytest.raises(InvalidFeature, match=f"; got {shown}.$"):
        kept({name: value})


@pytest.mark.parametrize(
    ("kind", "name", "value", "code"),
    [
        ("units", "callsign", 7, "prop.type"),
        ("units", "unit_type", ["engine"], "prop.type"),
        ("units", "status", "lost", "prop.value"),
        ("units", "status", 1, "prop.type"),
        ("units", "heading_deg", 360, "prop.value"),
        ("units", "heading_deg", -1, "prop.value"),
        ("units", "heading_deg", "90", "prop.type"),
        ("units", "heading_deg", True, "prop.type"),
        ("units", "speed_mps", -0.1, "prop.value"),
        ("units", "accuracy_m", None, None),
        ("units", "accuracy_m", "5 m", "prop.type"),
        ("units", "reach_m", 100_001, "prop.value"),
        ("units", "incident", {}, "prop.type"),
        ("assets", "capacity", -1, "prop.value"),
        ("assets", "status", "half open", None),
        ("incidents", "severity", "bad", "prop.value"),
        ("incidents", "status", "open", None),
        ("incidents", "units", ["e1", 2], "prop.type"),
        ("incidents", "units", "e1", "prop.type"),
        ("incidents", "units", ["e1", "e2"], None),
        ("zones", "zone_type", 1, "prop.type"),
        ("coverage", "capability", False, "prop.type"),
        ("units", "capability", ["als"], "prop.type"),
        ("units", "capabilities", "als", "prop.type"),
        ("units", "capabilities", ["als", 1], "prop.type"),
        ("assets", "capabilities", ["als", "bls"], None),
        ("coverage", "capabilities", [], None),
        ("units", "valid_from", 1_700_000_000, "prop.type"),
        ("units", "valid_from", "2026-01-31", "prop.value"),
        ("units", "valid_from", "2026-01-31T22:00:00", "prop.value"),
        ("assets", "valid_to", "2026-02-30T22:00:00Z", "prop.value"),
        ("assets", "valid_to", "2026-01-31t22:00:00z", None),
        ("coverage", "valid_to", "2026-01-31T22:00:00-06:00", None),
        ("coverage", "valid_to", None, None),
        ("zones", "valid_to", 5, None),
        ("roads", "road_class", 1, "prop.type"),
        ("roads", "speed_kmh", 0, "prop.value"),
        ("roads", "speed_kmh", 200.5, "prop.value"),
        ("roads", "speed_kmh", "50", "prop.type"),
        ("roads", "speed_kmh", False, "prop.type"),
        ("roads", "speed_kmh", 1e-3, None),
        ("roads", "oneway", "yes", "prop.type"),
        ("roads", "oneway", 1, "prop.type"),
        ("roads", "oneway", True, None),
    ],
)
def test_known_properties_hold_what_their_name_says(
    kind: str, name: str, value: Any, code: str | None
) -> None:
    if code is None:
        assert kept({name: value}, kind) == ({} if value is None else {name: value})
    else:
        assert refused({name: value}, kind) == (code, f"/{name}")


@pytest.mark.parametrize(
    ("properties", "code", "pointer"),
    [
        ({"note": "a\0b"}, "prop.nul", "/note"),
        ({"a/b~c\0": 1}, "prop.nul", "/a~1b~0c\0"),
        ({"deep": {"x": ["ok", "\0"]}}, "prop.nul", "/deep/x/1"),
        ({"deep": {"\0": 1}}, "prop.nul", "/deep"),
        ({"x": math.inf}, "prop.non_finite", "/x"),
        ({"x": math.nan}, "prop.non_finite", "/x"),
        ({"x": [1, {"y": -math.inf}]}, "prop.non_finite", "/x/1/y"),
        ({"speed_mps": math.inf}, "prop.non_finite", "/speed_mps"),
        ({"x": 2**63}, "prop.number", "/x"),
        ({"x": 10**4000}, "prop.number", "/x"),
        ({"x": 1e300}, "prop.number", "/x"),
        ({"x": "x" * MAX_PROPERTIES_BYTES}, "prop.size", ""),
        ({"k" * MAX_PROPERTIES_BYTES: 1}, "prop.size", ""),
        ({str(i): i for i in range(257)}, "prop.size", ""),
        ({str(i): i for i in range(1_000_000)}, "prop.size", ""),
        ({"x": "\ud800"}, "prop.unicode", ""),
    ],
)
def test_refuses_what_cannot_be_stored(properties: dict[str, Any], code: str, pointer: str) -> None:
    assert refused(properties) == (code, pointer)


@pytest.mark.parametrize(
    "properties",
    [
        {"__proto__": {"admin": True}, "constructor": "x", "$where": "1", "'; DROP TABLE feature; --": "';"},
        {
            "": 1,
            "a": None,
            "b": [],
            "c": {},
            "html": "<script>alert(1)</script>",
            "link": "javascript:alert(1)",
        },
        {"sum": "=cmd()|' /C calc'!A0", "small": -(2**63), "big": 2**63 - 1, "float": 1.5, "yes": True},
        {str(i): i for i in range(256)},
    ],
)
def test_unknown_properties_stay_as_they_are(properties: dict[str, Any]) -> None:
    assert json.loads(properties_text(kept(properties), "")) == properties


@pytest.mark.parametrize("kind", ["units", "assets", "coverage"])
def test_a_shift_that_ends_before_it_begins_is_refused(kind: str) -> None:
    night = {"valid_from": "2026-01-31T22:00:00Z", "valid_to": "2026-01-31T06:00:00Z"}
    assert refused(night, kind) == ("prop.value", "/valid_to")
    assert refused(night | {"valid_to": "2026-01-31T16:00:00-06:00"}, kind) == ("prop.value", "/valid_to")
    assert kept(night | {"valid_to": "2026-02-01T06:00:00Z"}, kind)
    assert kept(night, "zones") == night


def test_reserved_names_are_left_out() -> None:
    assert kept(
        {"observed_at": 1, "expires_at": 1, "received_at": 1, "revision": 1, "quality": 1, "x": 1}
    ) == {"x": 1}


def test_displayed_names_lose_control_characters_and_keep_their_direction() -> None:
    sent = "E\u0301ngine\x07\n \u202eright\u200b"
    assert kept({"callsign": sent, "note": sent}) == {
        "callsign": "\u00c9ngine \u202eright\u200b",
        "note": sent,
    }


def test_numbers_too_small_to_write_out_are_zero() -> None:
    assert kept({"x": 1e-300}) == {"x": 0}


def test_kinds_that_take_a_form_take_what_the_antimeridian_makes_of_it() -> None:
    for kind in KINDS.values():
        for single in kind.geometries & {"LineString", "Polygon"}:
            assert f"Multi{single}" in kind.geometries


@contextmanager
def refusal_or_result() -> Iterator[list[InvalidFeature]]:
    """Collects the refusal, if there is one; any other error fails the test."""
    refusals: list[InvalidFeature] = []
    try:
        yield refusals
    except InvalidFeature as refusal:
        refusals.append(refusal)


VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
)


@given(
    st.sampled_from(sorted(KINDS)),
    st.dictionaries(
        st.sampled_from(["callsign", "name", "title", "status", "units", "reach_m"]) | st.text(), VALUE
    ),
)
def test_any_properties_are_stored_or_refused(kind: str, properties: dict[str, Any]) -> None:
    with refusal_or_result() as refused_as:
        text = properties_text(kept(properties, kind), "/properties")
    if refused_as:
        assert refused_as[0].code.startswith("prop.")
        assert refused_as[0].pointer.startswith("/properties")
    else:
        assert "\u0000" not in text
        assert kept(json.loads(text), kind) == json.loads(text)
