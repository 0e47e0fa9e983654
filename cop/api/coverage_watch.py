"""Watching a saved analysis: its gaps become a layer on the live map, and an alert is raised when its rule breaks."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.api import examples_watch
from cop.api.requests import check_query
from cop.api.shapes import json_answer
from cop.auth import Access, Accessed, Databased
from cop.planning.question import parse_question
from cop.planning.settling import left_out, settle
from cop.planning.watch import MOST_CELLS, STALE_AFTER_S, ended_alert
from layers.commit import Mode
from layers.directory import add_layer, rules_of
from layers.errors import Conflict
from layers.model import AgencyId, Layer, LayerName, Scope, Status
from layers.planning.watches import MAX_WATCHED, begin_watch, end_watch, read_question, read_watched
from layers.publish import Publisher

router = APIRouter(tags=["coverage"])


@router.put("/coverage/saved/{name}/watch", responses=examples_watch.BEGUN)
async def put_watch(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Watch a saved analysis: it is worked out again whenever its inputs change, at most a second behind.

    Its gaps are published as the layer `agency.gaps-NAME`, alerts of all of the agency's watches as `agency.alerts`,
    both of the status that the analysis has and shared with nobody until you share them. Needs `plan` and `publish`:
    the agency answers for what it publishes. What the agency may not see does not count, from the moment that is so;
    nor does what it may see only generalized (422 where it is named).
    """
    agency = publisher_of(access)
    check_query(request)
    async with database.snapshot() as connection:
        title, question = await read_question(connection, agency, name)
        parsed = parse_question(question)
        settled = await settle(connection, access, parsed, most_cells=MOST_CELLS, exact=True)
    status = Status(settled.status)
    async with database.begin() as connection:
        known = await read_watched(connection)
        if len(known) >= MAX_WATCHED and not any(
            (each.agency, each.name) == (agency, name) for each in known
        ):
            raise Conflict(f"{MAX_WATCHED} analyses are watched; end one first.", code="watch.too_many")
        gaps = await _layer(connection, access, agency, f"gaps-{name}", "zones", f"Gaps: {title}", status)
        alerts = await _layer(connection, access, agency, alerts_slug(status), "alerts", "Alerts", status)
        await begin_watch(connection, agency, name, gaps.id, alerts.id)
    layers = {"gaps": gaps.name, "alerts": alerts.name}
    return json_answer({"analysis": name, **layers, "status": status, "notes": left_out(access, parsed)})


@router.delete("/coverage/saved/{name}/watch", responses=examples_watch.ENDED)
async def delete_watch(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Watch it no more: its gaps leave the map, and its alert is cleared. The layers stay."""
    agency = publisher_of(access)
    check_query(request)
    async with database.begin() as connection:
        watched = [
            each for each in await read_watched(connection) if (each.agency, each.name) == (agency, name)
        ]
        await end_watch(connection, agency, name)
    publisher: Publisher = request.app.state.publisher
    for watch in watched:
        gaps = access.directory.layers.get(watch.gaps)
        alerts = access.directory.layers.get(watch.alerts)
        if gaps is not None and alerts is not None:
            await publisher.push(access.viewer, gaps, [], mode=Mode.REPLACE, allow_empty=True)
            await publisher.push(access.viewer, alerts, [("/features/0", ended_alert(watch))])
    return Response(status_code=204)


def publisher_of(access: Access) -> AgencyId:
    """The agency of whoever asks, who may plan and publish for it. Raises `Unauthenticated` or `Forbidden`."""
    access.require(Scope.PLAN)
    access.require(Scope.PUBLISH)
    assert access.viewer.agency is not None, "the public holds no scope"
    return access.viewer.agency


def alerts_slug(status: Status) -> str:
    """The slug of an agency's layer of alerts: one for each status, so that none passes for another."""
    return "alerts" if status is Status.ACTUAL else f"alerts-{status}"


async def _layer(
    connection: AsyncConnection,
    access: Access,
    agency: AgencyId,
    slug: str,
    kind: str,
    title: str,
    status: Status,
) -> Layer:
    """The agency's layer of that slug, made if there is none. `Conflict` if there is one of other kind or status."""
    name = LayerName(f"{access.directory.agencies[agency].slug}.{slug}")
    known = next((each for each in access.directory.layers.values() if each.name == name), None)
    if known is None:
        rules = rules_of(kind, stale_after_s=STALE_AFTER_S)
        return await add_layer(connection, name, kind=kind, status=status, title=title, rules=rules)
    if (known.kind, known.status) != (kind, status):
        detail = f"There is a layer {name} already, of {known.kind} and {known.status}; {kind} and {status} is wanted."
        raise Conflict(detail, code="watch.layer")
    return known
