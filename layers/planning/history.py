"""Reads what an analysis rests on as it was: the features near an area at an earlier moment, or at given revisions.

What has not changed since is read as it stands; what has changed, or is gone, from the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import LogTruncated
from layers.log import Head
from layers.model import Layer, LayerId
from layers.planning.generalized import MARGIN_M
from layers.planning.model import Geometry, Source
from layers.planning.reading import FIRST, Allowance, rows_of, sides_near, source_of

# The log has no index by time within a layer, but revisions are in the order in which they were received: some thirty
# halvings find the last by then. Where upkeep has left a hole, the row after it speaks for it.
HEAD_AT = """
WITH RECURSIVE log AS (
    SELECT epoch, revision AS last,
           coalesce((SELECT min(revision) FROM change WHERE layer_id = $1), revision + 1) AS first
    FROM layer WHERE id = $1
), search (low, high) AS (
    -- What is numbered up to low was received by then, what from high on was not.
    SELECT first - 1, last + 1 FROM log
    UNION ALL
    SELECT CASE WHEN probe.received_at <= $2 THEN probe.revision ELSE low END,
           CASE WHEN probe.received_at <= $2 THEN high ELSE (low + high) / 2 END
    FROM search CROSS JOIN LATERAL (
        SELECT revision, received_at FROM change
        WHERE layer_id = $1 AND revision >= (search.low + search.high) / 2
        ORDER BY revision LIMIT 1) AS probe
    WHERE high - low > 1
)
SELECT log.epoch, search.low AS revision, log.first
FROM log CROSS JOIN search ORDER BY search.high - search.low LIMIT 1
"""
LOG = """
SELECT epoch, revision, coalesce((SELECT min(revision) FROM change WHERE layer_id = $1), revision + 1) AS first
FROM layer WHERE id = $1
"""

# Of each feature that has changed since, or is gone since, the log is asked for the state before: by its track, which
# is in order of observation. That is the order of revisions too, but for an observation up to a minute ahead of our
# clock (`admission.MAX_SKEW_S`) whose feature was then deleted and made anew; so among those observed within two
# minutes the revision decides, and nothing observed later than that was known by then. “revision + 0” keeps the
# planner from walking back through the whole layer instead.
SOURCE_AT = """
WITH changed AS MATERIALIZED (
    SELECT id FROM feature WHERE layer_id = $1 AND revision > $8
    UNION
    SELECT feature_id FROM change WHERE layer_id = $1 AND revision > $8 AND op = 'gone'
), former AS MATERIALIZED (
    SELECT changed.id, state.*
    FROM changed
    LEFT JOIN LATERAL (
        SELECT change.observed_at FROM change
        WHERE change.layer_id = $1 AND change.feature_id = changed.id
          AND change.revision <= $8 AND change.op <> 'late'
          AND change.observed_at <= $9::timestamptz + interval '2 minutes'
          AND change.received_at <= $9::timestamptz + interval '2 minutes'
        ORDER BY change.observed_at DESC LIMIT 1) AS newest ON true
    LEFT JOIN LATERAL (
        SELECT change.op, change.geometry, change.properties, change.observed_at, change.expires_at FROM change
        WHERE change.layer_id = $1 AND change.feature_id = changed.id
          AND change.revision <= $8 AND change.op <> 'late'
          AND change.observed_at <= newest.observed_at
          AND change.observed_at >= newest.observed_at - interval '2 minutes'
          AND change.received_at <= $9::timestamptz + interval '2 minutes'
        ORDER BY change.revision + 0 DESC LIMIT 1) AS state ON true
), known AS (
    SELECT feature.id, feature.geometry, feature.properties, feature.observed_at, feature.expires_at,
           stored.ranges
    FROM feature
    LEFT JOIN coverage AS stored
        ON stored.layer_id = feature.layer_id AND stored.feature_id = feature.id AND get_byte(stored.ranges, 0) = $2
    WHERE feature.layer_id = $1 AND feature.revision <= $8
    UNION ALL
    SELECT id, geometry, properties, observed_at, expires_at, NULL FROM former WHERE op = 'put'
), near AS (
    SELECT id, properties::text AS properties, observed_at,
           CASE WHEN ST_GeometryType(geometry) = 'ST_Point' THEN ST_X(geometry) END AS lng,
           CASE WHEN ST_GeometryType(geometry) = 'ST_Point' THEN ST_Y(geometry) END AS lat,
           CASE WHEN ST_GeometryType(geometry) <> 'ST_Point' THEN ST_AsGeoJSON(geometry, 7, 0) END AS shape,
           ranges AS stored
    FROM known
    WHERE (expires_at IS NULL OR expires_at > $9)
      AND EXISTS (
          SELECT FROM unnest($3::float8[], $4::float8[], $5::float8[], $6::float8[]) AS box (west, south, east, north)
          WHERE geometry && ST_MakeEnvelope(west, south, east, north, 4326))
    LIMIT $7
)
SELECT near.*, held.unchanged + former.put AS held, former.missing
FROM (SELECT count(*) AS unchanged FROM feature WHERE layer_id = $1 AND revision <= $8) AS held
CROSS JOIN (
    SELECT count(*) FILTER (WHERE op = 'put') AS put, count(*) FILTER (WHERE op IS NULL) AS missing FROM former
) AS former
LEFT JOIN near ON true
"""


async def read_sources_at(
    connection: AsyncConnection,
    layers: Sequence[tuple[Layer, str]],
    area: Geometry,
    resolution: int,
    at: datetime,
    coarse: frozenset[LayerId] = frozenset(),
) -> tuple[tuple[Source, ...], list[str]]:
    """What each of *layers* (with its agency's slug) held near *area* at the moment *at*, as far as was known then.

    Of those that are to be made *coarse*, what lay MARGIN_M farther out as well.
    Known was what had been received by then; what had expired by then is left out. *at* is past, and within the log's
    history: who asks has seen to it. All is read at one moment if *connection* is a `Database.snapshot`. Also notes, a
    line each, on layers of which the log no longer holds everything. Raises `TooLarge` as `read_sources` does.
    """
    raw = await driver(connection)
    heads = [await raw.fetchrow(HEAD_AT, layer.id, at) for layer, _ in layers]
    return await _read(raw, layers, heads, area, resolution, at, coarse)


async def read_sources_of(
    connection: AsyncConnection,
    layers: Sequence[tuple[Layer, str]],
    heads: Sequence[Head],
    area: Geometry,
    resolution: int,
    at: datetime,
    coarse: frozenset[LayerId] = frozenset(),
) -> tuple[tuple[Source, ...], list[str]]:
    """The same as of given *heads*, one a layer; *at*, the moment of their reading, only tells what had expired.

    Raises `LogTruncated` where the log has begun anew since, or begins after the revision.
    """
    raw = await driver(connection)
    found = []
    for (layer, _), head in zip(layers, heads, strict=True):
        log = await raw.fetchrow(LOG, layer.id)
        if log["epoch"] != head.epoch or not log["first"] - 1 <= head.revision <= log["revision"]:
            raise LogTruncated(f"The log of {layer.name} no longer reaches back to revision {head.revision}.")
        found.append({"epoch": head.epoch, "revision": head.revision, "first": log["first"]})
    return await _read(raw, layers, found, area, resolution, at, coarse)


async def _read(
    raw: asyncpg.Connection,
    layers: Sequence[tuple[Layer, str]],
    heads: Sequence[Any],
    area: Geometry,
    resolution: int,
    at: datetime,
    coarse: frozenset[LayerId],
) -> tuple[tuple[Source, ...], list[str]]:
    allowance = Allowance()
    sources: list[Source] = []
    notes: list[str] = []
    for (layer, agency), head in zip(layers, heads, strict=True):
        revision, first = head["revision"], head["first"]
        sides = sides_near(layer, area, resolution, MARGIN_M if layer.id in coarse else 0.0)
        found = await raw.fetch(SOURCE_AT, layer.id, resolution, *sides, allowance.features + 1, revision, at)
        held, missing = found[0]["held"], found[0]["missing"]
        rows = rows_of([row for row in found if row["id"] is not None])
        allowance.take(rows)
        as_then = {"epoch": head["epoch"], "revision": revision, "features": held}
        source = source_of(layer, agency, rows, as_then)
        # Revision 0 of a log that holds its beginning: nothing had been heard yet, and the log says when it was.
        heard = await raw.fetchrow(FIRST, layer.id) if revision == 0 else None
        sources.append(replace(source, heard_since=None if heard is None else heard["received_at"]))
        # What the whole log does not name before was not there; of one that has lost its beginning, who knows.
        if missing and first > 1:
            notes.append(
                f"{layer.name}: up to {missing:,} features that were there then are missing, "
                f"for the log holds nothing before revision {first:,}."
            )
    return tuple(sources), notes
