"""Finding features by what people call them, also those that a viewer's own view does not hold."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from cop.api import examples_search as examples
from cop.api.requests import check_query, parse_limit
from cop.api.shapes import json_answer
from cop.auth import Access, Accessed, Databased
from layers.errors import Invalid, Unavailable
from layers.finding import Found, find
from layers.model import Layer, Stream

router = APIRouter(tags=["features"])

MOST_HITS = 500
AT_ONCE = 2
"""Searches in one process; each reads every name, on connections that publishing needs as well."""
PATIENCE_S = 3.0
"""How long one waits for its turn, and how long it may take then."""


@router.get("/search", openapi_extra=examples.QUERY, responses=examples.HITS)
async def get_search(request: Request, access: Accessed, database: Databased) -> Response:
    """Features that you may see whose name or id has the letters and digits of `q`, in that order.

    Case, accents, spaces and dashes make no difference. Equals come first, then those that begin with it, then those
    that hold it in one piece, then the rest; of each the short ones first. `more` says that there are further ones.
    Layers whose stream is tiled (roads) are not searched.
    """
    check_query(request, "q", "operation", "limit")
    query = request.query_params
    typed = query.get("q")
    if typed is None:
        raise Invalid("Say what to look for: ?q=engine 42.", code="query.q")
    limit = parse_limit(query.get("limit"), default=100, most=MOST_HITS)
    searched = {layer.id: layer for layer in _searched(access, query.get("operation"))}
    turns: asyncio.Semaphore = request.app.state.searches
    try:
        async with asyncio.timeout(PATIENCE_S):
            await turns.acquire()
        try:
            async with database.connect() as connection:
                found = await find(connection, list(searched), typed, limit=limit + 1, within_s=PATIENCE_S)
        finally:
            turns.release()
    except TimeoutError:
        raise Unavailable("Too much is being searched; try again.", code="search.busy") from None
    hits = [_body(access, searched[each.layer], each) for each in found[:limit]]
    return json_answer({"hits": hits, "more": len(found) > limit})


def _searched(access: Access, operation: str | None) -> list[Layer]:
    layers = [layer for layer in access.directory.visible(access.viewer) if layer.stream is Stream.LIVE]
    if operation is None:
        return layers
    drawn = access.directory.operation_for(access.viewer, operation).layers
    return [layer for layer in layers if layer.id in drawn]


def _body(access: Access, layer: Layer, found: Found) -> dict[str, Any]:
    return {
        "layer": layer.name,
        "agency": access.directory.agencies[layer.agency].slug,
        "kind": layer.kind,
        "id": found.id,
        "name": found.name,
        "status": found.status,
        "type": found.type,
        "at": found.at,
    }
