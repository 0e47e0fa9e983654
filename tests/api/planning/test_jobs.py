"""Questions that are answered later: over HTTP, by whichever process, and only to the agency that asked."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import h3.api.basic_str as h3
import httpx
import pytest

from cop.planning import jobs as working
from layers.credentials import shown
from tests.api.planning.asking import AREA, ASK, LATER, Clients, add, ask, at, ended, feature, later
from tests.conftest import Serving, serving


@pytest.fixture(autouse=True)
def quick_beats(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(working, "BEAT_S", 0.05)


async def test_only_planners_have_jobs_and_only_their_agencys(clients: Clients) -> None:
    assert (await clients["public"].post(ASK, json={"area": AREA}, headers=LATER)).status_code == 401
    assert (await clients["viewer"].post(ASK, json={"area": AREA}, headers=LATER)).status_code == 403
    assert (await clients["public"].get("/jobs")).status_code == 401
    job = await later(clients["cfd"])
    for path in (f"/jobs/{job['id']}", f"/jobs/{job['id']}/result", "/jobs/none"):
        assert (await clients["ems"].get(path)).json()["code"] == "job.not_found"
    assert (await clients["ems"].delete(f"/jobs/{job['id']}")).status_code == 404
    assert (await clients["ems"].get("/jobs")).json() == {"jobs": []}


async def test_a_bad_question_is_refused_at_once(clients: Clients) -> None:
    refused = await clients["cfd"].post(ASK, json={"area": AREA, "at_least": 0}, headers=LATER)
    assert (refused.status_code, refused.json()["code"]) == (422, "coverage.at_least")
    assert (await clients["cfd"].get("/jobs")).json() == {"jobs": []}


async def test_what_is_found_wrong_later_is_the_jobs_problem(clients: Clients) -> None:
    fire = clients["cfd"]
    job = await ended(fire, await later(fire, layers=["ems.absent"]))
    assert (job["state"], job["problem"]["code"]) == ("failed", "layer.not_found")
    result = await fire.get(f"/jobs/{job['id']}/result")
    assert (result.status_code, result.headers["content-type"]) == (404, "application/problem+json")
    assert result.json() == job["problem"]


async def test_the_result_is_what_the_request_would_have_been_answered_with(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.88), reach_m=900))
    job = await ended(fire, await later(fire))
    assert (job["state"], job["progress"], job["path"]) == ("done", 1.0, ASK)
    assert [each["rel"] for each in job["links"]] == ["self", "results"]
    found = (await fire.get(job["links"][1]["href"])).json()
    now = await ask(fire)
    for name in ("gap", "covered_km2", "agencies", "inputs"):
        assert found[name] == now[name]
    assert [each["id"] for each in (await fire.get("/jobs")).json()["jobs"]] == [job["id"]]


async def test_a_file_keeps_its_name(clients: Clients) -> None:
    fire = clients["cfd"]
    job = await ended(fire, await later(fire, f"{ASK}?f=csv"))
    result = await fire.get(f"/jobs/{job['id']}/result")
    assert result.headers["content-type"] == "text/csv; charset=utf-8"
    assert result.headers["content-disposition"].startswith('attachment; filename="coverage-')
    assert result.text.startswith("cell,depth")


async def test_a_result_is_kept_from_those_who_see_less_than_it_may_rest_on(clients: Clients) -> None:
    fire, ems = clients["cfd"], clients["ems"]
    await add(ems, "ems.units", "units", feature("u", at(-87.65, 41.88), reach_m=900))
    job = await ended(fire, await later(fire))
    result = f"/jobs/{job['id']}/result"
    assert (await fire.get(result)).json()["covered_km2"] > 0
    assert (await ems.delete("/collections/ems.units/shares/all")).is_success
    kept = await fire.get(result)
    assert (kept.status_code, kept.json()["code"]) == (409, "job.access")
    assert (await ems.put("/collections/ems.units/shares/all")).is_success
    assert (await fire.get(result)).status_code == 200


async def test_another_process_tells_of_a_job_and_cancels_it(
    server: Serving, clients: Clients, settings: Any
) -> None:
    from cop.app import create_app

    fire = clients["cfd"]
    async with (
        serving(create_app(settings)) as other,
        httpx.AsyncClient(base_url=other.url, headers=fire.headers) as there,
        server.app.state.jobs._turn,  # as if another job ran
    ):
        job = await later(fire)
        assert (await there.get(f"/jobs/{job['id']}")).json()["state"] == "waiting"
        early = await there.get(f"/jobs/{job['id']}/result")
        assert (early.status_code, early.json()["code"]) == (409, "job.waiting")
        cancelled = (await there.delete(f"/jobs/{job['id']}")).json()
        assert cancelled["state"] == "cancelled"
        async with asyncio.timeout(10):
            while server.app.state.jobs._own:  # noqa: ASYNC110 - a beat rings no bell
                await asyncio.sleep(0.02)
    assert (await fire.get(f"/jobs/{job['id']}/result")).json()["code"] == "job.cancelled"
    assert (await fire.delete(f"/jobs/{job['id']}")).status_code == 204
    assert (await fire.get(f"/jobs/{job['id']}")).status_code == 404


async def test_short_questions_get_through_while_jobs_wait(server: Serving, clients: Clients) -> None:
    fire = clients["cfd"]
    async with server.app.state.jobs._turn:
        jobs = [await later(fire) for _ in range(3)]
        assert (await ask(fire))["gap"]["area_count"] == 1
    assert [(await ended(fire, job))["state"] for job in jobs] == ["done"] * 3


async def test_a_placement_by_weights_is_a_job_and_may_take_longer_then(clients: Clients) -> None:
    fire = clients["cfd"]
    place = {
        "goal": "most",
        "n": 1,
        "reach_m": 1000,
        "seconds": 60,
        "candidates": [[-87.65, 41.88], [-87.61, 41.91]],
    }
    weights = {"cells": {h3.latlng_to_cell(41.91, -87.61, 9): 250}, "unit": "people"}
    question = {"area": AREA, "weights": weights, "place": place}
    assert (await fire.post("/coverage/placement", json=question)).json()["code"] == "placement.seconds"
    job = await ended(fire, await later(fire, "/coverage/placement", **question))
    found = (await fire.get(f"/jobs/{job['id']}/result")).json()
    assert (found["unit"], found["demand"], found["covered_after"]) == ("people", 250, 250)


async def test_a_timeline_is_a_job(clients: Clients) -> None:
    fire = clients["cfd"]
    now = datetime.now(UTC).replace(microsecond=0)
    window = {"from": (now - timedelta(hours=2)).isoformat(), "to": now.isoformat(), "step_minutes": 60}
    job = await ended(fire, await later(fire, "/coverage/timeline", window=window))
    assert job["state"] == "done", job
    direct = (await fire.post("/coverage/timeline", json={"area": AREA, "window": window})).json()
    result = (await fire.get(f"/jobs/{job['id']}/result")).json()
    assert result["steps"] == direct["steps"]


async def test_a_job_that_waited_reads_nothing_that_is_no_longer_shared(
    clients: Clients, server: Serving
) -> None:
    fire, ems = clients["cfd"], clients["ems"]
    await add(ems, "ems.units", "units", feature("u", at(-87.65, 41.88), reach_m=900))
    async with server.app.state.jobs._turn:  # as if another job were being done
        kept, lost = await later(fire, layers=["ems.units"]), await later(ems, layers=["ems.units"])
        await ems.delete("/collections/ems.units/shares/all")
    kept, lost = await ended(ems, lost), await ended(fire, kept)
    assert kept["state"] == "done", "its own agency sees what it saw"
    assert (lost["state"], lost["problem"]["code"]) == ("failed", "job.access")


async def test_a_job_ends_with_the_key_that_asked(clients: Clients, server: Serving, key: Any) -> None:
    fire = clients["cfd"]
    secret = await key("cfd", "plan", "view")
    async with server.app.state.jobs._turn:
        async with httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {secret}"}
        ) as planner:
            job = await later(planner)
        revoked = await fire.delete(f"/keys/{shown(secret)}")
        assert revoked.status_code == 204, revoked.text
    job = await ended(fire, job)
    assert (job["state"], job["problem"]["status"]) == ("failed", 401)
