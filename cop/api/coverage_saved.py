"""Analyses saved under a name, to be asked again by whoever plans: `/coverage/saved`."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request, Response

from cop.api import examples_saved as examples
from cop.api.coverage import answer_analysis, asked_form, title_of
from cop.api.jobs import planner_of
from cop.api.requests import check_name, check_query, read_json
from cop.api.shapes import json_answer, link, rfc3339
from cop.auth import Accessed, Databased
from cop.planning.forms import ANALYSIS
from cop.planning.keeping import MAX_SAVED_BYTES, parse_saved
from cop.planning.question import parse_question
from layers.planning.saved import Saved, drop_saved, read_all_saved, read_saved, save

router = APIRouter(tags=["coverage"])


@router.get("/coverage/saved", responses=examples.LIST)
async def get_all_saved(request: Request, access: Accessed, database: Databased) -> Response:
    """Your agency's saved analyses."""
    agency = planner_of(access)
    check_query(request)
    async with database.connect() as connection:
        found = await read_all_saved(connection, agency)
    return json_answer({"saved": [saved_body(request, saved) for saved in found]})


@router.put("/coverage/saved/{name}", openapi_extra=examples.BODY, responses=examples.SAVED)
async def put_saved(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Save a question, or replace one: with a title, and a rule if something should hold of its answers."""
    agency = planner_of(access)
    check_query(request)
    check_name(name)
    body, _ = await read_json(request, most=MAX_SAVED_BYTES)
    new = parse_saved(body)
    async with database.begin() as connection:
        saved, created = await save(
            connection,
            agency,
            name,
            title=new.title,
            question=new.question,
            rule=new.rule,
            actor=access.viewer.name,
        )
    return json_answer(saved_body(request, saved), 201 if created else 200)


@router.get("/coverage/saved/{name}", responses=examples.ONE)
async def get_saved(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """One of them."""
    agency = planner_of(access)
    check_query(request)
    async with database.connect() as connection:
        return json_answer(saved_body(request, await read_saved(connection, agency, name)))


@router.delete("/coverage/saved/{name}", status_code=204, responses=examples.GONE)
async def delete_saved(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Delete one that is not watched."""
    agency = planner_of(access)
    check_query(request)
    async with database.begin() as connection:
        await drop_saved(connection, agency, name)
    return Response(status_code=204)


@router.post("/coverage/saved/{name}/run", openapi_extra=examples.RUN, responses=examples.ANSWER)
async def run_saved(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Ask it now: the answer of `/coverage/analysis`, in the same forms, with whether its rule holds."""
    agency = planner_of(access)
    check_query(request, "f", "title")
    form = asked_form(request, ANALYSIS)
    titled = title_of(request, form)
    async with database.connect() as connection:
        saved = await read_saved(connection, agency, name)
    stated: dict[str, Any] = {"saved": saved.name, "title": saved.title} | titled
    if saved.rule is not None:
        stated["rule"] = saved.rule
    return await answer_analysis(request, access, parse_question(saved.question), form, **stated)


def saved_body(request: Request, saved: Saved) -> dict[str, Any]:
    """A saved analysis as the wire has it."""
    path = f"/coverage/saved/{saved.name}"
    return {
        "name": saved.name,
        "title": saved.title,
        "question": saved.question,
        "rule": saved.rule,
        "watched": saved.watched,
        "updated_at": rfc3339(saved.updated_at),
        "updated_by": saved.actor,
        "links": [link(request, path, "self"), link(request, f"{path}/run", "run")],
    }
