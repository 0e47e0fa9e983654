"""What the OpenAPI document says of the what-if, with examples."""

from __future__ import annotations

from typing import Any

from cop.api.examples_coverage import ANSWER as ANALYSIS
from cop.api.examples_coverage import BODY as QUESTION

_RUN = "4b5b0f0e-6d0c-4b5e-9a53-0a3f6f0f2f11"
_PARTS: dict[str, Any] = {
    "area_km2": 13.8,
    "covered_km2": 13.5,
    "gap_km2": 0.3,
    "overlap_km2": 9.2,
    "covered_share": 0.978,
    "agencies": [{"agency": "cfd", "covers_km2": 13.5, "only_km2": 11.1}],
}
_WHAT_IF: dict[str, Any] = {
    "run": _RUN,
    "changes": [
        {"do": "remove", "layer": "cfd.units", "id": "E1"},
        {"do": "move", "layer": "cfd.units", "id": "E2", "to": [-87.63, 41.88]},
        {"do": "commit", "layer": "cfd.units", "id": "E3", "incident": "2026-118"},
        {"do": "bring_back", "layer": "cfd.units", "id": "E4"},
        {"do": "switch_off", "layer": "ems.units"},
    ],
    "b": [{"do": "add", "lng": -87.64, "lat": 41.89, "reach_m": 1500, "name": "Spare engine"}],
}
_VARIANT: dict[str, Any] = _PARTS | {
    "difference": {"covered_km2": -0.7, "gap_km2": 0.7, "overlap_km2": -2.1},
    "newly_uncovered": {"cells": ["892664c1a8bffff"], "cell_count": 1, "km2": 0.7},
    "newly_covered": {"cells": [], "cell_count": 0, "km2": 0.0},
    "changed": [
        {
            "layer": "cfd.units",
            "id": "E1",
            "name": "Engine 1",
            "agency": "cfd",
            "center": [-87.63, 41.881],
            "standing": "removed",
            "was": "counts",
        }
    ],
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _WHAT_IF}},
    },
    "parameters": QUESTION["parameters"],
}
ANSWER: dict[int | str, dict[str, Any]] = ANALYSIS | {
    200: {
        "description": "The picture as it is (base), after the changes (a) and after others (b), and what differs.",
        "content": {
            "application/json": {
                "schema": {"type": "object"},
                "example": {"run": _RUN, "base": _PARTS, "a": _VARIANT, "b": _VARIANT},
            },
            "application/geo+json": {"schema": {"type": "object"}},
        },
    }
}
