"""The answers of the coverage analysis as the wire has them; made in the process that works the case out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import shapely

from cop.briefing.facts import why as in_words
from cop.planning.desk import Loaded
from cop.planning.keeping import with_rule
from layers.hexes import Hexes, outlines, patches, span_sums
from layers.hexes.ranges import integers
from layers.planning.coverage import Coverage
from layers.planning.ground import edge_m
from layers.planning.model import Cover, Input
from layers.planning.notes import notes
from layers.planning.reasons import Explained, explain
from layers.planning.weights import Demand

MAX_PATCHES = 1_000
"""Separate gaps that are listed one by one, the largest first; `area_count` says how many there are."""
MAX_EXPLAINED = 200
"""Gaps that are listed with their reasons."""
MOST_TOLD = 5
"""The depth from which on cells are no longer told apart: nobody reads more shades off a map."""
MAX_SOLE = 200
"""Covers that are listed with what only they cover, those first that would be missed most."""


def as_json(loaded: Loaded, stated: dict[str, Any]) -> bytes:
    """Areas and compacted cells; *stated* are the members that the request settled (`status`)."""
    return orjson.dumps(with_rule(stated | totals(loaded)))


def as_geojson(loaded: Loaded, stated: dict[str, Any]) -> bytes:
    """The same, as a FeatureCollection: each separate piece of gap, overlap and covered ground with its km²."""
    told = with_rule(stated | totals(loaded))
    body = {"type": "FeatureCollection", "features": features_of(loaded)} | told
    return orjson.dumps(body, option=orjson.OPT_SERIALIZE_NUMPY)


def pieces_of(found: Coverage) -> list[dict[str, Any]]:
    """Each separate piece of gap, overlap and covered ground as a GeoJSON feature with `role` and `km2`."""
    masks = {"gap": found.gap, "overlap": found.overlap, "covered": ~found.gap}
    return [piece for role, mask in masks.items() for piece in drawn(found.hexes(mask), role)]


def features_of(loaded: Loaded) -> list[dict[str, Any]]:
    """The same, gap by gap and the largest first: with what each weighs, and the MAX_EXPLAINED largest with why they
    are gaps (`reasons`, in words) and the nearest cover that counts (`nearest`, and `nearest_m` from its middle).
    """
    found, demand = loaded.coverage, loaded.demand
    pieces = patches(found.hexes(found.gap))
    first = pieces[:MAX_EXPLAINED]
    why = explain(found, [piece.hexes for piece in first], [piece.center for piece in first])
    features, left = [], found.gap.copy()
    for piece, each in zip(first, why, strict=True):
        spans = found.field.spans(piece.hexes)
        left[integers(spans)] = False
        about = _in_words(loaded, each)
        if demand is not None:
            about["weight"] = weight(span_sums(demand.values, spans))
        features += [
            feature | {"properties": feature["properties"] | about} for feature in drawn(piece.hexes, "gap")
        ]
    masks = {"gap": left, "overlap": found.overlap, "covered": ~found.gap}
    return features + [piece for role, mask in masks.items() for piece in drawn(found.hexes(mask), role)]


def _in_words(loaded: Loaded, each: Explained) -> dict[str, Any]:
    streets, nearest = loaded.case.roads is not None, each.nearest
    words = in_words(explained(each), streets=streets, without_reach=without_reach(loaded), at_length=True)
    return {
        "reasons": words,
        "nearest": None if nearest is None else f"{nearest.cover.name} ({nearest.cover.agency})",
        "nearest_m": None if nearest is None else round(nearest.distance_m),
    }


def totals(loaded: Loaded) -> dict[str, Any]:
    """What every form of the answer says: the question's terms, the inputs, and the parts of the area."""
    found = loaded.coverage
    gap = found.hexes(found.gap)
    area_km2 = float(found.field.km2.sum())
    return (
        head(loaded)
        | weighed(loaded)
        | {
            "area_km2": km2(area_km2),
            "covered_km2": km2(found.km2(~found.gap)),
            "gap_km2": km2(found.km2(found.gap)),
            "overlap_km2": km2(found.km2(found.overlap)),
            "covered_share": round(found.km2(~found.gap) / area_km2, 6) if area_km2 else None,
            "area_cells": found.field.size,
            "gap": cells(gap) | _gaps(found, gap, loaded.demand),
            "overlap": cells(found.hexes(found.overlap)),
            "depths": _depths(found, loaded.demand),
            "depth_cells": _depth_cells(found),
            "agencies": _agencies(found, loaded.demand),
            "capabilities": [
                {"capability": name, "covers_km2": km2(found.km2(mask))}
                for name, mask in found.by_capability.items()
            ],
            "only": _only(found),
        }
    )


def head(loaded: Loaded) -> dict[str, Any]:
    """What makes an answer one that can be asked for again, and what is to be read before it is believed."""
    case = loaded.case
    return {
        "run": str(loaded.run),
        "at": case.at.isoformat().replace("+00:00", "Z"),
        "resolution": case.resolution,
        "cell_error_m": round(edge_m(case.resolution)),
        "at_least": case.rule.at_least,
        "roads": None if case.roads is None else case.roads.layer,
        "without_reach": without_reach(loaded),
        "inputs": [_input(each) for each in loaded.inputs],
        "notes": notes(case, loaded.coverage.covers, loaded.inputs),
    }


def without_reach(loaded: Loaded) -> int:
    """How many features within 100 km cover nothing, for nothing says how far they reach."""
    return sum(each.reachless for each in loaded.inputs)


