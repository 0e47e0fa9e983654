"""The answers of the coverage analysis as the wire has them; made in the process that works the case out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import shapely

from layers.gaps import Analysis
from layers.ground import Case, Input, notes, work_out
from layers.hexes import Hexes, outlines, patches

MAX_PATCHES = 1_000
"""Separate gaps that are listed one by one, the largest first; `area_count` says how many there are."""


def as_json(case: Case, stated: dict[str, Any]) -> bytes:
    """Areas and compacted cells; *stated* are the members that the request settled (`at`, `status`)."""
    analysis, inputs = work_out(case)
    return orjson.dumps(stated | _totals(case, analysis, inputs))


def as_geojson(case: Case, stated: dict[str, Any]) -> bytes:
    """The same, as a FeatureCollection: each separate piece of gap, overlap and covered ground with its km²."""
    analysis, inputs = work_out(case)
    pieces = [piece for role in ("gap", "overlap", "covered") for piece in _features(analysis, role)]
    body = {"type": "FeatureCollection", "features": pieces} | stated | _totals(case, analysis, inputs)
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def _totals(case: Case, analysis: Analysis, inputs: Sequence[Input]) -> dict[str, Any]:
    pieces = patches(analysis.gap)
    return {
        "resolution": case.resolution,
        "at_least": case.at_least,
        "inputs": [_input(each) for each in inputs],
        "notes": notes(case.sources, {each.layer: each.features for each in inputs}),
        "area_km2": _km2(analysis.area),
        "covered_km2": _km2(analysis.covered),
        "gap_km2": _km2(analysis.gap),
        "overlap_km2": _km2(analysis.overlap),
        "area_cells": analysis.area.count,
        "gap": _cells(analysis.gap)
        | {
            "area_count": len(pieces),
            "areas": [{"km2": round(p.km2, 6), "center": p.center} for p in pieces[:MAX_PATCHES]],
        },
        "overlap": _cells(analysis.overlap),
        "agencies": [
            {
                "agency": share.agency,
                "covers_km2": round(share.covers_km2, 6),
                "only_km2": round(share.only_km2, 6),
            }
            for share in analysis.agencies
        ],
    }


def _input(each: Input) -> dict[str, Any]:
    return {
        "layer": each.layer,
        "epoch": str(each.epoch),
        "revision": each.revision,
        "features": each.features,
    }


def _km2(hexes: Hexes) -> float:
    return round(hexes.area_km2, 6)


def _cells(hexes: Hexes) -> dict[str, Any]:
    return {"cells": [f"{cell:x}" for cell in hexes.compact_cells().tolist()], "cell_count": hexes.count}


def _features(analysis: Analysis, role: str) -> list[dict[str, Any]]:
    return [
        {
            "type": "Feature",
            "geometry": _on_the_map(outline.coordinates),
            "properties": {"role": role, "km2": round(outline.km2, 6)},
        }
        for outline in outlines(getattr(analysis, role))
    ]


def _on_the_map(coordinates: list[list[tuple[float, float]]]) -> dict[str, Any]:
    """A GeoJSON geometry, cut where it crosses the antimeridian (RFC 7946 §3.1.9)."""
    lngs = [lng for lng, _ in coordinates[0]]
    if min(lngs) >= -180 and max(lngs) <= 180:
        return {"type": "Polygon", "coordinates": coordinates}
    whole = shapely.Polygon(coordinates[0], coordinates[1:])
    parts = []
    for turn in (-360.0, 0.0, 360.0):
        piece = shapely.intersection(whole, shapely.box(-180 + turn, -90, 180 + turn, 90))
        moved = shapely.transform(piece, lambda xy, turn=turn: xy - np.array([turn, 0.0]))
        parts += [part for part in shapely.get_parts(moved) if part.geom_type == "Polygon"]
    cut = shapely.orient_polygons(shapely.MultiPolygon(parts), exterior_cw=False)
    return dict(shapely.geometry.mapping(cut))
