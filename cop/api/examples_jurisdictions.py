"""What the OpenAPI document says of zones told apart, with examples."""

from __future__ import annotations

from typing import Any

from cop.planning.forms import MEDIA_TYPES, Form
from cop.planning.zoning import COLUMNS, WRITERS

_QUESTION: dict[str, Any] = {
    "zones": "city.neighbourhoods",
    "layers": ["cfd.units", "cfd.stations"],
    "where": {"status": ["available", None]},
    "weights": {"table": "population"},
}
_ROW: dict[str, Any] = {
    "id": "loop",
    "name": "The Loop",
    "cells": 39,
    "km2": 4.1,
    "covered_km2": 3.8,
    "gap_km2": 0.3,
    "overlap_km2": 2.9,
    "covered_share": 0.926829,
    "overlap_share": 0.707317,
    "weight": 42298.0,
    "covered_weight": 40100.0,
    "gap_weight": 2198.0,
    "overlap_weight": 31000.0,
    "covered_weight_share": 0.948035,
    "covers": 7,
    "worst_gap_km2": 0.2,
    "worst_gap_lng": -87.627,
    "worst_gap_lat": 41.88,
}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _QUESTION}},
    },
    "parameters": [
        {"name": "f", "in": "query", "required": False, "schema": {"type": "string", "enum": list(WRITERS)}},
        {
            "name": "sort",
            "in": "query",
            "required": False,
            "description": "A column, with - before it for the greatest first.",
            "schema": {"type": "string", "enum": [sign + name for name in COLUMNS for sign in ("", "-")]},
        },
    ],
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "All zones together, and a row for each.",
        "content": {
            MEDIA_TYPES[Form.JSON]: {"schema": {"type": "object"}, "example": {"zones": [_ROW]}},
            MEDIA_TYPES[Form.GEOJSON]: {"schema": {"type": "object"}},
            MEDIA_TYPES[Form.CSV]: {"schema": {"type": "string"}, "example": ",".join(COLUMNS)},
        },
    },
    202: {"description": "With `Prefer: respond-async`: the job that works it out."},
    413: {"description": "Too many zones (`coverage.too_many_zones`), or cells (`h3.too_many_cells`)."},
}
