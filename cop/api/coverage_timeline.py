"""How an area is covered over a window of time, for planners: `POST /coverage/timeline`."""

from __future__ import annotations

from datetime import timedelta

from fastapi import APIRouter, Request, Response

from cop.api import examples_timeline
from cop.api.jobs import answer_or_job
from cop.api.requests import check_query, read_json
from cop.api.shapes import GEOJSON, JSON
from cop.auth import Accessed, Databased
from cop.planning import timeline_answers as answers
from cop.planning.desk import Desk
from cop.planning.jobs import Answer
from cop.planning.timeline_question import parse_timeline, settle_timeline
from layers.errors import Invalid
from layers.model import Scope
from layers.planning.runs import record_run

router = APIRouter(tags=["coverage"])

CSV = "text/csv; charset=utf-8"
TYPES = {"json": JSON, "csv": CSV, "geojson": GEOJSON}
MOST_CELLS = {"json": 1_000_000, "csv": 1_000_000, "geojson": 250_000}
"""Cells of the area: 1,000 steps over so many pieces of ground take some ten seconds, and dissolving 3 µs a cell."""


@router.post("/coverage/timeline", openapi_extra=examples_timeline.BODY, responses=examples_timeline.ANSWER)
async def post_timeline(request: Request, access: Accessed, database: Databased) -> Response:
    """How an area is covered at every step of a window, when it is worst, and how long each cell is uncovered.

    What is past is told by the log: each feature counts as it stood, from when that was received until it changed,
    left, expired or grew stale. What is to come rests on what stands now and on its shifts (`valid_from`,
    `valid_to`). Minutes are exact, not those of the steps; with `minutes: false` only the steps are worked out.
    What was before any of the layers was first heard of (`known_from`; steps say whether they are `known`) is neither
    worst nor best, and does not count in averages and minutes. With `weights` each step says how much of
    those is covered as well. As JSON, as CSV (`?f=csv`: `cell,minutes_uncovered`), or as GeoJSON (`?f=geojson`): the
    worst moment in polygons. With `Prefer: respond-async` it is worked out as a job. The answer carries a `run`; asked
    with that alone, it is worked out again as of the revisions that it rested on.
    """
    access.require(Scope.PLAN)
    check_query(request, "f")
    form = _form(request)
    body, _ = await read_json(request)
    asked = parse_timeline(body)
    if form == "csv" and asked.exact is False:
        raise Invalid(
            "A CSV is of minutes: leave “minutes” out.", pointer="/minutes", code="timeline.minutes"
        )

    history = timedelta(days=request.app.state.settings.history_days)

    async def work(desk: Desk) -> Answer:
        async with database.snapshot() as connection:
            settled = await settle_timeline(
                connection, access, asked, most_cells=MOST_CELLS[form], history=history
            )
        if settled.record is not None:
            async with database.begin() as connection:
                await record_run(connection, settled.record)
        read = settled.case, settled.histories, settled.window
        if form == "csv":
            return Answer(await desk.run(answers.as_csv, *read), TYPES[form])
        answer = answers.as_geojson if form == "geojson" else answers.as_json
        stated = {"run": str(settled.run), "status": settled.status}
        return Answer(await desk.run(answer, *read, settled.exact, stated), TYPES[form])

    return await answer_or_job(request, access, work)


def _form(request: Request) -> str:
    """What is asked for: by `?f=`, else by what `Accept` names."""
    form = request.query_params.get("f")
    if form is None:
        accept = request.headers.get("accept", "")
        return "geojson" if GEOJSON in accept else "csv" if "text/csv" in accept else "json"
    if form not in TYPES:
        raise Invalid("f is json, csv or geojson.", code="query.f")
    return form
