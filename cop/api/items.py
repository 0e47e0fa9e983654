"""Features over HTTP: reading them as OGC API Features has it, and pushing them (its Part 4)."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, Any
from urllib.parse import quote, urlencode

import orjson
from fastapi import APIRouter, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.api import examples
from cop.api.requests import (
    STREAM_TYPES,
    Lines,
    check_query,
    media_type,
    parse_bbox,
    parse_datetime,
    parse_limit,
    read_json,
)
from cop.api.shapes import collection_json, feature_json, geojson, json_answer, link, receipt_body, rfc3339
from cop.auth import Access, Accessed, Databased
from layers.admission import feature_id, features_of
from layers.errors import Invalid, NotFound, PushRejected
from layers.model import Feature, Layer, Receipt
from layers.publish import Idempotency, Mode, Publisher, authorise
from layers.query import read_feature, read_page, read_track

router = APIRouter(tags=["features"])

Prefer = Annotated[
    str | None, Header(description="`handling=lenient` takes the good features and names the others.")
]
Key = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", description="Sending the same body again under the same key changes nothing."
    ),
]
STREAM_BATCH = 500
FIRST_ROWS, MOST_ROWS = 101, 2_000
"""Rows that are read at a time: the default page at once; more at once only when those before were small."""
PAGE_BYTES = 16_000_000
"""What a page of items may weigh, give or take one feature; 10,000 units are some 4 MB."""


@router.get("/collections/{layer}/items", openapi_extra=examples.PAGE_QUERY, responses=examples.FEATURES)
async def get_items(layer: str, request: Request, access: Accessed, database: Databased) -> Response:
    """A page of a layer's features, in the order of their ids; `next` links lead on to the last."""
    seen = access.layer(layer)
    check_query(request, "bbox", "datetime", "limit", "after")
    query = request.query_params
    limit = parse_limit(query.get("limit"))
    observed_from, observed_to = parse_datetime(query.get("datetime"))
    read = partial(
        read_page, bbox=parse_bbox(query.get("bbox")), observed_from=observed_from, observed_to=observed_to
    )
    async with database.connect() as connection:
        features, onward = await _page(connection, seen, read, after=query.get("after", ""), limit=limit)
    path = f"/collections/{layer}/items"
    asked = f"?{urlencode(dict(query))}" if query else ""
    links = [link(request, f"{path}{asked}", "self", type="application/geo+json")]
    if onward is not None:
        asked = urlencode(dict(query) | {"after": onward})
        links.append(link(request, f"{path}?{asked}", "next", type="application/geo+json"))
    members = {"layer": seen.name, "status": seen.status, "numberReturned": len(features), "links": links}
    return geojson(collection_json(features, members))


