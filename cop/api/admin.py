"""Agencies, operations and keys, for those who administer them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Request, Response
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from cop.api.requests import check_query
from cop.api.shapes import json_answer
from cop.auth import Access, Accessed, Databased
from layers import credentials, directory
from layers.model import Agency, Operation, Scope, Status
from layers.sharing import may_add_agency

router = APIRouter(tags=["administration"])


class NewAgency(BaseModel):
    """An agency to be added."""

    model_config = ConfigDict(extra="forbid")

    id: str
    name: Annotated[str, Field(max_length=200)] = ""
    color: str = "#4d4d4d"


class NewOperation(BaseModel):
    """An operation to be added; its status is for life."""

    model_config = ConfigDict(extra="forbid")

    id: str
    agency: str
    title: Annotated[str, Field(max_length=200)] = ""
    status: Status = Status.ACTUAL


class NewKey(BaseModel):
    """A key to be made."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"example": {"agency": "cfd", "scopes": ["publish"]}}
    )

    agency: str
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    expires_at: AwareDatetime | None = None
    name: Annotated[str, Field(max_length=200)] = ""


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


@router.post("/agencies", status_code=201)
async def post_agency(new: NewAgency, access: Accessed, database: Databased) -> Response:
    """Add an agency; an administrator of the agency that runs this deployment may."""
    if not may_add_agency(access.viewer):
        access.refuse("This needs the scope “admin” of the agency that runs this deployment.")
    async with database.begin() as connection:
        agency = await directory.add_agency(connection, new.id, name=new.name, color=new.color)
    return json_answer(agency_body(agency), 201)


@router.get("/operations")
async def get_operations(request: Request, access: Accessed) -> Response:
    """The operations that you see something of, with the layers that you see."""
    check_query(request)
    found = access.directory.operations_for(access.viewer)
    return json_answer({"operations": [operation_body(operation, access) for operation in found]})


@router.post("/operations", status_code=201)
async def post_operation(new: NewOperation, access: Accessed, database: Databased) -> Response:
    """Add an operation of your agency."""
    access.require_admin(access.directory.agency_named(new.agency).id)
    async with database.begin() as connection:
        operation = await directory.add_operation(
            connection, new.id, agency=new.agency, title=new.title, status=new.status
        )
    return json_answer(operation_body(operation, access), 201)


@router.put("/operations/{operation}/layers/{layer}", status_code=204)
async def put_drawn(operation: str, layer: str, access: Accessed, database: Databased) -> Response:
    """Draw a layer that you see into an operation of your agency. Who sees it there is its own sharing."""
    _require_drawing(access, operation, layer)
    async with database.begin() as connection:
        await directory.draw(connection, operation, layer)
    return Response(status_code=204)


@router.delete("/operations/{operation}/layers/{layer}", status_code=204)
async def delete_drawn(operation: str, layer: str, access: Accessed, database: Databased) -> Response:
    """Take a layer out of an operation."""
    _require_drawing(access, operation, layer)
    async with database.begin() as connection:
        await directory.undraw(connection, operation, layer)
    return Response(status_code=204)


@router.post("/keys", status_code=201)
async def post_key(new: NewKey, access: Accessed, database: Databased) -> Response:
    """Make a key for your agency. The answer shows it, and nothing ever shows it again."""
    access.require_admin(access.directory.agency_named(new.agency).id)
    async with database.begin() as connection:
        key = await credentials.create_key(
            connection, new.agency, new.scopes, expires_at=new.expires_at, name=new.name
        )
    return json_answer({"key": key, "prefix": credentials.shown(key), "scopes": new.scopes}, 201)


@router.delete("/keys/{prefix}", status_code=204)
async def delete_key(prefix: str, access: Accessed, database: Databased) -> Response:
    """Revoke a key of your agency, named by what may be shown of it. It stops working at once."""
    agency = access.viewer.agency
    if agency is None or Scope.ADMIN not in access.viewer.scopes:
        access.refuse("This needs the scope “admin”.")
    async with database.begin() as connection:
        await credentials.revoke(connection, prefix, agency_id=agency)
    return Response(status_code=204)


def _require_drawing(access: Access, operation: str, layer: str) -> None:
    access.require_admin(access.directory.operation_named(operation).agency)
    access.layer(layer)


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
