"""Where next, over HTTP: what is refused, and answers checked by asking for the coverage with the sites in place."""

from __future__ import annotations

import asyncio
from typing import Any

import h3.api.basic_str as h3
import httpx
import pytest

from tests.api.planning.asking import AREA, Clients, add, ask, at, cells_of, ended, feature, later, refusal

PLACE = "/coverage/placement"


async def place(client: httpx.AsyncClient, wanted: dict[str, Any], **question: Any) -> dict[str, Any]:
    answer = await client.post(PLACE, json={"area": AREA, "place": wanted, **question})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(client: httpx.AsyncClient, body: dict[str, Any]) -> tuple[int, str, str]:
    answer = await client.post(PLACE, json=body)
    problem = answer.json()
    return answer.status_code, problem["code"], problem.get("pointer", "")


async def test_only_planners_may_place(clients: Clients) -> None:
    body = {"area": AREA, "place": {"n": 1, "reach_m": 900}}
    assert (await refused(clients["public"], body))[0] == 401
    assert (await refused(clients["viewer"], body))[0] == 403


@pytest.mark.parametrize(
    ("wanted", "code", "pointer"),
    [
        (None, "placement.place", "/place"),
        ({"n": 0}, "placement.n", "/place/n"),
        ({"n": 10**9}, "placement.n", "/place/n"),
        ({}, "placement.n", "/place/n"),
        ({"goal": "best", "n": 1}, "placement.goal", "/place/goal"),
        ({"goal": "move_up", "n": 1}, "placement.moves", "/place/moves"),
        ({"n": 1, "sites": 5}, "coverage.member", "/place/sites"),
        ({"n": 1, "busy": 1}, "placement.busy", "/place/busy"),
        ({"n": 1, "reach_m": -1}, "placement.reach_m", "/place/reach_m"),
        ({"n": 1}, "placement.reach_m", "/place/reach_m"),
        ({"n": 1, "seconds": 3600}, "placement.seconds", "/place/seconds"),
        ({"n": 1, "prove": "yes"}, "placement.prove", "/place/prove"),
        ({"n": 1, "candidates": []}, "placement.candidates", "/place/candidates"),
        ({"n": 1, "candidates": "free"}, "placement.candidates", "/place/candidates"),
        ({"n": 1, "candidates": [[0, 0], [0, 91]]}, "placement.candidates", "/place/candidates/1"),
        ({"n": 1, "candidates": [[0, True]]}, "placement.candidates", "/place/candidates/0"),
        ({"n": 1, "candidates": {"resolution": 16}}, "placement.resolution", "/place/candidates/resolution"),
        ({"n": 1, "candidates": {}}, "placement.candidates", "/place/candidates"),
    ],
)
async def test_what_is_no_placement_is_refused_with_its_spot(
    clients: Clients, wanted: object, code: str, pointer: str
) -> None:
    assert await refused(clients["cfd"], {"area": AREA, "place": wanted}) == (422, code, pointer)


async def test_candidates_of_a_hidden_layer_are_those_of_none(clients: Clients) -> None:
    await add(clients["ems"], "ems.secret", "assets", feature("s", at(-87.65, 41.88)))
    await clients["ems"].delete("/collections/ems.secret/shares/all")
    for name in ("ems.secret", "ems.absent"):
        wanted = {"n": 1, "reach_m": 900, "candidates": {"layer": name}}
        found = await refused(clients["cfd"], {"area": AREA, "place": wanted})
        assert found == (404, "layer.not_found", "")


