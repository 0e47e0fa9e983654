"""Files pushed to the real service: counters and final state against pandas, playing, crashes, refusals."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import pytest
from sqlalchemy import text
from typer.testing import CliRunner

from cop.client import Client, ProblemError
from cop.push import Job, Journal, Totals, deliver
from layers.database import Database
from layers.directory import add_layer
from layers.exchange import Columns

AUSTIN = Path(__file__).parents[3] / "shared" / "data" / "austin" / "avl-2017-04-18.csv.gz"
BUSES = Columns(
    id="vehicle_id", time="timestamp", lng="longitude", lat="latitude", rename={"speed": "speed_mps"}
)
needs_austin = pytest.mark.skipif(not AUSTIN.exists(), reason=f"{AUSTIN} is not here")

Key = Callable[..., Awaitable[str]]


@pytest.fixture
async def feed(server: Any, db: Database, key: Key) -> tuple[str, str]:
    """(url, key) of a service with the layer `metro.buses`, whose owner may push and read."""
    secret = await key("metro", "publish", "view")
    async with db.begin() as connection:
        await add_layer(connection, "metro.buses", kind="units")
    return server.url, secret


def run(feed: tuple[str, str], job: Job, journal: Path, **how: Any) -> Totals:
    with Client(*feed) as client:
        return deliver(client, job, Journal.open(journal, job.signature()), **how)


def everything(feed: tuple[str, str]) -> dict[str, dict[str, Any]]:
    with Client(*feed) as client:
        return {feature["id"]: feature for feature in client.items("metro.buses")}


def write_csv(path: Path, count: int, **cells: str) -> Path:
    start = pandas.Timestamp("2026-11-22T08:00:00Z")
    rows = pandas.DataFrame(
        {
            "vehicle_id": [number % 10 for number in range(count)],
            "timestamp": [(start + pandas.Timedelta(seconds=number)).isoformat() for number in range(count)],
            "latitude": 30.0,
            "longitude": -97.0,
            "speed": [number / 10 for number in range(count)],
            **cells,
        }
    )
    rows.to_csv(path, index=False)
    return path


# Denials and refusals.


async def test_wrong_key_is_refused_and_nothing_is_noted_as_sent(
    feed: tuple[str, str], tmp_path: Path
) -> None:
    job = Job(write_csv(tmp_path / "a.csv", 10), "metro.buses", feed[0], BUSES)
    with pytest.raises(ProblemError) as caught:
        await asyncio.to_thread(run, (feed[0], "cop_pub_wrong"), job, tmp_path / "journal")
    assert caught.value.status == 401
    assert Journal.open(tmp_path / "journal", job.signature()).totals.sent == 0


async def test_strict_push_stops_at_the_first_bad_batch(feed: tuple[str, str], tmp_path: Path) -> None:
    path = write_csv(tmp_path / "a.csv", 30)
    path.write_text(path.read_text().replace("1.5", "-1.5"))  # row 15: a negative speed
    job = Job(path, "metro.buses", feed[0], BUSES, batch=10)
    with pytest.raises(ProblemError) as caught:
        await asyncio.to_thread(run, feed, job, tmp_path / "journal")
    assert [each.code for each in caught.value.rejected] == ["prop.value"]
    assert Journal.open(tmp_path / "journal", job.signature()).totals.sent == 10


async def test_lenient_push_takes_the_rest_and_counts_refusals_by_code(
    feed: tuple[str, str], tmp_path: Path
) -> None:
    path = write_csv(tmp_path / "a.csv", 30)
    path.write_text(path.read_text().replace("1.5", "-1.5").replace("30.0,-97.0,0.7", "91.0,-97.0,0.7"))
    job = Job(path, "metro.buses", feed[0], BUSES, batch=10, lenient=True)
    totals = await asyncio.to_thread(run, feed, job, tmp_path / "journal")
    assert (totals.sent, totals.accepted) == (30, 28)
    assert totals.rejected == {"prop.value": 1, "geo.range": 1}


async def test_command_says_what_was_refused_and_ends_with_one(feed: tuple[str, str], tmp_path: Path) -> None:
    from cop.cli import app

    path = write_csv(tmp_path / "a.csv", 30)
    path.write_text(path.read_text().replace("1.5", "-1.5"))
    words = ["push", str(path), "--layer", "metro.buses", "--url", feed[0], "--id-column", "vehicle_id"]
    words += ["--time-column", "timestamp", "--lng-column", "longitude", "--lat-column", "latitude"]
    words += ["--property", "speed=speed_mps", "--batch", "10", "--journal", str(tmp_path / "journal")]
    environment = {"COP_KEY": feed[1]}
    strict = await asyncio.to_thread(CliRunner().invoke, app, words, env=environment)
    assert strict.exit_code == 1
    assert "prop.value" in strict.output
    lenient = await asyncio.to_thread(CliRunner().invoke, app, [*words, "--lenient"], env=environment)
    assert lenient.exit_code == 0, lenient.output
    assert "rejected" in lenient.output
    missing = await asyncio.to_thread(
        CliRunner().invoke, app, [*words, "--time-column", "when"], env=environment
    )
    assert missing.exit_code == 2
    assert "no column 'when'" in missing.output.replace("\n", " ")


@pytest.mark.parametrize(
    "words", [["--at-once", "--speed", "2"], ["--retime"], ["--property", "x"], ["--time-zone", "Mars"]]
)
def test_contradictory_options_are_refused(tmp_path: Path, words: list[str]) -> None:
    from cop.cli import app

    path = write_csv(tmp_path / "a.csv", 1)
    answer = CliRunner().invoke(app, ["push", str(path), "--layer", "a.b", "--key", "k", *words])
    assert answer.exit_code == 2


# Going on after a crash.


async def test_run_that_is_killed_goes_on_and_counts_nothing_twice(
    feed: tuple[str, str], db: Database, tmp_path: Path
) -> None:
    path, journal = write_csv(tmp_path / "a.csv", 1_000), tmp_path / "journal"
    words = ["push", str(path), "--layer", "metro.buses", "--url", feed[0], "--id-column", "vehicle_id"]
    words += ["--time-column", "timestamp", "--lng-column", "longitude", "--lat-column", "latitude"]
    words += ["--property", "speed=speed_mps", "--batch", "20", "--journal", str(journal)]
    command = [sys.executable, "-m", "cop", *words]
    environment = os.environ | {"COP_KEY": feed[1]}
    first = await asyncio.create_subprocess_exec(*command, env=environment, stderr=subprocess.DEVNULL)
    while not (journal.exists() and '"sent": 0' not in journal.read_text()):  # noqa: ASYNC110 - another process's file
        await asyncio.sleep(0.01)
    first.send_signal(signal.SIGKILL)
    await first.wait()
    again = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    out, errors = await again.communicate()
    assert again.returncode == 0, (out, errors)
    assert b"Going on after" in errors
    assert out.split()[:4] == [b"sent", b"1,000", b"accepted", b"1,000"]
    assert not journal.exists()
    async with db.connect() as connection:
        assert await connection.scalar(text("SELECT count(*) FROM change WHERE op = 'put'")) == 1_000


async def test_batch_whose_answer_was_lost_counts_once(feed: tuple[str, str], tmp_path: Path) -> None:
    """Lost between the commit and the journal: the same batch goes again under the same key."""
    job = Job(write_csv(tmp_path / "a.csv", 20), "metro.buses", feed[0], BUSES, batch=10)
    journal = Journal.open(tmp_path / "journal", job.signature())

    def crash(totals: Totals) -> None:
        journal.totals = Totals()
        journal.save()
        raise KeyboardInterrupt

    def cut_off() -> None:
        with Client(*feed) as client, pytest.raises(KeyboardInterrupt):
            deliver(client, job, journal, on_batch=crash)

    await asyncio.to_thread(cut_off)
    totals = await asyncio.to_thread(run, feed, job, tmp_path / "journal")
    assert (totals.accepted, totals.unchanged, totals.late) == (20, 0, 0)


def test_journal_of_another_job_is_not_taken_over(tmp_path: Path) -> None:
    job = Job(write_csv(tmp_path / "a.csv", 20), "metro.buses", "http://127.0.0.1:9", BUSES)
    journal = Journal(tmp_path / "journal", job.signature())
    journal.totals.sent = 7
    journal.save()
    assert Journal.open(tmp_path / "journal", job.signature()).totals.sent == 7
    assert Journal.open(tmp_path / "journal", replace(job, batch=3).signature()).totals.sent == 0
    (tmp_path / "journal").write_text("{")
    assert Journal.open(tmp_path / "journal", job.signature()).totals.sent == 0


# Austin: real, and dirty.


def expected() -> tuple[dict[str, int], pandas.DataFrame]:
    """What pandas says of the file: the counters, and the last accepted fix of each vehicle."""
    fixes = pandas.read_csv(AUSTIN)
    fixes["time"] = pandas.to_datetime(fixes.timestamp, utc=True)
    newest = fixes.groupby("vehicle_id").time.cummax()
    late = fixes.time < newest
    taken = fixes[~late]
    content = ["time", "longitude", "latitude", "speed", "route_id", "trip_id", "trip_headsign"]
    known = taken.groupby("vehicle_id")[content].shift()
    same = (taken[content].eq(known) | (taken[content].isna() & known.isna())).all(axis=1)
    same &= taken.groupby("vehicle_id").cumcount() > 0
    put = taken[~same]
    nowhere = put[(put.longitude == 0) & (put.latitude == 0)]
    counters = {
        "sent": len(fixes),
        "late": int(late.sum()),
        "unchanged": int(same.sum()),
        "accepted": len(put),
    }
    counters |= {"created": put.vehicle_id.nunique(), "null_island": len(nowhere)}
    return counters, put.groupby("vehicle_id").tail(1).set_index("vehicle_id")


@needs_austin
@pytest.mark.timeout(300)
async def test_austin_at_once_equals_what_pandas_says(
    feed: tuple[str, str], db: Database, tmp_path: Path
) -> None:
    counters, last = expected()
    job = Job(AUSTIN, "metro.buses", feed[0], BUSES)
    totals = await asyncio.to_thread(run, feed, job, tmp_path / "journal")
    assert not totals.rejected
    async with db.connect() as connection:
        flagged = await connection.scalar(
            text("SELECT count(*) FROM change WHERE op = 'put' AND properties->'quality' ? 'null_island'")
        )
    found = {name: getattr(totals, name) for name in counters if name != "null_island"}
    assert found | {"null_island": flagged} == counters
    buses = await asyncio.to_thread(everything, feed)
    assert {str(vehicle) for vehicle in last.index} == buses.keys()
    for vehicle, fix in last.iterrows():
        bus = buses[str(vehicle)]
        assert bus["geometry"]["coordinates"] == pytest.approx([fix.longitude, fix.latitude], abs=5e-8)
        properties = bus["properties"]
        assert pandas.Timestamp(properties["observed_at"]) == fix.time
        assert properties["speed_mps"] == pytest.approx(fix.speed)
        assert (properties["route_id"], properties["trip_id"]) == (fix.route_id, fix.trip_id)
        assert properties.get("trip_headsign") == (
            None if pandas.isna(fix.trip_headsign) else fix.trip_headsign
        )


@needs_austin
async def test_end_of_austin_pushed_twice_changes_nothing(feed: tuple[str, str], tmp_path: Path) -> None:
    path = tmp_path / "end.csv"
    newest = pandas.read_csv(AUSTIN).groupby("vehicle_id").tail(2)
    newest.to_csv(path, index=False)
    job = Job(path, "metro.buses", feed[0], BUSES)
    first = await asyncio.to_thread(run, feed, job, tmp_path / "journal")
    before = await asyncio.to_thread(everything, feed)
    again = await asyncio.to_thread(run, feed, job, tmp_path / "journal")
    assert first.created == newest.vehicle_id.nunique()
    assert (again.accepted, again.late + again.unchanged) == (0, len(newest))
    assert await asyncio.to_thread(everything, feed) == before


@needs_austin
@pytest.mark.timeout(300)
async def test_austin_played_retimed_moves_every_bus_in_the_present(
    feed: tuple[str, str], tmp_path: Path
) -> None:
    """Speed 600, but on a clock of our own: the seven hours pass as fast as the service takes them."""
    counters, _ = expected()
    start = datetime.now(UTC).timestamp()
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    job = Job(AUSTIN, "metro.buses", feed[0], BUSES, speed=600.0, retime=True)
    # The playing ends now, so that nothing lies in the future of the service's own clock.
    totals = await asyncio.to_thread(
        run, feed, job, tmp_path / "journal", clock=lambda: start - 60 + passed[0], sleep=sleep
    )
    assert not totals.rejected
    assert totals.late == 0
    assert 40 < passed[0] < 45
    buses = await asyncio.to_thread(everything, feed)
    seen = [datetime.fromisoformat(bus["properties"]["observed_at"]).timestamp() for bus in buses.values()]
    assert len(buses) == counters["created"]
    assert start - 60 <= min(seen) <= max(seen) <= start


@needs_austin
async def test_austin_played_shows_many_buses_within_seconds(feed: tuple[str, str], tmp_path: Path) -> None:
    """On the real clock: cut off after ten batches, and every age on the map is true."""

    class Enough(Exception):
        pass

    batches: list[int] = []

    def count(totals: Totals) -> None:
        batches.append(totals.sent)
        if len(batches) == 10:
            raise Enough

    job = Job(AUSTIN, "metro.buses", feed[0], BUSES, speed=6_000.0, retime=True)
    began = datetime.now(UTC)
    with pytest.raises(Enough):
        await asyncio.to_thread(run, feed, job, tmp_path / "journal", on_batch=count)
    buses = await asyncio.to_thread(everything, feed)
    assert len(buses) > 10
    for bus in buses.values():
        seen = datetime.fromisoformat(bus["properties"]["observed_at"])
        assert -0.01 <= (seen - began).total_seconds() <= (datetime.now(UTC) - began).total_seconds()
