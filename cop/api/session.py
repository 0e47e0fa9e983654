"""Opening the page: a one-time ticket becomes an HttpOnly cookie; who you are; leaving."""

from __future__ import annotations

import time
from typing import Annotated
from urllib.parse import quote

from fastapi import APIRouter, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, Field

from cop.api.admin import agency_body, operation_body
from cop.api.requests import Text, check_query, form_body, read_form
from cop.api.shapes import address, json_answer, rfc3339
from cop.auth import COOKIE, Accessed, Databased, viewer_of
from layers import credentials
from layers.errors import Unauthenticated
from layers.model import Scope

router = APIRouter(tags=["session"])


class NewTicket(BaseModel):
    """What the ticket's holder may do; no more than the key that asks for it."""

    model_config = ConfigDict(extra="forbid")

    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)] = [Scope.VIEW]
    name: Annotated[Text, Field(max_length=100)] = ""


@router.get("/session")
async def get_session(request: Request, access: Accessed) -> Response:
    """Who you are here, until when, and the operations that you see."""
    check_query(request)
    viewer, ends_at = access.viewer, access.standing.expires_at
    agency = None if viewer.agency is None else agency_body(access.directory.agencies[viewer.agency])
    operations = access.directory.operations_for(viewer)
    return json_answer(
        {
            "viewer": {"agency": agency, "name": viewer.name, "scopes": sorted(viewer.scopes)},
            "server_time": int(time.time() * 1000),
            "expires_at": rfc3339(ends_at) if ends_at else None,
            "operations": [operation_body(operation, access) for operation in operations],
        }
    )


@router.post("/tickets", status_code=201, openapi_extra=form_body(NewTicket))
async def post_ticket(request: Request, access: Accessed, database: Databased) -> Response:
    """A link that opens the page once, within 15 minutes, with your agency's eyes.

    Only a key may ask for one, and what comes of it ends with that key: a session cannot prolong itself.
    """
    access.require(Scope.VIEW)
    if access.standing.kind != "key":
        access.refuse("A session makes no tickets; ask with a key.")
    new = await read_form(request, NewTicket)
    for scope in new.scopes:
        access.require(scope)
    assert access.viewer.agency is not None, "the public holds no scope"
    slug = access.directory.agencies[access.viewer.agency].slug
    async with database.begin() as connection:
        ticket = await credentials.create_ticket(
            connection, slug, new.scopes, name=new.name, parent=access.standing.id
        )
    url = address(request, f"/enter?ticket={quote(ticket)}")
    return json_answer({"ticket": ticket, "url": url}, 201)


@router.get("/enter", include_in_schema=False)
async def enter(ticket: str, request: Request, database: Databased) -> Response:
    """Trade a ticket for a session, and go to the page. Somebody who is in already simply goes there."""
    try:
        async with database.begin() as connection:
            secret, ends_at = await credentials.redeem_ticket(connection, ticket)
    except Unauthenticated as error:
        if await _is_in(request, database):
            return RedirectResponse("/", 303)
        return HTMLResponse(_refusal(error.detail), 401)
    answer = RedirectResponse(
        "/", 303, headers={"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
    )
    secure = request.app.state.settings.origin.startswith("https://")
    answer.set_cookie(COOKIE, secret, httponly=True, samesite="lax", secure=secure, expires=ends_at, path="/")
    return answer


@router.post("/session/end", status_code=204)
async def end_session(request: Request, _: Accessed, database: Databased) -> Response:
    """Leave: the cookie's session stops working at once, here and on every open stream. A key is left alone."""
    if secret := request.cookies.get(COOKIE):
        async with database.begin() as connection:
            await credentials.end_session(connection, secret)
    answer = Response(status_code=204)
    answer.delete_cookie(COOKIE, path="/")
    return answer


async def _is_in(request: Request, database: Databased) -> bool:
    try:
        async with database.connect() as connection:
            standing = await viewer_of(connection, {}, request.cookies)
    except Unauthenticated:
        return False
    return standing.viewer.agency is not None


def _refusal(detail: str) -> str:
    return (
        "<!doctype html><html lang=en><meta charset=utf-8><title>Link not valid</title>"
        "<body style='font:18px/1.5 sans-serif;max-width:34em;margin:4em auto;padding:0 1em'>"
        f"<h1>This link does not open the map</h1><p>{detail}</p>"
        "<p>Whoever runs this service makes one with <code>cop ticket --agency …</code>, or with "
        "<code>POST /tickets</code>.</p></body></html>"
    )
