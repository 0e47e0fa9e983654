"""Watched analyses: kept up to date with the log, their gaps published as a layer, an alert raised when a rule breaks.

One process of the deployment watches at a time, by an advisory lock; another takes over when it goes. The work is
done in a process of its own, so that the stream never waits for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic

import orjson
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.analysts import Analysts
from cop.auth import Access
from cop.planning import watch_work
from cop.planning.desk import NotLoaded
from cop.planning.question import parse_question
from cop.planning.settling import settle
from cop.planning.watch_work import Found, News
from layers.commit import Mode
from layers.credentials import Standing
from layers.database import Database
from layers.directory import Directories, Directory
from layers.errors import Conflict, LayersError, LogTruncated, NotFound
from layers.log import Doorbell, read_after, read_heads
from layers.model import Change, FeatureId, JsonObject, Layer, LayerId, LayerName, Op, Scope, Viewer
from layers.planning.judging import moment
from layers.planning.model import Row
from layers.planning.watches import Watch, read_watched
from layers.publish import Publisher
from layers.query import read_feature

logger = logging.getLogger("cop.watch")

WATCH_LOCK = 0x636F70_03
PACE_S = 0.5
"""Rounds are so far apart, so that what is published is about as old at the most."""
LOOK_S = 5.0
"""How often a process that does not watch tries to; whoever does has gone, perhaps."""
REFRESH_S = 15.0
"""Gaps and alerts are said again so often even if nothing changes: layers of theirs grow stale after a minute."""
MOST_CELLS = 100_000
"""Of the area of one watch, some ten thousand km² at resolution 9. Its gaps are drawn anew at each change, and five
watches of five million cells let all others wait for more than a minute."""
BATCH = 5_000
"""Changes of one layer that are read in one round."""
RETRY_S = (0.5, 60.0)
"""What cannot be watched is tried again so soon, and each time later, up to so late: it may cost 30 s to fail."""
STALE_AFTER_S = 60
"""Of the layers that a watch publishes to: what is not said again is marked as not to be trusted."""


@dataclass(slots=True, eq=False)
class Active:
    """A watch that is under way."""

    watch: Watch
    viewer: Viewer
    cursors: dict[LayerId, int]
    """The revision of each input that its coverage is as of."""
    names: dict[LayerId, LayerName]
    published_at: float = 0.0
    """When its gaps were last said, by `monotonic`."""
    broken_since: datetime | None = None
    """Since when its rule is broken; None while it holds."""
    alerted: bool | None = None
    """Whether the alert was said to be active; None before anything was said."""


@dataclass(frozen=True, slots=True)
class Failed:
    """An analysis that could not be watched."""

    version: str
    times: int
    again_at: float
    """By `monotonic`."""


@dataclass(slots=True, eq=False)
class Watcher:
    """Watches for one process; `running` does it for as long as it is open."""

    database: Database
    publisher: Publisher
    url: str
    analyst: Analysts = field(default_factory=lambda: Analysts(processes=1))
    directories: Directories = field(default_factory=Directories)
    active: dict[int, Active] = field(default_factory=dict)
    failed: dict[int, Failed] = field(default_factory=dict)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Watch whenever no other process does."""
        task = asyncio.create_task(self._forever())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            self.analyst.close()

    async def _forever(self) -> None:
        while True:
            try:
                async with self.database.connect() as connection:
                    await connection.execution_options(isolation_level="AUTOCOMMIT")
                    # Held for as long as the connection is: it ends with its process, however that ended.
                    if await connection.scalar(
                        text("SELECT pg_try_advisory_lock(:lock)"), {"lock": WATCH_LOCK}
                    ):
                        await self._lead(connection)
            except Exception as error:  # noqa: BLE001 - the database may be away; what is watched stays watched
                logger.warning("watching failed, will try again: %s: %s", type(error).__name__, error)
            await asyncio.sleep(LOOK_S)

    async def _lead(self, holder: AsyncConnection) -> None:
        """Watch until the database is lost."""
        self.active, self.failed = {}, {}
        async with Doorbell(self.url) as bell:
            policy = -1
            try:
                while True:
                    begun = monotonic()
                    await holder.execute(
                        text("SELECT")
                    )  # Without the lock's connection another watches by now.
                    policy = await self._round(policy)
                    await bell.wait(1.0)
                    await asyncio.sleep(max(0.0, PACE_S - (monotonic() - begun)))
            finally:
                # Back in the pool the connection would go on holding the lock.
                with suppress(Exception):
                    await holder.invalidate()

    async def _round(self, policy: int) -> int:
        """Bring every watch up to date; the policy's revision that they are judged by."""
        async with self.database.connect() as connection:
            watched = {watch.id: watch for watch in await read_watched(connection)}
            heads = await read_heads(connection) if watched or self.active else None
            known = await self.directories.at(connection, heads.policy_revision) if heads else None
        if heads is None or known is None:
            return policy
        for id in [id for id in self.active if id not in watched]:
            await self._end(known, id)
        if heads.policy_revision != policy:
            self.active.clear()
            self.failed.clear()
        moved = {layer: head.revision for layer, head in heads.layers.items()}
        for watch in watched.values():
            await self._bring_up_to_date(known, watch, moved, heads.now)
        return heads.policy_revision

    async def _bring_up_to_date(
        self, directory: Directory, watch: Watch, moved: dict[LayerId, int], now: datetime
    ) -> None:
        """Begin *watch*, or go on with it. Whatever becomes of it, it is no trouble to the others."""
        active, failed = self.active.get(watch.id), self.failed.get(watch.id)
        if failed is not None and failed.version == watch.version and monotonic() < failed.again_at:
            return
        try:
            if active is None or active.watch.version != watch.version:
                await self._begin(directory, watch)
            else:
                await self._update(directory, active, moved, now)
        except (NotLoaded, LogTruncated):
            self.active.pop(watch.id, None)  # The next round begins anew.
        except Exception as error:
            # Of one agency's analysis, whatever it is: the alerts of the others are not to wait for it.
            told = None if isinstance(error, LayersError) else error
            logger.warning("the analysis “%s” cannot be watched now: %s", watch.name, error, exc_info=told)
            self.active.pop(watch.id, None)
            times = 1 if failed is None else failed.times + 1
            soon, late = RETRY_S
            wait = min(soon * 2 ** min(times, 10), late)
            self.failed[watch.id] = Failed(watch.version, times, monotonic() + wait)
        else:
            self.failed.pop(watch.id, None)

    async def _begin(self, directory: Directory, watch: Watch) -> None:
        agency = directory.agencies[watch.agency]
        scopes = frozenset({Scope.PLAN, Scope.VIEW, Scope.PUBLISH})
        viewer = Viewer(agency.id, scopes, f"analysis {watch.name}", agency.host)
        access = Access(directory, Standing(viewer, directory.policy_revision))
        async with self.database.snapshot() as connection:
            settled = await settle(
                connection, access, parse_question(watch.question), most_cells=MOST_CELLS, exact=True
            )
        if (status := directory.layers[watch.gaps].status) != settled.status:
            # The question was replaced since. What is played never goes into the layers of what is real.
            detail = f"Its gaps are published as {status}, and it is {settled.status} now: watch it anew."
            raise Conflict(detail, code="watch.status")
        by_name = {layer.name: layer.id for layer in directory.layers.values()}
        sources = settled.case.sources
        active = Active(
            watch,
            viewer,
            {by_name[source.layer]: source.revision for source in sources},
            {by_name[source.layer]: source.layer for source in sources},
        )
        async with self.database.connect() as connection:
            active.broken_since = await _broken_since(connection, watch)
        async with self.analyst.turn():
            found = await self.analyst.run(watch_work.begin, watch.id, settled.case)
        self.active[watch.id] = active
        await self._publish(directory, active, found)

    async def _update(
        self, directory: Directory, active: Active, moved: dict[LayerId, int], now: datetime
    ) -> None:
        news = []
        async with self.database.connect() as connection:
            for layer, cursor in active.cursors.items():
                if moved.get(layer, cursor) > cursor:
                    changes = await read_after(connection, layer, cursor, limit=BATCH)
                    if changes:
                        news.append(news_of(active.names[layer], changes))
                        active.cursors[layer] = changes[-1].revision
        due = monotonic() - active.published_at > REFRESH_S
        async with self.analyst.turn():
            found = await self.analyst.run(_update, active.watch.id, news, now, due)
        if found.features is not None:
            await self._publish(directory, active, found)

    async def _publish(self, directory: Directory, active: Active, found: Found) -> None:
        """Say the gaps as they are now, and the alert if its rule has broken, holds again, or is to be said again."""
        watch = active.watch
        gaps, alerts = directory.layers[watch.gaps], directory.layers[watch.alerts]
        await self._push(active.viewer, gaps, found.features or (), Mode.REPLACE)
        holds = found.covered_share >= watch.covered_share_at_least - 1e-9
        healed = holds and active.broken_since is not None
        active.broken_since = None if holds else active.broken_since or datetime.now(UTC)
        if not holds or active.alerted is not False:
            await self._push(active.viewer, alerts, [alert_of(active, found, healed=healed)], Mode.PUT)
            active.alerted = not holds
        active.published_at = monotonic()

    async def _push(self, viewer: Viewer, layer: Layer, features: Sequence[JsonObject], mode: Mode) -> None:
        items = [(f"/features/{at}", feature) for at, feature in enumerate(features)]
        receipt = await self.publisher.push(viewer, layer, items, mode=mode, lenient=True, allow_empty=True)
        for rejection in receipt.rejected:
            logger.warning("%s does not take what its watch says: %s", layer.name, rejection.detail)

    async def _end(self, directory: Directory, id: int) -> None:
        """Let go of a watch. Its end was said already, but a round that was under way may have said gaps after that."""
        active = self.active.pop(id)
        gaps, alerts = directory.layers[active.watch.gaps], directory.layers[active.watch.alerts]
        await self._push(active.viewer, gaps, (), Mode.REPLACE)
        await self._push(active.viewer, alerts, [ended_alert(active.watch)], Mode.PUT)
        async with self.analyst.turn():
            await self.analyst.run(watch_work.end, id)


