"""Runs over HTTP: whose they are, that asking one again gives the same answer, and what a cell of one says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID, uuid4

import h3.api.basic_str as h3
import pytest
from sqlalchemy import text

from layers.database import Database
from tests.api.planning.asking import (
    AREA,
    ASK,
    MIDDLE,
    WEST,
    Clients,
    add,
    again,
    ask,
    at,
    cells_of,
    cover,
    feature,
    filled,
    forget,
    get,
    reached,
    refusal,
)
from tests.conftest import Serving
from tests.unit.hexes_shapes import box

# Denials


async def test_runs_are_for_planners_of_the_agency_that_asked(clients: Clients) -> None:
    run = (await ask(clients["cfd"]))["run"]
    cell = min(filled(AREA))
    for path in ("", f"/{run}", f"/{run}/cells/{cell}"):
        assert (await get(clients["public"], path))[0] == 401
        assert (await get(clients["viewer"], path))[0] == 403
    assert (await get(clients["ems"], ""))[1]["runs"] == []
    for path in (f"/{run}", f"/{run}/cells/{cell}", f"/{uuid4()}", "/none"):
        status, problem = await get(clients["ems"], path)
        assert (status, problem["code"]) == (404, "run.not_found")
    assert await refusal(clients["ems"], {"run": run}) == (404, "run.not_found", "")


async def test_a_layer_that_is_no_longer_shared_closes_the_runs_that_rest_on_it(clients: Clients) -> None:
    await add(clients["ems"], "ems.areas", "coverage", feature("a", WEST))
    await add(clients["ems"], "ems.zones", "zones", feature("z", MIDDLE))
    first = (await ask(clients["cfd"]))["run"]
    second = (await ask(clients["cfd"], {"layer": "ems.zones", "id": "z"}, layers=["ems.areas"]))["run"]
    assert await again(clients["cfd"], second)
    for layer, run in (("ems.zones", second), ("ems.areas", first)):
        await clients["ems"].delete(f"/collections/{layer}/shares/all")
        assert await refusal(clients["cfd"], {"run": run}) == (404, "layer.not_found", "")
        assert (await get(clients["cfd"], f"/{run}"))[1]["code"] == "layer.not_found"
        assert (await get(clients["cfd"], f"/{run}/cells/{min(filled(AREA))}"))[0] == 404
    listed = (await get(clients["cfd"], ""))[1]["runs"]
    assert [(each["run"], each["layers"]) for each in listed] == [(second, []), (first, [])]


async def test_a_run_weighed_by_what_is_hidden_is_closed(clients: Clients, db: Database) -> None:
    run = (await ask(clients["cfd"]))["run"]
    async with db.begin() as connection:
        weights = "jsonb_build_object('weights', jsonb_build_object('layer', 'ems.secret'))"
        await connection.execute(text(f"UPDATE coverage_run SET question = question || {weights}"))
    for path in (f"/{run}", f"/{run}/cells/{min(filled(AREA))}"):
        status, problem = await get(clients["cfd"], path)
        assert (status, problem["code"]) == (404, "layer.not_found")


async def test_times_out_of_reach_and_bad_addresses_are_refused(clients: Clients) -> None:
    fire = clients["cfd"]
    long_ago = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    assert await refusal(fire, {"area": AREA, "at": long_ago}) == (422, "coverage.at", "/at")
    assert await refusal(fire, {"run": "x"}) == (422, "coverage.run", "/run")
    assert await refusal(fire, {"run": str(uuid4()), "at_least": 2}) == (422, "coverage.run", "/at_least")
    run = (await ask(fire))["run"]
    for cell in ("x", "892664c1a8b", "0", "-1", h3.cell_to_parent(min(filled(AREA)))):
        status, problem = await get(fire, f"/{run}/cells/{cell}")
        assert (status, problem["code"]) == (422, "h3.cell"), cell
    status, problem = await get(fire, f"/{run}/cells/{h3.latlng_to_cell(0, 0, 9)}")
    assert (status, problem["code"]) == (404, "cell.not_found")
    for query in (
        "before=x",
        "before=2026-01-01T00:00:00,x",
        f"before=2026-01-01T00:00:00,{run}",
        "limit=0",
        "k=1",
    ):
        assert (await fire.get(f"/coverage/runs?{query}")).status_code == 400, query


# The same again


async def test_a_run_asked_again_gives_the_same_answer_whatever_has_happened_since(
    server: Serving, clients: Clients
) -> None:
    await cover(clients)
    fire = clients["cfd"]
    question = {"at_least": 2, "where": {"status": [None, "available", "on_scene"]}}
    first = await ask(fire, **question)
    assert await again(fire, first["run"]) == first
    await fire.post("/collections/cfd.areas/items", json=feature("west", MIDDLE))
    await fire.delete("/collections/cfd.units/items/u2")
    await clients["ems"].post(
        "/collections/ems.stations/items", json=feature("s9", at(-87.65, 41.9), reach_m=900)
    )
    await clients["ems"].post("/collections", json={"id": "ems.more", "kind": "units"})
    assert await again(fire, first["run"]) == first
    forget(server)
    assert await again(fire, first["run"]) == first
    assert (await ask(fire, **question))["gap"] != first["gap"]
    drawn = await fire.post(ASK, json={"run": first["run"]}, params={"f": "geojson"})
    assert drawn.json()["gap_km2"] == first["gap_km2"]
    assert len((await get(fire, ""))[1]["runs"]) == 2, "asking again writes nothing down"


async def test_a_run_keeps_its_area_when_the_zone_it_was_copied_from_moves(
    server: Serving, clients: Clients
) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.zones", "zones", feature("z", MIDDLE))
    first = await ask(fire, {"layer": "cfd.zones", "id": "z"})
    await fire.post("/collections/cfd.zones/items", json=feature("z", WEST))
    forget(server)
    assert await again(fire, first["run"]) == first
    question = (await get(fire, f"/{first['run']}"))[1]["question"]
    assert question["area"]["type"] == "Polygon"
    assert await ask(fire, **question | {"area": question["area"]})


async def test_a_run_without_any_layer_stays_without_when_there_are_some(
    server: Serving, clients: Clients
) -> None:
    first = await ask(clients["cfd"])
    await add(clients["cfd"], "cfd.areas", "coverage", feature("a", WEST))
    assert await again(clients["cfd"], first["run"]) == first
    forget(server)
    assert await again(clients["cfd"], first["run"]) == first


async def test_the_past_is_as_it_was_and_its_run_too(server: Serving, clients: Clients, db: Database) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.areas", "coverage", feature("a", WEST))
    async with db.connect() as connection:
        then = (await connection.scalar(text("SELECT clock_timestamp()"))).isoformat()
    await fire.post("/collections/cfd.areas/items", json=feature("a", MIDDLE))
    past = await ask(fire, at=then)
    assert cells_of(past["gap"]) == filled(AREA) - filled(WEST)
    assert [each["revision"] for each in past["inputs"]] == [1]
    forget(server)
    assert await again(fire, past["run"]) == past


async def test_before_a_layer_was_first_heard_of_nothing_is_known(clients: Clients, db: Database) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.areas", "coverage", feature("a", WEST))
    await add(fire, "cfd.never", "coverage")
    async with db.connect() as connection:
        heard = await connection.scalar(text("SELECT received_at FROM change"))
    before = await ask(fire, at=(heard - timedelta(minutes=1)).isoformat())
    assert before["notes"][:2] == [
        f"Nothing is known of cfd.areas before {heard:%Y-%m-%d %H:%M} UTC.",
        "Nothing has ever been heard of cfd.never.",
    ]
    assert await again(fire, before["run"]) == before
    after = await ask(fire, at=heard.isoformat(), layers=["cfd.areas"])
    assert not any("known" in note for note in after["notes"])


async def test_tomorrow_has_the_shifts_of_tomorrow_and_nobody_stale(
    server: Serving, clients: Clients
) -> None:
    fire = clients["cfd"]
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    shift = {"valid_from": tomorrow.isoformat(), "valid_to": (tomorrow + timedelta(hours=8)).isoformat()}
    units = [
        feature("day", at(-87.65, 41.88), reach_m=900),
        feature("shift", at(-87.62, 41.9), reach_m=900, **shift),
        feature("ends", at(-87.68, 41.9), reach_m=900, valid_to=tomorrow.isoformat()),
    ]
    await add(fire, "cfd.units", "units", *units)
    now, later = await ask(fire), await ask(fire, at=(tomorrow + timedelta(hours=1)).isoformat())
    day, soon, ends = (
        reached(lng, lat, 900) for lng, lat in ((-87.65, 41.88), (-87.62, 41.9), (-87.68, 41.9))
    )
    assert cells_of(now["gap"]) == filled(AREA) - day - ends
    assert cells_of(later["gap"]) == filled(AREA) - day - soon
    assert later["notes"][0].startswith("Still to come: with the features of ")
    forget(server)
    assert await again(fire, later["run"]) == later


async def test_pages_of_runs_add_up_newest_first(clients: Clients) -> None:
    fire = clients["cfd"]
    asked = [(await ask(fire, box(-87.7, 41.9, -87.69, 41.91), at_least=n))["run"] for n in range(1, 6)]
    found, address = [], "/coverage/runs?limit=2"
    while address:
        page = (await fire.get(address)).json()
        found += page["runs"]
        address = next((each["href"] for each in page["links"] if each["rel"] == "next"), "")
    assert [each["run"] for each in found] == asked[::-1]
    assert {(each["by"].split(":")[0], each["status"]) for each in found} == {("cfd", "actual")}


# A cell


async def test_a_cell_says_who_covers_it_who_is_next_and_who_does_not_count(clients: Clients) -> None:
    fire = clients["cfd"]
    units = [
        feature("near", at(-87.65, 41.89), reach_m=1500, status="available", callsign="Engine 1"),
        feature("far", at(-87.62, 41.87), reach_m=1000, status="available"),
        feature("busy", at(-87.652, 41.892), reach_m=1500, status="on_scene"),
        feature("away", at(-87.69, 41.92), reach_m=500, status="on_scene"),
    ]
    await add(fire, "cfd.units", "units", *units)
    run = (await ask(fire, where={"status": ["available"]}))["run"]
    cell = h3.latlng_to_cell(41.89, -87.65, 9)
    status, told = await get(fire, f"/{run}/cells/{cell.upper()}")
    assert (status, told["depth"], told["cell"], told["idle_count"]) == (200, 1, cell, 1)
    (by,), (next_,), (idle,) = told["covered_by"], told["next"], told["idle"]
    distance = h3.great_circle_distance(h3.cell_to_latlng(cell), (41.89, -87.65), "m")
    assert (by["id"], by["name"], by["distance_m"]) == ("near", "Engine 1", round(distance))
    assert (next_["id"], next_["standing"], idle["id"], idle["standing"]) == ("far", "counts", "busy", "busy")
    assert told["km2"] == pytest.approx(h3.cell_area(cell), rel=1e-4)


async def test_a_cell_nobody_is_near_is_told_so(clients: Clients) -> None:
    run = (await ask(clients["cfd"]))["run"]
    told = (await get(clients["cfd"], f"/{run}/cells/{min(filled(AREA))}"))[1]
    assert (told["depth"], told["covered_by"], told["next"], told["idle"]) == (0, [], [], [])


async def test_the_key_of_a_run_is_the_one_in_its_answer(clients: Clients) -> None:
    answer = await ask(clients["cfd"])
    status, told = await get(clients["cfd"], f"/{answer['run']}")
    assert (status, UUID(told["run"]), told["at"]) == (200, UUID(answer["run"]), answer["at"])
    assert told["inputs"] == [{k: v for k, v in each.items() if k != "features"} for each in answer["inputs"]]
