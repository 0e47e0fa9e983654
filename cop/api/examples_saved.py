"""What the OpenAPI document says of saved analyses, with examples."""

from __future__ import annotations

from typing import Any

from cop.api import examples_coverage
from cop.api.examples_coverage import AREA

_SENT: dict[str, Any] = {
    "title": "Two engines in the Loop",
    "question": {"area": AREA, "layers": ["cfd.units"], "at_least": 2},
    "rule": {"covered_share_at_least": 0.95},
}
_SAVED: dict[str, Any] = {
    "name": "loop-engines",
    **_SENT,
    "watched": False,
    "updated_at": "2026-11-22T14:02:11.2Z",
    "updated_by": "cfd key",
    "links": [],
}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "Your agency has none of that name."}}


def _json(description: str, example: object) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
    }


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"type": "object"}, "example": _SENT}},
    }
}
RUN: dict[str, Any] = {"parameters": examples_coverage.BODY["parameters"]}
LIST: dict[int | str, dict[str, Any]] = {200: _json("The analyses.", {"saved": [_SAVED]})}
SAVED: dict[int | str, dict[str, Any]] = {200: _json("Replaced.", _SAVED), 201: _json("Saved.", _SAVED)}
ONE: dict[int | str, dict[str, Any]] = {200: _json("The analysis.", _SAVED), **_MISSING}
GONE: dict[int | str, dict[str, Any]] = {
    204: {"description": "Deleted."},
    **_MISSING,
    409: {"description": "It is watched (`saved.watched`)."},
}
ANSWER: dict[int | str, dict[str, Any]] = examples_coverage.ANSWER | _MISSING
