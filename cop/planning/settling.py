"""From a question to a case: which layers the viewer may have counted, the area as it is placed, and all that is read.

Everything is read at one moment; what the answer rests on is written down as a run, so that it can be asked again.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast
from uuid import UUID, uuid4

import shapely
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.auth import Access
from cop.planning.question import AREAL, Question
from layers.directory import fits
from layers.errors import Invalid
from layers.geometry import place
from layers.model import Layer, Status
from layers.planning.ground import ANALYSED, check_area
from layers.planning.model import Case, Geometry
from layers.planning.reading import read_sources
from layers.query import read_feature


@dataclass(frozen=True, slots=True)
class Settled:
    """A case that may be worked out, with what its answer will say of itself."""

    run: UUID
    case: Case
    status: Status
    """An answer with anything of an exercise in it is one of an exercise."""


async def settle(
    connection: AsyncConnection, access: Access, question: Question, *, most_cells: int
) -> Settled:
    """The case of *question* for whoever asks; *connection* is a `Database.snapshot`.

    Raises `NotFound` for a layer, a feature or a run that the viewer does not see, `Invalid` for what cannot be counted
    together, `TooLarge` for an area of more than *most_cells* or too many features, `InvalidGeometry`.
    """
    layers, status = choose_layers(access, question)
    at = question.at or datetime.now(UTC)
    area = await _area(connection, access, question)
    check_area(area, question.resolution, limit=most_cells)
    named = [(layer, access.directory.agencies[layer.agency].slug) for layer in layers]
    sources = await read_sources(connection, named, area, question.resolution)
    case = Case(area, question.resolution, question.rule, sources, at, unshared(access))
    return Settled(uuid4(), case, status)


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


def unshared(access: Access) -> tuple[str, ...]:
    """The agencies of which the viewer sees no layer that could cover; whether they have one is not told."""
    seen = {layer.agency for layer in access.directory.visible(access.viewer) if layer.kind in ANALYSED}
    return tuple(sorted(agency.slug for id, agency in access.directory.agencies.items() if id not in seen))


def placed(area: dict[str, Any]) -> Geometry:
    """The area as it is placed: valid, rounded, split at the antimeridian. Raises `InvalidGeometry`, `TooLarge`."""
    place_ = place(area, pointer="/area", allowed=AREAL)
    return cast("Geometry", json.loads(shapely.to_geojson(shapely.from_wkb(place_.ewkb))))


def areal(geometry: str | None, pointer: str = "/area/id") -> Geometry:
    """A stored geometry, if it is an area."""
    found = None if geometry is None else json.loads(geometry)
    if found is None or found["type"] not in AREAL:
        raise Invalid("This feature is no Polygon or MultiPolygon.", pointer=pointer, code="coverage.area")
    return cast("Geometry", found)


async def _area(connection: AsyncConnection, access: Access, question: Question) -> Geometry:
    assert question.area is not None, "a run has been looked up before"
    if "layer" in question.area:
        seen = access.layer(question.area["layer"])
        return areal((await read_feature(connection, seen.id, question.area["id"])).geometry)
    return await asyncio.to_thread(placed, question.area)
