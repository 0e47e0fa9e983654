"""The planner's question over HTTP: who may not ask, what is refused, and answers counted cell by cell in Python."""

from __future__ import annotations

import time
from typing import Any

import h3.api.basic_str as h3
import pytest
import shapely
from sqlalchemy import text

from layers.database import Database
from tests.api.planning.asking import (
    AREA,
    ASK,
    MIDDLE,
    WEST,
    Clients,
    add,
    ask,
    at,
    cells_of,
    cover,
    feature,
    filled,
    km2,
    reached,
    refusal,
)
from tests.conftest import Serving
from tests.unit.hexes_shapes import box

# Denials


async def test_only_planners_may_ask(clients: Clients) -> None:
    assert await refusal(clients["public"], {"area": AREA}) == (401, "unauthenticated", "")
    assert await refusal(clients["viewer"], {"area": AREA}) == (403, "forbidden", "")


async def test_a_hidden_layer_answers_as_one_that_is_not_there(clients: Clients) -> None:
    await add(clients["ems"], "ems.secret", "coverage", feature("a", WEST))
    await clients["ems"].delete("/collections/ems.secret/shares/all")
    for name in ("ems.secret", "ems.absent"):
        for question in ({"area": AREA, "layers": [name]}, {"area": {"layer": name, "id": "a"}}):
            assert await refusal(clients["cfd"], question) == (404, "layer.not_found", "")
    assert (await ask(clients["cfd"]))["inputs"] == []


async def test_bad_questions_are_refused_before_any_work(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.incidents", "incidents", feature("i", at(-87.65, 41.88)))
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    cases: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
        ({}, (422, "coverage.area", "")),
        ({"area": at(0, 0)}, (422, "coverage.area", "/area/type")),
        ({"area": {"type": "Polygon", "coordinates": []}}, (422, "geo.empty", "/area/coordinates")),
        ({"area": box(-180, -90, 180, 90)}, (422, "geo.area", "/area/coordinates/0")),
        ({"area": box(-100, 30, -80, 45)}, (413, "h3.too_many_cells", "/area")),
        ({"area": AREA, "resolution": 16}, (422, "h3.resolution", "/resolution")),
        ({"area": box(-88, 41, -87, 42), "resolution": 12}, (413, "h3.too_many_cells", "/area")),
        ({"area": AREA, "at_least": 0}, (422, "coverage.at_least", "/at_least")),
        ({"area": AREA, "where": {"status": 5}}, (422, "coverage.where", "/where/status")),
        ({"area": AREA, "layers": ["cfd.incidents"]}, (422, "coverage.kind", "/layers/0")),
        ({"area": {"layer": "cfd.incidents", "id": "i"}}, (422, "coverage.area", "/area/id")),
        ({"area": {"layer": "cfd.incidents", "id": "x"}}, (404, "feature.not_found", "")),
        ({"area": AREA, "depth": 1}, (422, "coverage.member", "/depth")),
    ]
    for question, expected in cases:
        assert await refusal(fire, question) == expected, question
    status, code, pointer = await refusal(fire, {"area": bow_tie})
    assert (status, code.split(".")[0]) == (422, "geo")
    assert pointer.startswith("/area")


async def test_forms_of_the_request_that_are_none_are_refused(clients: Clients) -> None:
    fire = clients["cfd"]
    assert (
        await fire.post(ASK, content=b"{", headers={"Content-Type": "application/json"})
    ).status_code == 400
    assert (await fire.post(ASK, content=b"{}", headers={"Content-Type": "text/plain"})).status_code == 415
    assert (await fire.post(f"{ASK}?f=shp", json={"area": AREA})).json()["code"] == "query.f"
    assert (await fire.post(f"{ASK}?k=1", json={"area": AREA})).json()["code"] == "query.unknown"
    drawn = await fire.post(f"{ASK}?f=geojson", json={"area": box(-90, 40, -85, 44)})
    assert (drawn.status_code, drawn.json()["code"]) == (413, "h3.too_many_cells")


async def test_a_full_line_answers_503_with_a_time_to_come_back(server: Serving, clients: Clients) -> None:
    analysts = server.app.state.analysts
    analysts._max_waiting = 0
    answer = await clients["cfd"].post(ASK, json={"area": AREA})
    assert (answer.status_code, answer.json()["code"]) == (503, "coverage.busy")
    assert int(answer.headers["Retry-After"]) >= 1


