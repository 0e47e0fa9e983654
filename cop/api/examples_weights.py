"""What the OpenAPI document says of tables of cells, with examples."""

from __future__ import annotations

from typing import Any

_TABLE: dict[str, Any] = {
    "name": "population",
    "unit": "people",
    "resolution": 8,
    "cells": 1204,
    "updated_at": "2026-11-22T14:02:11.2Z",
}
_MISSING: dict[int | str, dict[str, Any]] = {404: {"description": "Your agency has no such table."}}


def _json(description: str, example: object) -> dict[str, Any]:
    return {
        "description": description,
        "content": {"application/json": {"schema": {"type": "object"}, "example": example}},
    }


BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "text/csv": {
                "schema": {"type": "string"},
                "example": "cell,value\n882664c1a9fffff,2310\n882664c1abfffff,1875.5\n",
            },
            "application/json": {
                "schema": {"type": "object"},
                "example": {"unit": "people", "cells": {"882664c1a9fffff": 2310, "882664c1abfffff": 1875.5}},
            },
        },
    },
    "parameters": [
        {
            "name": "unit",
            "in": "query",
            "required": False,
            "description": "What the values of a CSV count, such as people.",
            "schema": {"type": "string", "maxLength": 40},
        }
    ],
}
LIST: dict[int | str, dict[str, Any]] = {200: _json("The tables.", {"tables": [_TABLE]})}
KEPT: dict[int | str, dict[str, Any]] = {
    200: _json("Replaced.", _TABLE | {"total": 2_746_388.0}),
    201: _json("Kept.", _TABLE | {"total": 2_746_388.0}),
    413: {"description": "Too many rows (`cells.too_many`) or tables (`cells.too_many_tables`)."},
    422: {"description": "Bad rows, each named in `errors` with its line as `pointer`."},
}
TABLE: dict[int | str, dict[str, Any]] = {
    200: _json("The table.", _TABLE | {"total": 2_746_388.0}),
    **_MISSING,
}
GONE: dict[int | str, dict[str, Any]] = {204: {"description": "Deleted."}, **_MISSING}