def _update(id: int, news: Sequence[News], at: datetime, whole: bool) -> Found:
    return watch_work.update(id, news, at, whole=whole)


def news_of(layer: LayerName, changes: Sequence[Change]) -> News:
    """What *changes* of one layer come to: the newest state of each feature, or that it is gone."""
    newest: dict[FeatureId, Change] = {
        change.feature_id: change for change in changes if change.op is not Op.LATE
    }
    rows = tuple(_row(change) for change in newest.values() if change.op is Op.PUT)
    gone = tuple(id for id, change in newest.items() if change.op is Op.GONE)
    return News(layer, rows, gone)


def _row(change: Change) -> Row:
    is_point = change.geometry is not None and change.geometry.startswith('{"type":"Point"')
    lng, lat = (change.bbox[0], change.bbox[1]) if is_point and change.bbox is not None else (None, None)
    shape = None if is_point else change.geometry
    return Row(change.feature_id, change.properties, change.observed_at, lng, lat, shape)


def alert_of(active: Active, found: Found, *, healed: bool = False) -> JsonObject:
    """The alert of a watch as a feature: its id is the analysis's name. *healed*: its rule was broken until now."""
    watch, broken = active.watch, active.broken_since is not None
    share = f"{100 * found.covered_share:.1f} %"
    least = f"{100 * watch.covered_share_at_least:g} %"
    title = f"{watch.title}: covered again" if healed else f"{watch.title}: {share} covered, {least} wanted"
    properties: JsonObject = {
        "title": title,
        "status": "active" if broken else "cleared",
        "severity": "severe" if broken else "minor",
        "rule": rule_in_words(watch),
        "analysis": watch.name,
        "covered_share": round(found.covered_share, 4),
        "gap_km2": round(found.gap_km2, 3),
    }
    if active.broken_since is not None:
        properties["since"] = active.broken_since.isoformat().replace("+00:00", "Z")
    middle = (
        None if found.middle is None or not broken else {"type": "Point", "coordinates": list(found.middle)}
    )
    return {"type": "Feature", "id": watch.name, "geometry": middle, "properties": properties}


def ended_alert(watch: Watch) -> JsonObject:
    """The alert of a watch that is no more."""
    ended = {"title": f"{watch.title}: no longer watched", "status": "cleared", "severity": "minor"}
    return {"type": "Feature", "id": watch.name, "geometry": None, "properties": ended}


def rule_in_words(watch: Watch) -> str:
    """What is to hold, as its alert says it."""
    return f"At least {100 * watch.covered_share_at_least:g} % of the area is covered."


async def _broken_since(connection: AsyncConnection, watch: Watch) -> datetime | None:
    """Since when the rule is broken by what was last said of it: a restart is no news.

    What was said of another rule is nothing of this one: whoever asks for less has not covered any more.
    """
    try:
        alert = orjson.loads((await read_feature(connection, watch.alerts, watch.name)).properties)
    except NotFound:
        return None
    # The agency may have written to the layer itself, whatever it liked.
    told = alert.get("status") == "active" and alert.get("rule") == rule_in_words(watch)
    return moment(alert.get("since")) if told else None