async def _page(
    connection: AsyncConnection,
    layer: Layer,
    read: Callable[..., Awaitable[list[Feature]]],
    *,
    after: str,
    limit: int,
) -> tuple[list[bytes], str | None]:
    """Up to *limit* features, encoded, and the id after which there are more; None: these were the last.

    The page ends with the feature that makes it `PAGE_BYTES` long. As little beyond that is read: a few rows
    first, then as many as should fit if they go on like that.
    """
    encoded: list[bytes] = []
    size, rows = 0, FIRST_ROWS
    while True:
        wanted = min(rows, limit + 1 - len(encoded))
        features = await read(connection, layer.id, after=after, limit=wanted)
        for feature in features:
            if len(encoded) == limit or size >= PAGE_BYTES:
                return encoded, after
            encoded.append(feature_json(feature, layer))
            size, after = size + len(encoded[-1]), feature.id
        if len(features) < wanted:
            return encoded, None
        rows = min(MOST_ROWS, max(PAGE_BYTES - size, 0) * len(encoded) // size + 1)


@router.get("/collections/{layer}/items/{id:path}/track", responses=examples.TRACK)
async def get_track(layer: str, id: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Where a feature was: its newest observations as a line, oldest first, late ones in their place."""
    seen = access.layer(layer)
    check_query(request, "limit")
    limit = parse_limit(request.query_params.get("limit"), default=1_000)
    async with database.connect() as connection:
        fixes = await read_track(connection, seen.id, id, limit=limit)
    positions = [(fix.lng, fix.lat) for fix in fixes]
    geometry: dict[str, Any] | None = None
    if positions:
        line = len(positions) > 1
        geometry = {
            "type": "LineString" if line else "Point",
            "coordinates": positions if line else positions[0],
        }
    properties = {
        "times": [rfc3339(fix.observed_at) for fix in fixes],
        "received": [rfc3339(fix.received_at) for fix in fixes],
        "revisions": [fix.revision for fix in fixes],
    }
    return geojson(
        orjson.dumps(
            {
                "type": "Feature",
                "id": id,
                "geometry": geometry,
                "properties": properties,
                "layer": seen.name,
                "status": seen.status,
            }
        )
    )


@router.get("/collections/{layer}/items/{id:path}", responses=examples.FEATURE)
async def get_item(layer: str, id: str, request: Request, access: Accessed, database: Databased) -> Response:
    """One feature as it stands."""
    seen = access.layer(layer)
    check_query(request)
    async with database.connect() as connection:
        return geojson(feature_json(await read_feature(connection, seen.id, id), seen))


@router.post("/collections/{layer}/items", openapi_extra=examples.PUSH_BODY, responses=examples.RECEIPT)
async def post_items(
    layer: str, request: Request, access: Accessed, prefer: Prefer = None, key: Key = None
) -> Response:
    """Push features: each is inserted, or replaces the one of its id. All or nothing unless lenient.

    Takes a Feature, a FeatureCollection of up to 1,000, or a stream of any length (NDJSON or a GeoJSON
    text sequence). The receipt is sent once everything is committed.
    """
    check_query(request)
    return await _push(request, access, access.layer(layer), Mode.PUT, prefer, key)


@router.put("/collections/{layer}/items", openapi_extra=examples.PUSH_BODY, responses=examples.RECEIPT)
async def put_items(
    layer: str, request: Request, access: Accessed, prefer: Prefer = None, key: Key = None
) -> Response:
    """Replace the whole set: what the body does not name is gone.

    An empty set is refused unless `?allow_empty=true` says that it is meant.
    """
    check_query(request, "allow_empty")
    return await _push(request, access, access.layer(layer), Mode.REPLACE, prefer, key)


@router.patch("/collections/{layer}/items", openapi_extra=examples.PATCH_BODY, responses=examples.RECEIPT)
async def patch_items(
    layer: str, request: Request, access: Accessed, prefer: Prefer = None, key: Key = None
) -> Response:
    """Merge into many features at once (RFC 7396 for each), so that several feeds can serve one layer.

    A patch that states no `observed_at` leaves the feature's as it was.
    """
    check_query(request)
    return await _push(request, access, access.layer(layer), Mode.PATCH, prefer, key)


@router.put(
    "/collections/{layer}/items/{id:path}", openapi_extra=examples.FEATURE_BODY, responses=examples.RECEIPT
)
async def put_item(layer: str, id: str, request: Request, access: Accessed, key: Key = None) -> Response:
    """Insert or replace one feature."""
    check_query(request)
    return await _push(request, access, access.layer(layer), Mode.PUT, None, key, id=id)


@router.patch(
    "/collections/{layer}/items/{id:path}", openapi_extra=examples.PATCH_ONE_BODY, responses=examples.RECEIPT
)
async def patch_item(layer: str, id: str, request: Request, access: Accessed, key: Key = None) -> Response:
    """Merge into one feature (RFC 7396)."""
    check_query(request)
    return await _push(request, access, access.layer(layer), Mode.PATCH, None, key, id=id)


@router.delete("/collections/{layer}/items/{id:path}", responses=examples.RECEIPT)
async def delete_item(layer: str, id: str, request: Request, access: Accessed) -> Response:
    """Take one feature off the picture. Observations from before will not bring it back."""
    check_query(request)
    receipt = await _publisher(request).remove(access.viewer, access.layer(layer), [feature_id(id, "")])
    return json_answer(receipt_body(receipt))


def _publisher(request: Request) -> Publisher:
    publisher: Publisher = request.app.state.publisher
    return publisher


async def _push(
    request: Request,
    access: Access,
    layer: Layer,
    mode: Mode,
    prefer: str | None,
    key: str | None,
    *,
    id: str | None = None,
) -> Response:
    authorise(access.viewer, layer)
    with _publisher(request).refusals.noting(layer.id):
        return await _take(request, access, layer, mode, prefer, key, id=id)


async def _take(
    request: Request,
    access: Access,
    layer: Layer,
    mode: Mode,
    prefer: str | None,
    key: str | None,
    *,
    id: str | None = None,
) -> Response:
    lenient = _lenient(prefer)
    _check_key(key)
    if media_type(request) in STREAM_TYPES and id is None:
        return json_answer(receipt_body(await _push_stream(request, access, layer, mode, lenient, key)))
    streams = STREAM_TYPES if id is None and mode is not Mode.PATCH else frozenset[str]()
    body, raw = await read_json(request, besides=streams)
    if id is not None:
        _require_one(body)
    if id is not None and mode is Mode.PATCH:
        body = _addressed(body, id)
    items = features_of(body)
    idempotency = None if key is None else _sealed(request, key, hashlib.sha256(raw).digest())
    try:
        receipt = await _publisher(request).push(
            access.viewer,
            layer,
            items,
            mode=mode,
            lenient=lenient,
            allow_empty=_allows_empty(request),
            idempotency=idempotency,
            id=id,
        )
    except PushRejected as error:
        if id is not None and error.rejections[0].code == "feature.not_found":
            raise NotFound("feature", id) from None
        raise
    return _receipt_answer(request, layer, items, receipt)


def _sealed(request: Request, key: str, body_hash: bytes) -> Idempotency:
    """*key* for this body sent to this address in this way: the same set put and replaced are two requests."""
    target = f"{request.method} {request.url.path}?{request.url.query}".encode()
    return Idempotency(key, hashlib.sha256(target + b"\0" + body_hash).digest())


async def _push_stream(
    request: Request, access: Accessed, layer: Layer, mode: Mode, lenient: bool, key: str | None
) -> Receipt:
    lines = Lines(request)
    return await _publisher(request).push_stream(
        access.viewer,
        layer,
        lines.batches(STREAM_BATCH),
        mode=mode,
        lenient=lenient,
        allow_empty=_allows_empty(request),
        seal=lambda: None if key is None else _sealed(request, key, lines.digest),
    )


def _receipt_answer(
    request: Request, layer: Layer, items: list[tuple[str, object]], receipt: Receipt
) -> Response:
    one = items[0][1] if len(items) == 1 and items[0][0] == "" else None
    if receipt.created == 1 and isinstance(one, dict):
        named = one["id"] if one.get("id") is not None else request.path_params["id"]
        place = link(request, f"/collections/{layer.name}/items/{quote(str(named), safe='')}", "self")["href"]
        return json_answer(receipt_body(receipt), 201, Location=place)
    return json_answer(receipt_body(receipt))


def _require_one(body: object) -> None:
    if isinstance(body, dict) and body.get("type") == "FeatureCollection":
        detail = "This address is one feature's: send one Feature, or the collection to “items”."
        raise Invalid(detail, pointer="/type", code="feature.type")


def _addressed(patch: object, id: str) -> object:
    """A patch of one feature, with the id that the address gives and the type it may leave out."""
    if not isinstance(patch, dict):
        raise Invalid("Expected a JSON object to merge.", code="feature.type")
    given = patch.get("id", id)
    if str(given) != id:
        raise Invalid("The id in the patch is not the one in the address.", pointer="/id", code="feature.id")
    return patch | {"id": id, "type": patch.get("type", "Feature")}


def _allows_empty(request: Request) -> bool:
    return request.query_params.get("allow_empty", "").lower() == "true"


def _lenient(prefer: str | None) -> bool:
    return prefer is not None and "handling=lenient" in prefer.replace(" ", "").lower().split(",")


def _check_key(key: str | None) -> None:
    if key is not None and not 1 <= len(key) <= 128:
        raise Invalid("Idempotency-Key: expected 1 to 128 characters.", code="idempotency.key")
