"""Where to put the next units or stations, and which idle ones to move: `POST /coverage/placement`."""

from __future__ import annotations

from dataclasses import replace

import orjson
from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.api import examples_placement
from cop.api.coverage import settled_for
from cop.api.jobs import answer_or_job, prefers_async
from cop.api.requests import check_query, read_json
from cop.api.shapes import JSON
from cop.auth import Access, Accessed, Databased
from cop.planning import placing
from cop.planning.desk import Desk
from cop.planning.jobs import Answer
from cop.planning.placing import MOST_JOB_SECONDS, MOST_SECONDS, Place, parse_place
from cop.planning.question import parse_question
from cop.planning.weighing import check_status
from layers.errors import Invalid
from layers.model import JsonObject, Scope, Status
from layers.planning.ground import MAX_AREA_CELLS
from layers.planning.judging import name_of
from layers.planning.model import Case
from layers.planning.reading import read_sources

router = APIRouter(tags=["coverage"])


@router.post(
    "/coverage/placement", openapi_extra=examples_placement.BODY, responses=examples_placement.ANSWER
)
async def post_placement(request: Request, access: Accessed, database: Databased) -> Response:
    """Where to put n units or stations so that most gains cover, the fewest sites for all, or which units to move.

    The body is a question of coverage, or an earlier `run`, with `place` beside it. The answer is as good as greedy
    and swap find it, then as HiGHS improves it within `seconds`; `proof` says by how much the best possible one could
    be better. With `weights` demand is what they count, else km². With `Prefer: respond-async` it is worked out as a
    job, which may take more `seconds`.
    """
    access.require(Scope.PLAN)
    check_query(request)
    body, _ = await read_json(request)
    question = parse_question(body, also=("place",))
    asked = parse_place(
        body.get("place") if isinstance(body, dict) else None,
        most_seconds=MOST_JOB_SECONDS if prefers_async(request) else MOST_SECONDS,
    )

    async def work(desk: Desk) -> Answer:
        settled = await settled_for(request, access, question, most_cells=MAX_AREA_CELLS)
        async with database.snapshot() as connection:
            place, read = await with_points(connection, access, asked, settled.case, settled.status)
        stated = {"status": settled.status} | read
        return Answer(await desk.ask(settled.run, settled.case, placing.as_json, stated, place), JSON)

    return await answer_or_job(request, access, work)


async def with_points(
    connection: AsyncConnection, access: Access, place: Place, case: Case, status: Status
) -> tuple[Place, JsonObject]:
    """*place* with the points of the layer that it names, near the area, and what the answer says of that layer.

    Raises `NotFound`, and `Invalid` for a layer that an answer of *status* may not rest on, or without any point.
    """
    if place.layer is None:
        return place, {}
    layer = access.layer(place.layer)
    check_status(layer, status, pointer="/place/candidates/layer")
    named = [(layer, access.directory.agencies[layer.agency].slug)]
    (source,) = await read_sources(connection, named, case.area, case.resolution)
    sites = [
        ((row.lng, row.lat), {"id": row.id, "name": name_of(orjson.loads(row.properties), row.id)})
        for row in source.rows
        if row.lng is not None and row.lat is not None
    ]
    if not sites:
        detail = f"{layer.name} has no point near the area."
        raise Invalid(detail, pointer="/place/candidates/layer", code="placement.candidates")
    told = {"layer": source.layer, "epoch": str(source.epoch), "revision": source.revision}
    points, names = zip(*sites, strict=True)
    return replace(place, points=points, named=names), {"candidates": told}
