"""The body of an analysis: every refusal with its code and pointer, then what is understood."""

from __future__ import annotations

from typing import Any

import pytest

from cop.planning.question import parse_question
from cop.planning.settling import placed
from layers.errors import Invalid, LayersError
from layers.planning.model import Along, Rule, Straight
from tests.unit.hexes_shapes import box

AREA = box(-87.7, 41.8, -87.6, 41.9)


@pytest.mark.parametrize(
    ("body", "code", "pointer"),
    [
        ([], "coverage.question", ""),
        (None, "coverage.question", ""),
        ({}, "coverage.area", ""),
        ({"area": None}, "coverage.area", "/area"),
        ({"area": "x"}, "coverage.area", "/area"),
        ({"area": {}}, "coverage.area", "/area"),
        ({"area": {"type": "Point", "coordinates": [0, 0]}}, "coverage.area", "/area/type"),
        ({"area": {"type": "Feature", "geometry": AREA}}, "coverage.area", "/area/type"),
        ({"area": {"type": []}}, "coverage.area", "/area/type"),
        ({"area": {"layer": "cfd.zones"}}, "coverage.area", "/area"),
        ({"area": {"layer": "cfd.zones", "id": "a\0b"}}, "coverage.area", "/area/id"),
        ({"area": {"layer": "cfd.zones", "id": 5}}, "coverage.area", "/area"),
        ({"area": {"layer": "cfd.zones", "id": "a", "type": "x"}}, "coverage.area", "/area"),
        ({"area": AREA, "laiers": []}, "coverage.member", "/laiers"),
        ({"area": AREA, "a/b": 1}, "coverage.member", "/a~1b"),
        ({"area": AREA, "layers": []}, "coverage.layers", "/layers"),
        ({"area": AREA, "layers": "cfd.units"}, "coverage.layers", "/layers"),
        ({"area": AREA, "layers": ["cfd.units", 5]}, "coverage.layers", "/layers/1"),
        ({"area": AREA, "layers": ["x"] * 101}, "coverage.layers", "/layers"),
        ({"area": AREA, "layers": ["x" * 1_000_000]}, "coverage.layers", "/layers/0"),
        ({"area": AREA, "where": {"floors": [2**63]}}, "coverage.where", "/where/floors"),
        ({"area": AREA, "at_least": 0}, "coverage.at_least", "/at_least"),
        ({"area": AREA, "at_least": 1_001}, "coverage.at_least", "/at_least"),
        ({"area": AREA, "at_least": 10**9}, "coverage.at_least", "/at_least"),
        ({"area": AREA, "at_least": 1.0}, "coverage.at_least", "/at_least"),
        ({"area": AREA, "at_least": True}, "coverage.at_least", "/at_least"),
        ({"area": AREA, "resolution": -1}, "h3.resolution", "/resolution"),
        ({"area": AREA, "resolution": 13}, "h3.resolution", "/resolution"),
        ({"area": AREA, "resolution": "9"}, "h3.resolution", "/resolution"),
        ({"area": AREA, "where": "status = 'available'"}, "coverage.where", "/where"),
        ({"area": AREA, "where": ["status"]}, "coverage.where", "/where"),
        ({"area": AREA, "where": {"status": "available"}}, "coverage.where", "/where/status"),
        ({"area": AREA, "where": {"status": []}}, "coverage.where", "/where/status"),
        ({"area": AREA, "where": {"status": [{}]}}, "coverage.where", "/where/status"),
        ({"area": AREA, "where": {"status": ["a\0b"]}}, "coverage.where", "/where/status"),
        ({"area": AREA, "agencies": []}, "coverage.agencies", "/agencies"),
        ({"area": AREA, "capabilities": "als"}, "coverage.capabilities", "/capabilities"),
        ({"area": AREA, "count_stale": 1}, "coverage.member", "/count_stale"),
        ({"area": AREA, "at": "yesterday"}, "coverage.time", "/at"),
        ({"area": AREA, "at": 1700000000}, "coverage.time", "/at"),
        ({"area": AREA, "reach": 500}, "coverage.reach", "/reach"),
        ({"area": AREA, "reach": {}}, "coverage.reach", "/reach"),
        ({"area": AREA, "reach": {"metres": -1}}, "coverage.reach", "/reach/metres"),
        ({"area": AREA, "reach": {"metres": 10**9}}, "coverage.reach", "/reach/metres"),
        ({"area": AREA, "reach": {"metres": 5, "minutes": 5}}, "coverage.reach", "/reach"),
        ({"area": AREA, "reach": {"metres": 5, "speed_kmh": 5}}, "coverage.reach", "/reach"),
        ({"area": AREA, "reach": {"minutes": 10**9}}, "coverage.reach", "/reach/minutes"),
        ({"area": AREA, "reach": {"minutes": 600, "speed_kmh": 300}}, "coverage.reach", "/reach/minutes"),
        ({"area": AREA, "reach": {"minutes": 5, "roads": 5}}, "coverage.reach", "/reach/roads"),
        ({"area": AREA, "reach": {"hours": 5}}, "coverage.member", "/reach/hours"),
        ({"run": "latest"}, "coverage.run", "/run"),
        ({"run": 5}, "coverage.run", "/run"),
        ({"run": "6a9f2f9e-3d2c-4b7d-9a39-0d9b1c7a1f10", "area": AREA}, "coverage.run", "/area"),
        ({"area": AREA, "where": {"speed": [float("inf")]}}, "coverage.where", "/where/speed"),
        ({"area": AREA, "where": {"a\0b": ["x"]}}, "coverage.where", "/where/a\0b"),
        ({"area": AREA, "where": {"status": ["x"] * 101}}, "coverage.where", "/where/status"),
        ({"area": AREA, "where": {str(n): ["x"] for n in range(17)}}, "coverage.where", "/where"),
    ],
)
def test_what_is_no_question_is_refused_with_its_spot(body: object, code: str, pointer: str) -> None:
    with pytest.raises(Invalid) as caught:
        parse_question(body)
    assert (caught.value.code, caught.value.pointer) == (code, pointer)


