"""Agencies, operations and keys, for those who administer them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.api.requests import Text, check_query, form_body, read_form
from cop.api.shapes import json_answer
from cop.auth import Access, Accessed, Databased
from layers import credentials, directory
from layers.database import Database
from layers.model import Agency, Operation, Scope, Status
from layers.sharing import may_add_agency

router = APIRouter(tags=["administration"])


class NewAgency(BaseModel):
    """An agency to be added."""

    model_config = ConfigDict(extra="forbid")

    id: Text
    name: Annotated[Text, Field(max_length=200)] = ""
    color: Text = "#4d4d4d"


class NewOperation(BaseModel):
    """An operation to be added; its status is for life."""

    model_config = ConfigDict(extra="forbid")

    id: Text
    agency: Text
    title: Annotated[Text, Field(max_length=200)] = ""
    status: Status = Status.ACTUAL


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"agency": "cfd", "scopes": ["publish"]}}
    )

    agency: Text
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    expires_at: AwareDatetime | None = None
    name: Annotated[Text, Field(max_length=200)] = ""


@router.get("/agencies")
async def get_agencies(request: Request, access: Accessed) -> Response:
    """The agencies; the public sees only those of layers that are public."""
    check_query(request)
    owners = {layer.agency for layer in access.directory.visible(access.viewer)}
    agencies = [
        agency_body(agency)
        for agency in access.directory.agencies.values()
        if access.viewer.agency is not None or agency.id in owners
    ]
    return json_answer({"agencies": agencies})


@router.post("/agencies", status_code=201, openapi_extra=form_body(NewAgency))
async def post_agency(request: Request, access: Accessed, database: Databased) -> Response:
    """Add an agency; an administrator of the agency that runs this deployment may."""
    if not may_add_agency(access.viewer):
        access.refuse("This needs the scope “admin” of the agency that runs this deployment.")
    new = await read_form(request, NewAgency)
    async with database.begin() as connection:
        agency = await directory.add_agency(connection, new.id, name=new.name, color=new.color)
    return json_answer(agency_body(agency), 201)


@router.get("/operations")
async def get_operations(request: Request, access: Accessed) -> Response:
    """The operations that you see something of, with the layers that you see."""
    check_query(request)
    found = access.directory.operations_for(access.viewer)
    return json_answer({"operations": [operation_body(operation, access) for operation in found]})


@router.post("/operations", status_code=201, openapi_extra=form_body(NewOperation))
async def post_operation(request: Request, access: Accessed, database: Databased) -> Response:
    """Add an operation of your agency."""
    access.require(Scope.ADMIN)
    new = await read_form(request, NewOperation)
    access.require_admin(access.directory.agency_named(new.agency).id)
    async with database.begin() as connection:
        operation = await directory.add_operation(
            connection, new.id, agency=new.agency, title=new.title, status=new.status
        )
    return json_answer(operation_body(operation, access), 201)


@router.put("/operations/{operation}/layers/{layer}", status_code=204)
async def put_drawn(operation: str, layer: str, access: Accessed, database: Databased) -> Response:
    """Draw a layer that you see into an operation of your agency. Who sees it there is its own sharing."""
    _require_drawing(access, operation)
    return await changed(database, directory.draw, operation, access.layer(layer).name)


@router.delete("/operations/{operation}/layers/{layer}", status_code=204)
async def delete_drawn(operation: str, layer: str, access: Accessed, database: Databased) -> Response:
    """Take a layer out of an operation of your agency, even one that you no longer see."""
    _require_drawing(access, operation)
    return await changed(database, directory.undraw, operation, layer)


@router.post("/keys", status_code=201, openapi_extra=form_body(NewKey))
async def post_key(request: Request, access: Accessed, database: Databased) -> Response:
    """Make a key for your agency. The answer shows it, and nothing ever shows it again."""
    access.require(Scope.ADMIN)
    new = await read_form(request, NewKey)
    access.require_admin(access.directory.agency_named(new.agency).id)
    async with database.begin() as connection:
        key = await credentials.create_key(
            connection, new.agency, new.scopes, expires_at=new.expires_at, name=new.name
        )
    return json_answer({"key": key, "prefix": credentials.shown(key), "scopes": new.scopes}, 201)


@router.delete("/keys/{prefix}", status_code=204)
async def delete_key(prefix: str, access: Accessed, database: Databased) -> Response:
    """Revoke a key of your agency, named by what may be shown of it. It stops working at once."""
    access.require(Scope.ADMIN)
    async with database.begin() as connection:
        await credentials.revoke(connection, prefix, agency_id=access.viewer.agency)
    return Response(status_code=204)


def _require_drawing(access: Access, operation: str) -> None:
    access.require_admin(access.directory.operation_for(access.viewer, operation).agency)


async def changed(
    database: Database,
    change: Callable[[AsyncConnection, str, str], Awaitable[None]],
    name: str,
    other: str,
) -> Response:
    """The answer once a *change* of the directory, which takes two names, is committed."""
    async with database.begin() as connection:
        await change(connection, name, other)
    return Response(status_code=204)


def agency_body(agency: Agency) -> dict[str, object]:
    """An agency as the wire has it."""
    return {"id": agency.slug, "name": agency.name, "color": agency.color, "host": agency.host}


def operation_body(operation: Operation, access: Access) -> dict[str, object]:
    """An operation as the wire has it, with the names of its layers."""
    return {
        "id": operation.slug,
        "title": operation.title,
        "status": operation.status,
        "layers": [access.directory.layers[id].name for id in operation.layers],
    }
