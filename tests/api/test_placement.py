"""Where next, over HTTP: what is refused, and answers checked by asking for the coverage with the sites in place."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.api.test_coverage import AREA, add, ask, at, clients, feature, refusal, settings

__all__ = ["clients", "settings"]
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


async def test_only_planners_may_place(clients: dict[str, httpx.AsyncClient]) -> None:
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
    clients: dict[str, httpx.AsyncClient], wanted: object, code: str, pointer: str
) -> None:
    assert await refused(clients["cfd"], {"area": AREA, "place": wanted}) == (422, code, pointer)


async def test_candidates_of_a_hidden_layer_are_those_of_none(clients: dict[str, httpx.AsyncClient]) -> None:
    await add(clients["ems"], "ems.secret", "assets", feature("s", at(-87.65, 41.88)))
    await clients["ems"].delete("/collections/ems.secret/shares/all")
    for name in ("ems.secret", "ems.absent"):
        wanted = {"n": 1, "reach_m": 900, "candidates": {"layer": name}}
        found = await refused(clients["cfd"], {"area": AREA, "place": wanted})
        assert found == (404, "layer.not_found", "")


async def test_sites_cover_what_the_answer_says_once_they_are_there(
    clients: dict[str, httpx.AsyncClient],
) -> None:
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


async def test_the_fewest_sites_leave_no_gap(clients: dict[str, httpx.AsyncClient]) -> None:
    fire = clients["cfd"]
    found = await place(fire, {"goal": "full", "reach_m": 3000, "seconds": 5})
    assert found["unreachable_km2"] == 0
    new = [feature(f"n{n}", at(*site["center"]), reach_m=3000) for n, site in enumerate(found["sites"])]
    await add(fire, "cfd.new", "assets", *new)
    assert (await ask(fire))["gap_km2"] == 0
    assert found["proof"]["bound"] <= len(found["sites"])


async def test_units_are_moved_to_where_nobody_is(clients: dict[str, httpx.AsyncClient]) -> None:
    fire = clients["cfd"]
    together = [feature(f"u{n}", at(-87.69, 41.86), reach_m=1500) for n in range(3)]
    await add(fire, "cfd.units", "units", *together)
    posts = [[-87.62, 41.91], [-87.69, 41.86]]
    found = await place(fire, {"goal": "move_up", "moves": 2, "reach_m": 1500, "candidates": posts})
    (move,) = found["moves"]
    assert (move["to"], move["candidate"]) == (posts[0], 0)
    assert move["distance_m"] == pytest.approx(8_000, rel=0.1)
    assert found["lost"]["km2"] == 0


async def test_candidates_may_be_a_layer_and_expected_cover_puts_two_at_one(
    clients: dict[str, httpx.AsyncClient],
) -> None:
    fire = clients["cfd"]
    sites = [feature("west", at(-87.68, 41.88)), feature("far", at(-87.0, 41.0))]
    await add(fire, "cfd.sites", "assets", *sites)
    wanted = {"goal": "expected", "n": 2, "busy": 0.5, "reach_m": 2000, "candidates": {"layer": "cfd.sites"}}
    found = await place(fire, wanted)
    assert [(site["center"], site["units"]) for site in found["sites"]] == [([-87.68, 41.88], 2)]


async def test_only_a_placement_places(clients: dict[str, httpx.AsyncClient]) -> None:
    assert await refusal(clients["cfd"], {"area": AREA, "place": {}}) == (422, "coverage.member", "/place")
