"""What a hex under the mouse says: made in the process that has the run loaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import h3.api.basic_int as h3
import numpy as np
import orjson

from cop.planning.answers import cover_of, km2
from cop.planning.desk import Loaded
from layers.errors import Invalid, NotFound
from layers.planning.around import Near, around

MAX_LISTED = 100
"""Covers of one cell that are listed, the nearest first; `depth` and `idle_count` say how many there are."""


def cell_of(text: str, resolution: int) -> int:
    """The cell that *text* names; `Invalid` (`h3.cell`) unless it is one of *resolution*."""
    try:
        cell = int(h3.str_to_int(text))
    except (ValueError, OverflowError):
        cell = 0
    if not h3.is_valid_cell(cell) or h3.int_to_str(cell) != text.lower():
        raise Invalid(f"“{text[:40]}” is no H3 cell; one looks like 892664c1a8bffff.", code="h3.cell")
    if h3.get_resolution(cell) != resolution:
        detail = f"“{text[:40]}” is of resolution {h3.get_resolution(cell)}; this run has {resolution}."
        raise Invalid(detail, code="h3.cell")
    return cell


def cell_json(loaded: Loaded, cell: int) -> bytes:
    """Who covers *cell*, of the run's resolution. Raises `NotFound` (`cell.not_found`) outside of the area."""
    found = loaded.coverage
    place = int(found.field.places(np.array([cell], np.uint64))[0])
    if place < 0:
        raise NotFound("cell", h3.int_to_str(cell))
    told = around(found, place)
    body = {
        "run": str(loaded.run),
        "cell": h3.int_to_str(cell),
        "center": [round(part, 7) for part in told.center],
        "km2": km2(told.km2),
        "depth": len(told.reaching),
        "at_least": found.at_least,
        "covered_by": _named(told.reaching[:MAX_LISTED]),
        "next": _named(told.next),
        "idle_count": len(told.idle),
        "idle": _named(told.idle[:MAX_LISTED]),
    }
    return orjson.dumps(body)


def _named(covers: Sequence[Near]) -> list[dict[str, Any]]:
    return [
        cover_of(each.cover)
        | {
            "distance_m": round(each.distance_m),
            "reach_m": each.cover.reach_m,
            "standing": each.cover.standing,
        }
        for each in covers
    ]
