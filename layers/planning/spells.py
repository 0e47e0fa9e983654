"""Reads how the features near an area have stood during a window of time, and makes spells of it.

The log says how they stood, from when each state was received until the next; what stands now goes on as it stands,
within its shift, until it expires. So the past, the future and what lies between are read alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, NamedTuple

import asyncpg
import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.admission import MAX_SKEW_S
from layers.database import driver
from layers.errors import TooLarge
from layers.hexes import Field, Hexes
from layers.log import Head
from layers.model import BBox, FeatureId, Layer
from layers.planning.coverage import streets_of
from layers.planning.ground import boxes_near, grounds, hexes_errors
from layers.planning.judging import counts_during
from layers.planning.model import Case, Geometry, Row, Rule, Source
from layers.planning.reading import FIRST, HEAD, sides_near, source_of
from layers.planning.streets import RESOLUTION, Streets
from layers.planning.timeline import Spell, Window, micros, moment_of

MAX_STATES = 100_000
"""States that one timeline reads: two days of 300 buses that report every two minutes."""
MAX_STATE_BYTES = 64_000_000
"""Properties and shapes of them; those of the usual size come to half of it."""


class State(NamedTuple):
    """A feature as it stood from *begin*, which is part of it, until *end*, which is not, or until further notice."""

    row: Row
    begin: datetime
    end: datetime | None


@dataclass(frozen=True, slots=True)
class History:
    """What one layer brings to a timeline, as it was read."""

    source: Source
    """The layer without rows, as of the moment of the reading."""
    states: tuple[State, ...]
    """Those near the area during the window, by feature and time."""
    since: datetime | None
    """From when on the log tells all; None: from the layer's beginning."""


class Reading(NamedTuple):
    """An earlier reading of some layers: when it was, and as of which revision of each."""

    at: datetime
    heads: Sequence[Head]


# What stood when the window begins is, of a feature that has not changed since, what stands now; of any other the
# newest change from before: looked up by the feature, so OFFSET keeps the planner from walking back through the log of
# the whole layer. A state ends with the feature's next change, wherever that moved it: so the chain is made first.
# Nothing beyond a revision is known: that of now, or of the reading that is made again.
STATES = """
WITH candidate AS MATERIALIZED (
    SELECT id FROM feature WHERE layer_id = $1 AND received_at > $7
    UNION
    SELECT feature_id FROM change WHERE layer_id = $1 AND op = 'gone' AND received_at > $7
    UNION
    SELECT id FROM feature WHERE layer_id = $1 AND revision > $11
    UNION
    SELECT feature_id FROM change WHERE layer_id = $1 AND op = 'gone' AND revision > $11
), logged AS (
    SELECT before.* FROM candidate CROSS JOIN LATERAL (
        SELECT * FROM (
            SELECT feature_id, revision, op, geometry, properties, observed_at, received_at, expires_at FROM change
            WHERE layer_id = $1 AND feature_id = candidate.id AND op <> 'late'
              AND received_at <= $7 AND received_at > $9 AND revision <= $11
            OFFSET 0) AS known
        ORDER BY revision DESC LIMIT 1) AS before
    UNION ALL
    SELECT feature_id, revision, op, geometry, properties, observed_at, received_at, expires_at FROM change
    WHERE layer_id = $1 AND op <> 'late' AND received_at > $7 AND received_at < $8 AND revision <= $11
), chained AS (
    SELECT *, lead(received_at) OVER (PARTITION BY feature_id ORDER BY revision) AS followed_at FROM logged
), state AS (
    SELECT feature_id AS id, properties, observed_at, geometry, NULL::bytea AS ranges, received_at,
           least(followed_at, expires_at) AS ends_at
    FROM chained WHERE op = 'put'
    UNION ALL
    SELECT id, properties, observed_at, geometry, stored.ranges, received_at, expires_at
    FROM feature
    LEFT JOIN coverage AS stored
        ON stored.layer_id = $1 AND stored.feature_id = feature.id AND get_byte(stored.ranges, 0) = $2
    WHERE feature.layer_id = $1 AND received_at <= $7 AND feature.revision <= $11
)
SELECT id, properties::text AS properties, observed_at,
       CASE WHEN is_point THEN ST_X(geometry) END AS lng,
       CASE WHEN is_point THEN ST_Y(geometry) END AS lat,
       CASE WHEN NOT is_point THEN ST_AsGeoJSON(geometry, 7, 0) END AS shape,
       ranges AS stored, received_at, ends_at
FROM state CROSS JOIN LATERAL (SELECT GeometryType(geometry) = 'POINT' AS is_point) AS kind
WHERE (ends_at IS NULL OR ends_at > greatest($7, received_at))
  AND EXISTS (
      SELECT FROM unnest($3::float8[], $4::float8[], $5::float8[], $6::float8[]) AS box (west, south, east, north)
      WHERE geometry && ST_MakeEnvelope(west, south, east, north, 4326))
ORDER BY id, received_at
LIMIT $10
"""


