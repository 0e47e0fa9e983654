"""Zones told apart, as the wire has it: what is asked beside the question, and the answer, made in an analyst."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
import shapely

from cop.analysts import report
from cop.planning.answers import head, km2, weighed, weight
from cop.planning.desk import Loaded
from cop.planning.forms import Form, csv_text, frame_of, gpkg_of, mark_of, parquet_of
from cop.planning.question import AREAL, MEMBERS, Question, object_of, parse_question
from cop.planning.settling import placed
from layers.errors import Invalid, LayersError, TooLarge
from layers.model import Status
from layers.planning.judging import name_of
from layers.planning.jurisdictions import Jurisdiction, Share, jurisdictions
from layers.planning.model import Zone
from layers.planning.zones import MAX_ZONES

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

COLUMNS = (
    *(
        "id",
        "name",
        "cells",
        "km2",
        "covered_km2",
        "gap_km2",
        "overlap_km2",
        "covered_share",
        "overlap_share",
    ),
    *("weight", "covered_weight", "gap_weight", "overlap_weight", "covered_weight_share"),
    *("covers", "worst_gap_km2", "worst_gap_lng", "worst_gap_lat"),
)
"""What a row says; also what it can be sorted by."""
# Zones are placed as GeoJSON is, to 1e-7 degrees.
_GRID_DEG = 1e-7
# What a question is parsed with: its area is that of the zones.
_NOWHERE: dict[str, Any] = {"type": "Polygon", "coordinates": []}


@dataclass(frozen=True, slots=True)
class AskedZones:
    """Which zones: those of a *layer*, only those of *ids* if there are any; or a list of GeoJSON *features*."""

    layer: str | None = None
    ids: tuple[str, ...] | None = None
    features: tuple[dict[str, Any], ...] = ()


def parse_zones(body: object) -> tuple[Question, AskedZones]:
    """A question without an area, and the zones that are its area. Raises `Invalid` with a pointer."""
    own = tuple(name for name in MEMBERS if name not in ("area", "run"))
    members = object_of(body, (*own, "zones"), pointer="", code="coverage.question")
    question = parse_question(
        {name: members[name] for name in members if name != "zones"} | {"area": _NOWHERE}
    )
    return question, _zones(members.get("zones"))


def _zones(value: object) -> AskedZones:
    if type(value) is str:
        return AskedZones(layer=value)
    if type(value) is not dict:
        detail = "“zones” is a layer's name, {layer, ids}, or a GeoJSON FeatureCollection."
        raise Invalid(detail, pointer="/zones" if value is not None else "", code="coverage.zones")
    if value.get("type") == "FeatureCollection":
        return AskedZones(features=_features(value.get("features")))
    zones = object_of(value, ("layer", "ids"), pointer="/zones", code="coverage.zones")
    if type(zones.get("layer")) is not str:
        raise Invalid("A layer's name is text, “agency.slug”.", pointer="/zones/layer", code="coverage.zones")
    return AskedZones(layer=zones["layer"], ids=_ids(zones.get("ids")))


def _ids(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if type(value) is not list or not 1 <= len(value) <= MAX_ZONES or not all(map(_is_id, value)):
        detail = f"“ids” is an array of 1 to {MAX_ZONES:,} ids, text; leave it out for all."
        raise Invalid(detail, pointer="/zones/ids", code="coverage.zones")
    return tuple(dict.fromkeys(value))


def _is_id(value: object) -> bool:
    return type(value) is str and "\0" not in value


def _features(value: object) -> tuple[dict[str, Any], ...]:
    at = "/zones/features"
    if type(value) is not list or not value:
        raise Invalid("Expected an array of at least one feature.", pointer=at, code="coverage.zones")
    if len(value) > MAX_ZONES:
        detail = f"There are {len(value):,} zones, and the limit is {MAX_ZONES:,}."
        raise TooLarge(detail, pointer=at, code="coverage.too_many_zones")
    for number, feature in enumerate(value):
        geometry = feature.get("geometry") if type(feature) is dict else None
        if type(geometry) is not dict or geometry.get("type") not in tuple(AREAL):  # it may be no text at all
            detail = "A zone is a GeoJSON feature whose geometry is a Polygon or a MultiPolygon."
            raise Invalid(detail, pointer=f"{at}/{number}", code="coverage.zones")
    return tuple(value)


def zones_of(features: Sequence[dict[str, Any]]) -> list[Zone]:
    """GeoJSON *features* as zones, each placed; one without an id is called by its number, counted from 1.

    Raises `InvalidGeometry` and `TooLarge`, with a pointer. Heavy: not for an event loop.
    """
    found = []
    for number, feature in enumerate(features):
        stated = feature.get("properties")
        properties = stated if type(stated) is dict else {}
        id = feature.get("id", number + 1)
        try:
            geometry = placed(feature["geometry"])
        except LayersError as error:
            error.pointer = f"/zones/features/{number}/geometry{error.pointer.removeprefix('/area')}"
            raise
        found.append(Zone(str(id)[:128], name_of(properties, str(id))[:200], geometry))
    return found


def area_of(zones: Sequence[Zone]) -> dict[str, Any]:
    """The ground of *zones* together, as a GeoJSON geometry. Heavy: not for an event loop."""
    shapes = [shapely.geometry.shape(zone.geometry) for zone in zones]
    whole = shapely.union_all(shapes, grid_size=_GRID_DEG)
    if whole.geom_type not in AREAL:  # so small that nothing is left of it on the grid
        whole = shapely.MultiPolygon(
            [part for shape in shapes for part in shapely.get_parts(shape).tolist()][:1]
        )
    area: dict[str, Any] = orjson.loads(shapely.to_geojson(whole))
    return area


def sort_of(sort: str | None) -> tuple[str, bool] | None:
    """By which column, and whether from the greatest down: `?sort=-gap_km2`. Raises `Invalid` (`query.sort`)."""
    if sort is None:
        return None
    name = sort.removeprefix("-")
    if name not in COLUMNS:
        raise Invalid(
            f"sort is one of {', '.join(COLUMNS)}, with - before it for the greatest first.",
            code="query.sort",
        )
    return name, sort.startswith("-")


def rows_of(loaded: Loaded, sort: tuple[str, bool] | None) -> list[tuple[Zone, dict[str, Any]]]:
    """A row of COLUMNS for each zone, those without a value last; by id if nothing is said."""
    found = jurisdictions(loaded.coverage, loaded.case.zones, loaded.demand)
    report(0.9)
    rows = [(each.zone, _row(each)) for each in found]
    if sort is None:
        return rows
    name, down = sort
    valued = [row for row in rows if row[1][name] is not None]
    valued.sort(key=lambda row: row[1][name], reverse=down)
    return valued + [row for row in rows if row[1][name] is None]


def _row(each: Jurisdiction) -> dict[str, Any]:
    worst, share = each.worst, each.weight
    return {
        "id": each.zone.id,
        "name": each.zone.name,
        "cells": each.cells,
        "km2": km2(each.km2.all),
        "covered_km2": km2(each.km2.covered),
        "gap_km2": km2(each.km2.gap),
        "overlap_km2": km2(each.km2.overlap),
        "covered_share": _rounded(each.km2.covered_share),
        "overlap_share": _rounded(each.km2.overlap / each.km2.all if each.km2.all else None),
        **_weights(share),
        "covers": each.covers,
        "worst_gap_km2": None if worst is None else km2(worst.km2),
        "worst_gap_lng": None if worst is None else worst.center[0],
        "worst_gap_lat": None if worst is None else worst.center[1],
    }


def _weights(share: Share | None) -> dict[str, float | None]:
    if share is None:
        return dict.fromkeys(COLUMNS[9:14])
    return {
        "weight": weight(share.all),
        "covered_weight": weight(share.covered),
        "gap_weight": weight(share.gap),
        "overlap_weight": weight(share.overlap),
        "covered_weight_share": _rounded(share.covered_share),
    }


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 6)


# The forms of the answer.

Sort = tuple[str, bool] | None


def as_json(loaded: Loaded, stated: dict[str, Any], sort: Sort) -> bytes:
    """What is true of all zones together, and a row for each."""
    return orjson.dumps(_together(loaded, stated) | {"zones": [row for _, row in rows_of(loaded, sort)]})


def as_geojson(loaded: Loaded, stated: dict[str, Any], sort: Sort) -> bytes:
    """The same, as a FeatureCollection of the zones."""
    body = {"type": "FeatureCollection", "features": _features_of(loaded, sort)} | _together(loaded, stated)
    return orjson.dumps(body)


def as_csv(loaded: Loaded, stated: dict[str, Any], sort: Sort) -> bytes:
    """A row for each zone. What is not actual has its status in a last column of each row."""
    status = [] if stated["status"] is Status.ACTUAL else [str(stated["status"])]
    lines = [",".join((*COLUMNS, *(["status"] * len(status))))]
    for _, row in rows_of(loaded, sort):
        lines.append(",".join([*(_cell(row[name]) for name in COLUMNS), *status]))
    return ("\r\n".join(lines) + "\r\n").encode()


def as_gpkg(loaded: Loaded, stated: dict[str, Any], sort: Sort) -> bytes:
    """A GeoPackage with a layer `jurisdictions`."""
    return gpkg_of(_frame(loaded, stated, sort), "jurisdictions", mark_of(loaded, stated))


def as_parquet(loaded: Loaded, stated: dict[str, Any], sort: Sort) -> bytes:
    """GeoParquet."""
    return parquet_of(_frame(loaded, stated, sort))


WRITERS: Mapping[Form, Callable[[Loaded, dict[str, Any], Sort], bytes]] = {
    Form.JSON: as_json,
    Form.GEOJSON: as_geojson,
    Form.CSV: as_csv,
    Form.GPKG: as_gpkg,
    Form.PARQUET: as_parquet,
}
"""What makes each form of the answer."""


def _together(loaded: Loaded, stated: dict[str, Any]) -> dict[str, Any]:
    found = loaded.coverage
    area_km2, gap_km2 = float(found.field.km2.sum()), found.km2(found.gap)
    parts = {
        "area_km2": km2(area_km2),
        "covered_km2": km2(area_km2 - gap_km2),
        "gap_km2": km2(gap_km2),
        "overlap_km2": km2(found.km2(found.overlap)),
        "covered_share": round((area_km2 - gap_km2) / area_km2, 6) if area_km2 else None,
        "area_cells": found.field.size,
    }
    return stated | head(loaded) | weighed(loaded) | parts


def _features_of(loaded: Loaded, sort: Sort) -> list[dict[str, Any]]:
    return [
        {"type": "Feature", "id": zone.id, "geometry": zone.geometry, "properties": row}
        for zone, row in rows_of(loaded, sort)
    ]


def _frame(loaded: Loaded, stated: dict[str, Any], sort: Sort) -> GeoDataFrame:
    return frame_of(_features_of(loaded, sort), mark_of(loaded, stated))


def _cell(value: object) -> str:
    if isinstance(value, str):
        return csv_text(value)
    return "" if value is None else f"{value:.15g}" if isinstance(value, float) else str(value)