def weighed(loaded: Loaded) -> dict[str, Any]:
    """What the parts of the area weigh, if the question says by what; what lies outside of it is said too."""
    found, demand = loaded.coverage, loaded.demand
    if demand is None:
        return {}
    gap = demand.sum(found.gap)
    covered = demand.inside - gap
    parts = {
        "inside": weight(demand.inside),
        "outside": weight(demand.outside),
        "covered": weight(covered),
        "gap": weight(gap),
        "overlap": weight(demand.sum(found.overlap)),
        "covered_share": round(covered / demand.inside, 6) if demand.inside else None,
    }
    return {"weights": {**demand.weights.origin, "unit": demand.weights.unit} | parts}


def cover_of(cover: Cover) -> dict[str, Any]:
    """A cover, as far as an answer names it."""
    return {
        "layer": cover.layer,
        "id": cover.id,
        "name": cover.name,
        "agency": cover.agency,
        "center": [round(part, 7) for part in cover.place],
    }


def km2(value: float) -> float:
    """Ground to the square metre."""
    return round(value, 6)


def weight(value: float) -> float:
    """What ground weighs, to a millionth of its unit."""
    return round(value, 6) + 0.0  # never -0


def cells(hexes: Hexes) -> dict[str, Any]:
    """A set of cells as the wire has it: compacted, with their number at the resolution asked for."""
    return {"cells": [f"{cell:x}" for cell in hexes.compact_cells().tolist()], "cell_count": hexes.count}


def _input(each: Input) -> dict[str, Any]:
    return {
        "layer": each.layer,
        "epoch": str(each.epoch),
        "revision": each.revision,
        "features": each.features,
    }


def _gaps(found: Coverage, gap: Hexes, demand: Demand | None) -> dict[str, Any]:
    pieces = patches(gap)
    first = pieces[:MAX_EXPLAINED]
    why = explain(found, [piece.hexes for piece in first], [piece.center for piece in first])
    areas: list[dict[str, Any]] = [
        {"km2": km2(piece.km2), "center": piece.center} for piece in pieces[:MAX_PATCHES]
    ]
    if demand is not None:
        for area, piece in zip(areas, pieces, strict=False):
            area["weight"] = weight(span_sums(demand.values, found.field.spans(piece.hexes)))
    areas[: len(why)] = [area | explained(each) for area, each in zip(areas, why, strict=False)]
    return {"area_count": len(pieces), "areas": areas}


def explained(each: Explained) -> dict[str, Any]:
    """Why one gap is one. `nobody_near` where no feature that was read could close any of it.

    `nobody_km2` is the ground of it that none of them could close, whatever the reasons of the rest.
    """
    nearest = each.nearest
    why = [
        {
            "reason": reason.standing,
            "km2": km2(reason.km2),
            "features": reason.count,
            "first": [cover_of(cover) for cover in reason.covers],
        }
        | ({"statuses": list(reason.statuses)} if reason.statuses else {})
        for reason in each.reasons
    ]
    return {
        "reached_by": each.reached_by,
        "why": why or [{"reason": "nobody_near"}],
        "nobody_km2": km2(each.nobody_km2),
        "nearest": None
        if nearest is None
        else cover_of(nearest.cover) | {"distance_m": round(nearest.distance_m)},
    }


def _depths(found: Coverage, demand: Demand | None) -> list[dict[str, Any]]:
    """How much ground has each depth, from 0 on; depths that no cell has are left out."""
    per_depth = np.bincount(found.depth, found.field.km2)
    number = np.bincount(found.depth)
    depths: list[dict[str, Any]] = [
        {"depth": depth, "km2": km2(float(per_depth[depth])), "cells": int(number[depth])}
        for depth in np.flatnonzero(number).tolist()
    ]
    if demand is not None:
        weights = np.bincount(found.depth, demand.values)
        for each in depths:
            each["weight"] = weight(float(weights[each["depth"]]))
    return depths


def _depth_cells(found: Coverage) -> list[dict[str, Any]]:
    """The ground of each depth, from 0 on and without those that no cell has; the last one is MOST_TOLD and deeper."""
    told = np.minimum(found.depth, MOST_TOLD)
    return [{"depth": depth} | cells(found.hexes(told == depth)) for depth in np.unique(told).tolist()]


def _agencies(found: Coverage, demand: Demand | None) -> list[dict[str, Any]]:
    agencies: list[dict[str, Any]] = [
        {"agency": each.agency, "covers_km2": km2(each.covers_km2), "only_km2": km2(each.only_km2)}
        for each in found.agencies
    ]
    if demand is not None:
        alone = found.agency_counts == 1
        for each in agencies:
            mask = found.by_agency[each["agency"]]
            each["covers_weight"] = weight(demand.sum(mask))
            each["only_weight"] = weight(demand.sum(mask & alone))
    return agencies


def _only(found: Coverage) -> list[dict[str, Any]]:
    """The covers that are the only one somewhere, with how much would be lost if they left."""
    lost = found.sole_km2()
    order = np.argsort(-lost, kind="stable")[:MAX_SOLE].tolist()
    return [cover_of(found.covers[at]) | {"km2": km2(float(lost[at]))} for at in order if lost[at] > 0]


def drawn(hexes: Hexes, role: str) -> list[dict[str, Any]]:
    """The polygons of *hexes* as GeoJSON features with `role` and `km2`."""
    return [
        {
            "type": "Feature",
            "geometry": on_the_map(outline.coordinates),
            "properties": {"role": role, "km2": km2(outline.km2)},
        }
        for outline in outlines(hexes)
    ]


def on_the_map(coordinates: Sequence[Sequence[tuple[float, float]]]) -> dict[str, Any]:
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
