"""What planners ask with the client, against the real service: each question once, and as a job."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from cop.client import ProblemError
from layers.model import JsonObject
from tests.api.test_client_service import ask, unit
from tests.unit.hexes_shapes import box

__all__ = ["ask"]  # fixture

AREA = box(-87.75, 41.86, -87.65, 41.92)
QUESTION: JsonObject = {"area": AREA, "layers": ["cfd.units"]}
FIRST, SECOND = (-87.73, 41.88), (-87.67, 41.90)


@pytest.fixture(autouse=True)
async def now(ask: Any) -> datetime:
    """When two units were reported, of a kilometre and a half each, far enough from each other."""
    now = datetime.now(UTC).replace(microsecond=0)
    seen = now.isoformat()
    await ask(lambda c: c.push("cfd.units", [unit("e1", *FIRST, seen), unit("e2", *SECOND, seen)]))
    return now


async def test_what_the_service_refuses_is_a_problem_with_its_spot(ask: Any, now: datetime) -> None:
    moment = now.isoformat()
    refusals = {
        r"placement\.n": lambda c: c.placement(QUESTION, {"n": 0}),
        r"timeline\.order": lambda c: c.timeline(QUESTION, {"from": moment, "to": moment}),
        r"coverage\.at_least": lambda c: c.gaps(AREA, at_least=0),
        r"layer\.not_found": lambda c: c.jurisdictions({"layers": ["cfd.units"]}, "cfd.absent"),
        r"run\.not_found": lambda c: c.run("6f1d0e8c-6a0c-4c0b-9b46-0d6a6f7c1c11"),
    }
    for code, refused in refusals.items():
        with pytest.raises(ProblemError, match=code):
            await ask(refused)


async def test_what_goes_wrong_in_a_job_is_the_same_problem(ask: Any) -> None:
    heard: list[float] = []
    wanted = {"n": 1, "reach_m": 900, "candidates": {"layer": "cfd.absent"}}
    with pytest.raises(ProblemError, match=r"layer\.not_found"):
        await ask(lambda c: c.placement(QUESTION, wanted, progress=heard.append))
    assert heard[0] == 0
    assert 1.0 not in heard


async def test_a_what_if_takes_an_earlier_run_up(ask: Any) -> None:
    run = (await ask(lambda c: c.gaps(AREA, ["cfd.units"]))).attrs["run"]
    gone: JsonObject = {"do": "remove", "layer": "cfd.units", "id": "e1"}
    found = await ask(lambda c: c.what_if({"run": run}, [gone], b=[gone | {"id": "e2"}]))
    assert found["run"] == run
    assert found["base"]["covered_km2"] > found["a"]["covered_km2"] > 0
    assert found["base"]["covered_km2"] > found["b"]["covered_km2"] > 0


async def test_a_placement_is_the_same_at_once_and_as_a_job_that_tells_how_far_it_is(ask: Any) -> None:
    heard: list[float] = []
    wanted = {"n": 1, "reach_m": 1_500, "candidates": [list(FIRST), [-87.70, 41.90]]}
    found = await ask(lambda c: c.placement(QUESTION, wanted))
    assert [site["candidate"] for site in found["sites"]] == [1]
    question = {"run": found["run"]}
    later = await ask(lambda c: c.placement(question, wanted | {"seconds": 100}, progress=heard.append))
    assert (later["sites"], later["covered_before"]) == (found["sites"], found["covered_before"])
    assert (heard, heard[0], heard[-1]) == (sorted(heard), 0.0, 1.0)


async def test_a_timeline_is_the_same_at_once_and_as_a_job(ask: Any, now: datetime) -> None:
    window = {"from": now.isoformat(), "to": (now + timedelta(hours=2)).isoformat(), "step_minutes": 30}
    heard: list[float] = []
    question = QUESTION | {"count_stale": True}
    found = await ask(lambda c: c.timeline(question, window))
    assert len(found["steps"]) == 4
    assert found["steps"][-1]["covered_km2"] > 0
    later = await ask(lambda c: c.timeline(question, window, progress=heard.append))
    assert later["steps"] == found["steps"]
    assert heard[-1] == 1.0


async def test_jurisdictions_are_rows_of_the_zones_given(ask: Any) -> None:
    west: JsonObject = {
        "type": "Feature",
        "id": "west",
        "properties": {},
        "geometry": box(-87.75, 41.86, -87.70, 41.92),
    }
    east = west | {"id": "east", "geometry": box(-87.70, 41.86, -87.65, 41.92)}
    zones = {"type": "FeatureCollection", "features": [west, east]}
    found = await ask(lambda c: c.jurisdictions({"layers": ["cfd.units"]}, zones))
    assert [row["id"] for row in found["zones"]] == ["west", "east"]
    assert all(row["covered_km2"] > 0 for row in found["zones"])


async def test_a_run_says_what_was_asked_and_what_of(ask: Any) -> None:
    found = await ask(lambda c: c.placement(QUESTION, {"n": 1, "reach_m": 900}))
    run = await ask(lambda c: c.run(found["run"]))
    assert (run["run"], run["question"]["layers"]) == (found["run"], ["cfd.units"])
    assert [(each["layer"], each["revision"]) for each in run["inputs"]] == [("cfd.units", 2)]
