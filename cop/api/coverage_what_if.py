"""What breaks if this unit leaves, and what heals if that one moves: `POST /coverage/what-if`."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from cop.api import examples_what_if as examples
from cop.api.coverage import settled_for, wants_geojson
from cop.api.jobs import answer_or_job
from cop.api.requests import check_query, read_json
from cop.api.shapes import GEOJSON, JSON
from cop.auth import Access, Accessed
from cop.planning import what_if_answers as answers
from cop.planning.desk import Desk
from cop.planning.forms import MAX_DRAWN_CELLS
from cop.planning.jobs import Answer
from cop.planning.question import parse_question
from cop.planning.what_if_question import VARIANTS, parse_variants
from layers.model import Scope
from layers.planning.ground import MAX_AREA_CELLS

router = APIRouter(tags=["coverage"])


@router.post("/coverage/what-if", openapi_extra=examples.BODY, responses=examples.ANSWER)
async def post_what_if(request: Request, access: Accessed) -> Response:
    """The coverage of a question, or of an earlier `run`, after up to 1,000 `changes`, beside what it is.

    Units and stations are removed, added, moved, committed or brought back, layers switched off, in the order given;
    `b` holds other changes to the same, for two variants side by side. As JSON: km², what each agency covers, and the
    cells newly covered and newly not; as GeoJSON (`Accept: application/geo+json` or `?f=geojson`) these as polygons.
    Nothing is changed on the picture.
    """
    access.require(Scope.PLAN)
    check_query(request, "f")
    draws = wants_geojson(request)
    body, _ = await read_json(request)
    variants = parse_variants(body, agency=_agency(access))
    question = parse_question(body, also=VARIANTS)

    async def work(desk: Desk) -> Answer:
        most = MAX_DRAWN_CELLS if draws else MAX_AREA_CELLS
        settled = await settled_for(request, access, question, most_cells=most)
        answer = answers.as_geojson if draws else answers.as_json
        found = await desk.ask(settled.run, settled.case, answer, {"status": settled.status}, variants)
        return Answer(found, GEOJSON if draws else JSON)

    return await answer_or_job(request, access, work)


def _agency(access: Access) -> str:
    assert access.viewer.agency is not None, "only an agency's keys have scopes"
    return access.directory.agencies[access.viewer.agency].slug
