"""What was asked before: an agency's runs, one with its question and inputs, and a cell of one under the mouse."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import quote
from uuid import UUID

from fastapi import APIRouter, Request, Response

from cop.api import examples_coverage_runs as examples
from cop.api.coverage import desk_of, settled_for
from cop.api.requests import check_query, parse_limit
from cop.api.shapes import JSON, json_answer, link, rfc3339
from cop.auth import Access, Accessed, Databased
from cop.planning.cell_answers import cell_json, cell_of
from cop.planning.question import Question
from cop.planning.recording import find_run, layers_of
from layers.errors import Invalid, NotFound
from layers.model import AgencyId, Scope
from layers.planning.ground import MAX_AREA_CELLS
from layers.planning.runs import MAX_RUNS, Cursor, Run, heads_json, read_runs

router = APIRouter(tags=["coverage"])


@router.get("/coverage/runs", responses=examples.RUNS)
async def get_runs(request: Request, access: Accessed, database: Databased) -> Response:
    """What your agency has asked, newest first, as far as its log still reaches: 1,000 at the most.

    `limit` to a page; `before`, which the `next` link carries, for older ones. Layers that are no longer shared with
    you are left out of the lists.
    """
    agency = _agency(access)
    check_query(request, "limit", "before")
    limit = parse_limit(request.query_params.get("limit"), most=MAX_RUNS)
    before = _cursor(request.query_params.get("before"))
    async with database.connect() as connection:
        runs = await read_runs(connection, agency, before=before, limit=limit + 1)
    seen = frozenset(layer.name for layer in access.directory.counted(access.viewer))
    links = [link(request, "/coverage/runs", "self")]
    if len(runs) > limit:
        last = runs[limit - 1]
        onward = quote(f"{last.asked_at.isoformat()},{last.id}")
        links.append(link(request, f"/coverage/runs?limit={limit}&before={onward}", "next"))
    listed = [
        _run_json(run) | {"layers": [layer for layer, _ in run.inputs.heads if layer in seen]}
        for run in runs[:limit]
    ]
    return json_answer({"runs": listed, "links": links})


@router.get("/coverage/runs/{run}", responses=examples.RUN)
async def get_run(run: str, request: Request, access: Accessed, database: Databased) -> Response:
    """One run: the question as it was settled, the revision of each layer that was read, when, and by whom."""
    _agency(access)
    check_query(request)
    async with database.connect() as connection:
        found = await find_run(connection, access, _id(run))
    body = _run_json(found) | {
        "layers": layers_of(found.inputs),
        "question": found.question,
        "inputs": heads_json([*found.inputs.heads, *([found.inputs.roads] if found.inputs.roads else [])]),
    }
    return json_answer(body)


@router.get("/coverage/runs/{run}/cells/{cell}", responses=examples.CELL)
async def get_cell(run: str, cell: str, request: Request, access: Accessed) -> Response:
    """A hex of a run: how deep, who covers it and from how far, who is next nearest, who does not count and why."""
    agency = _agency(access)
    check_query(request)
    desk = desk_of(request)
    async with desk.turn(agency):
        settled = await settled_for(request, access, Question(None, run=_id(run)), most_cells=MAX_AREA_CELLS)
        place = cell_of(cell, settled.case.resolution)
        found = await desk.ask(settled.run, settled.case, cell_json, place)
    return Response(found, media_type=JSON, headers={"Cache-Control": "private, no-cache"})


def _agency(access: Access) -> AgencyId:
    access.require(Scope.PLAN)
    assert access.viewer.agency is not None, "only an agency's keys have scopes"
    return access.viewer.agency


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("run", text[:40]) from None


def _cursor(text: str | None) -> Cursor | None:
    if text is None:
        return None
    moment, _, id = text.partition(",")
    try:
        asked_at = datetime.fromisoformat(moment)
        if asked_at.tzinfo is None:
            raise ValueError("no zone")
        return Cursor(asked_at, UUID(id))
    except (ValueError, OverflowError):
        detail = "before: expected what the link “next” carries, a moment and a run."
        raise Invalid(detail, code="query.before") from None


def _run_json(run: Run) -> dict[str, Any]:
    return {
        "run": str(run.id),
        "asked_at": rfc3339(run.asked_at),
        "at": rfc3339(run.at),
        "by": run.actor,
        "status": run.status,
    }
