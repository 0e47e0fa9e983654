"""A layer that an agency may only have counted: it is not there, yet analyses count it, by cells and without names."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import h3.api.basic_str as h3
import httpx
import pytest

import web
from cop.api.tiles import GRID
from cop.client import Client
from layers.database import Database
from tests.api.planning.asking import (
    AREA,
    ASK,
    Clients,
    add,
    again,
    ask,
    at,
    cells_of,
    ended,
    feature,
    filled,
    forget,
    get,
    later,
    reached,
    refusal,
)
from tests.api.planning.test_watch import WATCH, items, save, until
from tests.conftest import Serving
from tests.live.dialogue import dialogue

LEFT_OUT = "Left out, for they are shared at 1 km only: ems.units."
CELL = h3.latlng_to_cell(41.89, -87.65, 8)
MIDDLE = h3.cell_to_latlng(CELL)[1], h3.cell_to_latlng(CELL)[0]
"""Longitude and latitude of where the unit seems to be."""
TRUE, MOVED = (-87.6431234, 41.8881235), (-87.6466789, 41.8912345)
"""Where it is, and where else in its cell it may be."""
NOTE = "Approximate: ems shares ems.units at 1 km."
TOLD = ("Medic 7", "Okafor", "m-7031", *(f"{degrees:.6f}" for degrees in TRUE))
"""What of the unit nobody else is to know."""
SHARE = "/collections/ems.units/shares"


def unit(place: tuple[float, float] = TRUE, **others: Any) -> dict[str, Any]:
    named = {"callsign": "Medic 7", "crew": ["Okafor"]} | others
    return feature("m-7031", at(*place), reach_m=1500, status="available", **named)


@pytest.fixture
async def fire(clients: Clients) -> httpx.AsyncClient:
    """cfd, with whom ems shares its units generalized."""
    await add(clients["ems"], "ems.units", "units", unit())
    assert (await clients["ems"].delete(f"{SHARE}/all")).is_success
    await share(clients["ems"], "generalized")
    return clients["cfd"]


async def share(ems: httpx.AsyncClient, grade: str) -> None:
    assert (await ems.put(f"{SHARE}/cfd", params={"grade": grade})).status_code == 204


def settled(answer: dict[str, Any]) -> dict[str, Any]:
    """*answer* but for what tells one asking from another: the run, revisions, and times."""
    inputs = [{k: v for k, v in each.items() if k != "revision"} for each in answer["inputs"]]
    return {k: v for k, v in answer.items() if k not in ("run", "at")} | {"inputs": inputs}


# Denials


@pytest.mark.parametrize(
    "path", ["", "/items", "/items/m-7031", "/items/m-7031/track", "/changes", f"/tiles/{GRID}/0/0/0"]
)
async def test_the_layer_is_as_one_that_is_not_there(fire: httpx.AsyncClient, path: str) -> None:
    hidden, absent = [await fire.get(f"/collections/{name}{path}") for name in ("ems.units", "ems.absent")]
    assert (hidden.status_code, hidden.json()["code"]) == (absent.status_code, absent.json()["code"])
    assert hidden.status_code == 404
    assert (await fire.get("/feeds/ems.units")).status_code == 404


async def test_nothing_that_lists_or_streams_layers_mentions_it(
    fire: httpx.AsyncClient, server: Serving
) -> None:
    for path in ("/collections", "/feeds", "/operations", "/session"):
        assert "ems.units" not in (await fire.get(path)).text, path
    secret = fire.headers["Authorization"].removeprefix("Bearer ")
    async with dialogue(server.ws_url, secret) as talking:
        await talking.until(lambda model: model.hello)
        assert "ems.units" not in json.dumps(talking.model.hello)


async def test_it_cannot_be_read_as_an_area_as_streets_or_as_weights(fire: httpx.AsyncClient) -> None:
    along = {"minutes": 5, "roads": "ems.units"}
    weights = {"layer": "ems.units", "property": "reach_m"}
    for question in (
        {"area": {"layer": "ems.units", "id": "m-7031"}},
        {"area": AREA, "reach": along},
        {"area": AREA, "weights": weights},
    ):
        assert await refusal(fire, question) == (404, "layer.not_found", "")


async def test_the_public_gets_all_or_nothing_and_a_grade_is_one_of_two(clients: Clients) -> None:
    ems = clients["ems"]
    await add(ems, "ems.units", "units")
    for audience, query, expected in (
        ("public", "grade=generalized", (422, "share.grade")),
        ("cfd", "grade=some", (400, "query.grade")),
        ("cfd", "grade=full&grade=generalized", (400, "query.grade")),
        ("cfd", "level=1", (400, "query.unknown")),
    ):
        answer = await ems.put(f"{SHARE}/{audience}?{query}")
        assert (answer.status_code, answer.json()["code"]) == expected, query
    assert (await clients["cfd"].put(f"{SHARE}/cfd?grade=generalized")).status_code == 403
    await add(ems, "ems.calls", "incidents")
    nothing = await ems.put("/collections/ems.calls/shares/cfd?grade=generalized")
    assert (nothing.status_code, nothing.json()["code"]) == (422, "share.grade")


async def test_what_follows_it_is_refused_where_it_is_named_and_else_leaves_it_out(
    fire: httpx.AsyncClient, db: Database
) -> None:
    now = datetime.now(UTC)
    window = {"from": now.isoformat(), "to": (now + timedelta(hours=1)).isoformat()}
    named = await fire.post(
        "/coverage/timeline", json={"area": AREA, "window": window, "layers": ["ems.units"]}
    )
    assert (named.status_code, named.json()["code"], named.json()["pointer"]) == (
        422,
        "coverage.generalized",
        "/layers/0",
    )
    over = (await fire.post("/coverage/timeline", json={"area": AREA, "window": window})).json()
    assert (over["inputs"], over["worst"]["covered_km2"], over["best"]["covered_km2"]) == ([], 0, 0)
    assert LEFT_OUT in over["notes"]
    await save(db, {"area": AREA, "layers": ["ems.units"]})
    watched = await fire.put(WATCH)
    assert (watched.status_code, watched.json()["code"]) == (422, "coverage.generalized")


async def test_a_watch_of_all_layers_leaves_it_out(fire: httpx.AsyncClient, db: Database) -> None:
    await save(db, {"area": AREA})
    begun = await fire.put(WATCH)
    assert (begun.status_code, begun.json()["notes"]) == (200, [LEFT_OUT])
    (gap,) = await until(fire, "cfd.gaps-loop", lambda found: len(found) == 1)
    await until(fire, "cfd.alerts", lambda found: len(found) == 1)
    assert gap["properties"]["km2"] == pytest.approx((await ask(fire, agencies=["cfd"]))["gap_km2"], abs=0.01)
    assert "ems.units" not in json.dumps(await items(fire, "cfd.gaps-loop"))


async def test_less_than_before_closes_results_and_makes_runs_coarse(
    fire: httpx.AsyncClient, clients: Clients, server: Serving
) -> None:
    await share(clients["ems"], "full")
    exact = await ask(fire)
    assert cells_of(exact["gap"]) == filled(AREA) - reached(*TRUE, 1500)
    job = await ended(fire, await later(fire))
    await share(clients["ems"], "generalized")
    coarse = await again(fire, exact["run"])
    assert cells_of(coarse["gap"]) == filled(AREA) - reached(*MIDDLE, 1500)
    assert NOTE in coarse["notes"]
    status, told = await get(fire, f"/{exact['run']}/cells/{h3.cell_to_center_child(CELL, 9)}")
    assert (status, told["covered_by"][0]["id"]) == (200, f"{CELL}.1")
    kept = await fire.get(f"/jobs/{job['id']}/result")
    assert (kept.status_code, kept.json()["code"]) == (409, "job.access")
    forget(server)
    assert await again(fire, exact["run"]) == coarse
    await share(clients["ems"], "full")
    assert await again(fire, exact["run"]) == exact
    assert (await fire.get(f"/jobs/{job['id']}/result")).status_code == 200


async def test_a_share_taken_back_closes_the_runs_that_rest_on_it(
    fire: httpx.AsyncClient, clients: Clients
) -> None:
    run = (await ask(fire))["run"]
    assert (await clients["ems"].delete(f"{SHARE}/cfd")).status_code == 204
    assert await refusal(fire, {"run": run}) == (404, "layer.not_found", "")
    assert (await ask(fire))["inputs"] == []


# Answers


async def test_it_is_counted_where_its_cell_is_and_the_answer_says_so(fire: httpx.AsyncClient) -> None:
    for question in ({}, {"layers": ["ems.units"]}):
        found = await ask(fire, **question)
        assert cells_of(found["gap"]) == filled(AREA) - reached(*MIDDLE, 1500)
        assert NOTE in found["notes"]
        assert [(each["layer"], each["features"]) for each in found["inputs"]] == [("ems.units", 1)]
    assert cells_of((await ask(fire, where={"callsign": ["Medic 7"]}))["gap"]) == filled(AREA)
    assert (await ask(fire, where={"status": ["available"]}))["covered_km2"] == found["covered_km2"]


async def test_no_form_of_an_answer_names_the_unit_or_its_place(fire: httpx.AsyncClient) -> None:
    run = (await ask(fire))["run"]
    told = [(await fire.get(f"/coverage/runs/{run}")).text]
    forms = ["json", "geojson", "csv", *(["html"] if web.assets() is not None else [])]
    for f in forms:
        answer = await fire.post(ASK, json={"area": AREA, "at_least": 2}, params={"f": f})
        assert answer.status_code == 200, answer.text
        told.append(answer.text)
    cells = (h3.cell_to_center_child(CELL, 9), min(filled(AREA)))
    told += [(await fire.get(f"/coverage/runs/{run}/cells/{cell}")).text for cell in cells]
    removed = {"do": "remove", "layer": "ems.units", "id": f"{CELL}.1"}
    what_if = await fire.post("/coverage/what-if", json={"run": run, "changes": [removed]})
    assert (what_if.status_code, what_if.json()["a"]["covered_km2"]) == (200, 0)
    told.append(what_if.text)
    assert [word for word in TOLD for text in told if word in text] == []
    assert any(f"{CELL}.1" in text for text in told), "the words are looked for where a name would be"


async def test_the_true_name_is_no_feature_of_a_what_if(fire: httpx.AsyncClient) -> None:
    gone = {"do": "remove", "layer": "ems.units", "id": "m-7031"}
    answer = await fire.post("/coverage/what-if", json={"area": AREA, "changes": [gone]})
    assert (answer.status_code, answer.json()["code"]) == (422, "whatif.feature")


async def test_a_move_within_its_cell_changes_nothing(fire: httpx.AsyncClient, clients: Clients) -> None:
    before = await ask(fire)
    moved = await clients["ems"].post("/collections/ems.units/items", json=unit(MOVED, callsign="Medic 8"))
    assert moved.is_success
    after = await ask(fire)
    assert settled(after) == settled(before)
    assert after["inputs"][0]["revision"] > before["inputs"][0]["revision"]


async def test_the_past_is_as_coarse_as_the_present(fire: httpx.AsyncClient, clients: Clients) -> None:
    now = await ask(fire)
    away = unit((-87.61, 41.86))
    assert (await clients["ems"].post("/collections/ems.units/items", json=away)).is_success
    past = await ask(fire, at=now["at"])
    assert cells_of(past["gap"]) == filled(AREA) - reached(*MIDDLE, 1500)
    assert NOTE in past["notes"]


async def test_a_full_share_wins_and_the_grade_given_last_holds(
    fire: httpx.AsyncClient, clients: Clients
) -> None:
    ems = clients["ems"]
    assert (await ems.put(f"{SHARE}/all")).status_code == 204
    assert (await fire.get("/collections/ems.units")).status_code == 200
    assert (await ems.put(f"{SHARE}/all", params={"grade": "generalized"})).status_code == 204
    assert (await fire.get("/collections/ems.units")).status_code == 404
    assert (await ask(fire))["inputs"][0]["layer"] == "ems.units"
    await share(ems, "full")
    assert NOTE not in (await ask(fire))["notes"]


async def test_the_client_shares_by_grade(fire: httpx.AsyncClient, clients: Clients, server: Serving) -> None:
    with Client(server.url, clients["ems"].headers["Authorization"].removeprefix("Bearer ")) as ems:
        await asyncio.to_thread(ems.share, "ems.units", "cfd")
        assert (await fire.get("/collections/ems.units")).status_code == 200
        await asyncio.to_thread(ems.share, "ems.units", "cfd", generalized=True)
    assert (await fire.get("/collections/ems.units")).status_code == 404
    assert NOTE in (await ask(fire))["notes"]
