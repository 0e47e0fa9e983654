"""What the OpenAPI document says of the coverage analysis, with examples."""

from __future__ import annotations

from typing import Any

from cop.api.examples_jobs import ACCEPTED
from cop.planning.forms import ANALYSIS, MEDIA_TYPES, Form

AREA = {
    "type": "Polygon",
    "coordinates": [[[-87.66, 41.87], [-87.61, 41.87], [-87.61, 41.9], [-87.66, 41.9], [-87.66, 41.87]]],
}
_QUESTION: dict[str, Any] = {
    "area": AREA,
    "layers": ["cfd.units", "cfd.stations"],
    "at_least": 1,
    "resolution": 9,
    "where": {"status": ["available", None]},
}
_ANALYSIS: dict[str, Any] = {
    "at": "2026-11-22T14:02:11.2Z",
    "status": "exercise",
    "resolution": 9,
    "at_least": 1,
    "inputs": [
        {
            "layer": "cfd.units",
            "epoch": "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11",
            "revision": 118,
            "features": 31,
        }
    ],
    "notes": ["ems.units: 4 of 30 features within 100 km state no reach_m."],
    "area_km2": 13.8,
    "covered_km2": 13.5,
    "gap_km2": 0.3,
    "overlap_km2": 9.2,
    "area_cells": 131,
    "gap": {
        "cells": ["892664c1a8bffff"],
        "cell_count": 1,
        "area_count": 1,
        "areas": [{"km2": 0.3, "center": [-87.627, 41.88]}],
    },
    "overlap": {"cells": ["882664c1a9fffff"], "cell_count": 7},
    "depth_cells": [{"depth": 0, "cells": ["892664c1a8bffff"], "cell_count": 1}],
    "agencies": [{"agency": "cfd", "covers_km2": 13.5, "only_km2": 11.1}],
}

BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _QUESTION}},
    },
    "parameters": [
        {
            "name": "f",
            "in": "query",
            "required": False,
            "schema": {"type": "string", "enum": list(ANALYSIS)},
        },
        {
            "name": "title",
            "in": "query",
            "required": False,
            "description": "Of a briefing: with `f=html` and `f=png` only.",
            "schema": {"type": "string", "maxLength": 200},
        },
    ],
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The area in parts: covered at least as often as asked, less often (gap), more often (overlap).",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": _ANALYSIS},
            **{MEDIA_TYPES[form]: {"schema": {}} for form in ANALYSIS if form is not Form.JSON},
        },
    },
    202: ACCEPTED,
    413: {
        "description": "More cells than the limit, by estimate (`h3.too_many_cells`), or too many features."
    },
    503: {
        "description": "Too many analyses under way (`coverage.busy`), or out of time (`coverage.deadline`)."
    },
}