async def test_sites_cover_what_the_answer_says_once_they_are_there(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.stations", "assets", feature("s", at(-87.69, 41.86), reach_m=1500))
    before = await ask(fire)
    found = await place(fire, {"n": 3, "reach_m": 1500})
    assert found["covered_before"] == pytest.approx(before["covered_km2"])
    assert found["proof"]["bound"] >= found["covered_after"] - 1e-6
    new = [feature(f"n{n}", at(*site["center"]), reach_m=1500) for n, site in enumerate(found["sites"])]
    await add(fire, "cfd.new", "assets", *new)
    after = await ask(fire)
    assert found["covered_after"] == pytest.approx(after["covered_km2"], rel=1e-6)
    assert found["gained"]["km2"] == pytest.approx(after["covered_km2"] - before["covered_km2"], rel=1e-6)


async def test_the_fewest_sites_leave_no_gap(clients: Clients) -> None:
    fire = clients["cfd"]
    found = await place(fire, {"goal": "full", "reach_m": 3000, "seconds": 5})
    assert found["unreachable_km2"] == 0
    new = [feature(f"n{n}", at(*site["center"]), reach_m=3000) for n, site in enumerate(found["sites"])]
    await add(fire, "cfd.new", "assets", *new)
    assert (await ask(fire))["gap_km2"] == 0
    assert found["proof"]["bound"] <= len(found["sites"])


async def test_units_are_moved_to_where_nobody_is(clients: Clients) -> None:
    fire = clients["cfd"]
    together = [feature(f"u{n}", at(-87.69, 41.86), reach_m=1500) for n in range(3)]
    await add(fire, "cfd.units", "units", *together)
    posts = [[-87.62, 41.91], [-87.69, 41.86]]
    found = await place(fire, {"goal": "move_up", "moves": 2, "reach_m": 1500, "candidates": posts})
    (move,) = found["moves"]
    assert (move["to"], move["candidate"]) == (posts[0], 0)
    assert move["distance_m"] == pytest.approx(8_000, rel=0.1)
    assert found["lost"]["km2"] == 0


async def test_candidates_may_be_a_layer_and_expected_cover_puts_two_at_one(clients: Clients) -> None:
    fire = clients["cfd"]
    sites = [feature("west", at(-87.68, 41.88), name="West depot"), feature("far", at(-87.0, 41.0))]
    await add(fire, "cfd.sites", "assets", *sites)
    wanted = {"goal": "expected", "n": 2, "busy": 0.5, "reach_m": 2000, "candidates": {"layer": "cfd.sites"}}
    found = await place(fire, wanted)
    assert [(site["center"], site["units"]) for site in found["sites"]] == [([-87.68, 41.88], 2)]
    assert (found["candidates"]["layer"], found["candidates"]["revision"]) == ("cfd.sites", 2)
    assert found["sites"][0]["site"] == {"id": "west", "name": "West depot"}


async def test_who_moves_to_a_candidate_of_a_layer_is_told_its_name(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(
        fire, "cfd.units", "units", *(feature(f"u{n}", at(-87.69, 41.86), reach_m=1500) for n in range(2))
    )
    await add(fire, "cfd.posts", "assets", feature("north", at(-87.62, 41.91)))
    wanted = {"goal": "move_up", "moves": 1, "reach_m": 1500, "candidates": {"layer": "cfd.posts"}}
    (move,) = (await place(fire, wanted))["moves"]
    assert (move["candidate"], move["site"]) == (0, {"id": "north", "name": "north"})


async def test_where_no_candidate_is_of_use_it_is_said_why(clients: Clients) -> None:
    fire, here, far = clients["cfd"], [-87.65, 41.89], [-87.0, 41.0]
    cases = [
        ([far], "No site: none of 1 candidates reaches into the area."),
        ([here, far], "No site: 1 of 2 candidates reach into the area, and none would cover any more of it."),
    ]
    await add(fire, "cfd.stations", "assets", feature("s", at(*here), reach_m=1500))
    for candidates, words in cases:
        found = await place(fire, {"n": 1, "reach_m": 900, "candidates": candidates})
        assert (found["sites"], found["notes"][0]) == ([], words)
    await fire.post("/collections/cfd.stations/items", json=feature("s", at(*here), reach_m=9000))
    found = await place(fire, {"n": 1, "reach_m": 900, "candidates": [here]})
    assert (found["sites"], found["notes"][0]) == ([], "No site: all of the area is covered already.")
    used = await place(fire, {"n": 1, "reach_m": 900, "candidates": [here]}, at_least=2)
    assert "No site" not in "".join(used["notes"])


async def test_sites_are_put_where_people_are_and_not_where_ground_is(clients: Clients) -> None:
    fire, corner = clients["cfd"], [-87.605, 41.925]
    candidates = [[-87.65, 41.89], corner]
    wanted = {"n": 1, "reach_m": 1000, "candidates": candidates}
    by_ground = await place(fire, wanted)
    assert (by_ground["unit"], by_ground["sites"][0]["center"]) == ("km²", candidates[0])
    lived_in = h3.latlng_to_cell(corner[1], corner[0], 9)
    elsewhere = h3.latlng_to_cell(41.89, -87.65, 9)
    weights = {"cells": {lived_in: 300, elsewhere: 20}, "unit": "people"}
    found = await place(fire, wanted, weights=weights)
    assert (found["unit"], found["demand"], found["sites"][0]["center"]) == ("people", 320, corner)
    assert (found["covered_before"], found["covered_after"]) == (0, 300)


async def test_an_answer_that_was_given_is_asked_where_next(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.stations", "assets", feature("s", at(-87.69, 41.86), reach_m=1500))
    wanted = {"n": 2, "reach_m": 1500, "prove": False}
    first = await place(fire, wanted)
    assert (await fire.delete("/collections/cfd.stations/items/s")).is_success
    again = (await fire.post(PLACE, json={"run": first["run"], "place": wanted})).json()
    for name in ("run", "at", "inputs", "covered_before", "covered_after", "sites"):
        assert again[name] == first[name]
    assert (await place(fire, wanted))["covered_before"] == 0
    analysed = (await fire.post("/coverage/analysis", json={"run": first["run"]})).json()
    assert analysed["covered_km2"] == pytest.approx(first["covered_before"])
    body = {"run": first["run"], "place": wanted}
    assert await refused(clients["ems"], body) == (404, "run.not_found", "")


async def test_new_sites_drive_along_the_streets_that_there_are(clients: Clients) -> None:
    fire, start = clients["cfd"], [-87.68, 41.89]
    line = {"type": "LineString", "coordinates": [start, [-87.62, 41.89]]}
    await add(fire, "cfd.streets", "roads", feature("lake", line, speed_kmh=60))
    reach = {"minutes": 4, "speed_kmh": 60, "roads": "cfd.streets"}
    found = await place(fire, {"n": 1, "candidates": [start]}, reach=reach)
    # Four minutes are four kilometres of the one street, and hardly any of what lies beside it.
    assert h3.latlng_to_cell(41.89, -87.64, 9) in cells_of(found["gained"])
    assert h3.latlng_to_cell(41.91, -87.68, 9) not in cells_of(found["gained"])
    freely = await place(fire, {"n": 1, "candidates": [start]}, reach=reach | {"roads": None})
    assert found["covered_after"] < freely["covered_after"] / 2


async def test_a_placement_hears_that_it_is_cancelled_and_makes_room(clients: Clients) -> None:
    fire = clients["cfd"]
    place = {"goal": "most", "n": 40, "reach_m": 700, "seconds": 300}
    job = await later(fire, "/coverage/placement", resolution=11, place=place)
    async with asyncio.timeout(30):
        while not 0 < job["progress"] < 1:
            await asyncio.sleep(0.02)
            job = (await fire.get(f"/jobs/{job['id']}")).json()
    assert job["state"] == "running", job
    assert (await fire.delete(f"/jobs/{job['id']}")).json()["state"] == "cancelled"
    assert (await ended(fire, await later(fire)))["state"] == "done"


async def test_only_a_placement_places(clients: Clients) -> None:
    assert await refusal(clients["cfd"], {"area": AREA, "place": {}}) == (422, "coverage.member", "/place")


async def test_candidates_of_an_exercise_are_none_for_an_actual_answer(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.played", "units", feature("p", at(-87.65, 41.88)), status="exercise")
    await add(fire, "cfd.stations", "assets", feature("s", at(-87.69, 41.86), reach_m=1500))
    wanted = {"n": 1, "reach_m": 900, "candidates": {"layer": "cfd.played"}}
    found = await refused(fire, {"area": AREA, "layers": ["cfd.stations"], "place": wanted})
    assert found == (422, "coverage.mixed_status", "/place/candidates/layer")
