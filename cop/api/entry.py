"""Who comes to the live stream and for what, over a websocket or over HTTP: the credential, the layers, the place."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Mapping

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from starlette.datastructures import QueryParams
from starlette.requests import HTTPConnection

from cop.api.requests import parse_bbox, parse_limit
from cop.auth import secret_of
from cop.live import wire
from cop.live.hub import Hub
from cop.live.session import Pass, Session
from cop.live.told import subscription
from layers.credentials import Standing, hash_of, identify
from layers.database import Database
from layers.errors import Invalid, NotFound, Unavailable
from layers.model import PUBLIC, JsonObject, Layer, Viewer

OUT_OF_REACH = (
    TimeoutError,
    OSError,
    SQLAlchemyError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)
POLICY_DEADLINE_S = 2.0


async def pass_of(connection: HTTPConnection) -> Pass:
    """What *connection* may come in with. The public costs no SQL. Raises `Unauthenticated`, or `OUT_OF_REACH`."""
    database: Database = connection.app.state.database
    hub: Hub = connection.app.state.hub
    secret = secret_of(connection.headers, connection.cookies)
    if secret is None:
        return Pass(PUBLIC)
    while True:
        standing = await _standing(database, secret)
        # The hub asks about credentials when the policy moves on; one that was judged before that, again.
        if standing.policy_revision >= (hub.policy_revision or 0):
            expires_ms = None if standing.expires_at is None else wire.milliseconds(standing.expires_at)
            return Pass(standing.viewer, hash_of(secret), expires_ms, standing.policy_revision)


async def _standing(database: Database, secret: str) -> Standing:
    """What the credential is worth; asked twice where the first connection turns out to be broken."""
    with contextlib.suppress(*OUT_OF_REACH):
        async with database.connect() as connection:
            return await identify(connection, secret)
    async with database.connect() as connection:
        return await identify(connection, secret)


async def caught_up(connection: HTTPConnection) -> Pass:
    """`pass_of`, once the stream's policy is no older than the one that the credential was judged by, nor newer.

    The stream is behind by milliseconds; who has just made a layer is to find it. Nothing may be awaited between
    this and `join`. Raises `Unavailable` as long as the stream has no policy.
    """
    hub: Hub = connection.app.state.hub
    while True:
        entry = await pass_of(connection)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(POLICY_DEADLINE_S):
                while (hub.policy_revision or -1) < entry.policy_revision:  # noqa: ASYNC110 - a hub rings no bell
                    await asyncio.sleep(0.02)
        if hub.policy_revision is None:
            raise Unavailable("The live picture has not been read yet; ask again.", code="live.starting")
        if entry.credential is None or entry.policy_revision >= hub.policy_revision:
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
