"""The tables of cells that agencies have uploaded to weigh ground with: kept, listed, read and dropped."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import NotFound, TooLarge
from layers.model import AgencyId
from layers.planning.model import CellValues

MAX_TABLES = 100
"""Of one agency: at most some 3 GB."""


@dataclass(frozen=True, slots=True)
class CellTable:
    """What is known of a table without its cells."""

    name: str
    unit: str
    resolution: int
    cells: int
    updated_at: datetime


COLUMNS = "name, unit, resolution, cells, updated_at"


async def keep_table(
    connection: AsyncConnection, agency: AgencyId, name: str, unit: str, values: CellValues
) -> tuple[CellTable, bool]:
    """Write a table, in place of one of that name, and say whether it is new.

    Raises `TooLarge` (`cells.too_many_tables`) for a new one beyond MAX_TABLES.
    """
    raw = await driver(connection)
    # One at a time for each agency, or two at once would both find room for the last.
    await raw.execute("SELECT FROM agency WHERE id = $1 FOR NO KEY UPDATE", agency)
    if (
        await raw.fetchval(
            "SELECT count(*) FROM cell_table WHERE agency_id = $1 AND name <> $2", agency, name
        )
        >= MAX_TABLES
    ):
        detail = f"An agency keeps up to {MAX_TABLES} tables; delete one that is no longer used."
        raise TooLarge(detail, code="cells.too_many_tables")
    row = await raw.fetchrow(
        f"""
        INSERT INTO cell_table (agency_id, name, unit, resolution, cells, packed)
        VALUES ($1, $2, $3, $4, $5, $6)
        ON CONFLICT (agency_id, name) DO UPDATE SET
            unit = excluded.unit, resolution = excluded.resolution, cells = excluded.cells,
            packed = excluded.packed, updated_at = now()
        RETURNING {COLUMNS}, xmax = 0 AS new
        """,  # noqa: S608 - of constants only
        agency,
        name,
        unit,
        values.resolution,
        len(values.ranks),
        packed(values),
    )
    return _table(row), row["new"]


async def read_tables(connection: AsyncConnection, agency: AgencyId) -> list[CellTable]:
    """The tables of *agency*, by name."""
    rows = await (await driver(connection)).fetch(
        f"SELECT {COLUMNS} FROM cell_table WHERE agency_id = $1 ORDER BY name",  # noqa: S608 - of constants only
        agency,
    )
    return [_table(row) for row in rows]


async def read_table(
    connection: AsyncConnection, agency: AgencyId, name: str
) -> tuple[CellTable, CellValues]:
    """One table with its cells. Raises `NotFound`."""
    row = await (await driver(connection)).fetchrow(
        f"SELECT {COLUMNS}, packed FROM cell_table WHERE agency_id = $1 AND name = $2",  # noqa: S608 - of constants only
        agency,
        name,
    )
    if row is None:
        raise NotFound("table", name)
    return _table(row), unpacked(row["packed"], row["resolution"])


async def drop_table(connection: AsyncConnection, agency: AgencyId, name: str) -> None:
    """Delete one. Raises `NotFound`."""
    raw = await driver(connection)
    if (
        await raw.execute("DELETE FROM cell_table WHERE agency_id = $1 AND name = $2", agency, name)
        != "DELETE 1"
    ):
        raise NotFound("table", name)


def packed(values: CellValues) -> bytes:
    """Ranks, then values, little-endian."""
    return values.ranks.astype("<i8").tobytes() + values.values.astype("<f8").tobytes()


def unpacked(packed: bytes, resolution: int) -> CellValues:
    """What `packed` wrote."""
    half = len(packed) // 2
    ranks = np.frombuffer(packed[:half], "<i8").astype(np.int64, copy=False)
    return CellValues(resolution, ranks, np.frombuffer(packed[half:], "<f8").astype(np.float64, copy=False))


def _table(row: Any) -> CellTable:
    return CellTable(*(row[name] for name in COLUMNS.split(", ")))
