"""Many zones in one question, a row for each: `POST /coverage/jurisdictions`."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from fastapi import APIRouter, Request, Response

from cop.api import examples_jurisdictions as examples
from cop.api.coverage import answer_of, asked_form, settled_for
from cop.api.jobs import answer_or_job
from cop.api.requests import check_query, read_json
from cop.auth import Access, Accessed, Databased
from cop.planning.desk import Desk
from cop.planning.forms import MOST_CELLS, Form, Mark
from cop.planning.jobs import Answer
from cop.planning.question import Question
from cop.planning.settling import Settled
from cop.planning.weighing import check_status
from cop.planning.zoning import WRITERS, AskedZones, area_of, parse_zones, sort_of, zones_of
from layers.database import Database
from layers.errors import LayersError
from layers.model import Layer, Scope
from layers.planning.model import Zone
from layers.planning.zones import read_zones

router = APIRouter(tags=["coverage"])


@router.post("/coverage/jurisdictions", openapi_extra=examples.BODY, responses=examples.ANSWER)
async def post_jurisdictions(request: Request, access: Accessed, database: Databased) -> Response:
    """Each zone of a layer, or of a FeatureCollection, in a row: its gap, its overlap, its covers, its worst gap.

    The body is a question with `zones` in place of `area`; zones may overlap. `?sort=-gap_km2` puts the greatest
    first. As JSON, GeoJSON, CSV, GeoPackage or GeoParquet (`?f=`), and as a job with `Prefer: respond-async`.
    """
    access.require(Scope.PLAN)
    check_query(request, "f", "sort")
    form, sort = asked_form(request, WRITERS), sort_of(request.query_params.get("sort"))
    body, _ = await read_json(request)
    question, asked = parse_zones(body)

    async def work(desk: Desk) -> Answer:
        layer, zones = await _zones(database, access, asked)
        named = replace(question, zones=asked.layer)
        settled = await _settled(request, access, named, zones, form)
        if layer is not None:
            check_status(layer, settled.status, pointer="/zones/layer")
        case = replace(settled.case, zones=tuple(zones))
        found = await desk.ask(settled.run, case, WRITERS[form], {"status": settled.status}, sort)
        return answer_of(found, form, "jurisdictions", Mark(settled.run, case.at, settled.status))

    return await answer_or_job(request, access, work)


async def _zones(database: Database, access: Access, asked: AskedZones) -> tuple[Layer | None, list[Zone]]:
    if asked.layer is None:
        return None, await asyncio.to_thread(zones_of, asked.features)
    layer = access.layer(asked.layer)
    async with database.connect() as connection:
        return layer, await read_zones(connection, layer, asked.ids)


async def _settled(
    request: Request, access: Access, question: Question, zones: list[Zone], form: Form
) -> Settled:
    area = await asyncio.to_thread(area_of, zones)
    try:
        return await settled_for(request, access, replace(question, area=area), most_cells=MOST_CELLS[form])
    except LayersError as error:
        # Whoever asked gave no area, but zones.
        if error.pointer.startswith("/area"):
            error.pointer = "/zones"
        raise
