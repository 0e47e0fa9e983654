"""How the feeds do that a viewer may see: when they were last heard, how fast and how late they are.

Their own agency is also told what was refused, and how many follow.
"""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

from fastapi import APIRouter, Request, Response

from cop.api import examples_live as examples
from cop.api.requests import check_query
from cop.api.shapes import json_answer, rfc3339
from cop.auth import Access, Accessed
from cop.feeds import Feed, Feeds
from cop.live.hub import Hub
from layers.errors import Unavailable
from layers.feeds import Lag, Refused
from layers.model import AgencyId, Layer

router = APIRouter(tags=["layers"])


@router.get("/feeds", responses=examples.FEEDS)
async def get_feeds(request: Request, access: Accessed) -> Response:
    """Every feed that you may see, and how it does.

    `rate` is changes a second and `lag` seconds from observation to receipt, both over the last minute. Of your
    own agency's layers you also see what was refused at the door (`rejects`) and how many viewers follow now
    (`subscribers`, by agency).
    """
    check_query(request)
    known = await _feeds(request).read()
    seen = [layer for layer in access.directory.visible(access.viewer) if layer.id in known]
    hub: Hub = request.app.state.hub
    return json_answer({"feeds": [_body(access, layer, known[layer.id], hub) for layer in seen]})


@router.get("/feeds/{layer}", responses=examples.FEED)
async def get_feed(layer: str, request: Request, access: Accessed) -> Response:
    """One feed."""
    check_query(request)
    seen = access.layer(layer)
    feed = (await _feeds(request).read()).get(seen.id)
    if feed is None:
        raise Unavailable("This layer is too new to be watched here; ask again.", code="live.starting")
    return json_answer(_body(access, seen, feed, request.app.state.hub))


def _feeds(request: Request) -> Feeds:
    return cast("Feeds", request.app.state.feeds)


def _body(access: Access, layer: Layer, feed: Feed, hub: Hub) -> dict[str, Any]:
    silent_ms = hub.silent.get(layer.id)
    body = {
        "layer": layer.name,
        "agency": access.directory.agencies[layer.agency].slug,
        "kind": layer.kind,
        "status": layer.status,
        "revision": feed.head.revision,
        "features": feed.head.features,
        "last_heard": rfc3339(feed.head.heard_at) if feed.head.heard_at else None,
        "silent_since": silent_ms and rfc3339(datetime.fromtimestamp(silent_ms / 1000, UTC)),
        "rate": None if feed.rate is None else round(feed.rate, 2),
        "lag": feed.lag and _lag_body(feed.lag),
    }
    if access.viewer.agency != layer.agency:
        return body
    return body | {
        "rejects": feed.refused and _refused_body(feed.refused),
        "subscribers": _subscribers_body(access, feed.subscribers),
    }


def _lag_body(lag: Lag) -> dict[str, float]:
    return {"median_s": round(lag.median_s, 3), "p95_s": round(lag.p95_s, 3)}


def _refused_body(refused: Refused) -> dict[str, Any]:
    return {
        "count": refused.features,
        "since": rfc3339(refused.since),
        "last": {
            "at": rfc3339(refused.last_at),
            "code": refused.last_code,
            "pointer": refused.last_pointer,
            "detail": refused.last_detail,
        },
    }


def _subscribers_body(access: Access, subscribers: Counter[AgencyId | None]) -> dict[str, int]:
    agencies = access.directory.agencies
    named = {
        "public" if agency is None else agencies[agency].slug: count
        for agency, count in subscribers.items()
        if agency is None or agency in agencies
    }
    return dict(sorted(named.items()))
