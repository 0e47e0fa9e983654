"""The log of changes: reading it after a revision, the heads of all layers, and the doorbell.

`store` appends; everything that streams, replays or caches reads here, in the same order.
"""

from __future__ import annotations

import asyncio
import contextlib
from datetime import datetime, timedelta
from typing import Any, NamedTuple, Self
from uuid import UUID

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver, engine_url
from layers.errors import LogTruncated
from layers.model import BBox, Change, FeatureId, LayerId, Op, Why

CHANNEL = "cop_change"


class Head(NamedTuple):
    """Where a layer's log ends. A cursor is valid only within its epoch."""

    epoch: UUID
    revision: int


class Heads(NamedTuple):
    """Where every log ends, when each feed was last heard, and the revision of the policy, in one read."""

    policy_revision: int
    layers: dict[LayerId, Head]
    heard_at: dict[LayerId, datetime]
    """For the layers that were ever heard of."""
    now: datetime
    """The database's clock, by which `heard_at` is."""


async def read_heads(connection: AsyncConnection) -> Heads:
    """All heads at one moment. What a head names is committed and can be read with `read_after`."""
    rows = await (await driver(connection)).fetch(
        """
        SELECT policy.revision AS policy_revision, clock_timestamp() AS now,
               layer.id, layer.epoch, layer.revision, layer.heard_at
        FROM policy LEFT JOIN layer ON true
        """
    )
    layers = {
        LayerId(row["id"]): Head(row["epoch"], row["revision"]) for row in rows if row["id"] is not None
    }
    heard_at = {LayerId(row["id"]): row["heard_at"] for row in rows if row["heard_at"] is not None}
    return Heads(rows[0]["policy_revision"], layers, heard_at, rows[0]["now"])


async def read_after(
    connection: AsyncConnection, layer: LayerId, revision: int, *, limit: int = 10_000
) -> list[Change]:
    """The changes of *layer* that follow *revision*, ascending and without a gap, *limit* at the most.

    Raises `LogTruncated` when the log's retention has already taken some of them. An empty list means that
    the log ends at *revision*.
    """
    rows = await (await driver(connection)).fetch(
        """
        SELECT revision, feature_id, op, why, properties::text AS properties, observed_at, received_at, expires_at,
               ST_AsGeoJSON(geometry, 7, 0) AS geometry,
               ST_XMin(geometry) AS west, ST_YMin(geometry) AS south,
               ST_XMax(geometry) AS east, ST_YMax(geometry) AS north
        FROM change
        WHERE layer_id = $1 AND revision > $2
        ORDER BY revision
        LIMIT $3
        """,
        layer,
        revision,
        limit,
    )
    if not rows:
        await _refuse_truncated(connection, layer, revision)
    elif rows[0]["revision"] != revision + 1:
        raise LogTruncated(f"The log begins at revision {rows[0]['revision']}, after {revision + 1}.")
    return [change_of(row) for row in rows]


async def _refuse_truncated(connection: AsyncConnection, layer: LayerId, revision: int) -> None:
    head = await (await driver(connection)).fetchval("SELECT revision FROM layer WHERE id = $1", layer)
    if head is not None and head > revision:
        raise LogTruncated(f"The log no longer holds revisions {revision + 1} to {head}.")


class Departure(NamedTuple):
    """A feature that is gone, since which revision, and why."""

    id: FeatureId
    revision: int
    why: str


async def read_departures(
    connection: AsyncConnection, layer: LayerId, head: Head, *, limit: int
) -> tuple[int, list[Departure]]:
    """The newest *limit* departures from *layer* up to *head*, ascending, and the revision after which they are all.

    However many other changes lie between them. Where there are fewer, they go back to where the log begins.
    """
    raw = await driver(connection)
    rows = await raw.fetch(DEPARTURES, layer, head.revision, limit)
    departures = [
        Departure(FeatureId(row["feature_id"]), row["revision"], row["why"]) for row in reversed(rows)
    ]
    if len(departures) == limit:
        return departures[0].revision, departures
    first = await raw.fetchval("SELECT min(revision) FROM change WHERE layer_id = $1", layer)
    return (head.revision if first is None else first - 1), departures


DEPARTURES = """
SELECT revision, feature_id, why FROM change
WHERE layer_id = $1 AND revision <= $2 AND op = 'gone'
ORDER BY revision DESC
LIMIT $3
"""


def bbox_of(row: Any) -> BBox | None:
    """The bounding box of a row that carries west, south, east and north."""
    return None if row["west"] is None else (row["west"], row["south"], row["east"], row["north"])


# Looking a member up by its value is a fifth of what calling the enum costs; the log is read row by row.
_OPS = {op.value: op for op in Op}
_WHYS = {why.value: why for why in Why}


