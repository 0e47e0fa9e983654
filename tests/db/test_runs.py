"""Runs as they are written down: whose they are, in which order, and which go."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text

from cop.upkeep import tidy
from layers.database import Database
from layers.errors import NotFound
from layers.log import Head
from layers.model import AgencyId, LayerName, Status
from layers.planning import runs
from layers.planning.runs import PAGE, Cursor, Inputs, Run, read_run, read_runs, record_run
from tests.db.test_publish import make_layer
from tests.db.test_query import explain

NOW = datetime.now(UTC)
QUESTION = {
    "area": {"type": "Polygon", "coordinates": [[[-87.65, 41.0], [1e-7, 0.1], [3, 4]]]},
    "at_least": 2,
}


def run(agency: AgencyId, *, ago: timedelta = timedelta(), at: datetime | None = None) -> Run:
    heads = (
        (LayerName("cfd.units"), Head(UUID(int=1), 2**40)),
        (LayerName("ems.units"), Head(UUID(int=2), 0)),
    )
    inputs = Inputs(heads, heads[0], (LayerName("cfd.zones"), "ø 7"), ("cpd",))
    asked = NOW - ago
    return Run(uuid4(), agency, "cfd:planner", asked, at or asked, Status.EXERCISE, QUESTION, inputs)


async def record(db: Database, *written: Run) -> None:
    async with db.begin() as connection:
        for each in written:
            await record_run(connection, each)


async def kept(db: Database, agency: AgencyId) -> list[UUID]:
    async with db.connect() as connection:
        return [each.id for each in await read_runs(connection, agency)]


async def test_a_run_is_read_as_it_was_written_and_only_by_its_agency(db: Database) -> None:
    (layer, _), (other, _) = await make_layer(db), await make_layer(db, "ems.units")
    full = run(layer.agency)
    bare = replace(full, id=uuid4(), inputs=Inputs())
    await record(db, full, bare)
    async with db.connect() as connection:
        assert [await read_run(connection, layer.agency, each.id) for each in (full, bare)] == [full, bare]
        for id in (full.id, uuid4()):
            with pytest.raises(NotFound, check=lambda error: error.code == "run.not_found"):
                await read_run(connection, other.agency, id)
        assert await read_runs(connection, other.agency) == []


async def test_pages_miss_no_run_of_the_same_moment(db: Database) -> None:
    layer, _ = await make_layer(db)
    written = [run(layer.agency, ago=timedelta(seconds=number // 3)) for number in range(10)]
    await record(db, *written)
    seen: list[Run] = []
    async with db.connect() as connection:
        before = None
        while page := await read_runs(connection, layer.agency, before=before, limit=2):
            seen += page
            before = Cursor(page[-1].asked_at, page[-1].id)
    assert seen == sorted(written, key=lambda each: (each.asked_at, each.id), reverse=True)


async def test_runs_go_when_the_log_no_longer_holds_what_they_rest_on(db: Database) -> None:
    layer, _ = await make_layer(db)
    day = timedelta(days=1)
    young = run(layer.agency, ago=29 * day)
    ahead = run(layer.agency, at=NOW + 90 * day)
    gone = [run(layer.agency, ago=31 * day), run(layer.agency, ago=2 * day, at=NOW - 31 * day)]
    gone.append(run(layer.agency, ago=31 * day, at=NOW + 90 * day))
    await record(db, young, ahead, *gone)
    await tidy(db, history_days=30)
    assert await kept(db, layer.agency) == [ahead.id, young.id]


async def test_of_each_agency_the_newest_runs_stay(db: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "MAX_RUNS", 3)
    (layer, _), (other, _) = await make_layer(db), await make_layer(db, "ems.units")
    many = [run(layer.agency, ago=timedelta(minutes=number)) for number in range(5)]
    few = [run(other.agency, ago=timedelta(minutes=100 + number)) for number in range(2)]
    await record(db, *many, *few)
    await tidy(db, history_days=30)
    assert await kept(db, layer.agency) == [each.id for each in many[:3]]
    assert await kept(db, other.agency) == [each.id for each in few]


async def test_a_page_of_runs_is_found_by_its_index(db: Database) -> None:
    layer, _ = await make_layer(db)
    await make_layer(db, "ems.units")
    async with db.begin() as connection:
        many = """
            INSERT INTO coverage_run (id, agency_id, actor, asked_at, at, status, question, inputs)
            SELECT gen_random_uuid(), 1 + n % 2, 'x', now() - n * interval '1 s', now(), 'actual', '{}', '{}'
            FROM generate_series(1, 4000) AS n
        """
        await connection.execute(text(many))
    async with db.engine.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
        await connection.execute(text("ANALYZE coverage_run"))
    steps = await explain(db, PAGE, layer.agency, NOW, uuid4(), 100)
    (scan,) = [step for step in steps if step.get("Relation Name") == "coverage_run"]
    assert (scan["Node Type"], scan["Index Name"]) == ("Index Scan", "coverage_run_asked")
    assert scan.get("Rows Removed by Filter", 0) + scan["Actual Rows"] < 200
