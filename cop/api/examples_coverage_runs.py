"""What the OpenAPI document says of runs and of their cells, with examples."""

from __future__ import annotations

from typing import Any

_RUN: dict[str, Any] = {
    "run": "4b5b0f0e-6d0c-4b5e-9a53-0a3f6f0f2f11",
    "asked_at": "2026-11-22T14:02:11.2Z",
    "at": "2026-11-22T14:02:11.2Z",
    "by": "cfd:planner",
    "status": "actual",
    "layers": ["cfd.units"],
}
_CELL: dict[str, Any] = {
    "run": _RUN["run"],
    "cell": "892664c1a8bffff",
    "center": [-87.627, 41.88],
    "km2": 0.105,
    "depth": 1,
    "at_least": 2,
    "covered_by": [
        {
            "layer": "cfd.units",
            "id": "E1",
            "name": "Engine 1",
            "agency": "cfd",
            "center": [-87.63, 41.881],
            "distance_m": 270,
            "reach_m": 1500,
            "standing": "counts",
        }
    ],
    "next": [],
    "idle_count": 0,
    "idle": [],
}


def _answer(description: str, example: dict[str, Any], *missing: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/json": {"schema": {"type": "object"}, "example": example}}
    codes = ", ".join(f"`{code}`" for code in missing)
    gone: dict[int | str, dict[str, Any]] = (
        {404: {"description": f"Not there, or not yours: {codes}."}} if missing else {}
    )
    return {200: {"description": description, "content": content}} | gone


RUNS = _answer("Runs, newest first; `next` leads on to older ones.", {"runs": [_RUN], "links": []})
RUN = _answer(
    "The question as it could be asked again, and the revision of each layer that was read.",
    _RUN | {"question": {"layers": ["cfd.units"]}, "inputs": []},
    "run.not_found",
    "layer.not_found",
)
CELL = _answer(
    "Who covers the cell, nearest first; who is next; who would, but does not count.",
    _CELL,
    "run.not_found",
    "layer.not_found",
    "cell.not_found",
)