def change_of(row: Any) -> Change:
    """A row of the log as a `Change`."""
    return Change(
        revision=row["revision"],
        feature_id=FeatureId(row["feature_id"]),
        op=_OPS[row["op"]],
        why=_WHYS[row["why"]] if row["why"] else None,
        geometry=row["geometry"],
        bbox=bbox_of(row),
        properties=row["properties"],
        observed_at=row["observed_at"],
        received_at=row["received_at"],
        expires_at=row["expires_at"],
    )


async def ring(connection: AsyncConnection) -> None:
    """Tell every listening process to look at the heads. Call it after the commit, never within."""
    await (await driver(connection)).execute(f"NOTIFY {CHANNEL}")


class Doorbell:
    """A connection that listens for `ring`. It carries no data: whoever hears it reads the heads.

    `wait` also returns after its timeout, which makes the poll: a lost doorbell only delays.
    """

    def __init__(self, url: str) -> None:
        self._url = engine_url(url)
        self._rung = asyncio.Event()
        self._connection: asyncpg.Connection | None = None

    @property
    def connected(self) -> bool:
        """Whether rings are being heard now."""
        return self._connection is not None and not self._connection.is_closed()

    async def connect(self) -> None:
        """Listen; a no-op while connected. Raises what asyncpg raises when the database is out of reach."""
        if self.connected:
            return
        url = self._url
        connection = await asyncpg.connect(
            user=url.username,
            password=url.password,
            host=url.host or url.query.get("host"),
            port=url.port or url.query.get("port"),
            database=url.database,
            timeout=10,
            server_settings={"application_name": "cop doorbell"},
        )
        await connection.add_listener(CHANNEL, lambda *_: self._rung.set())
        self._connection = connection
        self._rung.set()  # Whatever happened before we listened counts as a ring.

    async def wait(self, timeout_s: float) -> bool:
        """Wait for a ring, at most *timeout_s*; True if there was one."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._rung.wait()
        except TimeoutError:
            return False
        self._rung.clear()
        return True

    async def close(self) -> None:
        """Stop listening."""
        if self._connection is not None:
            with contextlib.suppress(Exception):
                await self._connection.close(timeout=2)
            self._connection = None

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


async def keep_partitions(connection: AsyncConnection, *, today: datetime, history_days: int) -> None:
    """Make the log's partitions for *today* and the three days after; drop those older than *history_days*.

    The default partition catches what has none, so a missed run loses nothing. Age is counted from when the
    newest feed was heard, if that is before *today*: a clock that has gone wrong drops nothing.
    """
    raw = await driver(connection)
    await raw.execute("SET LOCAL lock_timeout = '5s'")
    midnight = today.replace(hour=0, minute=0, second=0, microsecond=0)
    names = {row["relname"] for row in await raw.fetch(_PARTITIONS)}
    for ahead in range(4):
        start = midnight + timedelta(days=ahead)
        name = f"change_{start:%Y%m%d}"
        if name not in names:
            await _add_partition(raw, name, start, start + timedelta(days=1))
    heard = await raw.fetchval("SELECT max(heard_at) FROM layer")
    oldest = f"change_{min(midnight, heard or midnight) - timedelta(days=history_days):%Y%m%d}"
    for name in names:
        if name.removeprefix("change_").isdigit() and name < oldest:
            await raw.execute(f"DROP TABLE {name}")


_PARTITIONS = """
SELECT relname FROM pg_inherits JOIN pg_class ON pg_class.oid = inhrelid
WHERE inhparent = 'change'::regclass
"""


async def _add_partition(raw: asyncpg.Connection, name: str, start: datetime, end: datetime) -> None:
    # A partition cannot be attached over rows that the default one holds for its day: they move first, and
    # nothing may join them meanwhile. Writers wait for the moment that this takes.
    await raw.execute("LOCK TABLE change_other IN ACCESS EXCLUSIVE MODE")
    await raw.execute(f"CREATE TABLE {name} (LIKE change INCLUDING DEFAULTS INCLUDING CONSTRAINTS)")
    await raw.execute(
        f"""
        WITH moved AS (
            DELETE FROM change_other
            WHERE received_at >= '{start:%Y-%m-%d}+00' AND received_at < '{end:%Y-%m-%d}+00' RETURNING *)
        INSERT INTO {name} SELECT * FROM moved
        """  # noqa: S608 - of constants only
    )
    await raw.execute(
        f"ALTER TABLE change ATTACH PARTITION {name} "
        f"FOR VALUES FROM ('{start:%Y-%m-%d}+00') TO ('{end:%Y-%m-%d}+00')"
    )
