"""What-ifs over HTTP: who may not ask, what is refused, and answers counted cell by cell in Python."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
import shapely

from tests.api.planning.asking import (
    AREA,
    ASK,
    Clients,
    add,
    ask,
    at,
    cells_of,
    cover,
    feature,
    filled,
    forget,
    km2,
    reached,
)
from tests.conftest import Serving

WHAT_IF = "/coverage/what-if"


async def post(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    answer = await client.post(WHAT_IF, json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(client: httpx.AsyncClient, **body: Any) -> tuple[int, str, str]:
    answer = await client.post(WHAT_IF, json=body)
    problem = answer.json()
    return answer.status_code, problem["code"], problem.get("pointer", "")


async def units(clients: Clients) -> None:
    """Two of cfd that count, one that is busy, one of ems that overlaps, and one near that is nobody's business."""
    own = [
        feature("u1", at(-87.65, 41.88), reach_m=1500, status="available"),
        feature("u2", at(-87.62, 41.91), reach_m=1500, status="available"),
        feature("u3", at(-87.68, 41.91), reach_m=1000, status="on_scene"),
    ]
    await add(clients["cfd"], "cfd.units", "units", *own)
    other = feature("e1", at(-87.645, 41.882), reach_m=1500, status="available")
    await add(clients["ems"], "ems.units", "units", other)


FREE = {"area": AREA, "where": {"status": ["available"]}}
U1, U2, U3, E1 = (
    reached(-87.65, 41.88, 1500),
    reached(-87.62, 41.91, 1500),
    reached(-87.68, 41.91, 1000),
    reached(-87.645, 41.882, 1500),
)


async def test_only_planners_may_ask_what_if(clients: Clients) -> None:
    assert (await refused(clients["public"], **FREE, changes=[]))[:2] == (401, "unauthenticated")
    assert (await refused(clients["viewer"], **FREE, changes=[]))[:2] == (403, "forbidden")
    run = (await ask(clients["cfd"]))["run"]
    assert await refused(clients["ems"], run=run, changes=[]) == (404, "run.not_found", "")


async def test_what_is_hidden_is_as_what_is_not_there(clients: Clients) -> None:
    await units(clients)
    await clients["ems"].delete("/collections/ems.units/shares/all")
    for name in ("ems.units", "ems.absent"):
        gone = {"do": "remove", "layer": name, "id": "e1"}
        assert await refused(clients["cfd"], **FREE, changes=[gone]) == (
            422,
            "whatif.feature",
            "/changes/0/id",
        )
        off = {"do": "switch_off", "layer": name}
        assert await refused(clients["cfd"], **FREE, changes=[], b=[off]) == (
            422,
            "whatif.layer",
            "/b/0/layer",
        )
    heard = await post(clients["cfd"], **FREE, changes=[{"do": "remove", "layer": "cfd.units", "id": "u1"}])
    assert "ems.units" not in str(heard)


async def test_bad_what_ifs_are_refused(clients: Clients) -> None:
    fire = clients["cfd"]
    await units(clients)
    run = (await ask(fire))["run"]
    good = {"do": "remove", "layer": "cfd.units", "id": "u1"}
    cases: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
        (FREE, (422, "whatif.changes", "")),
        ({"changes": []}, (422, "coverage.area", "")),
        (FREE | {"changes": [good] * 3 + [good | {"id": "u9"}]}, (422, "whatif.feature", "/changes/3/id")),
        (FREE | {"changes": [good, {"do": "explode"}]}, (422, "whatif.change", "/changes/1/do")),
        (
            FREE | {"changes": [{"do": "add", "lng": 0, "lat": 0}]},
            (422, "whatif.reach", "/changes/0/reach_m"),
        ),
        (FREE | {"changes": [0] * 10**6}, (413, "whatif.too_many", "/changes")),
        ({"run": run, "area": AREA, "changes": []}, (422, "coverage.run", "/area")),
        (FREE | {"changes": [], "c": []}, (422, "coverage.member", "/c")),
    ]
    for body, expected in cases:
        assert await refused(fire, **body) == expected
    assert (await fire.post(f"{WHAT_IF}?k=1", json=FREE | {"changes": []})).json()["code"] == "query.unknown"