async def read_histories(
    connection: AsyncConnection,
    layers: Sequence[tuple[Layer, str]],
    area: Geometry,
    resolution: int,
    window: Window,
    rule: Rule,
    reading: Reading | None = None,
) -> tuple[History, ...]:
    """How what each of *layers* (with its agency's slug) holds near *area* stands during *window*.

    As it is known now, or was at an earlier *reading*. All of one moment if *connection* is a `Database.snapshot`.
    Raises `TooLarge` (`timeline.too_many_states`) beyond MAX_STATES or MAX_STATE_BYTES. Of units that grow stale only
    what may still count is read. What the viewer may see is the caller's to have settled.
    """
    raw = await driver(connection)
    now: datetime = await raw.fetchval("SELECT now()") if reading is None else reading.at
    begin, end = moment_of(window.begin_us), moment_of(window.end_us)
    histories: list[History] = []
    left, left_bytes = MAX_STATES, MAX_STATE_BYTES
    for number, (layer, agency) in enumerate(layers):
        heard = _heard_since(layer, begin, rule)
        sides = sides_near(layer, area, resolution)
        head = dict(await raw.fetchrow(HEAD, layer.id))
        if reading is not None:
            head["revision"] = reading.heads[number].revision
        bounds = begin, end, heard, left + 1, head["revision"]
        found = await raw.fetch(STATES, layer.id, resolution, *sides, *bounds)
        left -= len(found)
        left_bytes -= sum(len(row["properties"]) + len(row["shape"] or "") for row in found)
        if left < 0 or left_bytes < 0:
            detail = (
                f"More than {MAX_STATES:,} states, or {MAX_STATE_BYTES:,} bytes of them, lie near the area in that "
                "time: name fewer layers, or take a smaller area or a shorter window."
            )
            raise TooLarge(detail, code="timeline.too_many_states")
        states = tuple(_state_of(row) for row in found)
        heard_since, told_since = await _since(raw, layer, head["revision"], now)
        source = replace(source_of(layer, agency, (), head), as_of=now, heard_since=heard_since)
        histories.append(History(source, states, told_since))
    return tuple(histories)


def _state_of(row: asyncpg.Record) -> State:
    fields = len(Row._fields)
    return State(Row(FeatureId(row["id"]), *row[1:fields]), row["received_at"], row["ends_at"])


async def _since(
    raw: asyncpg.Connection, layer: Layer, revision: int, now: datetime
) -> tuple[datetime | None, datetime | None]:
    """When *layer* was first heard of, if the log still says it; and from when on a log tells all that does not."""
    first = await raw.fetchrow(FIRST, layer.id)
    if revision == 0:
        return None, None
    if first is None:
        return None, now
    received_at: datetime = first["received_at"]
    return (None, received_at) if first["revision"] > 1 else (received_at, None)


def _heard_since(layer: Layer, begin: datetime, rule: Rule) -> datetime:
    """What was received before, of this layer, is stale when the window begins."""
    if layer.kind != "units" or rule.stale_counts:
        return datetime.min.replace(tzinfo=begin.tzinfo)
    return begin - timedelta(seconds=layer.rules.stale_after_s + MAX_SKEW_S)


