"""Where nobody is and where covers overlap, for planners: `POST /coverage/analysis`."""

from __future__ import annotations

import asyncio
import json
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import shapely
from fastapi import APIRouter, Request, Response

from cop.analysts import Analysts
from cop.api import coverage_answers, examples_coverage
from cop.api.requests import check_query, read_json
from cop.api.shapes import GEOJSON, JSON, rfc3339
from cop.auth import Access, Accessed, Databased
from layers.coverage import Where, read_sources
from layers.directory import fits
from layers.errors import Invalid
from layers.geometry import place
from layers.ground import ANALYSED, Case, check_area
from layers.model import Layer, Scope, Status
from layers.query import read_feature

router = APIRouter(tags=["coverage"])

MEMBERS = ("area", "layers", "at_least", "resolution", "where")
MAX_AT_LEAST = 1_000
MAX_RESOLUTION = 12
MAX_LAYERS = 100
MAX_WHERE_NAMES, MAX_WHERE_VALUES = 16, 100
MAX_DRAWN_CELLS = 250_000
"""Cells of an area that is answered in polygons: dissolving takes some 3 µs for each, of gap, overlap and covered."""
AREAL = frozenset({"Polygon", "MultiPolygon"})


@dataclass(frozen=True, slots=True)
class Question:
    """The request's body, checked as far as the body alone allows. *area* is a geometry, or names a feature."""

    area: dict[str, Any]
    layers: tuple[str, ...] | None
    at_least: int
    resolution: int
    where: Where


@router.post("/coverage/analysis", openapi_extra=examples_coverage.BODY, responses=examples_coverage.ANSWER)
async def post_analysis(request: Request, access: Accessed, database: Databased) -> Response:
    """Where an area is covered less than, at least, and more than `at_least` times, and by whom.

    `coverage` features cover their polygon; `units` and `assets` the disk of `reach_m` that they or their layer
    state. Everything is read at one moment, and the answer says as of which revision of each layer.
    As JSON: km² and compacted H3 cells; as GeoJSON (`Accept: application/geo+json` or `?f=geojson`): polygons.
    """
    access.require(Scope.PLAN)
    check_query(request, "f")
    draws = wants_geojson(request)
    body, _ = await read_json(request)
    question = parse_question(body)
    layers, status = choose_layers(access, question)
    analysts = cast("Analysts", request.app.state.analysts)
    async with analysts.turn():
        async with database.snapshot() as connection:
            at = datetime.now(UTC)
            if "layer" in question.area:
                seen = access.layer(question.area["layer"])
                area = areal((await read_feature(connection, seen.id, question.area["id"])).geometry)
            else:
                area = await asyncio.to_thread(placed, question.area)
            check_area(area, question.resolution)
            if draws:
                check_area(area, question.resolution, limit=MAX_DRAWN_CELLS)
            named = [(layer, access.directory.agencies[layer.agency].slug) for layer in layers]
            sources = await read_sources(connection, named, area, question.resolution, question.where)
        case = Case(area, question.resolution, question.at_least, sources)
        answer = coverage_answers.as_geojson if draws else coverage_answers.as_json
        found = await analysts.run(answer, case, {"at": rfc3339(at), "status": status})
    return Response(
        found, media_type=GEOJSON if draws else JSON, headers={"Cache-Control": "private, no-cache"}
    )


def wants_geojson(request: Request) -> bool:
    """Whether polygons are asked for: by `?f=`, else by what `Accept` names."""
    form = request.query_params.get("f")
    if form is None:
        return GEOJSON in request.headers.get("accept", "")
    if form not in ("json", "geojson"):
        raise Invalid("f is json or geojson.", code="query.f")
    return form == "geojson"


def parse_question(body: object) -> Question:
    """The question that *body* asks. Raises `Invalid` with a pointer (codes `coverage.*`, `h3.resolution`)."""
    if type(body) is not dict:
        raise Invalid("Expected an object with “area”.", code="coverage.question")
    for name in body:
        if name not in MEMBERS:
            detail = f"There is no member “{name[:40]}” here; there are {', '.join(MEMBERS)}."
            raise Invalid(detail, pointer=f"/{_escaped(name)}", code="coverage.member")
    at_least = _whole(body, "at_least", 1, 1, MAX_AT_LEAST, "coverage.at_least")
    resolution = _whole(body, "resolution", 9, 0, MAX_RESOLUTION, "h3.resolution")
    return Question(_area(body), _layers(body.get("layers")), at_least, resolution, _where(body.get("where")))


