"""Who comes to the live stream and for what, over a websocket or over HTTP: the credential, the layers, the place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from cop.api.requests import parse_bbox, parse_limit
from cop.api.standings import Standings
from cop.auth import secret_of
from cop.live import wire
from cop.live.hub import Hub
from cop.live.session import Pass, Session
from cop.live.told import subscription
from layers.credentials import hash_of
from layers.errors import Invalid, NotFound, Unavailable
from layers.model import PUBLIC, JsonObject, Layer, Viewer

POLICY_DEADLINE_S = 2.0


async def pass_of(connection: HTTPConnection, *, asking: bool = False) -> Pass:
    """What *connection* may come in with. The public costs no SQL, nor does who came before.

    *asking*: what the database has now, whatever is known. Nothing may be awaited between this and `Hub.join`.
    Raises `Unauthenticated`, or `OUT_OF_REACH`.
    """
    standings: Standings = connection.app.state.standings
    secret = secret_of(connection.headers, connection.cookies)
    if secret is None:
        return Pass(PUBLIC)
    standing = await standings.of(secret, asking=asking)
    expires_ms = None if standing.expires_at is None else wire.milliseconds(standing.expires_at)
    return Pass(standing.viewer, hash_of(secret), expires_ms, standing.policy_revision)


async def caught_up(connection: HTTPConnection) -> Pass:
    """`pass_of`, once the stream's policy is no older than the one that the credential was judged by, nor newer.

    The stream is behind by milliseconds; who has just made a layer is to find it, so the policy is asked for now,
    in one statement for all who come meanwhile. Nothing may be awaited between this and `join`. Raises
    `Unavailable` as long as the stream has no policy.
    """
    hub: Hub = connection.app.state.hub
    while True:
        entry = await pass_of(connection, asking=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLICY_DEADLINE_S):
                while (hub.policy_revision or -1) < entry.policy_revision:  # noqa: ASYNC110 - a hub rings no bell
                    await asyncio.sleep(0.02)
        if hub.policy_revision is None:
            raise Unavailable("The live picture has not been read yet; ask again.", code="live.starting")
        if entry.credential is None or entry.policy_revision >= hub.newest_policy:
            return entry


def layer_of(hub: Hub, entry: Pass, name: str) -> Layer:
    """The layer of that name if the stream shows it to whoever comes with *entry*. Raises `NotFound`."""
    for layer in hub.visible_to(entry.viewer):
        if layer.name == name:
            return layer
    raise missing(entry.viewer, name)


def missing(viewer: Viewer, name: str) -> NotFound:
    """What is said of a layer that *viewer* cannot see: the same for a hidden one and for none."""
    error = NotFound("layer", name)
    if viewer.agency is None:
        error.detail += " You sent no key."
    return error


def narrowing_of(query: QueryParams) -> JsonObject:
    """`bbox`, `status` and `limit` as `subscribe` has them. Raises `Invalid` with codes `query.*`."""
    narrowing: JsonObject = {}
    if (bbox := parse_bbox(query.get("bbox"))) is not None:
        narrowing["view"] = {"bbox": bbox}
    if (status := query.get("status")) is not None:
        narrowing["where"] = {"status": [each or None for each in status.split(",")]}
    if (limit := query.get("limit")) is not None:
        narrowing["limit"] = parse_limit(limit, most=wire.MAX_LIMIT)
    return narrowing


def join(hub: Hub, entry: Pass, asked: JsonObject, since: Mapping[str, str]) -> Session:
    """A session for one view that no client turns. Raises `Invalid` (`query.*`), or `Unavailable` without a place."""
    text = subscription(asked, since)
    try:
        wire.read_message(text)
    except Invalid as fault:
        raise Invalid(fault.detail, code=fault.code.replace("live.", "query.", 1)) from None
    session = hub.join(entry)
    session.receive(text)
    return session
