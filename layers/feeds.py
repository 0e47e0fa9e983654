"""How feeds do: how fast their logs grow, how late their news is, what was refused, and how many follow them.

What only one process knows (refusals, viewers) it writes down every few seconds; the tables are small and unlogged.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import NamedTuple
from uuid import UUID

import orjson
from sqlalchemy.ext.asyncio import AsyncConnection

from layers.database import driver
from layers.errors import Forbidden, LayersError, PushRejected, Unavailable
from layers.model import AgencyId, LayerId, Rejection

WINDOW_S = 60.0
SAMPLES = 100
"""Changes of a layer's last minute that its lag is told from, evenly spread over its revisions."""
DETAIL_CHARACTERS = 500

Subscribers = dict[LayerId, Counter[AgencyId | None]]
"""Viewers by layer and agency; None: the public."""


class Pace:
    """How far each log was within the last minute, by a monotonic clock; `note` it about once a second."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, dict[LayerId, int]]] = deque()

    def note(self, revisions: Mapping[LayerId, int], at_s: float) -> None:
        """Remember where each log ends now. What is older than a minute is forgotten."""
        self._readings.append((at_s, dict(revisions)))
        while len(self._readings) > 1 and at_s - self._readings[1][0] >= WINDOW_S:
            self._readings.popleft()

    def before(self, layer: LayerId, at_s: float) -> tuple[float, int] | None:
        """How many seconds ago the oldest reading of *layer* was, about a minute at the most, and its revision."""
        for read_at_s, revisions in self._readings:
            if layer in revisions:
                return at_s - read_at_s, revisions[layer]
        return None

    def rate(self, layer: LayerId, revision: int, at_s: float) -> float | None:
        """Changes a second since the oldest reading; None within the first second, or if the log began anew."""
        then = self.before(layer, at_s)
        if then is None or then[0] < 1 or then[1] > revision:
            return None
        return (revision - then[1]) / then[0]

    def sample(self, layer: LayerId, revision: int, at_s: float) -> list[int]:
        """Revisions of the last minute up to *revision*, at most `SAMPLES`, evenly spread.

        A process that has not watched for a minute yet takes the last ones.
        """
        then = self.before(layer, at_s)
        first = revision - SAMPLES if then is None else then[1]
        if then is not None and then[0] < WINDOW_S:
            first = min(first, revision - SAMPLES)
        first = min(max(first, 0), revision)
        count = min(revision - first, SAMPLES)
        return [revision - (revision - first) * step // count for step in range(count)] if count else []


class Lag(NamedTuple):
    """From observation to receipt, in seconds."""

    median_s: float
    p95_s: float


LAGS = """
SELECT asked.layer_id,
       percentile_cont(ARRAY[0.5, 0.95]) WITHIN GROUP (ORDER BY extract(epoch FROM received_at - observed_at)) AS lags
FROM unnest($1::int[], $2::bigint[]) AS asked (layer_id, revision)
-- LATERAL with LIMIT is one probe of the key for each revision, whatever the planner believes of the sizes; the
-- time leaves the partitions of other days out.
CROSS JOIN LATERAL (
    SELECT received_at, observed_at FROM change
    WHERE change.layer_id = asked.layer_id AND change.revision = asked.revision AND change.op <> 'gone'
      AND change.received_at > now() - interval '1 minute'
    LIMIT 1) AS found
GROUP BY asked.layer_id
"""


async def read_lags(
    connection: AsyncConnection, sampled: Mapping[LayerId, Sequence[int]]
) -> dict[LayerId, Lag]:
    """The lag of each layer by the revisions *sampled*; those older than a minute do not count."""
    pairs = [(layer, revision) for layer, revisions in sampled.items() for revision in revisions]
    columns = [list(column) for column in zip(*pairs, strict=True)] or [[], []]
    rows = await (await driver(connection)).fetch(LAGS, *columns)
    return {LayerId(row["layer_id"]): Lag(*map(float, row["lags"])) for row in rows}


@dataclass(frozen=True, slots=True)
class Refused:
    """What was refused of one layer since a moment, and the last of it."""

    features: int
    """A body that cannot be read at all counts as one."""
    since: datetime
    last_at: datetime
    last_code: str
    last_pointer: str
    last_detail: str

    def and_then(self, later: Refused) -> Refused:
        """Both together."""
        return replace(later, features=self.features + later.features, since=self.since)


class Refusals:
    """What this process has refused and not yet written down: one record a layer, however much it was."""

    def __init__(self) -> None:
        self._by_layer: dict[LayerId, Refused] = {}

    def note(self, layer: LayerId, rejections: Sequence[Rejection]) -> None:
        """Count *rejections*, if there are any."""
        if rejections:
            last = rejections[-1]
            self._add(layer, _refused(len(rejections), last.code, last.pointer, last.detail))

    @contextmanager
    def noting(self, layer: LayerId) -> Iterator[None]:
        """Count what is raised in the block and is the sender's fault; what the door refused, it has counted itself."""
        try:
            yield
        except (PushRejected, Forbidden, Unavailable):
            raise
        except LayersError as error:
            self._add(layer, _refused(1, error.code, error.pointer, error.detail))
            raise

    def take(self) -> dict[LayerId, Refused]:
        """What has come together, to be written down."""
        taken, self._by_layer = self._by_layer, {}
        return taken

    def give_back(self, taken: Mapping[LayerId, Refused]) -> None:
        """It could not be written."""
        later, self._by_layer = self._by_layer, dict(taken)
        for layer, refused in later.items():
            self._add(layer, refused)

    def _add(self, layer: LayerId, refused: Refused) -> None:
        before = self._by_layer.get(layer)
        self._by_layer[layer] = refused if before is None else before.and_then(refused)


