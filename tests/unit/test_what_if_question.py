"""The changes of a what-if: every refusal with its code and pointer, then what is understood."""

from __future__ import annotations

from typing import Any

import pytest

from cop.planning.question import parse_question
from cop.planning.what_if_question import VARIANTS, parse_variants
from layers.errors import Invalid, LayersError, TooLarge
from layers.planning.what_if import MAX_CHANGES, Add, BringBack, Commit, Move, Remove, SwitchOff

UNIT = {"layer": "cfd.units", "id": "E1"}
SPARE = {"do": "add", "lng": -87.6, "lat": 41.9}


@pytest.mark.parametrize(
    ("change", "code", "pointer"),
    [
        (None, "whatif.change", ""),
        ([], "whatif.change", ""),
        ({}, "whatif.change", ""),
        ({"do": "explode"}, "whatif.change", "/do"),
        ({"do": ["remove"]}, "whatif.change", "/do"),
        ({"do": "remove"}, "whatif.change", ""),
        ({"do": "remove", "layer": "cfd.units"}, "whatif.change", ""),
        ({"do": "remove", "layer": 5, "id": "E1"}, "whatif.change", "/layer"),
        ({"do": "remove", "layer": "cfd\nunits", "id": "E1"}, "whatif.change", "/layer"),
        ({"do": "remove", "layer": "cfd.units", "id": 1.5}, "whatif.change", "/id"),
        ({"do": "remove", "layer": "cfd.units", "id": "a\0b"}, "whatif.change", "/id"),
        ({"do": "remove", **UNIT, "to": [0, 0]}, "coverage.member", "/to"),
        ({"do": "move", **UNIT}, "whatif.change", ""),
        ({"do": "move", **UNIT, "to": [0]}, "whatif.change", "/to"),
        ({"do": "move", **UNIT, "to": [0, 91]}, "whatif.change", "/to/1"),
        ({"do": "move", **UNIT, "to": [True, 0]}, "whatif.change", "/to/0"),
        ({"do": "move", **UNIT, "to": {"lng": 0}}, "whatif.change", "/to"),
        ({"do": "commit", **UNIT, "incident": 7}, "whatif.change", "/incident"),
        ({"do": "switch_off"}, "whatif.change", ""),
        ({"do": "add", "lng": 0}, "whatif.change", "/lat"),
        (SPARE | {"lng": 181}, "whatif.change", "/lng"),
        (SPARE | {"lng": "0"}, "whatif.change", "/lng"),
        (SPARE | {"reach_m": -1}, "whatif.change", "/reach_m"),
        (SPARE | {"reach_m": 100_001}, "whatif.change", "/reach_m"),
        (SPARE | {"kind": "coverage"}, "whatif.change", "/kind"),
        (SPARE | {"agency": ""}, "whatif.change", "/agency"),
        (SPARE | {"name": "x" * 129}, "whatif.change", "/name"),
        (SPARE | {"status": "available"}, "coverage.member", "/status"),
    ],
)
def test_a_bad_change_is_refused_with_its_spot(change: Any, code: str, pointer: str) -> None:
    good = {"do": "remove", **UNIT}
    for body, at in (({"changes": [good, change]}, "/changes/1"), ({"changes": [], "b": [change]}, "/b/0")):
        with pytest.raises(LayersError) as refusal:
            parse_variants(body, agency="cfd")
        assert (refusal.value.code, refusal.value.pointer) == (code, at + pointer)


@pytest.mark.parametrize(
    ("body", "pointer"),
    [([], ""), ({}, ""), ({"b": []}, ""), ({"changes": None}, "/changes"), ({"changes": [], "b": {}}, "/b")],
)
def test_changes_are_an_array(body: Any, pointer: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_variants(body, agency="cfd")
    assert (refusal.value.code, refusal.value.pointer) == ("whatif.changes", pointer)


def test_a_million_changes_are_refused_unread() -> None:
    for name in VARIANTS:
        with pytest.raises(TooLarge) as refusal:
            parse_variants({"changes": [5], name: [None] * 10**6}, agency="cfd")
        assert (refusal.value.code, refusal.value.pointer) == ("whatif.too_many", f"/{name}")
    assert len(parse_variants({"changes": [SPARE] * MAX_CHANGES}, agency="cfd")["changes"]) == MAX_CHANGES


def test_a_layer_is_switched_off_once() -> None:
    twice = [{"do": "switch_off", "layer": "cfd.units"}] * 2
    with pytest.raises(Invalid) as refusal:
        parse_variants({"changes": twice}, agency="cfd")
    assert refusal.value.pointer == "/changes/1/layer"
    parse_variants({"changes": twice[:1], "b": twice[:1]}, agency="cfd")


def test_all_that_can_be_done_is_understood() -> None:
    changes = [
        {"do": "remove", "layer": "cfd.units", "id": 7},
        {"do": "move", **UNIT, "to": [-87.6, 41]},
        {"do": "commit", **UNIT, "incident": "fire"},
        {"do": "bring_back", **UNIT},
        {"do": "switch_off", "layer": "ems.units"},
        SPARE,
        SPARE | {"reach_m": 900, "agency": "ems", "name": "Spare", "kind": "assets"},
    ]
    body = {"run": "4b5b0f0e-6d0c-4b5e-9a53-0a3f6f0f2f11", "changes": changes}
    assert parse_variants(body, agency="cfd") == {
        "changes": (
            Remove("cfd.units", "7"),  # type: ignore[arg-type]
            Move("cfd.units", "E1", (-87.6, 41.0)),  # type: ignore[arg-type]
            Commit("cfd.units", "E1", "fire"),  # type: ignore[arg-type]
            BringBack("cfd.units", "E1"),  # type: ignore[arg-type]
            SwitchOff("ems.units"),  # type: ignore[arg-type]
            Add(-87.6, 41.9, None, "cfd"),
            Add(-87.6, 41.9, 900.0, "ems", "assets", "Spare"),
        )
    }
    assert parse_question(body, also=VARIANTS).run is not None
