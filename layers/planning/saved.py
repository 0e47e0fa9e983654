"""Saved analyses: an agency's questions under a name, to be asked again, with what should hold of the answers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import Conflict, NotFound, TooLarge
from layers.model import AgencyId, JsonObject

MAX_SAVED = 200
"""Of one agency."""


@dataclass(frozen=True, slots=True)
class Saved:
    """A question with a name."""

    name: str
    title: str
    question: JsonObject
    rule: JsonObject | None
    """What should hold: `covered_share_at_least`."""
    watched: bool
    actor: str
    """Who wrote it last."""
    updated_at: datetime


COLUMNS = "name, title, question::text AS question, rule::text AS rule, watched, actor, updated_at"


async def save(
    connection: AsyncConnection,
    agency: AgencyId,
    name: str,
    *,
    title: str,
    question: JsonObject,
    rule: JsonObject | None,
    actor: str,
) -> tuple[Saved, bool]:
    """Write an analysis, in place of one of that name, and say whether it is new. Whether it is watched stays.

    Raises `TooLarge` (`saved.too_many`) for a new one beyond MAX_SAVED.
    """
    raw = await driver(connection)
    # One at a time for each agency, or two at once would both find room for the last.
    await raw.execute("SELECT FROM agency WHERE id = $1 FOR NO KEY UPDATE", agency)
    others = "SELECT count(*) FROM saved_analysis WHERE agency_id = $1 AND name <> $2"
    if await raw.fetchval(others, agency, name) >= MAX_SAVED:
        detail = f"An agency saves up to {MAX_SAVED} analyses; delete one that is no longer used."
        raise TooLarge(detail, code="saved.too_many")
    row = await raw.fetchrow(
        f"""
        INSERT INTO saved_analysis (agency_id, name, title, question, rule, actor)
        VALUES ($1, $2, $3, $4::jsonb, $5::jsonb, $6)
        ON CONFLICT (agency_id, name) DO UPDATE SET
            title = excluded.title, question = excluded.question, rule = excluded.rule, actor = excluded.actor,
            updated_at = now()
        RETURNING {COLUMNS}, xmax = 0 AS new
        """,  # noqa: S608 - of constants only
        agency,
        name,
        title,
        orjson.dumps(question).decode(),
        None if rule is None else orjson.dumps(rule).decode(),
        actor,
    )
    return _saved(row), row["new"]


async def read_all_saved(connection: AsyncConnection, agency: AgencyId) -> list[Saved]:
    """Those of *agency*, by name."""
    rows = await (await driver(connection)).fetch(
        f"SELECT {COLUMNS} FROM saved_analysis WHERE agency_id = $1 ORDER BY name",  # noqa: S608 - of constants only
        agency,
    )
    return [_saved(row) for row in rows]


async def read_saved(connection: AsyncConnection, agency: AgencyId, name: str) -> Saved:
    """One of them. Raises `NotFound`."""
    row = await (await driver(connection)).fetchrow(
        f"SELECT {COLUMNS} FROM saved_analysis WHERE agency_id = $1 AND name = $2",  # noqa: S608 - of constants only
        agency,
        name,
    )
    if row is None:
        raise NotFound("analysis", name)
    return _saved(row)


async def drop_saved(connection: AsyncConnection, agency: AgencyId, name: str) -> None:
    """Delete one. Raises `NotFound`, and `Conflict` (`saved.watched`) for one whose gaps and alert are on the map."""
    dropped = await (await driver(connection)).execute(
        "DELETE FROM saved_analysis WHERE agency_id = $1 AND name = $2 AND NOT watched", agency, name
    )
    if dropped != "DELETE 1":
        await read_saved(connection, agency, name)
        raise Conflict("It is watched: end that first, so that its gaps leave the map.", code="saved.watched")


def _saved(row: Any) -> Saved:
    return Saved(
        row["name"],
        row["title"],
        orjson.loads(row["question"]),
        None if row["rule"] is None else orjson.loads(row["rule"]),
        row["watched"],
        row["actor"],
        row["updated_at"],
    )
