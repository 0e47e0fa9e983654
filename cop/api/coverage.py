"""Where nobody is and where covers overlap, for planners: `POST /coverage/analysis`."""

from __future__ import annotations

from collections.abc import Collection
from datetime import timedelta
from typing import Any, cast

from fastapi import APIRouter, Request, Response

from cop.api import examples_coverage
from cop.api.jobs import answer_or_job
from cop.api.requests import check_query, read_json
from cop.api.shapes import GEOJSON
from cop.auth import Access, Accessed, database_of
from cop.planning.desk import Desk
from cop.planning.forms import ANALYSIS, BRIEFINGS, FILES, MEDIA_TYPES, MOST_CELLS, Form, Mark, form_of
from cop.planning.jobs import Answer
from cop.planning.question import Question, parse_question
from cop.planning.settling import Settled, settle_and_record
from layers.errors import Invalid
from layers.model import Scope

router = APIRouter(tags=["coverage"])

MAX_TITLE_LENGTH = 200


@router.post("/coverage/analysis", openapi_extra=examples_coverage.BODY, responses=examples_coverage.ANSWER)
async def post_analysis(request: Request, access: Accessed) -> Response:
    """Where an area is covered less than, at least, and more than `at_least` times, by whom, and why not.

    `coverage` features cover their polygon; `units` and `assets` the disk of `reach_m` that they or their layer
    state, or what `reach` asks for. Everything is read at one moment, and the answer says as of which revision of
    each layer; `{"run": …}` asks an earlier question again, as of its revisions. As JSON: km² and compacted H3
    cells; as GeoJSON (`Accept: application/geo+json` or `?f=geojson`): polygons; as CSV: `cell,depth,…`, a row a
    cell; as GeoPackage or GeoParquet: polygons with the reasons of gaps; as a briefing: `?f=html` or `?f=png`.
    `weights` weigh the ground, so that the answer counts people too. With `Prefer: respond-async` it is worked out
    as a job.
    """
    access.require(Scope.PLAN)
    check_query(request, "f", "title")
    form = asked_form(request, ANALYSIS)
    stated = title_of(request, form)
    body, _ = await read_json(request)
    return await answer_analysis(request, access, parse_question(body), form, **stated)


async def answer_analysis(
    request: Request, access: Access, question: Question, form: Form, **stated: Any
) -> Response:
    """The analysis of *question* as *form*; what is *stated* stands in it beside its status. As a job, if asked so."""

    async def work(desk: Desk) -> Answer:
        settled = await settled_for(request, access, question, most_cells=MOST_CELLS[form])
        told = {"status": settled.status} | stated
        body = await desk.ask(settled.run, settled.case, ANALYSIS[form], told)
        return answer_of(body, form, "coverage", Mark(settled.run, settled.case.at, settled.status))

    return await answer_or_job(request, access, work)


def asked_form(request: Request, among: Collection[Form]) -> Form:
    """The form of the answer: by `?f=`, else by what `Accept` would rather have. Raises `Invalid` (`query.f`)."""
    return form_of(request.query_params.get("f"), request.headers.get("accept", ""), among)


def title_of(request: Request, form: Form) -> dict[str, str]:
    """What the request would have a briefing called. Raises `Invalid` (`query.title`), also for any other form."""
    title = request.query_params.get("title")
    if title is not None and form not in BRIEFINGS:
        raise Invalid(
            f"Only a briefing has a title: f={' or f='.join(sorted(BRIEFINGS))}.", code="query.title"
        )
    if title is not None and (len(title) > MAX_TITLE_LENGTH or not title.isprintable()):
        raise Invalid(f"title is a line of up to {MAX_TITLE_LENGTH} characters.", code="query.title")
    return {} if title is None else {"title": title}


def answer_of(body: bytes, form: Form, what: str, mark: Mark) -> Answer:
    """*body* in *form*, as a file with a name if it is one."""
    return Answer(body, MEDIA_TYPES[form], mark.file_name(what, form) if form in FILES else None)


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
