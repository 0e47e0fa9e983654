"""Jobs over HTTP: a planner's question with `Prefer: respond-async` is answered later, at `/jobs/{id}`."""

from __future__ import annotations

import re
from typing import Any, cast
from uuid import UUID

import orjson
from fastapi import APIRouter, Request, Response

from cop.api import errors, examples_jobs
from cop.api.requests import check_query
from cop.api.shapes import GEOJSON, JSON, json_answer, link, rfc3339
from cop.auth import Access, Accessed, Databased, access_of
from cop.planning.desk import Desk
from cop.planning.jobs import Answer, JobFailed, Jobs, Work
from layers.errors import Conflict, NotFound
from layers.model import AgencyId, Scope
from layers.planning import jobs
from layers.planning.jobs import Job, State

router = APIRouter(tags=["jobs"])

BRIEFING_POLICY = (
    "sandbox allow-scripts; default-src 'none'; img-src data:; "
    "script-src 'unsafe-inline'; style-src 'unsafe-inline'"
)
"""A briefing holds what agencies said: should a browser show it where it came from, it is no page of ours."""
_NAMED = re.compile(r'(.*); name="([\w.-]+)"')


async def answer_or_job(request: Request, access: Access, work: Work) -> Response:
    """What *work* comes to, or with `Prefer: respond-async` the job that does it.

    *work* is done at the desk that it is given, by whose turn this waits; it may raise what it likes.
    """
    state = request.app.state
    if not prefers_async(request):
        desk = cast("Desk", state.desk)
        async with desk.turn(access.viewer.agency):
            return as_response(await work(desk))
    agency = planner_of(access)
    path = request.url.path
    told = _telling(request, access, work)
    job = await cast("Jobs", state.jobs).start(agency, access.viewer.name, path, told, _rights(access))
    headers = {"Location": f"/jobs/{job.id}", "Preference-Applied": "respond-async"}
    return json_answer(job_body(request, job), 202, **headers)


def as_response(answer: Answer) -> Response:
    """*answer* over HTTP; what has a name comes as a file of that name."""
    headers = {"Cache-Control": "private, no-cache"}
    if answer.name is not None:
        headers["Content-Disposition"] = f'attachment; filename="{answer.name}"'
    if answer.media_type.startswith("text/html"):
        headers["Content-Security-Policy"] = BRIEFING_POLICY
    return Response(answer.body, headers=headers, media_type=answer.media_type)


def prefers_async(request: Request) -> bool:
    """Whether the request has `Prefer: respond-async` (RFC 7240, 4.1), among others or alone."""
    preferences = ",".join(request.headers.getlist("prefer")).split(",")
    return any(each.split(";")[0].strip().lower() == "respond-async" for each in preferences)


def planner_of(access: Access) -> AgencyId:
    """The agency for which whoever asks plans. Raises `Unauthenticated` or `Forbidden`."""
    access.require(Scope.PLAN)
    assert access.viewer.agency is not None, "the public holds no scope"
    return access.viewer.agency


def _telling(request: Request, access: Access, work: Work) -> Work:
    """*work* that fails with the problem document which a request would have had for an answer.

    A job may wait for hours: what it reads then is for who may see it then.
    """

    async def told(desk: Desk) -> Answer:
        try:
            _check_same(access, await access_of(request))
            return await work(desk)
        except Exception as error:
            problem = await errors.answer_to(request, error)
            raise JobFailed(orjson.loads(problem.body)) from error

    return told


def _check_same(then: Access, now: Access) -> None:
    """`Conflict` (`job.access`) unless whoever asked *then* may *now* do the same, and sees all that was seen then."""
    if now.viewer == then.viewer and _rights(then) <= _rights(now):
        return
    raise Conflict("What you see, or may do, has changed while the job waited; ask again.", code="job.access")


def _rights(access: Access) -> set[int]:
    """What may be told to the viewer: each layer that is seen, and with a minus each that may be counted."""
    directory, viewer = access.directory, access.viewer
    return {layer.id for layer in directory.visible(viewer)} | {
        -layer.id for layer in directory.counted(viewer)
    }


@router.get("/jobs", responses=examples_jobs.LIST)
async def get_jobs(request: Request, access: Accessed, database: Databased) -> Response:
    """Your agency's jobs of the last day, the newest first."""
    agency = planner_of(access)
    check_query(request)
    async with database.connect() as connection:
        found = await jobs.read_jobs(connection, agency)
    return json_answer({"jobs": [job_body(request, job) for job in found]})


@router.get("/jobs/{id}", responses=examples_jobs.JOB)
async def get_job(id: str, request: Request, access: Accessed, database: Databased) -> Response:
    """How a job stands: waiting, running, done, failed (with its `problem`) or cancelled."""
    agency = planner_of(access)
    check_query(request)
    async with database.connect() as connection:
        return json_answer(job_body(request, await jobs.read_job(connection, agency, _id(id))))


@router.get("/jobs/{id}/result", responses=examples_jobs.RESULT)
async def get_result(id: str, request: Request, access: Accessed, database: Databased) -> Response:
    """What the request would have been answered with, or the problem. 409 as long as there is neither.

    409 also if less of a layer is shared with you than when it was asked for: the result may rest on that.
    """
    agency = planner_of(access)
    check_query(request)
    async with database.snapshot() as connection:
        job = await jobs.read_job(connection, agency, _id(id))
        result = await jobs.read_result(connection, agency, job.id) if job.state is State.DONE else None
    if result is not None and not job.rights <= _rights(access):
        detail = "Less of a layer is shared with you than when this was asked for; ask again."
        raise Conflict(detail, code="job.access")
    if result is not None:
        return _result(job.media_type or JSON, result)
    if job.problem is not None:
        return Response(orjson.dumps(job.problem), job.problem["status"], media_type=errors.PROBLEM)
    raise Conflict(f"The job is {job.state}; it has no result.", code=f"job.{job.state}")


@router.delete("/jobs/{id}", responses=examples_jobs.DISMISSED)
async def delete_job(id: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Cancel a job that waits or runs: its work stops. Delete one that has ended, with its result."""
    agency = planner_of(access)
    check_query(request)
    async with database.begin() as connection:
        job = await jobs.dismiss_job(connection, agency, _id(id))
    if job is None:
        return Response(status_code=204)
    cast("Jobs", request.app.state.jobs).stop(job.id)
    return json_answer(job_body(request, job))


def job_body(request: Request, job: Job) -> dict[str, Any]:
    """A job as the wire has it."""
    links = [link(request, f"/jobs/{job.id}", "self")]
    if job.state is State.DONE:
        media_type = (job.media_type or JSON).split(";")[0]
        links.append(link(request, f"/jobs/{job.id}/result", "results", type=media_type))
    body = {
        "id": str(job.id),
        "path": job.path,
        "state": job.state,
        "progress": round(job.progress, 3),
        "asked_at": rfc3339(job.asked_at),
        "asked_by": job.actor,
        "finished_at": rfc3339(job.finished_at) if job.finished_at else None,
        "links": links,
    }
    return body if job.problem is None else body | {"problem": job.problem}


def _result(media_type: str, result: bytes) -> Response:
    named = _NAMED.fullmatch(media_type)
    if named is not None:
        return as_response(Answer(result, named[1], named[2]))
    # Whatever it is, a browser is not to run it as a page of ours.
    shown = media_type.split(";", maxsplit=1)[0] in (JSON, GEOJSON)
    return as_response(Answer(result, media_type, None if shown else "result"))


def _id(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise NotFound("job", text[:40]) from None