def known_us(histories: Sequence[History], window: Window) -> int | None:
    """From when on, during *window*, anything was known of any of *histories*; None if it never was.

    Where no layer was asked for there is nothing to know.
    """
    if not histories:
        return window.begin_us
    since = [_known_us(each.source, window) for each in histories]
    return min((each for each in since if each is not None and each < window.end_us), default=None)


def _known_us(source: Source, window: Window) -> int | None:
    if source.known_at(moment_of(window.begin_us)):
        return window.begin_us
    return None if source.heard_since is None else micros(source.heard_since)


def sources_at(histories: Iterable[History], at: datetime) -> tuple[Source, ...]:
    """What stood at the moment *at*, which lies in the window: the sources of an analysis of that moment."""
    return tuple(
        replace(
            each.source,
            rows=tuple(
                state.row
                for state in each.states
                if state.begin <= at and (state.end is None or at < state.end)
            ),
        )
        for each in histories
    )


def case_at(case: Case, histories: Iterable[History], at: datetime) -> Case:
    """The question of *case* asked of the moment *at*, which lies in the window."""
    return replace(case, at=at, sources=sources_at(histories, at))


def spells_of(histories: Iterable[History], field: Field, case: Case, window: Window) -> list[Spell]:
    """When, during *window*, the features of *histories* count as cover of *field* by the rule of *case*, and where."""
    boxes = boxes_near(case.area, 0.0, case.resolution)
    spells: list[Spell] = []
    with hexes_errors():
        streets = None if case.roads is None else streets_of(case.roads, max(case.resolution, RESOLUTION))
        for history in histories:
            duties = _duties(history, case.rule, window)
            spells += _spells_of_one(history.source, duties, field, boxes, case.rule, streets)
    return spells


class _Duty(NamedTuple):
    """A state that counts during the window."""

    row: Row
    stated: dict[str, Any]
    begin_us: int
    end_us: int


def _spells_of_one(
    source: Source,
    duties: Sequence[_Duty],
    field: Field,
    boxes: Sequence[BBox],
    rule: Rule,
    streets: Streets | None,
) -> list[Spell]:
    # Whoever stands still, or says again what it said before, covers the same ground: it is made once.
    number: dict[tuple[object, ...], int] = {}
    at = [number.setdefault(_ground_key(each), len(number)) for each in duties]
    first = dict(zip(reversed(at), reversed(duties), strict=True))
    different = [first[each] for each in range(len(number))]
    rows, stated = [each.row for each in different], [each.stated for each in different]
    made = grounds(source, rows, stated, boxes, field.area.resolution, rule, streets)
    nothing = Hexes.empty(field.area.resolution)
    spans = field.spans_each([nothing if ground is None else ground.hexes for ground in made])
    return [
        Spell((source.layer, duty.row.id), source.agency, duty.begin_us, duty.end_us, spans[each])
        for duty, each in zip(duties, at, strict=True)
        if len(spans[each])
    ]


def _ground_key(duty: _Duty) -> tuple[object, ...]:
    row = duty.row
    return row.lng, row.lat, row.shape, row.stored, duty.stated.get("reach_m")


def _duties(history: History, rule: Rule, window: Window) -> list[_Duty]:
    found = (_on_duty(state, history.source, rule, window) for state in history.states)
    return [duty for duty in found if duty is not None]


def _on_duty(state: State, source: Source, rule: Rule, window: Window) -> _Duty | None:
    stated: dict[str, Any] = orjson.loads(state.row.properties)
    counted = counts_during(stated, state.row.observed_at, source, rule)
    if counted is None:
        return None
    begins, ends = (
        [each for each in pair if each is not None] for pair in zip(state[1:], counted, strict=True)
    )
    begin_us = max([window.begin_us, *map(micros, begins)])
    end_us = min([window.end_us, *map(micros, ends)])
    return _Duty(state.row, stated, begin_us, end_us) if begin_us < end_us else None
