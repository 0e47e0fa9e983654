"""From a question to a case: which layers the viewer may have counted, the area as it is placed, and all that is read.

Everything is read at one moment; what the answer rests on is written down as a run, so that it can be asked again.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple, cast
from uuid import UUID, uuid4

import shapely
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.auth import Access
from cop.planning.question import AREAL, Question
from cop.planning.recording import find_run, head_of, question_of, record_of
from cop.planning.weighing import read_weights, weighing_layer
from layers.database import Database, driver
from layers.directory import fits
from layers.errors import Invalid
from layers.geometry import place
from layers.hexes import fill
from layers.kinds import ANALYSED
from layers.model import Grade, Layer, LayerId, Status
from layers.planning.generalized import generalized
from layers.planning.ground import check_area, hexes_errors
from layers.planning.history import read_sources_at, read_sources_of
from layers.planning.model import Along, Case, Geometry, Roads, Source
from layers.planning.reading import read_roads, read_sources, sides_near
from layers.planning.runs import Run, record_run
from layers.query import read_feature


@dataclass(frozen=True, slots=True)
class Settled:
    """A case that may be worked out, with what its answer will say of itself."""

    run: UUID
    case: Case
    status: Status
    """An answer with anything of an exercise in it is one of an exercise."""
    record: Run | None = None
    """What is to be written down; nothing where an earlier run is asked again."""


class Given(NamedTuple):
    """What is read: of which layers (with their agencies' slugs), which of them to be made coarse, and where."""

    layers: list[tuple[Layer, str]]
    coarse: frozenset[LayerId]
    area: Geometry
    resolution: int


def forgotten(_: UUID) -> None:
    """No case is remembered: all is read from the database."""


async def settle_and_record(
    database: Database,
    access: Access,
    question: Question,
    *,
    most_cells: int,
    history: timedelta,
    remembered: Callable[[UUID], Case | None] = forgotten,
) -> Settled:
    """`settle` in a snapshot of its own, with the new run written down when that is closed."""
    async with database.snapshot() as connection:
        settled = await settle(
            connection, access, question, most_cells=most_cells, history=history, remembered=remembered
        )
    if settled.record is not None:
        async with database.begin() as connection:
            await record_run(connection, settled.record)
    return settled


async def settle(
    connection: AsyncConnection,
    access: Access,
    question: Question,
    *,
    most_cells: int,
    history: timedelta | None = None,
    remembered: Callable[[UUID], Case | None] = forgotten,
    exact: bool = False,
) -> Settled:
    """The case of *question* for whoever asks; *connection* is a `Database.snapshot`.

    Of a layer that the viewer gets generalized, the case has no more than that; *exact* leaves such out.

    What has been is read as far back as *history*; of what is to come, the features of now that are valid then. An
    earlier run is its question again at its moment and as of its revisions, from those *remembered* or from the log,
    with each layer judged by today's policy.

    Raises `NotFound` for a layer, a feature or a run that the viewer does not see, `Invalid` for what cannot be counted
    together or lies too far back, `TooLarge` for an area of more than *most_cells* or too many features,
    `InvalidGeometry`, and `LogTruncated` for a run that the log no longer reaches back to.
    """
    run = None if question.run is None else await find_run(connection, access, question.run)
    if run is not None:
        question = question_of(run)
    layers, status = choose_layers(access, question, exact=exact)
    area = await _area(connection, access, question, placed_before=run is not None)
    check_area(area, question.resolution, limit=most_cells)
    weighing = weighing_layer(access, question.weights, status)
    coarse = [layer for layer in layers if access.grade(layer) is Grade.GENERALIZED]
    known = None if run is None else remembered(run.id)
    if run is not None and known is not None and known.generalized == {layer.name for layer in coarse}:
        return Settled(run.id, known, run.status)
    now = await _moment(connection)
    asked_at = now if run is None else run.asked_at
    at = question.at or asked_at
    if history is not None and at < now - history:
        detail = f"What was before {history.days} days ago is no longer known."
        raise Invalid(detail, pointer="/at" if run is None else "/run", code="coverage.at")
    named = [(layer, access.directory.agencies[layer.agency].slug) for layer in layers]
    given = Given(named, frozenset(layer.id for layer in coarse), area, question.resolution)
    sources, notes = await _sources(connection, given, (at, asked_at), run)
    roads = await _roads(connection, access, question, area, status)
    if roads is not None:
        notes += _of_roads(roads, at, asked_at, run)
    weights = await read_weights(connection, access, question.weights, weighing, area, question.resolution)
    if weights is not None and (at < asked_at or run is not None):
        notes.append("What ground weighs is that of now.")
    hidden = unshared(access) if run is None else run.inputs.unshared
    case = Case(
        area,
        question.resolution,
        question.rule,
        sources,
        at,
        hidden,
        roads=roads,
        notes=tuple(notes),
        weights=weights,
    )
    if run is not None:
        return Settled(run.id, case, run.status)
    id = uuid4()
    return Settled(id, case, status, record_of(access, id, question, case, status, asked_at))


def choose_layers(access: Access, question: Question, *, exact: bool = False) -> tuple[list[Layer], Status]:
    """The layers to look at, those named or all that may be counted and can cover, and the answer's status.

    *exact*: what the viewer gets generalized is not among all, and where named, `Invalid` (`coverage.generalized`).
    Only what an operation may draw together is analysed together, so that an exercise never closes a real gap.
    """
    directory, viewer = access.directory, access.viewer
    if question.layers is None:
        counted = directory.visible(viewer) if exact else directory.counted(viewer)
        layers = [layer for layer in counted if layer.kind in ANALYSED]
    else:
        layers = [access.counted(name) for name in question.layers]
    for at, layer in enumerate(layers):
        if exact and access.grade(layer) is Grade.GENERALIZED:
            detail = f"{layer.name} is shared with you generalized: for analyses of one moment, and not to be followed."
            raise Invalid(detail, pointer=f"/layers/{at}", code="coverage.generalized")
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


def left_out(access: Access, question: Question) -> list[str]:
    """What to say of the layers that *exact* leaves out of all."""
    if question.layers is not None:
        return []
    counted = access.directory.counted(access.viewer)
    coarse = [
        layer.name for layer in counted if layer.kind in ANALYSED and access.grade(layer) is Grade.GENERALIZED
    ]
    return [f"Left out, for they are shared at 1 km only: {', '.join(coarse)}."] if coarse else []


def unshared(access: Access) -> tuple[str, ...]:
    """The agencies of which no layer that could cover is counted for the viewer; whether they have one is not told."""
    seen = {layer.agency for layer in access.directory.counted(access.viewer) if layer.kind in ANALYSED}
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


async def _moment(connection: AsyncConnection) -> datetime:
    """When the snapshot was begun, by the clock that says when features were received and expire."""
    moment: datetime = await (await driver(connection)).fetchval("SELECT now()")
    return moment


async def _sources(
    connection: AsyncConnection, given: Given, moments: tuple[datetime, datetime], run: Run | None
) -> tuple[tuple[Source, ...], list[str]]:
    """What was known at the first of *moments*; no more than at the second, when it was asked."""
    at, asked_at = moments
    known_at = min(at, asked_at)
    layers, coarse, area, resolution = given
    notes: list[str] = []
    if run is not None:
        heads = [head for _, head in run.inputs.heads]
        sources, notes = await read_sources_of(connection, layers, heads, area, resolution, known_at, coarse)
    elif at < asked_at:
        sources, notes = await read_sources_at(connection, layers, area, resolution, at, coarse)
    else:
        sources = await read_sources(connection, layers, area, resolution, coarse)
    if at > asked_at:
        sources = tuple(replace(source, as_of=asked_at) for source in sources)
        notes.append(
            f"Still to come: with the features of {asked_at:%Y-%m-%d %H:%M:%S} UTC that are valid then."
        )
    if not coarse:
        return sources, notes
    notes += [
        f"Approximate: {agency} shares {layer.name} at 1 km."
        for layer, agency in layers
        if layer.id in coarse
    ]
    return await asyncio.to_thread(_made_coarse, sources, given), notes


def _made_coarse(sources: tuple[Source, ...], given: Given) -> tuple[Source, ...]:
    """*sources*, of which those that may only be counted are generalized."""
    with hexes_errors():
        area = fill(given.area, given.resolution)
        return tuple(
            generalized(source, area, sides_near(layer, given.area, given.resolution))
            if layer.id in given.coarse
            else source
            for source, (layer, _) in zip(sources, given.layers, strict=True)
        )


def _of_roads(roads: Roads, at: datetime, asked_at: datetime, run: Run | None) -> list[str]:
    """What to say of streets, which are read as they are now."""
    if run is not None and run.inputs.roads != head_of(roads):
        return [f"The streets of {roads.layer} have changed since this was asked; they are those of now."]
    return [f"The streets of {roads.layer} are those of now."] if at < asked_at else []


async def _area(
    connection: AsyncConnection, access: Access, question: Question, *, placed_before: bool
) -> Geometry:
    assert question.area is not None, "a run has been looked up before"
    if placed_before:
        return question.area
    if "layer" in question.area:
        seen = access.layer(question.area["layer"])
        return areal((await read_feature(connection, seen.id, question.area["id"])).geometry)
    return await asyncio.to_thread(placed, question.area)


async def _roads(
    connection: AsyncConnection, access: Access, question: Question, area: Geometry, status: Status
) -> Roads | None:
    """The streets that the question names, if it names any; of a layer that an answer of *status* may rest on."""
    reach = question.rule.reach
    if question.roads is None or not isinstance(reach, Along):
        return None
    layer = access.layer(question.roads)
    if layer.kind != "roads":
        detail = f"{layer.name} holds {layer.kind}; streets are in a layer of kind roads."
        raise Invalid(detail, pointer="/reach/roads", code="coverage.roads")
    if not fits(status, layer.status, layer.kind):
        detail = f"Streets of status {layer.status} are none for an answer of status {status}."
        raise Invalid(detail, pointer="/reach/roads", code="coverage.mixed_status")
    return await read_roads(connection, layer, area, reach.minutes)
