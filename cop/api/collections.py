"""Layers as OGC collections: listing those that a viewer sees, making them, and sharing them."""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from typing import Annotated, Literal

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, Field

from cop.api import examples
from cop.api.admin import changed
from cop.api.requests import Text, check_query, form_body, read_form
from cop.api.shapes import collection_body, json_answer, link
from cop.auth import Access, Accessed, Databased
from layers import directory
from layers.model import BBox, Grade, Layer, LayerRules, Scope, Status, Stream
from layers.query import read_head, read_layer_heads

router = APIRouter(tags=["layers"])


RULES = {field.name for field in fields(LayerRules)}


class NewLayer(BaseModel):
    """A layer to be made. What is left out is as the kind has it."""

    model_config = ConfigDict(
        extra="forbid",
        json_schema_extra={
            "example": {"id": "cfd.units", "kind": "units", "status": "exercise", "title": "Engines"}
        },
    )

    id: Annotated[Text, Field(max_length=65)]
    kind: Text
    status: Status = Status.ACTUAL
    title: Annotated[Text, Field(max_length=200)] = ""
    stream: Stream | None = None
    repair: bool = False
    area: BBox | None = None
    null_island: Literal["flag", "refuse"] = "flag"
    reach_m: float | None = None
    stale_after_s: int | None = None
    expire_after_s: int | None = None
    resolution: int = 9

    def rules(self) -> LayerRules:
        """The rules it asks for; what it does not state is as the kind has it."""
        return directory.rules_of(self.kind, **self.model_dump(include=RULES))


@router.get("/collections")
async def get_collections(request: Request, access: Accessed, database: Databased) -> Response:
    """Every layer that you may see. A layer that is hidden from you is not there."""
    check_query(request)
    seen = access.directory.visible(access.viewer)
    async with database.connect() as connection:
        heads = await read_layer_heads(connection, [layer.id for layer in seen])
    bodies = [collection_body(request, layer, heads[layer.id], access.directory) for layer in seen]
    return json_answer({"collections": bodies, "links": [link(request, "/collections", "self")]})


@router.get("/collections/{layer}")
async def get_collection(layer: str, request: Request, access: Accessed, database: Databased) -> Response:
    """One layer."""
    check_query(request)
    return await _described(request, access.layer(layer), access, database)


@router.post("/collections", status_code=201, openapi_extra=form_body(NewLayer))
async def post_collection(request: Request, access: Accessed, database: Databased) -> Response:
    """Make a layer of your agency, shared with nobody. Its kind and status are for life."""
    access.require(Scope.ADMIN)
    new = await read_form(request, NewLayer)
    agency = access.directory.agency_named(new.id.partition(".")[0])
    access.require_admin(agency.id)
    async with database.begin() as connection:
        await directory.add_layer(
            connection,
            new.id,
            kind=new.kind,
            status=new.status,
            title=new.title,
            stream=new.stream,
            rules=new.rules(),
        )
        fresh = Access(await directory.read_directory(connection), access.standing)
        head = await read_head(connection, fresh.layer(new.id).id)
    body = collection_body(request, fresh.layer(new.id), head, fresh.directory)
    return json_answer(body, 201, Location=f"/collections/{new.id}")


@router.get("/collections/{layer}/shares", responses=examples.SHARES)
async def get_shares(layer: str, request: Request, access: Accessed) -> Response:
    """With whom a layer of yours is shared, and by which grade: agencies by their slugs, then `all`, then `public`."""
    check_query(request)
    shared = access.layer(layer)
    access.require_admin(shared.agency)
    shares = [
        {"audience": share.audience, "grade": directory.GRADES[share.grade]}
        for share in access.directory.shares_of(shared)
    ]
    return json_answer({"layer": shared.name, "status": shared.status, "shares": shares})


@router.put("/collections/{layer}/shares/{audience}", status_code=204)
async def put_share(
    layer: str,
    audience: str,
    request: Request,
    access: Accessed,
    database: Databased,
    grade: Literal["full", "generalized"] = "full",
) -> Response:
    """Share a layer of yours with an agency (its slug), with `all` agencies, or with the `public`.

    `generalized`: their planners' analyses count it, by cells of a kilometre and without names; it is not seen
    otherwise. The grade given last holds.
    """
    check_query(request, "grade")
    access.require_admin(access.layer(layer).agency)
    given = Grade.FULL if grade == "full" else Grade.GENERALIZED
    return await changed(database, partial(directory.share, grade=given), layer, audience)


@router.delete("/collections/{layer}/shares/{audience}", status_code=204)
async def delete_share(layer: str, audience: str, access: Accessed, database: Databased) -> Response:
    """Take a share back; open pages lose the layer in the same tick."""
    access.require_admin(access.layer(layer).agency)
    return await changed(database, directory.unshare, layer, audience)


async def _described(request: Request, layer: Layer, access: Access, database: Databased) -> Response:
    async with database.connect() as connection:
        head = await read_head(connection, layer.id)
    return json_answer(collection_body(request, layer, head, access.directory))
