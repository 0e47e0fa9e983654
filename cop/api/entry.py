"""Who comes to the live stream, over a websocket or over HTTP: from a credential to the `Pass` of a session."""

from __future__ import annotations

import contextlib

import asyncpg
from sqlalchemy.exc import SQLAlchemyError
from starlette.requests import HTTPConnection

from cop.auth import secret_of
from cop.live.hub import Hub
from cop.live.session import Pass
from cop.live.wire import milliseconds
from layers.credentials import Standing, hash_of, identify
from layers.database import Database
from layers.model import PUBLIC

OUT_OF_REACH = (TimeoutError, OSError, SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError)


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
            expires_ms = None if standing.expires_at is None else milliseconds(standing.expires_at)
            return Pass(standing.viewer, hash_of(secret), expires_ms, standing.policy_revision)


async def _standing(database: Database, secret: str) -> Standing:
    """What the credential is worth; asked twice where the first connection turns out to be broken."""
    with contextlib.suppress(*OUT_OF_REACH):
        async with database.connect() as connection:
            return await identify(connection, secret)
    async with database.connect() as connection:
        return await identify(connection, secret)
