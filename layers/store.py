"""Writing: feature, log and coverage of one layer in one transaction, under that layer's lock.

Only `publish` calls this. Every function takes the asyncpg connection of an open transaction that has
called `lock` first: the lock is what makes revisions gapless and in commit order, and a statement that
comes after it sees all that was committed before.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import asyncpg

from layers.model import Edit, FeatureId, LayerId, Why


class Verdict(StrEnum):
    """What became of one edit."""

    CREATED = "created"
    PUT = "put"
    UNCHANGED = "unchanged"
    LATE = "late"


_VERDICTS = {verdict.value: verdict for verdict in Verdict}


class Locked(NamedTuple):
    """A layer under lock: where its log ends, how much it holds, and the moment of the lock."""

    epoch: UUID
    revision: int
    features: int
    now: datetime


class Written(NamedTuple):
    """The verdict on each edit, in the order given, and the revision after the last."""

    verdicts: list[tuple[Verdict, int | None]]
    revision: int


class Known(NamedTuple):
    """A feature as a patch finds it; `geometry` and `properties` are JSON text."""

    geometry: str | None
    properties: str
    observed_at: datetime
    expires_at: datetime | None
    ranges: bytes | None
    """Its packed hexes, where they are stored."""


LOCK = """
SELECT epoch, revision, features, clock_timestamp() AS now FROM layer WHERE id = $1 FOR NO KEY UPDATE
"""


async def lock(raw: asyncpg.Connection, layer: LayerId) -> Locked:
    """Lock *layer* until the transaction ends; a second transaction waits here."""
    row = await raw.fetchrow(LOCK, layer)
    assert row is not None, "layers are never deleted"
    return Locked(*row)


async def read_for_merge(
    raw: asyncpg.Connection, layer: LayerId, ids: Iterable[FeatureId]
) -> dict[FeatureId, Known]:
    """The features named by *ids* as they stand under the lock; those that are not there are left out."""
    rows = await raw.fetch(
        """
        SELECT id, ST_AsGeoJSON(geometry, 7, 0) AS geometry, properties::text, observed_at, expires_at, ranges
        FROM feature LEFT JOIN coverage ON coverage.layer_id = $1 AND coverage.feature_id = feature.id
        WHERE feature.layer_id = $1 AND id = ANY($2::text[])
        """,
        layer,
        list(ids),
    )
    return {row["id"]: Known(*row[1:]) for row in rows}


async def lock_if_free(raw: asyncpg.Connection, layer: LayerId) -> Locked | None:
    """`lock`, or None where it would have to wait."""
    row = await raw.fetchrow(f"{LOCK} SKIP LOCKED", layer)
    return None if row is None else Locked(*row)


_PUT = """
WITH input AS MATERIALIZED (
    SELECT id, ewkb::geometry AS geometry, cell, properties::jsonb AS properties,
           coalesce(observed_at, $9) AS observed_at, observed_at IS NOT NULL AS stated,
           expires_at, coverage, position
    FROM unnest($2::text[], $3::bytea[], $4::bigint[], $5::text[], $6::timestamptz[], $7::timestamptz[],
                $8::bytea[]) WITH ORDINALITY
         AS t(id, ewkb, cell, properties, observed_at, expires_at, coverage, position)
), judged AS MATERIALIZED (
    SELECT input.id, input.geometry, input.cell, input.properties, input.expires_at, coverage, position,
        -- A time that is not stated is now, but never before one that a publisher's fast clock has stated.
        CASE WHEN stated THEN input.observed_at ELSE greatest(input.observed_at, feature.observed_at) END
            AS observed_at,
        CASE
            WHEN feature.id IS NULL AND
                 (input.expires_at <= $9 OR input.stated AND input.observed_at <= tombstone.gone_at) THEN 'late'
            WHEN feature.id IS NULL THEN 'created'
            WHEN input.stated AND input.observed_at < feature.observed_at THEN 'late'
            WHEN (CASE WHEN input.stated
                       THEN input.observed_at = feature.observed_at
                            AND input.expires_at IS NOT DISTINCT FROM feature.expires_at
                       ELSE feature.observed_at > $9 - $12::interval END)
                 AND input.properties = feature.properties
                 AND input.geometry IS NOT DISTINCT FROM feature.geometry THEN 'unchanged'
            WHEN input.expires_at <= $9 THEN 'late'
            ELSE 'put'
        END AS verdict
    FROM input
    -- LATERAL with LIMIT is one probe of the key for each edit, whatever the planner believes of the sizes:
    -- a plan made for many edits would read the whole layer for one.
    LEFT JOIN LATERAL (
        SELECT * FROM feature WHERE feature.layer_id = $1 AND feature.id = input.id LIMIT 1) AS feature ON true
    LEFT JOIN LATERAL (
        SELECT * FROM tombstone WHERE tombstone.layer_id = $1 AND tombstone.feature_id = input.id LIMIT 1
    ) AS tombstone ON true
), final AS MATERIALIZED (
    -- A late observation that the log holds already says nothing new either.
    SELECT judged.*,
        CASE WHEN verdict = 'late' AND EXISTS (
            SELECT FROM change
            WHERE change.layer_id = $1 AND change.feature_id = judged.id
              AND change.observed_at = judged.observed_at AND change.op IN ('put', 'late')
              AND change.properties = judged.properties
              AND change.geometry IS NOT DISTINCT FROM judged.geometry)
        THEN 'unchanged' ELSE verdict END AS outcome
    FROM judged
), numbered AS MATERIALIZED (
    SELECT final.*, $10 + row_number() OVER (ORDER BY position) AS revision
    FROM final WHERE outcome <> 'unchanged'
), logged AS (
    INSERT INTO change (layer_id, revision, received_at, feature_id, op, geometry, properties,
                        observed_at, expires_at, actor)
    SELECT $1, revision, $9, id, CASE WHEN outcome = 'late' THEN 'late' ELSE 'put' END, geometry, properties,
           observed_at, expires_at, $11
    FROM numbered
), stored AS (
    INSERT INTO feature (layer_id, id, geometry, cell, properties, observed_at, received_at, expires_at,
                         revision)
    SELECT $1, id, geometry, cell, properties, observed_at, $9, expires_at, revision
    FROM numbered WHERE outcome <> 'late'
    ON CONFLICT (layer_id, id) DO UPDATE SET
        geometry = excluded.geometry, cell = excluded.cell, properties = excluded.properties,
        observed_at = excluded.observed_at, received_at = excluded.received_at,
        expires_at = excluded.expires_at, revision = excluded.revision
{covered}), counted AS (
    UPDATE layer SET
        heard_at = $9,
        revision = $10 + (SELECT count(*) FROM numbered),
        features = features + (SELECT count(*) FROM numbered WHERE outcome = 'created'),
        next_expiry = least(next_expiry, (SELECT min(expires_at) FROM numbered WHERE outcome <> 'late'))
    WHERE id = $1
)
SELECT final.outcome, numbered.revision
FROM final LEFT JOIN numbered USING (position)
ORDER BY position
"""
_COVERED = """), covered AS (
    INSERT INTO coverage (layer_id, feature_id, ranges)
    SELECT $1, id, coverage FROM numbered WHERE outcome <> 'late' AND coverage IS NOT NULL
    ON CONFLICT (layer_id, feature_id) DO UPDATE SET ranges = excluded.ranges
), uncovered AS (
    DELETE FROM coverage USING numbered
    WHERE layer_id = $1 AND feature_id = numbered.id AND outcome <> 'late' AND numbered.coverage IS NULL
"""
PUT = _PUT.format(covered="")
PUT_COVERED = _PUT.format(covered=_COVERED)
"""For the kinds whose features cover ground; the others never touch the table."""


async def put(
    raw: asyncpg.Connection,
    layer: LayerId,
    edits: Sequence[Edit],
    *,
    revision: int,
    now: datetime,
    actor: str,
    repeat_within: timedelta,
    covers: bool,
) -> Written:
    """Judge and write *edits*, whose ids must be distinct; *revision* is where the log ends.

    One statement: an edit is `created`, `put`, `unchanged` (no revision taken), or `late` (older than
    what is known, already expired, or from before a deletion: logged, but not on the picture). An edit
    without a time that says what was observed less than *repeat_within* ago is a repeat; later than that
    it is a new observation, which keeps a feed without clocks from growing stale.
    """
    columns = [list(column) for column in zip(*edits, strict=True)][:7]
    rows = await raw.fetch(
        PUT_COVERED if covers else PUT, layer, *columns, now, revision, actor, repeat_within
    )
    verdicts = [(_VERDICTS[row["outcome"]], row["revision"]) for row in rows]
    return Written(verdicts, revision + sum(1 for verdict, _ in verdicts if verdict != Verdict.UNCHANGED))


GONE = """
WITH doomed AS MATERIALIZED (
    SELECT feature.*, $4 + row_number() OVER (ORDER BY id) AS next_revision
    FROM feature WHERE layer_id = $1 AND {condition}
), deleted AS (
    DELETE FROM feature USING doomed WHERE feature.layer_id = $1 AND feature.id = doomed.id
), uncovered AS (
    DELETE FROM coverage USING doomed WHERE coverage.layer_id = $1 AND coverage.feature_id = doomed.id
), buried AS (
    INSERT INTO tombstone (layer_id, feature_id, gone_at)
    -- What was deleted is gone from now on; what expired, only in the state that was known.
    SELECT $1, id, CASE WHEN $5 = 'expired' THEN observed_at ELSE $3 END FROM doomed
    ON CONFLICT (layer_id, feature_id) DO UPDATE SET gone_at = excluded.gone_at
), logged AS (
    INSERT INTO change (layer_id, revision, received_at, feature_id, op, why, geometry, properties,
                        observed_at, expires_at, actor)
    SELECT $1, next_revision, $3, id, 'gone', $5, geometry, properties, observed_at, expires_at, $6
    FROM doomed
), counted AS (
    UPDATE layer SET revision = $4 + (SELECT count(*) FROM doomed),
                     features = features - (SELECT count(*) FROM doomed)
    WHERE id = $1
)
SELECT id FROM doomed ORDER BY next_revision
"""
GONE_NAMED = GONE.format(condition="id = ANY($2::text[])")
GONE_UNNAMED = GONE.format(
    condition="NOT EXISTS (SELECT FROM unnest($2::text[]) AS kept (id) WHERE kept.id = feature.id)"
)
GONE_EXPIRED = GONE.format(condition="expires_at <= $3 AND $2::text[] IS NULL")


async def remove(
    raw: asyncpg.Connection,
    layer: LayerId,
    ids: Iterable[FeatureId],
    *,
    revision: int,
    now: datetime,
    actor: str,
    others: bool = False,
) -> list[FeatureId]:
    """Take away the features that *ids* names, or all *others*; each that was there takes a revision.

    Returns those that went.
    """
    statement, why = (GONE_UNNAMED, Why.REPLACED) if others else (GONE_NAMED, Why.DELETED)
    rows = await raw.fetch(statement, layer, list(ids), now, revision, why, actor)
    return [row["id"] for row in rows]


async def expire(raw: asyncpg.Connection, layer: LayerId, *, revision: int, now: datetime) -> list[FeatureId]:
    """Take away every feature whose `expires_at` has passed, and note when the next one will."""
    rows = await raw.fetch(GONE_EXPIRED, layer, None, now, revision, Why.EXPIRED, "expiry")
    await raw.execute(
        """
        UPDATE layer SET next_expiry = (SELECT min(expires_at) FROM feature WHERE layer_id = $1)
        WHERE id = $1
        """,
        layer,
    )
    return [row["id"] for row in rows]
