"""The way to Postgres: the engine, its two kinds of connection, and migrations under a lock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlsplit

import asyncpg
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event, text
from sqlalchemy.engine import URL
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from layers.errors import Unavailable

MIGRATIONS = Path(__file__).parent / "migrations"
MIGRATION_LOCK = 0x636F70_01
"""Advisory lock held while migrating, so that several processes may start at once."""

_BEGIN = text("SELECT")
"""SQLAlchemy sends BEGIN with a connection's first statement: an empty one opens the transaction at once."""


def engine_url(url: str) -> URL:
    """SQLAlchemy's form of a libpq URL (`postgresql://user:pw@host:port/name?host=/socket/dir`)."""
    parts = urlsplit(url)
    if parts.scheme.split("+")[0] not in ("postgresql", "postgres"):
        raise Unavailable(f"The database URL starts with “{parts.scheme}:”; expected postgresql://….")
    return URL.create(
        "postgresql+asyncpg",
        username=unquote(parts.username) if parts.username else None,
        password=unquote(parts.password) if parts.password else None,
        host=parts.hostname,
        port=parts.port,
        database=parts.path.lstrip("/") or None,
        query=dict(parse_qsl(parts.query)),
    )


class Database:
    """One pool of connections to one database. Close it with `dispose`."""

    def __init__(self, url: str, *, pool_size: int = 8) -> None:
        self.url = url
        self.engine: AsyncEngine = create_async_engine(
            engine_url(url),
            pool_size=pool_size,
            max_overflow=4,
            pool_timeout=10,
            pool_pre_ping=False,
            connect_args={
                "timeout": 10,
                "command_timeout": 60,
                # Statements here are short; compiling them costs more than it saves.
                "server_settings": {"jit": "off", "application_name": "cop", "timezone": "UTC"},
            },
        )

        event.listen(self.engine.sync_engine, "checkout", _refuse_closed)

    @asynccontextmanager
    async def connect(self) -> AsyncIterator[AsyncConnection]:
        """A connection for reading; whatever transaction it opens is rolled back at the end."""
        async with self.engine.connect() as connection:
            yield connection

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose statements all see one and the same moment (repeatable read, read only)."""
        async with self.engine.connect() as connection:
            await connection.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
            await connection.execute(_BEGIN)
            yield connection

    @asynccontextmanager
    async def begin(self) -> AsyncIterator[AsyncConnection]:
        """A transaction: committed at the end, rolled back by an exception."""
        async with self.engine.begin() as connection:
            await connection.execute(_BEGIN)
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[asyncpg.Connection]:
        """The hot path's transaction, on the asyncpg connection below SQLAlchemy: no layer in between."""
        async with self.engine.connect() as connection:
            raw = await driver(connection)
            async with raw.transaction():
                yield raw

    async def dispose(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def _refuse_closed(dbapi_connection: Any, _record: object, _proxy: object) -> None:
    """Have the pool replace a connection that the server has cut.

    What runs below SQLAlchemy (`driver`) breaks without its knowledge, so it cannot notice by itself.
    """
    if dbapi_connection.driver_connection.is_closed():
        raise DisconnectionError


async def driver(connection: AsyncConnection) -> asyncpg.Connection:
    """The asyncpg connection below *connection*, in the transaction that `begin` or `snapshot` opened, if any."""
    raw = await connection.get_raw_connection()
    return cast("asyncpg.Connection", raw.driver_connection)


def _config(connection: Connection | None = None) -> Config:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def newest_schema() -> str:
    """The revision of the schema that this code is written for."""
    head = ScriptDirectory.from_config(_config()).get_current_head()
    assert head is not None
    return head


def _known_schemas() -> set[str]:
    return {step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions()}


def _schema_of(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


async def read_schema(connection: AsyncConnection) -> str | None:
    """The revision of the schema that the database has; None before the first migration."""
    return await connection.run_sync(_schema_of)


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATION_LOCK})
    current = _schema_of(connection)
    if current is not None and current not in _known_schemas():
        raise Unavailable(
            f"The database has schema {current}, which is newer than this version knows "
            f"({newest_schema()}). Run the newer version, or another database.",
            code="schema.newer",
        )
    if current != newest_schema():
        command.upgrade(_config(connection), "head")


async def migrate(url: str) -> None:
    """Bring the schema of *url* up to date. Safe to run from several processes at once.

    Raises `Unavailable` when the schema is newer than this code, or when there is no PostGIS to create.
    """
    database = Database(url, pool_size=1)
    try:
        async with database.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await database.dispose()
