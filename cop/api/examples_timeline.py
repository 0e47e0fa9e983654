"""What the OpenAPI document says of the timeline of coverage, with examples."""

from __future__ import annotations

from typing import Any

_AREA = {
    "type": "Polygon",
    "coordinates": [[[-87.66, 41.87], [-87.61, 41.87], [-87.61, 41.9], [-87.66, 41.9], [-87.66, 41.87]]],
}
_QUESTION: dict[str, Any] = {
    "area": _AREA,
    "layers": ["cfd.units", "cfd.stations"],
    "where": {"status": ["available", None]},
    "window": {"from": "2026-11-22T06:00:00Z", "to": "2026-11-23T06:00:00Z", "step_minutes": 15},
}
_TIMELINE: dict[str, Any] = {
    "run": "4b5b0f0e-6d0c-4b5e-9a53-0a3f6f0f2f11",
    "status": "exercise",
    "window": {"from": "2026-11-22T06:00:00Z", "to": "2026-11-23T06:00:00Z", "step_minutes": 15.0},
    "read_at": "2026-11-23T08:10:00.4Z",
    "resolution": 9,
    "cell_error_m": 202,
    "at_least": 1,
    "exact": True,
    "inputs": [
        {
            "layer": "cfd.units",
            "epoch": "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11",
            "revision": 118_204,
            "states": 9_211,
        }
    ],
    "known_from": "2026-11-22T06:00:00Z",
    "notes": [
        "At the worst moment, 2026-11-22 17:42 UTC: cfd.units: none of its features reaches into the area."
    ],
    "area_km2": 13.8,
    "area_cells": 131,
    "steps": [
        {
            "at": "2026-11-22T06:00:00Z",
            "covered_km2": 13.5,
            "gap_km2": 0.3,
            "overlap_km2": 9.2,
            "covered_share": 0.978261,
            "covers": 31,
            "known": True,
        }
    ],
    "worst": {
        "at": "2026-11-22T17:42:10.25Z",
        "until": "2026-11-22T17:44:02Z",
        "covered_km2": 9.1,
        "gap_km2": 4.7,
        "covered_share": 0.65942,
        "gap": {"cells": ["892664c1a8bffff"], "cell_count": 45, "area_count": 2, "areas": []},
        "notes": ["cfd.units: none of its features reaches into the area."],
    },
    "best": {
        "at": "2026-11-22T06:03:00Z",
        "until": "2026-11-22T06:04:30Z",
        "covered_km2": 13.8,
        "gap_km2": 0.0,
        "covered_share": 1.0,
    },
    "mean_covered_share": 0.9412,
    "agencies": [{"agency": "cfd", "features": 33, "hours_on_duty": 702.25}],
    "uncovered": {
        "always_covered": {"cells": ["882664c1a9fffff"], "cell_count": 7, "km2": 0.74},
        "never_covered": {"cells": [], "cell_count": 0, "km2": 0.0},
        "in_between": [
            {
                "over_minutes": 0.0,
                "to_minutes": 15.0,
                "cells": ["892664c1a8bffff"],
                "cell_count": 124,
                "km2": 13.06,
            }
        ],
    },
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
            "schema": {"type": "string", "enum": ["json", "csv", "geojson"]},
        }
    ],
}
ANSWER: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The area at every step, at its worst and best, and its cells by how long they are uncovered.",
        "content": {
            "application/json": {"schema": {"type": "object"}, "example": _TIMELINE},
            "text/csv": {
                "schema": {"type": "string"},
                "example": "cell,minutes_uncovered\n892664c1a8bffff,12.25\n",
            },
            "application/geo+json": {"schema": {"type": "object"}},
        },
    },
    413: {
        "description": "More cells than the limit, by estimate (`h3.too_many_cells`), too many steps "
        "(`timeline.too_many_steps`), too long a window (`timeline.too_long`), or too much to read of it "
        "(`timeline.too_many_states`)."
    },
    503: {
        "description": "Too many analyses under way (`coverage.busy`), or out of time (`coverage.deadline`)."
    },
}
