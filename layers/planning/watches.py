"""Which saved analyses are watched, and the layers that their gaps and alerts are published to."""

from __future__ import annotations

from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import NotFound
from layers.model import AgencyId, JsonObject, LayerId

MAX_WATCHED = 20
"""Analyses that one deployment watches: each keeps its coverage in memory, and is brought up to date twice a second."""


class Watch(NamedTuple):
    """A saved analysis that is watched; `version` changes with whatever of it changes."""

    id: int
    agency: AgencyId
    name: str
    title: str
    question: JsonObject
    covered_share_at_least: float
    gaps: LayerId
    alerts: LayerId
    version: str


WATCHED = """
SELECT id, agency_id, name, title, question, rule, gap_layer_id, alert_layer_id, updated_at::text AS version
FROM saved_analysis
WHERE watched
ORDER BY id
LIMIT $1
"""
BEGIN = """
UPDATE saved_analysis SET watched = true, gap_layer_id = $3, alert_layer_id = $4, updated_at = clock_timestamp()
WHERE agency_id = $1 AND name = $2
"""
END = """
UPDATE saved_analysis SET watched = false, updated_at = clock_timestamp() WHERE agency_id = $1 AND name = $2
"""


async def read_watched(connection: AsyncConnection) -> list[Watch]:
    """The watched analyses, oldest first, MAX_WATCHED at the most."""
    rows = await (await driver(connection)).fetch(WATCHED, MAX_WATCHED)
    return [_watch(row) for row in rows]


async def read_question(connection: AsyncConnection, agency: AgencyId, name: str) -> tuple[str, JsonObject]:
    """Title and question of the agency's saved analysis of that name. Raises `NotFound`."""
    row = await (await driver(connection)).fetchrow(
        "SELECT title, question FROM saved_analysis WHERE agency_id = $1 AND name = $2", agency, name
    )
    if row is None:
        raise NotFound("analysis", name)
    return row["title"], row["question"]


async def begin_watch(
    connection: AsyncConnection, agency: AgencyId, name: str, gaps: LayerId, alerts: LayerId
) -> None:
    """Watch the agency's analysis of that name from now on. Raises `NotFound`."""
    if await (await driver(connection)).execute(BEGIN, agency, name, gaps, alerts) == "UPDATE 0":
        raise NotFound("analysis", name)


async def end_watch(connection: AsyncConnection, agency: AgencyId, name: str) -> None:
    """Watch it no more; its layers stay. Raises `NotFound`."""
    if await (await driver(connection)).execute(END, agency, name) == "UPDATE 0":
        raise NotFound("analysis", name)


def _watch(row: Any) -> Watch:
    rule = row["rule"] or {}
    return Watch(
        row["id"],
        AgencyId(row["agency_id"]),
        row["name"],
        row["title"],
        row["question"],
        float(rule.get("covered_share_at_least", 1.0)),
        LayerId(row["gap_layer_id"]),
        LayerId(row["alert_layer_id"]),
        row["version"],
    )
