"""The answers of a what-if as the wire has them: the picture as it is, and beside it each variant with what differs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from cop.planning.answers import cells, cover_of, head, km2, on_the_map
from cop.planning.desk import Loaded
from cop.planning.what_if_question import VARIANTS
from layers.hexes import outlines
from layers.hexes.field import Mask
from layers.planning.coverage import Coverage
from layers.planning.weights import Demand
from layers.planning.what_if import Change, Commit, newly, what_if

MAX_CHANGED = 200
"""Covers that are listed with what became of them, in the order of layers; what was added comes last."""
Variants = Mapping[str, Sequence[Change]]
"""By member of the body the changes that it holds."""


def as_json(loaded: Loaded, stated: dict[str, Any], variants: Variants) -> bytes:
    """Areas, and compacted cells of what is newly covered and newly not; *stated* is what the request settled."""
    return orjson.dumps(_body(loaded, stated, _after(loaded, variants), variants))


def as_geojson(loaded: Loaded, stated: dict[str, Any], variants: Variants) -> bytes:
    """The same, as a FeatureCollection of the differences: each separate piece with its variant, role and km²."""
    after = _after(loaded, variants)
    pieces = [
        piece
        for name, found in after.items()
        for role, mask in _differences(loaded.coverage, found).items()
        for piece in _pieces(found, mask, VARIANTS[name], role)
    ]
    body = {"type": "FeatureCollection", "features": pieces} | _body(loaded, stated, after, variants)
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _after(loaded: Loaded, variants: Variants) -> dict[str, Coverage]:
    return {
        name: what_if(loaded.coverage, loaded.case, changes, pointer=f"/{name}")
        for name, changes in variants.items()
    }


def _body(
    loaded: Loaded, stated: dict[str, Any], after: Mapping[str, Coverage], variants: Variants
) -> dict[str, Any]:
    base = loaded.coverage
    told = {
        VARIANTS[name]: _parts(found, loaded.demand)
        | _against(base, found)
        | {"changed": _changed(base, found, variants[name])}
        for name, found in after.items()
    }
    return stated | head(loaded) | {"area_cells": base.field.size, "base": _parts(base, loaded.demand)} | told


def _parts(found: Coverage, demand: Demand | None) -> dict[str, Any]:
    """The parts of the area in km², and by what else the question weighs ground."""
    area, gap = float(found.field.km2.sum()), found.km2(found.gap)
    weights = {}
    if demand is not None:
        uncovered = demand.sum(found.gap)
        weights = {"weights": {"covered": _step(demand.inside - uncovered), "gap": _step(uncovered)}}
    return weights | {
        "area_km2": km2(area),
        "covered_km2": km2(area - gap),
        "gap_km2": km2(gap),
        "overlap_km2": km2(found.km2(found.overlap)),
        "covered_share": round((area - gap) / area, 6) if area else None,
        "agencies": [
            {"agency": each.agency, "covers_km2": km2(each.covers_km2), "only_km2": km2(each.only_km2)}
            for each in found.agencies
        ],
    }


def _against(base: Coverage, found: Coverage) -> dict[str, Any]:
    """How *found* differs from *base*: more than before is above zero."""
    return {
        "difference": {
            "covered_km2": _step(base.km2(base.gap) - found.km2(found.gap)),
            "gap_km2": _step(found.km2(found.gap) - base.km2(base.gap)),
            "overlap_km2": _step(found.km2(found.overlap) - base.km2(base.overlap)),
        }
    } | {
        role: cells(found.hexes(mask)) | {"km2": km2(found.km2(mask))}
        for role, mask in _differences(base, found).items()
    }


def _step(value: float) -> float:
    return round(value, 6) + 0.0  # never -0


def _differences(base: Coverage, found: Coverage) -> dict[str, Mask]:
    uncovered, covered = newly(base, found)
    return {"newly_uncovered": uncovered, "newly_covered": covered}


def _changed(base: Coverage, found: Coverage, changes: Sequence[Change]) -> list[dict[str, Any]]:
    """What became of each cover that is not as it was; and to which incident it was committed, if one was named."""
    incidents = {(each.layer, each.id): each.incident for each in changes if isinstance(each, Commit)}
    before = [*base.covers, *[None] * (len(found.covers) - len(base.covers))]
    listed: list[dict[str, Any]] = []
    for old, new in zip(before, found.covers, strict=True):
        if new is not old and len(listed) < MAX_CHANGED:
            incident = incidents.get((new.layer, new.id))
            told = cover_of(new) | {"standing": new.standing, "was": None if old is None else old.standing}
            listed.append(told | ({"incident": incident} if incident else {}))
    return listed


def _pieces(found: Coverage, mask: Mask, variant: str, role: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "Feature",
            "geometry": on_the_map(outline.coordinates),
            "properties": {"variant": variant, "role": role, "km2": km2(outline.km2)},
        }
        for outline in outlines(found.hexes(mask))
    ]
