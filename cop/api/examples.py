"""What the OpenAPI document says of bodies and answers that the framework cannot derive, with examples."""

from __future__ import annotations

from typing import Any

UNIT: dict[str, Any] = {
    "type": "Feature",
    "id": "E42",
    "geometry": {"type": "Point", "coordinates": [-87.6278, 41.8819]},
    "properties": {
        "callsign": "E42",
        "unit_type": "engine",
        "status": "en_route",
        "heading_deg": 270,
        "speed_mps": 11.2,
        "observed_at": "2026-11-22T14:02:11Z",
    },
}
SET: dict[str, Any] = {"type": "FeatureCollection", "features": [UNIT]}
STATUS_PATCH: dict[str, Any] = {
    "type": "FeatureCollection",
    "features": [{"type": "Feature", "id": "E42", "properties": {"status": "on_scene"}}],
}
RECEIPT_EXAMPLE: dict[str, Any] = {
    "layer": "cfd.units",
    "epoch": "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11",
    "first_revision": 118,
    "last_revision": 118,
    "accepted": 1,
    "created": 0,
    "unchanged": 0,
    "late": 0,
    "gone": 0,
    "rejected": [],
}
PROBLEM_EXAMPLE: dict[str, Any] = {
    "type": "about:blank",
    "title": "Unprocessable Content",
    "status": 422,
    "code": "geo.range",
    "detail": "1 of 1 features were refused, so nothing was stored.",
    "pointer": "/features/0/geometry/coordinates/1",
    "request_id": "7d3f0c9a51e24f0b",
    "errors": [
        {
            "pointer": "/features/0/geometry/coordinates/1",
            "id": "E42",
            "code": "geo.range",
            "detail": "Latitude 500 is not between -90 and 90.",
        }
    ],
}

_OBJECT = {"type": "object"}


def _content(example: dict[str, Any], *types: str) -> dict[str, Any]:
    return {type: {"schema": _OBJECT, "example": example} for type in types}


def _body(example: dict[str, Any], *types: str) -> dict[str, Any]:
    return {"requestBody": {"required": True, "content": _content(example, *types)}}


def answer(description: str, example: dict[str, Any], type: str) -> dict[int | str, dict[str, Any]]:
    """What is said of an address that answers with *example*, or with a problem."""
    return {
        200: {"description": description, "content": _content(example, type)},
        "4XX": {
            "description": "A problem (RFC 9457) with a stable `code`, and a JSON pointer where it is about the body.",
            "content": _content(PROBLEM_EXAMPLE, "application/problem+json"),
        },
    }


PUSH_BODY = _body(SET, "application/geo+json", "application/json") | {}
PUSH_BODY["requestBody"]["content"] |= {
    type: {"schema": {"type": "string"}, "example": "one Feature a line"}
    for type in ("application/x-ndjson", "application/geo+json-seq")
}
PATCH_BODY = _body(STATUS_PATCH, "application/merge-patch+json", "application/geo+json")
PATCH_ONE_BODY = _body(
    {"properties": {"status": "on_scene"}}, "application/merge-patch+json", "application/json"
)
FEATURE_BODY = _body(UNIT, "application/geo+json", "application/json")
RECEIPT = answer("The receipt: all of it is committed.", RECEIPT_EXAMPLE, "application/json")
SHARES = answer(
    "The shares.",
    {
        "layer": "cfd.units",
        "status": "actual",
        "shares": [{"audience": "ems", "grade": "full"}, {"audience": "all", "grade": "generalized"}],
    },
    "application/json",
)
FEATURES = answer("A page of features.", SET, "application/geo+json")
FEATURE = answer("The feature.", UNIT, "application/geo+json")
TRACK = answer(
    "The track.",
    {
        "type": "Feature",
        "id": "E42",
        "geometry": {"type": "LineString", "coordinates": [[-87.63, 41.88], [-87.6278, 41.8819]]},
        "properties": {
            "times": ["2026-11-22T14:01:11Z", "2026-11-22T14:02:11Z"],
            "received": ["2026-11-22T14:01:12Z", "2026-11-22T14:02:13Z"],
            "revisions": [102, 118],
        },
    },
    "application/geo+json",
)


def parameter(name: str, description: str, example: str) -> dict[str, Any]:
    """What is said of a query parameter that may be left out."""
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
        "example": example,
    }


PAGE_QUERY: dict[str, Any] = {
    "parameters": [
        parameter("bbox", "west,south,east,north in degrees", "-87.70,41.80,-87.60,41.90"),
        parameter("datetime", "observed at a moment, or in an interval from/to", "2026-11-22T14:00:00Z/.."),
        parameter("limit", "1 to 10,000; 100 unless told", "1000"),
        parameter("after", "where a `next` link goes on", "E42"),
    ]
}
