"""Jobs in the table and at work: what is told of them, what stops them, and that short questions get through."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from datetime import timedelta
from uuid import UUID, uuid4

import psutil
import pytest
from sqlalchemy import text

from cop.analysts import report
from cop.planning import jobs as working
from cop.planning.desk import Desk
from cop.planning.jobs import Answer, JobFailed, Jobs
from cop.upkeep import tidy
from layers.database import Database
from layers.directory import add_agency
from layers.errors import NotFound, Unavailable
from layers.model import AgencyId
from layers.planning import jobs
from layers.planning.jobs import Beat, Job, State


@pytest.fixture
async def agency(db: Database) -> AgencyId:
    async with db.begin() as connection:
        return (await add_agency(connection, "cfd", name="Fire", color="#0072b2")).id


@pytest.fixture
async def kept(db: Database, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Jobs]:
    monkeypatch.setattr(working, "BEAT_S", 0.05)
    made = Jobs(db)
    async with made.kept():
        yield made


async def add(db: Database, agency: AgencyId) -> UUID:
    id = uuid4()
    async with db.begin() as connection:
        await jobs.add_job(connection, agency, id, "key", "/coverage/analysis", [])
    return id


async def read(db: Database, agency: AgencyId, id: UUID) -> Job:
    async with db.connect() as connection:
        return await jobs.read_job(connection, agency, id)


async def set_seen(db: Database, id: UUID, ago_s: float) -> None:
    async with db.begin() as connection:
        statement = text("UPDATE job SET seen_at = clock_timestamp() - CAST(:ago AS interval) WHERE id = :id")
        await connection.execute(statement, {"ago": timedelta(seconds=ago_s), "id": id})


async def until(db: Database, agency: AgencyId, id: UUID, said: Callable[[Job], bool]) -> Job:
    async with asyncio.timeout(30):
        while not said(job := await read(db, agency, id)):  # noqa: ASYNC110 - a table rings no bell
            await asyncio.sleep(0.02)
    return job


def ended(job: Job) -> bool:
    return job.state not in jobs.UNFINISHED


def says_who_it_is_and_stays(seconds: float) -> str:
    report(0.5)
    time.sleep(seconds)
    return str(os.getpid())


async def quick(desk: Desk) -> Answer:
    return Answer((await desk.run(says_who_it_is_and_stays, 0.0)).encode(), "text/plain", "who.txt")


async def endless(desk: Desk) -> Answer:
    return Answer((await desk.run(says_who_it_is_and_stays, 600.0)).encode(), "text/plain")


# The table


async def test_another_agency_knows_of_no_job(db: Database, agency: AgencyId) -> None:
    async with db.begin() as connection:
        other = (await add_agency(connection, "ems", name="EMS", color="#0072b2")).id
    id = await add(db, agency)
    async with db.begin() as connection:
        assert await jobs.read_jobs(connection, other) == []
        for refused in (jobs.read_job, jobs.read_result, jobs.dismiss_job):
            with pytest.raises(NotFound):
                await refused(connection, other, id)


async def test_a_job_of_a_process_that_died_is_lost_and_stays_so(db: Database, agency: AgencyId) -> None:
    id = await add(db, agency)
    await set_seen(db, id, ago_s=31)
    lost = await read(db, agency, id)
    assert (lost.state, (lost.problem or {})["code"]) == (State.FAILED, "job.lost")
    async with db.begin() as connection:
        assert await jobs.note_beats(connection, [Beat(id, State.RUNNING, 0.1)]) == set()
        assert not await jobs.finish_job(connection, id, media_type="text/plain", result=b"late")
    assert (await read(db, agency, id)).state is State.FAILED


async def test_a_cancelled_job_has_no_beat_and_no_result_any_more(db: Database, agency: AgencyId) -> None:
    id, other = await add(db, agency), await add(db, agency)
    async with db.begin() as connection:
        cancelled = await jobs.dismiss_job(connection, agency, id)
        beats = [Beat(id, State.RUNNING, 0.2), Beat(other, State.RUNNING, 0.2)]
        assert await jobs.note_beats(connection, beats) == {other}
        assert not await jobs.finish_job(connection, id, result=b"x")
    assert cancelled is not None
    assert cancelled.state is (await read(db, agency, id)).state is State.CANCELLED


async def test_one_that_has_ended_is_deleted_with_its_result(db: Database, agency: AgencyId) -> None:
    id = await add(db, agency)
    async with db.begin() as connection:
        assert await jobs.finish_job(connection, id, media_type="text/plain", result=b"x")
        assert await jobs.read_result(connection, agency, id) == b"x"
        assert await jobs.dismiss_job(connection, agency, id) is None
        with pytest.raises(NotFound):
            await jobs.read_job(connection, agency, id)


async def test_progress_only_goes_onward(db: Database, agency: AgencyId) -> None:
    id = await add(db, agency)
    async with db.begin() as connection:
        for share in (0.1, 0.6, 0.3):
            await jobs.note_beats(connection, [Beat(id, State.RUNNING, share)])
    assert (await read(db, agency, id)).progress == 0.6


async def test_an_agency_has_so_many_jobs_at_a_time_and_the_oldest_ended_make_room(
    db: Database, agency: AgencyId
) -> None:
    async with db.begin() as connection:
        old = text("""
            INSERT INTO job (id, agency_id, actor, path, state, asked_at)
            SELECT gen_random_uuid(), :agency, 'key', '/' || n, 'done', now() - make_interval(secs => n)
            FROM generate_series(1, 200) AS n""")
        await connection.execute(old, {"agency": agency})
    for _ in range(jobs.MAX_UNFINISHED):
        await add(db, agency)
    with pytest.raises(Unavailable, check=lambda error: error.code == "job.too_many"):
        await add(db, agency)
    async with db.connect() as connection:
        listed = await jobs.read_jobs(connection, agency)
    assert len(listed) == jobs.MAX_KEPT
    assert [job.state for job in listed[: jobs.MAX_UNFINISHED]] == [State.WAITING] * jobs.MAX_UNFINISHED
    assert listed[-1].path == f"/{jobs.MAX_KEPT - jobs.MAX_UNFINISHED}"


async def test_a_day_old_job_is_pruned(db: Database, agency: AgencyId) -> None:
    id, young = await add(db, agency), await add(db, agency)
    async with db.begin() as connection:
        old = text("UPDATE job SET asked_at = now() - interval '25 hours' WHERE id = :id")
        await connection.execute(old, {"id": id})
    await tidy(db, history_days=30)
    async with db.connect() as connection:
        assert [job.id for job in await jobs.read_jobs(connection, agency)] == [young]


# At work


async def test_work_is_done_and_its_result_kept(db: Database, agency: AgencyId, kept: Jobs) -> None:
    job = await kept.start(agency, "key", "/x", quick, [])
    assert job.state is State.WAITING
    done = await until(db, agency, job.id, ended)
    assert (done.state, done.progress) == (State.DONE, 1.0)
    assert done.media_type == 'text/plain; name="who.txt"'
    async with db.connect() as connection:
        assert int(await jobs.read_result(connection, agency, job.id)) != os.getpid()


async def test_one_runs_at_a_time_and_says_how_far_it_is(db: Database, agency: AgencyId, kept: Jobs) -> None:
    first, second = [await kept.start(agency, "key", "/x", endless, []) for _ in range(2)]
    await until(db, agency, first.id, lambda job: job.progress == 0.5)
    assert (await read(db, agency, first.id)).state is State.RUNNING
    assert (await read(db, agency, second.id)).state is State.WAITING


def analysts() -> set[psutil.Process]:
    """The processes that this one has spawned to work something out."""
    found = set()
    for child in psutil.Process().children():
        with suppress(psutil.Error):
            if "spawn_main" in " ".join(child.cmdline()):
                found.add(child)
    return found


async def test_a_job_cancelled_elsewhere_stops_and_the_next_one_runs(
    db: Database, agency: AgencyId, kept: Jobs
) -> None:
    before = analysts()  # Of tests before this one some may not have ended yet.
    first, second = (
        await kept.start(agency, "k", "/x", endless, []),
        await kept.start(agency, "k", "/x", quick, []),
    )
    await until(db, agency, first.id, lambda job: job.progress == 0.5)
    (analyst,) = analysts() - before
    async with db.begin() as connection:  # as any other process would
        await jobs.dismiss_job(connection, agency, first.id)
    done = await until(db, agency, second.id, ended)
    assert done.state is State.DONE
    assert (await read(db, agency, first.id)).state is State.CANCELLED
    async with db.connect() as connection:
        assert int(await jobs.read_result(connection, agency, second.id)) != analyst.pid
    assert not analyst.is_running() or analyst.status() == psutil.STATUS_ZOMBIE


async def test_one_that_waits_is_cancelled_without_harm_to_the_one_that_runs(
    db: Database, agency: AgencyId, kept: Jobs
) -> None:
    first, second = (
        await kept.start(agency, "k", "/x", endless, []),
        await kept.start(agency, "k", "/x", quick, []),
    )
    await until(db, agency, first.id, lambda job: job.progress == 0.5)
    async with db.begin() as connection:
        await jobs.dismiss_job(connection, agency, second.id)
    kept.stop(second.id)
    assert (await until(db, agency, second.id, ended)).state is State.CANCELLED
    assert (await read(db, agency, first.id)).state is State.RUNNING


async def test_work_that_fails_leaves_its_problem(db: Database, agency: AgencyId, kept: Jobs) -> None:
    async def fails(_: Desk) -> Answer:
        raise JobFailed({"status": 422, "code": "coverage.kind", "detail": "no"})

    job = await kept.start(agency, "key", "/x", fails, [])
    failed = await until(db, agency, job.id, ended)
    assert (failed.state, (failed.problem or {})["code"]) == (State.FAILED, "coverage.kind")


async def test_a_result_beyond_the_limit_is_a_failure(db: Database, agency: AgencyId, kept: Jobs) -> None:
    async def much(_: Desk) -> Answer:
        return Answer(bytes(working.MAX_RESULT_BYTES + 1), "text/plain")

    failed = await until(db, agency, (await kept.start(agency, "key", "/x", much, [])).id, ended)
    assert (failed.problem or {})["code"] == "job.result_too_large"


async def test_work_that_takes_too_long_is_given_up(
    db: Database, agency: AgencyId, kept: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "GIVE_UP_S", 0.5)
    first, second = (
        await kept.start(agency, "k", "/x", endless, []),
        await kept.start(agency, "k", "/x", quick, []),
    )
    failed = await until(db, agency, first.id, ended)
    assert (failed.problem or {})["code"] == "coverage.deadline"
    monkeypatch.setattr(working, "GIVE_UP_S", 30)
    assert ended(await until(db, agency, second.id, ended))


async def test_a_process_that_stops_says_so_of_its_jobs(db: Database, agency: AgencyId) -> None:
    stopping = Jobs(db)
    async with stopping.kept():
        job = await stopping.start(agency, "key", "/x", endless, [])
        await until(db, agency, job.id, lambda job: job.state is State.RUNNING)
    stopped = await read(db, agency, job.id)
    assert (stopped.state, (stopped.problem or {})["code"]) == (State.FAILED, "job.stopped")


async def test_too_many_here_are_refused(
    db: Database, agency: AgencyId, kept: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(working, "MAX_HERE", 1)
    await kept.start(agency, "key", "/x", endless, [])
    with pytest.raises(Unavailable, check=lambda error: error.code == "job.too_many"):
        await kept.start(agency, "key", "/x", quick, [])
