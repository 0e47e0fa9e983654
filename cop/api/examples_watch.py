"""What the OpenAPI document says of watched analyses, with examples."""

from __future__ import annotations

from typing import Any

_BEGUN: dict[str, Any] = {
    "analysis": "als-in-the-loop",
    "gaps": "ems.gaps-als-in-the-loop",
    "alerts": "ems.alerts",
    "status": "actual",
    "notes": [],
}
BEGUN: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "It is watched, and these are the layers that it publishes to.",
        "content": {"application/json": {"schema": {"type": "object"}, "example": _BEGUN}},
    },
    413: {"description": "The area is so large that other analyses would wait (`h3.too_many_cells`)."},
    409: {
        "description": "Too many are watched (`watch.too_many`), or a layer of that name is another (`watch.layer`)."
    },
}
ENDED: dict[int | str, dict[str, Any]] = {
    204: {"description": "It is watched no more."},
    404: {"description": "There is no such analysis of yours (`analysis.not_found`)."},
}
