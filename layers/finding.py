"""Finding features by what people call them, wherever on the map they are.

A name is compared as its letters and digits alone, small and without accents: `É-42` is `e42`. What was typed need only
be in a name in its order: `e4` finds Engine 4 and E42, and also Medic 14; who asks shows the best of it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import Invalid
from layers.model import FeatureId, LayerId

MAX_TYPED = 80
"""Letters and digits that are looked for; a name that is longer in all its parts helps nobody."""


class Found(NamedTuple):
    """A feature that answers what was typed."""

    layer: LayerId
    id: FeatureId
    name: str
    status: str | None
    type: str | None
    """What it says it is: `engine`, `flood` …"""
    at: tuple[float, float] | None
    """Where it is, or a place within; None: it has no place."""


def folded(text: str) -> str:
    """The letters and digits of *text*, small and without accents."""
    plain = unicodedata.normalize("NFKD", text).lower()
    return "".join(letter for letter in plain if letter.isalpha() or letter.isdecimal())


def sql_folded(text: str) -> str:
    """`folded` in SQL. The ICU collation makes it know every script, whatever the database's own is."""
    return f"""regexp_replace(lower(normalize({text}, NFKD) COLLATE "und-x-icu"), '[^[:alnum:]]', '', 'g')"""


def _sql_rank(word: str) -> str:
    begins, holds = f"starts_with({word}, $2)", f"strpos({word}, $2) > 0"
    return f"CASE WHEN {word} = $2 THEN 0 WHEN {begins} THEN 1 WHEN {holds} THEN 2 ELSE 3 END"


NAME = """coalesce(
    nullif(properties->>'callsign', ''), nullif(properties->>'name', ''), nullif(properties->>'title', ''), id
)"""
TYPE = """coalesce(
    properties->>'unit_type', properties->>'asset_type', properties->>'incident_type', properties->>'zone_type'
)"""
FIND = f"""
WITH word AS MATERIALIZED (
    SELECT layer_id, id, {NAME} AS name, {sql_folded(NAME)} AS by_name, {sql_folded("id")} AS by_id
    FROM feature
    WHERE layer_id = ANY($1::int[])
), best AS (
    SELECT layer_id, id, name, least({_sql_rank("by_name")}, {_sql_rank("by_id")}) AS rank
    FROM word
    WHERE by_name LIKE $3 OR by_id LIKE $3
    ORDER BY rank, length(name), name, layer_id, id
    LIMIT $4
)
SELECT layer_id, id, name, properties->>'status' AS status, {TYPE} AS type, ST_X(place) AS lng, ST_Y(place) AS lat
FROM best JOIN feature USING (layer_id, id), LATERAL (SELECT ST_PointOnSurface(geometry) AS place) AS placed
ORDER BY rank, length(name), name, layer_id, id
"""  # noqa: S608 - of constants only


async def find(
    connection: AsyncConnection, layers: Sequence[LayerId], typed: str, *, limit: int, within_s: float = 10.0
) -> list[Found]:
    """Up to *limit* features of *layers* that answer what was *typed*: equals first, then beginnings, then the rest.

    It reads every name of those layers: an index of names would make each move of a unit write to it.
    Raises `Invalid` for what has no letter or digit, or too many, and `TimeoutError` when it takes longer than
    *within_s*: the statement is then cancelled.
    """
    wanted = folded(typed)
    if not wanted:
        raise Invalid("Expected a letter or a digit to look for.", code="query.q")
    if len(wanted) > MAX_TYPED:
        raise Invalid(f"Expected at most {MAX_TYPED} letters and digits to look for.", code="query.q")
    pattern = f"%{'%'.join(wanted)}%"
    rows = await (await driver(connection)).fetch(
        FIND, list(layers), wanted, pattern, limit, timeout=within_s
    )
    return [
        Found(
            LayerId(row["layer_id"]),
            FeatureId(row["id"]),
            row["name"],
            row["status"],
            row["type"],
            None if row["lng"] is None else (row["lng"], row["lat"]),
        )
        for row in rows
    ]
