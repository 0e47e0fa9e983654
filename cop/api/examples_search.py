"""What the OpenAPI document says of the search, with an example."""

from __future__ import annotations

from typing import Any

from cop.api.examples import answer, parameter

QUERY: dict[str, Any] = {
    "parameters": [
        parameter("q", "what people call it, or its id: up to 80 letters and digits", "engine 42"),
        parameter("operation", "only the layers that an operation draws", "flood"),
        parameter("limit", "1 to 500; 100 unless told", "12"),
    ]
}
HITS = answer(
    "The best hits first; `at` is where each is, as longitude and latitude, or a place within.",
    {
        "hits": [
            {
                "layer": "cfd.units",
                "agency": "cfd",
                "kind": "units",
                "id": "E42",
                "name": "Engine 42",
                "status": "en_route",
                "type": "engine",
                "at": [-87.6278, 41.8819],
            }
        ],
        "more": False,
    },
    "application/json",
)
