"""Long questions as jobs: one at a time in a process of their own, so that short ones get through beside them.

The table says how each stands; this keeps it up to date for the jobs of this process, and stops those cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any
from uuid import UUID, uuid4

from cop.analysts import Analysts
from cop.planning.desk import Desk
from layers.database import Database
from layers.errors import Unavailable
from layers.model import AgencyId
from layers.planning import jobs
from layers.planning.jobs import Beat, Job, State

logger = logging.getLogger("cop.jobs")

DEADLINE_S = 600.0
"""That a job may run; …"""
GIVE_UP_S = DEADLINE_S + 30.0
"""… and when it is stopped if it is too deep in a library to hear its alarm."""
MAX_HERE = 32
"""Jobs that wait or run in one process: a few kilobytes each until they run."""
MAX_RESULT_BYTES = 20_000_000
BEAT_S = 1.0
LEAVE_WITHIN_S = 1.0
STOPPED = "The service was told to stop while it was at this job; ask again."


@dataclass(frozen=True, slots=True)
class Answer:
    """What a question is answered with: the body, and what to call it as a file."""

    body: bytes
    media_type: str
    name: str | None = None


Work = Callable[[Desk], Awaitable[Answer]]
"""All that is to be done for a question once its form is known to be right, at the desk that it is given."""


class JobFailed(Exception):
    """Work has come to nothing; *problem* says why, as problem+json."""

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail", ""))
        self.problem = problem


@dataclass(slots=True)
class _Own:
    """A job of this process."""

    task: asyncio.Task[None] | None = None
    running: bool = False


class Jobs:
    """The jobs of this process; `kept` does the work of keeping them."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._analyst = Analysts(processes=1, max_waiting=MAX_HERE, deadline_s=DEADLINE_S)
        self._desk = Desk(self._analyst)
        self._turn = asyncio.Lock()
        self._own: dict[UUID, _Own] = {}

    async def start(self, agency: AgencyId, actor: str, path: str, work: Work, rights: Iterable[int]) -> Job:
        """A new job that does *work*, which fails by raising `JobFailed`, for one with these *rights*.

        Raises `Unavailable` (`job.too_many`): too many wait, of this agency or in this process.
        """
        if len(self._own) >= MAX_HERE:
            raise Unavailable("Too many jobs are waiting here; try again later.", code="job.too_many")
        id, own = uuid4(), _Own()
        self._own[id] = own
        try:
            async with self._database.begin() as connection:
                job = await jobs.add_job(connection, agency, id, actor, path, rights)
        except BaseException:
            del self._own[id]
            raise
        own.task = asyncio.create_task(self._do(id, own, work))
        own.task.add_done_callback(lambda task: self._ended(id, task))
        return job

    def stop(self, id: UUID) -> None:
        """Stop the job at once, if it is one of this process; the table has it as cancelled, or given up, already."""
        own = self._own.get(id)
        if own is None or own.task is None:
            return
        if own.running:
            self._analyst.kill()
        own.task.cancel()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """Say every second how the jobs are getting on; at the end stop them all."""
        beating = asyncio.create_task(self._beat())
        try:
            yield
        finally:
            beating.cancel()
            await self._leave()
            await asyncio.gather(beating, return_exceptions=True)

    async def _do(self, id: UUID, own: _Own, work: Work) -> None:
        async with self._turn:
            own.running = True
            outcome = await self._outcome(work)
            own.running = False
        async with self._database.begin() as connection:
            await jobs.finish_job(connection, id, **outcome)

    async def _outcome(self, work: Work) -> dict[str, Any]:
        try:
            async with asyncio.timeout(GIVE_UP_S):
                answer = await work(self._desk)
        except JobFailed as failure:
            return {"problem": failure.problem}
        except TimeoutError:
            self._analyst.kill()
            return {
                "problem": _problem(503, "coverage.deadline", f"The job took longer than {DEADLINE_S:g} s.")
            }
        if len(answer.body) > MAX_RESULT_BYTES:
            detail = (
                f"The result has {len(answer.body):,} bytes, and a job's may have {MAX_RESULT_BYTES:,}: take a "
                "smaller area, larger cells, or do not ask for it as a job."
            )
            return {"problem": _problem(413, "job.result_too_large", detail)}
        named = f'; name="{answer.name}"' if answer.name else ""
        return {"media_type": answer.media_type + named, "result": answer.body}

    def _ended(self, id: UUID, task: asyncio.Task[None]) -> None:
        del self._own[id]
        if not task.cancelled() and (error := task.exception()) is not None:
            # Nothing was written, and nobody says any more that it is being done: it counts as lost.
            logger.error("job %s could not be brought to its end", id, exc_info=error)

    async def _beat(self) -> None:
        while True:
            try:
                if self._own:
                    await self._tell()
            except Exception as error:  # noqa: BLE001 - the database may be away; a job not told of for long is lost
                logger.warning("how jobs do cannot be written now: %s: %s", type(error).__name__, error)
            await asyncio.sleep(BEAT_S)

    async def _tell(self) -> None:
        beats = [
            Beat(id, State.RUNNING, self._analyst.progress) if own.running else Beat(id, State.WAITING, 0.0)
            for id, own in self._own.items()
            if own.task is not None
        ]
        async with self._database.begin() as connection:
            alive = await jobs.note_beats(connection, beats) if beats else set()
        for id in {beat.id for beat in beats} - alive:
            self.stop(id)

    async def _leave(self) -> None:
        left = dict(self._own)
        self._analyst.kill()
        tasks = [own.task for own in left.values() if own.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(Exception):  # The database may be away; what it was not told is lost soon.
            async with asyncio.timeout(LEAVE_WITHIN_S), self._database.begin() as connection:
                for id in left:
                    await jobs.finish_job(connection, id, problem=_problem(503, "job.stopped", STOPPED))


def _problem(status: int, code: str, detail: str) -> dict[str, Any]:
    title = HTTPStatus(status).phrase
    return {"type": "about:blank", "title": title, "status": status, "code": code, "detail": detail}