@pytest.mark.parametrize(
    ("area", "code"),
    [
        ({"type": "Polygon", "coordinates": []}, "geo.empty"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}, "geo.invalid"),
        ({"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [2, 2], [0, 0]]]}, "geo.zero_area"),
        ({"type": "Polygon", "coordinates": [[[0, 80], [120, 80], [240, 80], [360, 80]]]}, "geo.polar"),
        (box(-180, -90, 180, 90), "geo.area"),
        (box(0, 0, 500, 10), "geo.range"),
    ],
)
def test_an_area_that_cannot_be_placed_is_refused(area: dict[str, Any], code: str) -> None:
    with pytest.raises(LayersError) as caught:
        placed(area)
    assert caught.value.code.split(".")[0] == "geo"
    assert caught.value.pointer.startswith("/area")
    assert caught.value.code == code


def test_an_area_across_the_antimeridian_is_split() -> None:
    assert placed(box(170, 0, 190, 10))["type"] == "MultiPolygon"


def test_what_is_not_said_has_its_default() -> None:
    question = parse_question({"area": AREA})
    assert (question.layers, question.resolution, question.rule, question.at) == (None, 9, Rule(), None)


def test_what_is_said_is_taken() -> None:
    body: dict[str, Any] = {
        "layers": ["a.b", "c.d", "a.b"],
        "at_least": 2,
        "resolution": 8,
        "where": {"status": ["x", None, 1, True]},
    }
    question = parse_question({"area": AREA} | body)
    assert question.layers == ("a.b", "c.d")
    assert (question.rule, question.resolution) == (Rule(2, body["where"]), 8)


def test_a_reach_is_metres_or_minutes() -> None:
    assert parse_question({"area": AREA, "reach": {"metres": 800}}).rule.reach == Straight(800.0)
    along = parse_question({"area": AREA, "reach": {"minutes": 8, "roads": "oem.roads"}})
    assert (along.rule.reach, along.roads) == (Along(8.0, 40.0), "oem.roads")
