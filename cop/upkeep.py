"""What has to be done from time to time: expiry, the log's partitions, what is too old to keep, how feeds do."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from time import monotonic

from sqlalchemy import text

from cop.feeds import Feeds
from layers.database import Database
from layers.log import keep_partitions
from layers.planning.runs import prune_runs
from layers.publish import Publisher

logger = logging.getLogger("cop.upkeep")

UPKEEP_LOCK = 0x636F70_02
PRUNE_EVERY = timedelta(minutes=10)
RETRY_AFTER = timedelta(minutes=1)
WATCH_EVERY_S = 1.0
TELL_EVERY_S = 3.0
LEAVE_WITHIN_S = 1.0
PRUNE = (
    # A publisher that retries does so within minutes; a day covers one that was down overnight.
    "DELETE FROM idempotency WHERE at < now() - interval '1 day'",
    # An observation older than the history has nothing left that it could contradict.
    "DELETE FROM tombstone WHERE gone_at < now() - CAST(:history AS interval)",
    "DELETE FROM credential WHERE kind <> 'key' AND expires_at < now() - interval '7 days'",
    # Whoever asked for it has had a day to fetch it.
    "DELETE FROM job WHERE asked_at < now() - interval '1 day'",
    # So “since” is when the trouble of now began, not one of last year.
    "DELETE FROM feed_refusal WHERE last_at < now() - interval '1 day'",
)


async def tidy(database: Database, *, history_days: int) -> None:
    """Make the partitions ahead, drop those that are too old, delete what has had its day.

    One process does it at a time; another that comes meanwhile leaves it alone.
    """
    async with database.begin() as connection:
        if not await connection.scalar(
            text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": UPKEEP_LOCK}
        ):
            return
        today = (await connection.execute(text("SELECT now()"))).scalar_one()
        await keep_partitions(connection, today=today, history_days=history_days)
        for statement in PRUNE:
            bound = {"history": timedelta(days=history_days)} if ":history" in statement else {}
            await connection.execute(text(statement), bound)
        await prune_runs(connection, timedelta(days=history_days))


async def _keep(database: Database, publisher: Publisher, *, sweep_s: float, history_days: int) -> None:
    next_tidy = datetime.now(UTC)
    while True:
        try:
            if datetime.now(UTC) >= next_tidy:
                next_tidy = datetime.now(UTC) + RETRY_AFTER
                await tidy(database, history_days=history_days)
                next_tidy = datetime.now(UTC) + PRUNE_EVERY
            await publisher.sweep()
        except Exception as error:  # noqa: BLE001 - the database may be away; what is due stays due
            logger.warning("upkeep failed, will try again: %s: %s", type(error).__name__, error)
        await asyncio.sleep(sweep_s)


async def _watch(feeds: Feeds) -> None:
    next_tell = monotonic()
    while True:
        feeds.watch()
        if monotonic() >= next_tell:
            next_tell = monotonic() + TELL_EVERY_S
            try:
                async with asyncio.timeout(TELL_EVERY_S):
                    await feeds.tell()
            except Exception as error:  # noqa: BLE001 - the database may be away; what is to be told stays
                logger.info("how feeds do cannot be written now: %s: %s", type(error).__name__, error)
        await asyncio.sleep(WATCH_EVERY_S)


@contextlib.asynccontextmanager
async def kept(
    database: Database, publisher: Publisher, feeds: Feeds, *, sweep_s: float, history_days: int
) -> AsyncIterator[None]:
    """Do the upkeep for as long as the block runs."""
    tasks = [
        asyncio.create_task(_keep(database, publisher, sweep_s=sweep_s, history_days=history_days)),
        asyncio.create_task(_watch(feeds)),
    ]
    for task in tasks:
        task.add_done_callback(_ended)
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # The database may be away, and it forgets who is silent.
            async with asyncio.timeout(LEAVE_WITHIN_S):
                await feeds.leave()


def _ended(task: asyncio.Task[None]) -> None:
    if not task.cancelled():  # Neither lets an error of the database out.
        logger.critical("A task of the upkeep has ended; restart this process.", exc_info=task.exception())
