"""What the OpenAPI document says of the live stream over HTTP and of how feeds do, with examples."""

from __future__ import annotations

from typing import Any

from cop.api.examples import answer, parameter

EPOCH = "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11"
PUT: dict[str, Any] = {
    "id": "E42",
    "geometry": {"type": "Point", "coordinates": [-87.6278, 41.8819]},
    "properties": {"callsign": "E42", "status": "en_route"},
    "observed_at": 1795356131000,
    "expires_at": None,
}
FRAME: dict[str, Any] = {
    "type": "frame",
    "time": 1795356131250,
    "view": 1,
    "layers": {"cfd.units": {"epoch": EPOCH, "from": 117, "to": 118, "put": [PUT]}},
}

_BBOX = parameter(
    "bbox", "west,south,east,north in degrees; a little around it is told too", "-87.7,41.8,-87.6,41.9"
)
_STATUS = parameter("status", "features with one of these; an empty one: those without", "en_route,on_scene")
_LIMIT = parameter("limit", "1 to 50,000: more units or assets in sight come summed by cell; 20,000", "5000")
CHANGES_QUERY: dict[str, Any] = {
    "parameters": [
        parameter("since", "a cursor, `epoch:revision`; without it: the whole layer", f"{EPOCH}:117"),
        parameter("wait", "seconds to wait for something to say, 0 to 60; 0 unless told", "25"),
        _BBOX,
        _STATUS,
        _LIMIT,
    ]
}
CHANGES = answer(
    "What has changed. `next` is null where a layer is told as sums: ask again without `since`.",
    {"layer": "cfd.units", "status": "actual", "messages": [FRAME], "next": f"{EPOCH}:118"},
    "application/json",
)
CHANGES[200]["content"]["text/event-stream"] = {
    "schema": {"type": "string"},
    "example": f'event: frame\nid: 5f2a91c0;cfd.units={EPOCH}:118\ndata: {{"type":"frame",…}}\n\n',
}
CHANGES[304] = {"description": "Nothing is newer than the ETag, also after the wait."}
EVENTS_QUERY: dict[str, Any] = {
    "parameters": [
        parameter("layers", "ids of layers, separated by commas", "cfd.units,ems.units"),
        parameter("operation", "the layers that an operation draws", "flood"),
        _BBOX,
        _STATUS,
        _LIMIT,
    ]
}
EVENTS: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "The stream. Each event's `id` is what `Last-Event-ID` goes on from.",
        "content": {"text/event-stream": CHANGES[200]["content"]["text/event-stream"]},
    },
    "4XX": CHANGES["4XX"],
}
FEED_EXAMPLE: dict[str, Any] = {
    "layer": "cfd.units",
    "agency": "cfd",
    "kind": "units",
    "status": "actual",
    "revision": 118,
    "features": 42,
    "last_heard": "2026-11-22T14:02:11Z",
    "silent_since": None,
    "rate": 0.7,
    "lag": {"median_s": 1.204, "p95_s": 3.87},
    "rejects": {
        "count": 3,
        "since": "2026-11-22T13:40:02Z",
        "last": {
            "at": "2026-11-22T13:58:31Z",
            "code": "geo.range",
            "pointer": "/features/0/geometry/coordinates/1",
            "detail": "Latitude 500 is not between -90 and 90.",
        },
    },
    "subscribers": {"cfd": 2, "ems": 5, "public": 12},
}
FEED = answer(
    "The feed; `rejects` and `subscribers` only for its own agency.", FEED_EXAMPLE, "application/json"
)
FEEDS = answer("The feeds.", {"feeds": [FEED_EXAMPLE]}, "application/json")