def _refused(features: int, code: str, pointer: str, detail: str) -> Refused:
    now = datetime.now(UTC)
    return Refused(features, now, now, code, _storable(pointer), _storable(detail))


def _storable(text: str) -> str:
    """*text* as the database takes it: of bounded length, without NUL and lone surrogates."""
    cut = text[:DETAIL_CHARACTERS].replace("\0", "\N{SYMBOL FOR NULL}")
    return cut.encode(errors="replace").decode()


async def write_refusals(connection: AsyncConnection, refusals: Mapping[LayerId, Refused]) -> None:
    """Add *refusals* to what all processes have written."""
    if not refusals:
        return
    # In one order everywhere: two processes would wait for each other otherwise.
    rows = [
        (layer, r.since, r.features, r.last_at, r.last_code, r.last_pointer, r.last_detail)
        for layer, r in sorted(refusals.items())
    ]
    await (await driver(connection)).execute(
        """
        INSERT INTO feed_refusal AS kept
            (layer_id, since, features, last_at, last_code, last_pointer, last_detail)
        SELECT * FROM unnest($1::int[], $2::timestamptz[], $3::bigint[], $4::timestamptz[], $5::text[],
                             $6::text[], $7::text[])
        ON CONFLICT (layer_id) DO UPDATE SET
            features = kept.features + excluded.features,
            since = least(kept.since, excluded.since),
            last_at = greatest(kept.last_at, excluded.last_at),
            (last_code, last_pointer, last_detail) = (
                SELECT newest.code, newest.pointer, newest.detail
                FROM (VALUES (kept.last_at, kept.last_code, kept.last_pointer, kept.last_detail),
                             (excluded.last_at, excluded.last_code, excluded.last_pointer, excluded.last_detail))
                     AS newest (at, code, pointer, detail)
                ORDER BY at DESC LIMIT 1)
        """,
        *(list(column) for column in zip(*rows, strict=True)),
    )


async def read_refusals(connection: AsyncConnection) -> dict[LayerId, Refused]:
    """What has been refused of each layer, as far as it is written down."""
    rows = await (await driver(connection)).fetch(
        "SELECT layer_id, features, since, last_at, last_code, last_pointer, last_detail FROM feed_refusal"
    )
    return {LayerId(row["layer_id"]): Refused(*row[1:]) for row in rows}


async def write_worker(connection: AsyncConnection, worker: UUID, subscribers: Subscribers) -> None:
    """Say that this process lives, and who follows what in it; forget processes that have not said so of late."""
    counts = {
        str(layer): {str(agency or 0): count for agency, count in by_agency.items()}
        for layer, by_agency in subscribers.items()
    }
    raw = await driver(connection)
    await raw.execute(
        """
        INSERT INTO worker (id, seen_at, subscribers) VALUES ($1, clock_timestamp(), $2::jsonb)
        ON CONFLICT (id) DO UPDATE SET seen_at = excluded.seen_at, subscribers = excluded.subscribers
        """,
        worker,
        orjson.dumps(counts).decode(),
    )
    await raw.execute("DELETE FROM worker WHERE seen_at < clock_timestamp() - interval '1 minute'")


async def remove_worker(connection: AsyncConnection, worker: UUID) -> None:
    """This process is about to end."""
    await (await driver(connection)).execute("DELETE FROM worker WHERE id = $1", worker)


async def read_subscribers(connection: AsyncConnection, *, besides: UUID) -> Subscribers:
    """Who follows what in all processes that live, but for the one of that id."""
    rows = await (await driver(connection)).fetch(
        """
        SELECT subscribers::text AS subscribers FROM worker
        WHERE seen_at > clock_timestamp() - interval '15 seconds' AND id <> $1
        """,
        besides,
    )
    return together(
        {
            LayerId(int(layer)): Counter(
                {AgencyId(int(agency)) or None: count for agency, count in by_agency.items()}
            )
            for layer, by_agency in orjson.loads(row["subscribers"]).items()
        }
        for row in rows
    )


def together(counts: Iterable[Subscribers]) -> Subscribers:
    """The sum of what several processes count."""
    total: Subscribers = {}
    for each in counts:
        for layer, by_agency in each.items():
            total.setdefault(layer, Counter()).update(by_agency)
    return total
