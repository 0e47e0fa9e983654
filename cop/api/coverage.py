"""Where nobody is and where covers overlap, for planners: `POST /coverage/analysis`."""

from __future__ import annotations

from datetime import timedelta
from typing import cast

from fastapi import APIRouter, Request, Response

from cop.api import examples_coverage
from cop.api.requests import check_query, read_json
from cop.api.shapes import GEOJSON, JSON
from cop.auth import Access, Accessed, database_of
from cop.planning import answers
from cop.planning.desk import Desk
from cop.planning.question import Question, parse_question
from cop.planning.settling import Settled, settle_and_record
from layers.errors import Invalid
from layers.model import Scope
from layers.planning.ground import MAX_AREA_CELLS

router = APIRouter(tags=["coverage"])

MAX_DRAWN_CELLS = 250_000
"""Cells of an area that is answered in polygons: dissolving takes some 3 µs for each, of gap, overlap and covered."""


@router.post("/coverage/analysis", openapi_extra=examples_coverage.BODY, responses=examples_coverage.ANSWER)
async def post_analysis(request: Request, access: Accessed) -> Response:
    """Where an area is covered less than, at least, and more than `at_least` times, by whom, and why not.

    `coverage` features cover their polygon; `units` and `assets` the disk of `reach_m` that they or their layer
    state, or what `reach` asks for. Everything is read at one moment, and the answer says as of which revision of
    each layer; `{"run": …}` asks an earlier question again, as of its revisions. As JSON: km² and compacted H3
    cells; as GeoJSON (`Accept: application/geo+json` or `?f=geojson`): polygons.
    """
    access.require(Scope.PLAN)
    check_query(request, "f")
    draws = wants_geojson(request)
    body, _ = await read_json(request)
    question = parse_question(body)
    desk = desk_of(request)
    async with desk.turn():
        most = MAX_DRAWN_CELLS if draws else MAX_AREA_CELLS
        settled = await settled_for(request, access, question, most_cells=most)
        answer = answers.as_geojson if draws else answers.as_json
        found = await desk.ask(settled.run, settled.case, answer, {"status": settled.status})
    return Response(
        found, media_type=GEOJSON if draws else JSON, headers={"Cache-Control": "private, no-cache"}
    )


async def settled_for(request: Request, access: Access, question: Question, *, most_cells: int) -> Settled:
    """The question settled by the app's database, history and memory, and written down as a run if it is new."""
    history = timedelta(days=request.app.state.settings.history_days)
    return await settle_and_record(
        database_of(request),
        access,
        question,
        most_cells=most_cells,
        history=history,
        remembered=desk_of(request).case,
    )


def desk_of(request: Request) -> Desk:
    """The app's desk."""
    return cast("Desk", request.app.state.desk)


def wants_geojson(request: Request) -> bool:
    """Whether polygons are asked for: by `?f=`, else by what `Accept` names."""
    form = request.query_params.get("f")
    if form is None:
        return GEOJSON in request.headers.get("accept", "")
    if form not in ("json", "geojson"):
        raise Invalid("f is json or geojson.", code="query.f")
    return form == "geojson"