async def test_two_variants_stand_beside_what_is(server: Serving, clients: Clients) -> None:
    fire = clients["cfd"]
    await units(clients)
    area, base = filled(AREA), filled(AREA) & (U1 | U2 | E1)
    away = [
        {"do": "commit", "layer": "cfd.units", "id": "u1", "incident": "F-7"},
        {"do": "switch_off", "layer": "ems.units"},
    ]
    better = [
        {"do": "move", "layer": "cfd.units", "id": "u2", "to": [-87.69, 41.86]},
        {"do": "bring_back", "layer": "cfd.units", "id": "u3"},
        {"do": "add", "lng": -87.61, "lat": 41.86, "reach_m": 2000, "name": "Spare", "agency": "ems"},
    ]
    run = (await ask(fire, **FREE))["run"]
    told = await post(fire, run=run, changes=away, b=better)
    assert told["run"] == run
    assert told["base"]["gap_km2"] == km2(area - base)
    spare, moved = reached(-87.61, 41.86, 2000), reached(-87.69, 41.86, 1500)
    for name, covered in (("a", area & U2), ("b", area & (U1 | E1 | U3 | spare | moved))):
        found = told[name]
        assert (found["gap_km2"], found["covered_km2"]) == (km2(area - covered), km2(covered))
        assert found["difference"]["gap_km2"] == pytest.approx(
            found["gap_km2"] - told["base"]["gap_km2"], abs=2e-6
        )
        assert cells_of(found["newly_uncovered"]) == base - covered
        assert cells_of(found["newly_covered"]) == covered - base
    assert [(c["id"], c["was"], c["standing"]) for c in told["a"]["changed"]] == [
        ("u1", "counts", "busy"),
        ("e1", "counts", "removed"),
    ]
    assert told["a"]["changed"][0]["incident"] == "F-7"
    assert [(c["id"], c["was"], c["standing"]) for c in told["b"]["changed"]] == [
        ("u2", "counts", "counts"),
        ("u3", "busy", "counts"),
        ("2", None, "counts"),
    ]
    assert [each["agency"] for each in told["b"]["agencies"]] == ["cfd", "ems"]
    forget(server)
    assert await post(fire, run=run, changes=away, b=better) == told


async def test_overlap_is_what_counting_says(clients: Clients) -> None:
    await units(clients)
    told = await post(clients["cfd"], **FREE, changes=[{"do": "remove", "layer": "ems.units", "id": "e1"}])
    assert told["base"]["overlap_km2"] == km2(filled(AREA) & U1 & E1 | filled(AREA) & U2 & E1)
    assert told["a"]["overlap_km2"] == km2(filled(AREA) & U1 & U2)


async def test_a_question_that_is_asked_with_changes_is_a_run_to_go_on_from(clients: Clients) -> None:
    fire = clients["cfd"]
    await units(clients)
    first = await post(fire, **FREE, changes=[])
    assert first["a"] == first["base"] | {
        key: first["a"][key] for key in first["a"].keys() - first["base"].keys()
    }
    assert (first["a"]["newly_covered"]["cells"], first["a"]["changed"]) == ([], [])
    analysed = (await fire.post(ASK, json={"run": first["run"]})).json()
    assert analysed["gap_km2"] == first["base"]["gap_km2"]
    runs = (await fire.get("/coverage/runs")).json()["runs"]
    assert [each["run"] for each in runs] == [first["run"]]


async def test_the_picture_is_left_alone(clients: Clients) -> None:
    fire = clients["cfd"]
    await cover(clients)
    before = await ask(fire)
    await post(fire, run=before["run"], changes=[{"do": "switch_off", "layer": "cfd.units"}])
    after = await ask(fire)
    assert (after["gap"], after["inputs"]) == (before["gap"], before["inputs"])


async def test_differences_are_drawn_as_polygons(clients: Clients) -> None:
    fire = clients["cfd"]
    await units(clients)
    gone = {"do": "remove", "layer": "cfd.units", "id": "u2"}
    back = {"do": "bring_back", "layer": "cfd.units", "id": "u3"}
    body = FREE | {"changes": [gone], "b": [gone, back]}
    answer = await fire.post(WHAT_IF, json=body, headers={"Accept": "application/geo+json"})
    assert answer.headers["content-type"] == "application/geo+json"
    told = answer.json()
    for variant, role, cells in (
        ("a", "newly_uncovered", filled(AREA) & U2 - U1 - E1),
        ("a", "newly_covered", set()),
        ("b", "newly_covered", filled(AREA) & U3 - U1 - E1 - U2),
    ):
        own = [
            each
            for each in told["features"]
            if (each["properties"]["variant"], each["properties"]["role"]) == (variant, role)
        ]
        assert sum(each["properties"]["km2"] for each in own) == km2(cells)
        assert all(shapely.geometry.shape(each["geometry"]).is_valid for each in own)
        assert told[variant][role]["cell_count"] == len(cells)
