"""Runs: what was asked, by whom, and on which revisions the answer rests, so that it can be asked again.

A run belongs to the agency that asked; to any other there is none. It is kept as long as the log that it rests on.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import UUID

import asyncpg
import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import NotFound
from layers.log import Head
from layers.model import AgencyId, JsonObject, LayerName, Status

MAX_RUNS = 1_000
"""Runs that are kept of an agency; the oldest go. One is some kilobytes, with the largest area 300 kB."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What an answer rests on besides its question."""

    heads: tuple[tuple[LayerName, Head], ...] = ()
    """The layers that were read, in order, each as of which revision."""
    roads: tuple[LayerName, Head] | None = None
    area: tuple[LayerName, str] | None = None
    """The layer that the area was copied from, and the feature; "" for several of them."""
    unshared: tuple[str, ...] = ()
    """The agencies of which nothing was to be seen."""


@dataclass(frozen=True, slots=True)
class Run:
    """One question as it was settled."""

    id: UUID
    agency: AgencyId
    actor: str
    asked_at: datetime
    """The moment of the reading."""
    at: datetime
    """The moment that was asked about."""
    status: Status
    question: JsonObject
    """As it could be asked again, with the area as it was placed, the layers by name, and the moment."""
    inputs: Inputs


class Cursor(NamedTuple):
    """Where a page of runs, newest first, ends."""

    asked_at: datetime
    id: UUID


async def record_run(connection: AsyncConnection, run: Run) -> None:
    """Write *run* down."""
    await (await driver(connection)).execute(
        """
        INSERT INTO coverage_run (id, agency_id, actor, asked_at, at, status, question, inputs)
        VALUES ($1, $2, $3, $4, $5, $6, $7::text::jsonb, $8::text::jsonb)
        """,
        run.id,
        run.agency,
        run.actor,
        run.asked_at,
        run.at,
        run.status,
        orjson.dumps(run.question).decode(),
        orjson.dumps(_inputs_json(run.inputs)).decode(),
    )


_COLUMNS = "id, agency_id, actor, asked_at, at, status, question::text AS question, inputs::text AS inputs"


PAGE = f"""
SELECT {_COLUMNS} FROM coverage_run
WHERE agency_id = $1 AND ($2::timestamptz IS NULL OR asked_at <= $2 AND (asked_at, id) < ($2, $3::uuid))
ORDER BY asked_at DESC, id DESC
LIMIT $4
"""  # noqa: S608 - of constants only


async def read_run(connection: AsyncConnection, agency: AgencyId, id: UUID) -> Run:
    """The run of *agency*; `NotFound` if there is none, or it is another agency's."""
    row = await (await driver(connection)).fetchrow(
        f"SELECT {_COLUMNS} FROM coverage_run WHERE id = $1 AND agency_id = $2",  # noqa: S608 - of constants only
        id,
        agency,
    )
    if row is None:
        raise NotFound("run", str(id))
    return _run_of(row)


async def read_runs(
    connection: AsyncConnection, agency: AgencyId, *, before: Cursor | None = None, limit: int = 100
) -> list[Run]:
    """Up to *limit* runs of *agency*, newest first, those older than *before*."""
    raw = await driver(connection)
    rows = await raw.fetch(PAGE, agency, *(before or (None, None)), limit)
    return [_run_of(row) for row in rows]


async def prune_runs(connection: AsyncConnection, history: timedelta) -> None:
    """Delete the runs whose inputs the log no longer holds, and of each agency all but the newest MAX_RUNS."""
    old = "DELETE FROM coverage_run WHERE least(at, asked_at) < now() - CAST(:history AS interval)"
    await connection.execute(text(old), {"history": history})
    many = """
        DELETE FROM coverage_run USING (
            SELECT id, row_number() OVER (PARTITION BY agency_id ORDER BY asked_at DESC, id DESC) AS place
            FROM coverage_run) AS ranked
        WHERE coverage_run.id = ranked.id AND ranked.place > :most
    """
    await connection.execute(text(many), {"most": MAX_RUNS})


def _run_of(row: asyncpg.Record) -> Run:
    return Run(
        row["id"],
        AgencyId(row["agency_id"]),
        row["actor"],
        row["asked_at"],
        row["at"],
        Status(row["status"]),
        json.loads(row["question"]),
        _inputs_of(json.loads(row["inputs"])),
    )


def heads_json(heads: Sequence[tuple[LayerName, Head]]) -> list[JsonObject]:
    """Layers and their heads, as JSON."""
    return [{"layer": layer, "epoch": str(head.epoch), "revision": head.revision} for layer, head in heads]


def _inputs_json(inputs: Inputs) -> JsonObject:
    return {
        "layers": heads_json(inputs.heads),
        "roads": heads_json([] if inputs.roads is None else [inputs.roads]),
        "area": inputs.area,
        "unshared": inputs.unshared,
    }


def _inputs_of(stored: JsonObject) -> Inputs:
    roads = [_head_of(each) for each in stored["roads"]]
    return Inputs(
        tuple(_head_of(each) for each in stored["layers"]),
        roads[0] if roads else None,
        None if stored["area"] is None else (LayerName(stored["area"][0]), stored["area"][1]),
        tuple(stored["unshared"]),
    )


def _head_of(stored: JsonObject) -> tuple[LayerName, Head]:
    return LayerName(stored["layer"]), Head(UUID(stored["epoch"]), stored["revision"])