def choose_layers(access: Access, question: Question) -> tuple[list[Layer], Status]:
    """The layers to look at, those named or all that the viewer sees and that can cover, and the answer's status.

    Only what an operation may draw together is analysed together, so that an exercise never closes a real gap.
    """
    if question.layers is None:
        layers = [layer for layer in access.directory.visible(access.viewer) if layer.kind in ANALYSED]
    else:
        layers = [access.layer(name) for name in question.layers]
    for at, layer in enumerate(layers):
        if layer.kind not in ANALYSED:
            detail = (
                f"{layer.name} holds {layer.kind}, which cover no ground; {', '.join(sorted(ANALYSED))} do."
            )
            raise Invalid(detail, pointer=f"/layers/{at}", code="coverage.kind")
    statuses = {layer.status for layer in layers} or {Status.ACTUAL}
    for status in sorted(statuses):
        if all(fits(status, layer.status, layer.kind) for layer in layers):
            return layers, status
    detail = (
        f"Layers of status {' and '.join(sorted(statuses))} are not analysed together; name those you mean."
    )
    pointer = "" if question.layers is None else "/layers"
    raise Invalid(detail, pointer=pointer, code="coverage.mixed_status")


def placed(area: dict[str, Any]) -> dict[str, Any]:
    """The area as it is placed: valid, rounded, split at the antimeridian. Raises `InvalidGeometry`, `TooLarge`."""
    place_ = place(area, pointer="/area", allowed=AREAL)
    return cast("dict[str, Any]", json.loads(shapely.to_geojson(shapely.from_wkb(place_.ewkb))))


def areal(geometry: str | None) -> dict[str, Any]:
    """A stored geometry, if it is an area."""
    found = None if geometry is None else json.loads(geometry)
    if found is None or found["type"] not in AREAL:
        raise Invalid("This feature is no Polygon or MultiPolygon.", pointer="/area/id", code="coverage.area")
    return cast("dict[str, Any]", found)


def _area(body: dict[str, Any]) -> dict[str, Any]:
    area = body.get("area")
    if type(area) is not dict:
        at = "/area" if "area" in body else ""
        raise Invalid("“area” is a GeoJSON geometry, or {layer, id}.", pointer=at, code="coverage.area")
    if "layer" in area or "id" in area:
        if set(area) != {"layer", "id"} or not all(type(value) is str for value in area.values()):
            detail = "An area by name has a layer and an id, both text, and nothing else."
            raise Invalid(detail, pointer="/area", code="coverage.area")
        if "\0" in area["id"]:
            raise Invalid("An id holds no NUL character.", pointer="/area/id", code="coverage.area")
    elif type(kind := area.get("type")) is not str or kind not in AREAL:
        detail = "The area is a Polygon or a MultiPolygon."
        raise Invalid(detail, pointer="/area/type" if "type" in area else "/area", code="coverage.area")
    return area


def _layers(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if type(value) is not list or not value or len(value) > MAX_LAYERS:
        detail = f"“layers” is an array of 1 to {MAX_LAYERS} names; leave it out for all that you see."
        raise Invalid(detail, pointer="/layers", code="coverage.layers")
    for at, name in enumerate(value):
        if type(name) is not str:
            detail = "A layer's name is text, “agency.slug”."
            raise Invalid(detail, pointer=f"/layers/{at}", code="coverage.layers")
    return tuple(dict.fromkeys(value))


def _whole(body: dict[str, Any], name: str, default: int, low: int, high: int, code: str) -> int:
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise Invalid(f"“{name}” is a whole number from {low} to {high}.", pointer=f"/{name}", code=code)
    return value


def _where(value: object) -> Where:
    if value is None:
        return {}
    if type(value) is not dict or len(value) > MAX_WHERE_NAMES:
        detail = f"“where” is an object of up to {MAX_WHERE_NAMES} properties, each with the values allowed."
        raise Invalid(detail, pointer="/where", code="coverage.where")
    for name, allowed in value.items():
        at = f"/where/{_escaped(name)}"
        if type(allowed) is not list or not 1 <= len(allowed) <= MAX_WHERE_VALUES or len(name) > 128:
            detail = f"Expected an array of 1 to {MAX_WHERE_VALUES} values that are allowed."
            raise Invalid(detail, pointer=at, code="coverage.where")
        if "\0" in name or not all(_is_scalar(each) for each in allowed):
            detail = "A value is text without NUL, a finite number, true, false or null."
            raise Invalid(detail, pointer=at, code="coverage.where")
    return value


def _is_scalar(value: object) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case str():
            return "\0" not in value
        case _:
            return value is None or isinstance(value, int)


def _escaped(name: str) -> str:
    return name.replace("~", "~0").replace("/", "~1")
