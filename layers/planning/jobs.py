"""The table of jobs: what was asked, how far it is, and what came of it, for any process to tell.

A job belongs to a process that says every second that it is at it; when nothing was said for LOST_AFTER, it is lost.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import NotFound, Unavailable
from layers.model import AgencyId

LOST_AFTER = timedelta(seconds=30)
MAX_KEPT = 100
"""Jobs of one agency that are kept; a further one takes the place of the oldest that has ended."""
MAX_UNFINISHED = 16
"""Jobs of one agency that wait or run."""


class State(StrEnum):
    """How a job stands."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = frozenset({State.WAITING, State.RUNNING})
LOST = {
    "type": "about:blank",
    "title": "Service Unavailable",
    "status": 503,
    "code": "job.lost",
    "detail": "The process that was at this job has ended; ask again.",
}


@dataclass(frozen=True, slots=True)
class Job:
    """A job without its result."""

    id: UUID
    actor: str
    path: str
    state: State
    progress: float
    """0 to 1."""
    asked_at: datetime
    finished_at: datetime | None
    media_type: str | None
    problem: dict[str, Any] | None
    """Why it failed, as problem+json."""
    rights: frozenset[int]
    """The layers that whoever asked could see then, and with a minus those that could be counted for them."""


class Beat(NamedTuple):
    """What a process says of one of its jobs."""

    id: UUID
    state: State
    progress: float


# What is said and what is read go by one clock, the database's.
_ALIVE = "state IN ('waiting', 'running') AND seen_at > clock_timestamp() - $1::interval"
_SEEN = """
    SELECT id, actor, path,
           CASE WHEN state IN ('waiting', 'running') AND seen_at <= clock_timestamp() - $1::interval
                THEN 'lost' ELSE state END AS state,
           progress, asked_at, finished_at, media_type, problem::text AS problem, rights
    FROM job WHERE agency_id = $2
"""


async def add_job(
    connection: AsyncConnection, agency: AgencyId, id: UUID, actor: str, path: str, rights: Iterable[int]
) -> Job:
    """Note that a job waits, of one with these *rights*.

    Raises `Unavailable` (`job.too_many`) beyond MAX_UNFINISHED of the agency.
    """
    raw = await driver(connection)
    # One at a time for each agency, or several at once would all find room.
    await raw.execute("SELECT FROM agency WHERE id = $1 FOR NO KEY UPDATE", agency)
    unfinished = await raw.fetchval(
        f"SELECT count(*) FROM job WHERE agency_id = $2 AND {_ALIVE}",  # noqa: S608 - of constants only
        LOST_AFTER,
        agency,
    )
    if unfinished >= MAX_UNFINISHED:
        detail = f"An agency has up to {MAX_UNFINISHED} jobs at a time: wait for one of them, or cancel it."
        raise Unavailable(detail, code="job.too_many")
    await raw.execute(
        f"""
        DELETE FROM job WHERE id IN (
            SELECT id FROM job WHERE agency_id = $2 AND NOT ({_ALIVE}) ORDER BY asked_at DESC OFFSET $3)
        """,  # noqa: S608 - of constants only
        LOST_AFTER,
        agency,
        MAX_KEPT - MAX_UNFINISHED,
    )
    await raw.execute(
        """
        INSERT INTO job (id, agency_id, actor, path, rights, state, seen_at)
        VALUES ($1, $2, $3, $4, $5, 'waiting', clock_timestamp())
        """,
        id,
        agency,
        actor,
        path,
        list(rights),
    )
    return await read_job(connection, agency, id)


async def note_beats(connection: AsyncConnection, beats: Sequence[Beat]) -> set[UUID]:
    """Note how this process's jobs stand. Those that are not returned were cancelled or given up: leave them."""
    rows = await (await driver(connection)).fetch(
        """
        UPDATE job SET state = beat.state, progress = greatest(job.progress, beat.progress), seen_at = clock_timestamp()
        FROM unnest($2::uuid[], $3::text[], $4::float8[]) AS beat (id, state, progress)
        WHERE job.id = beat.id AND job.state IN ('waiting', 'running')
          AND job.seen_at > clock_timestamp() - $1::interval
        RETURNING job.id
        """,
        LOST_AFTER,
        *(list(column) for column in zip(*beats, strict=True)),
    )
    return {row["id"] for row in rows}


async def finish_job(
    connection: AsyncConnection,
    id: UUID,
    *,
    media_type: str | None = None,
    result: bytes | None = None,
    problem: dict[str, Any] | None = None,
) -> bool:
    """Note what came of a job: a *result* or a *problem*. False if it was cancelled or given up before."""
    done = await (await driver(connection)).execute(
        f"""
        UPDATE job SET state = $3, media_type = $4, result = $5, problem = $6::jsonb, finished_at = clock_timestamp(),
                       progress = CASE WHEN $5::bytea IS NULL THEN progress ELSE 1 END
        WHERE id = $2 AND {_ALIVE}
        """,  # noqa: S608 - of constants only
        LOST_AFTER,
        id,
        State.FAILED if result is None else State.DONE,
        media_type,
        result,
        None if problem is None else orjson.dumps(problem).decode(),
    )
    return bool(done == "UPDATE 1")


async def read_job(connection: AsyncConnection, agency: AgencyId, id: UUID) -> Job:
    """One job of *agency*. Raises `NotFound`."""
    row = await (await driver(connection)).fetchrow(f"{_SEEN} AND id = $3", LOST_AFTER, agency, id)
    if row is None:
        raise NotFound("job", str(id))
    return _job(row)


async def read_jobs(connection: AsyncConnection, agency: AgencyId) -> list[Job]:
    """The jobs of *agency*, the newest first."""
    rows = await (await driver(connection)).fetch(
        f"{_SEEN} ORDER BY asked_at DESC, id LIMIT $3", LOST_AFTER, agency, MAX_KEPT
    )
    return [_job(row) for row in rows]


async def read_result(connection: AsyncConnection, agency: AgencyId, id: UUID) -> bytes:
    """The result of one that is done. Raises `NotFound`."""
    result: bytes | None = await (await driver(connection)).fetchval(
        "SELECT result FROM job WHERE agency_id = $1 AND id = $2", agency, id
    )
    if result is None:
        raise NotFound("job", str(id))
    return result


async def dismiss_job(connection: AsyncConnection, agency: AgencyId, id: UUID) -> Job | None:
    """Cancel a job that waits or runs, and return it as it then is; delete one that has ended. Raises `NotFound`.

    Its process hears of it with its next beat.
    """
    raw = await driver(connection)
    cancelled = await raw.execute(
        f"""
        UPDATE job SET state = 'cancelled', cancelled = true, finished_at = clock_timestamp()
        WHERE agency_id = $2 AND id = $3 AND {_ALIVE}
        """,  # noqa: S608 - of constants only
        LOST_AFTER,
        agency,
        id,
    )
    if cancelled == "UPDATE 1":
        return await read_job(connection, agency, id)
    if await raw.execute("DELETE FROM job WHERE agency_id = $1 AND id = $2", agency, id) != "DELETE 1":
        raise NotFound("job", str(id))
    return None


def _job(row: Any) -> Job:
    lost = row["state"] == "lost"
    problem = LOST if lost else None if row["problem"] is None else orjson.loads(row["problem"])
    return Job(
        row["id"],
        row["actor"],
        row["path"],
        State.FAILED if lost else State(row["state"]),
        row["progress"],
        row["asked_at"],
        row["finished_at"],
        row["media_type"],
        problem,
        frozenset(row["rights"]),
    )
