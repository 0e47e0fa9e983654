"""What the OpenAPI document says of placements, with examples."""

from __future__ import annotations

from typing import Any

from cop.api.examples_coverage import AREA

_QUESTION: dict[str, Any] = {
    "area": AREA,
    "layers": ["cfd.stations"],
    "reach": {"metres": 2400},
    "place": {"goal": "most", "n": 2, "seconds": 5},
}
_ANSWER: dict[str, Any] = {
    "status": "actual",
    "run": "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11",
    "at": "2026-11-24T14:02:11.2Z",
    "resolution": 9,
    "cell_error_m": 202,
    "at_least": 1,
    "inputs": [],
    "notes": [],
    "goal": "most",
    "unit": "km²",
    "demand": 13.8,
    "covered_before": 9.1,
    "covered_after": 13.6,
    "gained": {"cells": ["892664c1a8bffff"], "cell_count": 43, "km2": 4.5},
    "lost": {"cells": [], "cell_count": 0, "km2": 0.0},
    "depth_after": 3,
    "proof": {"solver": "highs", "bound": 13.6, "gap_to_optimal": 0.0, "ended": "optimal", "seconds": 0.21},
    "sites": [{"candidate": 14, "center": [-87.6412, 41.8801], "units": 1, "gain": 3.1, "only": 2.8}],
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _QUESTION}},
    }
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The sites or the moves, in the order to make them, and how good they are proven to be.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _ANSWER}},
    },
    413: {"description": "More cells or candidates than the limit."},
    503: {
        "description": "Too many analyses under way (`coverage.busy`), or out of time (`coverage.deadline`)."
    },
}