async def test_exercise_and_actual_cover_are_not_added_up(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.real", "coverage", feature("a", WEST))
    await add(fire, "cfd.stations", "assets", feature("s", at(-87.64, 41.88), reach_m=900))
    await add(fire, "cfd.played", "units", feature("u", at(-87.62, 41.88), reach_m=900), status="exercise")
    assert await refusal(fire, {"area": AREA}) == (422, "coverage.mixed_status", "")
    assert await refusal(fire, {"area": AREA, "layers": ["cfd.real", "cfd.played"]}) == (
        422,
        "coverage.mixed_status",
        "/layers",
    )
    assert (await ask(fire, layers=["cfd.stations", "cfd.played"]))["status"] == "exercise"
    assert (await ask(fire, layers=["cfd.real", "cfd.stations"]))["status"] == "actual"


# Answers


async def test_nobody_there_is_one_gap(clients: Clients) -> None:
    answer = await ask(clients["cfd"])
    area = filled(AREA)
    assert cells_of(answer["gap"]) == area
    assert answer["area_km2"] == answer["gap_km2"] == km2(area)
    assert (answer["covered_km2"], answer["overlap_km2"], answer["agencies"]) == (0, 0, [])
    assert [piece["km2"] for piece in answer["gap"]["areas"]] == [km2(area)]


async def test_the_ground_of_each_depth_is_told(clients: Clients) -> None:
    fire = clients["cfd"]
    places = [(-87.65, 41.88), (-87.64, 41.88), (-87.635, 41.885)]
    await add(
        fire,
        "cfd.units",
        "units",
        *(feature(f"u{n}", at(*place), reach_m=1200) for n, place in enumerate(places)),
    )
    answer = await ask(fire)
    disks = [reached(*place, 1200) for place in places]
    depth = {cell: sum(cell in disk for disk in disks) for cell in filled(AREA)}
    told = {each["depth"]: cells_of(each) for each in answer["depth_cells"]}
    assert told == {
        deep: {cell for cell, found in depth.items() if found == deep} for deep in set(depth.values())
    }
    assert len(told) > 2


async def test_the_answer_is_what_counting_cell_by_cell_says(clients: Clients) -> None:
    covers = await cover(clients)
    for at_least in (1, 2, 3):
        check_counts(await ask(clients["cfd"], at_least=at_least), covers, at_least)


def check_counts(answer: dict[str, Any], covers: list[tuple[str, str, set[str]]], at_least: int) -> None:
    area = filled(AREA)
    times = {cell: sum(cell in cells for *_, cells in covers) for cell in area}
    gap = {cell for cell in area if times[cell] < at_least}
    overlap = {cell for cell in area if times[cell] > at_least}
    assert (cells_of(answer["gap"]), cells_of(answer["overlap"])) == (gap, overlap)
    assert (answer["area_cells"], answer["gap"]["cell_count"]) == (len(area), len(gap))
    assert answer["gap_km2"] == km2(gap)
    assert answer["overlap_km2"] == km2(overlap)
    assert answer["covered_km2"] == km2(area - gap)
    assert sum(piece["km2"] for piece in answer["gap"]["areas"]) == km2(gap)
    for piece in answer["gap"]["areas"]:
        assert h3.latlng_to_cell(*reversed(piece["center"]), 9) in gap
    own = {
        agency: area & set().union(*(cells for owner, _, cells in covers if owner == agency))
        for agency in ("cfd", "ems")
    }
    assert answer["agencies"] == [
        {"agency": "cfd", "covers_km2": km2(own["cfd"]), "only_km2": km2(own["cfd"] - own["ems"])},
        {"agency": "ems", "covers_km2": km2(own["ems"]), "only_km2": km2(own["ems"] - own["cfd"])},
    ]
    counted = {each["layer"]: each["features"] for each in answer["inputs"]}
    assert counted == {"cfd.areas": 1, "cfd.units": 2, "ems.areas": 1, "ems.stations": 2}


async def test_named_layers_a_filter_and_another_resolution(clients: Clients) -> None:
    await cover(clients)
    fire = clients["cfd"]
    one = await ask(fire, layers=["ems.areas"], resolution=8)
    assert cells_of(one["gap"], 8) == filled(AREA, 8) - filled(MIDDLE, 8)
    finer = await ask(fire, layers=["ems.stations"], resolution=10)
    covered = reached(-87.62, 41.91, 1500, 10) | reached(-87.69, 41.92, 700, 10)
    assert cells_of(finer["gap"], 10) == filled(AREA, 10) - covered
    free = await ask(fire, layers=["cfd.units"], where={"status": ["available"]})
    assert cells_of(free["gap"]) == filled(AREA) - reached(-87.61, 41.86, 1200)
    listed = await ask(fire, layers=["cfd.areas", "ems.areas"], where={"skills": ["bls"]})
    assert cells_of(listed["gap"]) == filled(AREA) - filled(MIDDLE)
    silent = await ask(fire, layers=["cfd.areas", "cfd.units"], where={"status": [None, "on_scene"]})
    assert cells_of(silent["gap"]) == filled(AREA) - filled(WEST) - reached(-87.65, 41.89, 2500)


async def test_what_has_expired_covers_nothing(clients: Clients, db: Database) -> None:
    await cover(clients)
    async with db.begin() as connection:
        await connection.execute(text("UPDATE feature SET expires_at = now() WHERE id = 'west'"))
    answer = await ask(clients["cfd"], layers=["cfd.areas"])
    assert cells_of(answer["gap"]) == filled(AREA)
    assert [each["features"] for each in answer["inputs"]] == [0]


async def test_the_answer_rests_on_the_revisions_it_names(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.areas", "coverage", feature("a", WEST))
    before = await ask(fire)
    await fire.post("/collections/cfd.areas/items", json=feature("a", MIDDLE))
    await fire.post("/collections/cfd.areas/items", json=feature("b", box(-87.61, 41.85, -87.6, 41.93)))
    after = await ask(fire)
    assert [before["inputs"][0]["revision"], after["inputs"][0]["revision"]] == [1, 3]
    assert before["inputs"][0]["epoch"] == after["inputs"][0]["epoch"]
    assert cells_of(after["gap"]) == filled(AREA) - filled(MIDDLE) - filled(box(-87.61, 41.85, -87.6, 41.93))


async def test_the_area_may_be_a_feature(clients: Clients) -> None:
    await add(clients["ems"], "ems.districts", "zones", feature("north", MIDDLE))
    answer = await ask(clients["cfd"], {"layer": "ems.districts", "id": "north"})
    assert cells_of(answer["gap"]) == filled(MIDDLE)


async def test_an_area_across_the_antimeridian_is_covered_from_both_sides(clients: Clients) -> None:
    units = [
        feature("east", at(-179.99, 10.0), reach_m=4000),
        feature("west", at(179.97, 10.0), reach_m=4000),
    ]
    await add(clients["cfd"], "cfd.boats", "units", *units)
    area = box(179.9, 9.9, 180.1, 10.1)
    answer = await ask(clients["cfd"], area, resolution=8)
    covered = reached(-179.99, 10.0, 4000, 8) | reached(179.97, 10.0, 4000, 8)
    wrapped = h3.LatLngPoly([(9.9, 179.9), (9.9, -179.9), (10.1, -179.9), (10.1, 179.9)])
    assert (
        cells_of(answer["gap"], 8)
        == set(h3.h3shape_to_cells_experimental(wrapped, 8, contain="center")) - covered
    )
    drawn = await clients["cfd"].post(ASK, json={"area": area, "resolution": 8}, params={"f": "geojson"})
    for each in drawn.json()["features"]:
        shape = shapely.geometry.shape(each["geometry"])
        assert shape.is_valid
        assert shape.bounds[0] >= -180
        assert shape.bounds[2] <= 180


async def test_polygons_say_the_same_as_cells(clients: Clients) -> None:
    await cover(clients)
    fire = clients["cfd"]
    answer = await ask(fire)
    drawn = await fire.post(ASK, json={"area": AREA}, headers={"Accept": "application/geo+json"})
    assert drawn.headers["content-type"] == "application/geo+json"
    body = drawn.json()
    assert body["inputs"] == answer["inputs"]
    for role in ("gap", "overlap", "covered"):
        parts = [each for each in body["features"] if each["properties"]["role"] == role]
        assert sum(p["properties"]["km2"] for p in parts) == pytest.approx(answer[f"{role}_km2"], rel=1e-5)
        shapes = [shapely.geometry.shape(part["geometry"]) for part in parts]
        assert all(shape.is_valid and shape.exterior.is_ccw for shape in shapes)
        if role != "covered":
            whole = shapely.union_all(shapes)
            inside = {c for c in filled(AREA) if shapely.contains_xy(whole, *reversed(h3.cell_to_latlng(c)))}
            assert inside == cells_of(answer[role])


async def test_the_polygon_of_each_gap_says_why_it_is_one_and_who_is_nearest(clients: Clients) -> None:
    await cover(clients)
    fire, question = clients["cfd"], {"area": AREA, "where": {"status": ["available", None]}}
    answer = (await fire.post(ASK, json=question)).json()
    drawn = (await fire.post(f"{ASK}?f=geojson", json=question)).json()
    by_role = {
        role: [each["properties"] for each in drawn["features"] if each["properties"]["role"] == role]
        for role in ("gap", "covered")
    }
    for told, area in zip(by_role["gap"], answer["gap"]["areas"], strict=True):
        assert told["km2"] == pytest.approx(area["km2"])
        assert told["nearest"] == f"{area['nearest']['name']} ({area['nearest']['agency']})"
        assert told["nearest_m"] == area["nearest"]["distance_m"]
        busy = any(each["reason"] == "busy" for each in area["why"])
        assert ("u2 near, but of another status (on_scene)" in told["reasons"]) == busy
        assert ("nobody within reach" in told["reasons"]) == (area["nobody_km2"] >= 0.005)
    assert {*by_role["covered"][0]} == {"role", "km2"}


async def test_the_city_with_900_units_answers_within_a_second(clients: Clients) -> None:
    """As in the demo: Chicago at resolution 9, every unit with a reach. The best of three, as machines are shared."""
    fire = clients["cfd"]
    units = [
        feature(f"u{n}", at(-87.9 + n % 30 * 0.0125, 41.65 + n // 30 * 0.0125), reach_m=1500 + n % 7 * 300)
        for n in range(900)
    ]
    await add(fire, "cfd.units", "units", *units)
    stations = [
        feature(f"s{n}", at(-87.85 + n % 10 * 0.03, 41.66 + n // 10 * 0.04), reach_m=2400) for n in range(100)
    ]
    await add(fire, "cfd.stations", "assets", *stations)
    await ask(fire)
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        await ask(fire, box(-87.94, 41.64, -87.52, 42.03), at_least=2)
        took.append(time.perf_counter() - begun)
    assert min(took) < 1.0
