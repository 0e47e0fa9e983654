"""Zones told apart: the oracle is an analysis of each by itself."""

from __future__ import annotations

import csv
import io
import time
from pathlib import Path
from typing import Any

import geopandas
import httpx
import pytest

from tests.api.planning.asking import AREA, ASK, Clients, add, ask, at, cells_of, cover, feature, filled
from tests.unit.hexes_shapes import box

PATH = "/coverage/jurisdictions"
NORTH, SOUTH = box(-87.70, 41.89, -87.60, 41.93), box(-87.71, 41.84, -87.62, 41.90)
TINY = box(-87.6500, 41.8800, -87.6499, 41.8801)
ISLES = {
    "type": "MultiPolygon",
    "coordinates": [
        box(-87.69, 41.86, -87.68, 41.87)["coordinates"],
        box(-87.62, 41.9, -87.61, 41.91)["coordinates"],
    ],
}


def collection(*zones: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(zones)}


async def tell(
    client: httpx.AsyncClient, zones: Any, sort: str | None = None, **question: Any
) -> dict[str, Any]:
    answer = await client.post(PATH, json={"zones": zones, **question}, params={"sort": sort} if sort else {})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refused(client: httpx.AsyncClient, question: dict[str, Any]) -> tuple[int, str, str]:
    answer = await client.post(PATH, json=question)
    body = answer.json()
    return answer.status_code, body["code"], body.get("pointer", "")


# Denials and bad input


async def test_only_planners_ask_and_hidden_layers_are_not_there(clients: Clients) -> None:
    await add(clients["ems"], "ems.secret", "zones", feature("a", NORTH))
    await clients["ems"].delete("/collections/ems.secret/shares/all")
    assert (await refused(clients["public"], {"zones": "ems.secret"}))[0] == 401
    assert (await refused(clients["viewer"], {"zones": "ems.secret"}))[0] == 403
    for name in ("ems.secret", "ems.absent"):
        assert await refused(clients["cfd"], {"zones": name}) == (404, "layer.not_found", "")


async def test_zones_that_are_none_are_refused_with_the_spot(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.mixed", "incidents", feature("a", NORTH), feature("p", at(-87.65, 41.88)))
    await add(fire, "cfd.points", "incidents", feature("p", at(-87.65, 41.88)))
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    many = [feature(str(n), TINY) for n in range(1001)]
    cases: list[tuple[Any, tuple[int, str, str]]] = [
        (None, (422, "coverage.zones", "")),
        (5, (422, "coverage.zones", "/zones")),
        ({"layer": 5}, (422, "coverage.zones", "/zones/layer")),
        ({"layer": "cfd.mixed", "ids": []}, (422, "coverage.zones", "/zones/ids")),
        ({"layer": "cfd.mixed", "ids": ["x"]}, (404, "feature.not_found", "")),
        ({"layer": "cfd.mixed", "ids": ["a", "p"]}, (422, "coverage.zones", "/zones/ids/1")),
        ("cfd.points", (422, "coverage.zones", "/zones")),
        (collection(), (422, "coverage.zones", "/zones/features")),
        (collection(feature("p", at(0, 0))), (422, "coverage.zones", "/zones/features/0")),
        (collection(feature("p", {"type": []})), (422, "coverage.zones", "/zones/features/0")),
        (collection(feature("p", {"type": {}})), (422, "coverage.zones", "/zones/features/0")),
        (collection(*many), (413, "coverage.too_many_zones", "/zones/features")),
        (collection(feature("a", box(-100, 30, -80, 45))), (413, "h3.too_many_cells", "/zones")),
    ]
    for zones, expected in cases:
        assert await refused(fire, {"zones": zones}) == expected, str(zones)[:80]
    status, code, pointer = await refused(
        fire, {"zones": collection(feature("a", NORTH), feature("b", bow_tie))}
    )
    assert (status, code.split(".")[0]) == (422, "geo")
    assert pointer.startswith("/zones/features/1/geometry")
    assert (await refused(fire, {"zones": "cfd.mixed", "area": AREA}))[1] == "coverage.member"
    assert (await fire.post(f"{PATH}?sort=luck", json={"zones": "cfd.mixed"})).json()["code"] == "query.sort"


async def test_a_run_is_closed_with_the_layer_that_its_zones_were_of(clients: Clients) -> None:
    fire, ems = clients["cfd"], clients["ems"]
    await add(ems, "ems.zones", "incidents", feature("a", NORTH))
    await add(fire, "cfd.units", "units")
    run = (await fire.post(PATH, json={"zones": "ems.zones", "layers": ["cfd.units"]})).json()["run"]
    assert (await fire.get(f"/coverage/runs/{run}")).json()["layers"] == ["cfd.units", "ems.zones"]
    await ems.delete("/collections/ems.zones/shares/all")
    for answer in (await fire.get(f"/coverage/runs/{run}"), await fire.post(ASK, json={"run": run})):
        assert (answer.status_code, answer.json()["code"]) == (404, "layer.not_found")


async def test_zones_of_an_exercise_are_none_for_real(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.played", "zones", feature("a", NORTH), status="exercise")
    assert await refused(fire, {"zones": "cfd.played"}) == (422, "coverage.mixed_status", "/zones/layer")


# Answers


async def test_each_zone_has_the_numbers_of_an_analysis_of_its_own(clients: Clients) -> None:
    await cover(clients)
    fire = clients["cfd"]
    zones = {"north": NORTH, "south": SOUTH, "tiny": TINY, "isles": ISLES}
    await add(
        fire, "cfd.zones", "zones", *(feature(id, shape, name=id.title()) for id, shape in zones.items())
    )
    weights = {"cells": dict.fromkeys(filled(box(-87.72, 41.83, -87.58, 41.95)), 3)}
    for at_least in (1, 2):
        answer = await tell(fire, "cfd.zones", at_least=at_least, weights=weights)
        assert [row["id"] for row in answer["zones"]] == sorted(zones)
        for row in answer["zones"]:
            alone = await ask(fire, zones[row["id"]], at_least=at_least, weights=weights)
            check_row(row, alone)
            assert row["name"] == row["id"].title()


def check_row(row: dict[str, Any], alone: dict[str, Any]) -> None:
    for name, of_it in (("km2", "area_km2"), ("cells", "area_cells")):
        assert row[name] == pytest.approx(alone[of_it], abs=2e-6)
    for part in ("covered", "gap", "overlap"):
        assert row[f"{part}_km2"] == pytest.approx(alone[f"{part}_km2"], abs=2e-6)
        assert row[f"{part}_weight"] == alone["weights"][part]
    assert row["covered_share"] == pytest.approx(alone["covered_share"], abs=2e-6)
    assert row["covered_weight_share"] == alone["weights"]["covered_share"]
    assert row["weight"] == alone["weights"]["inside"]
    assert row["covers"] == sum(each["features"] for each in alone["inputs"])
    areas = alone["gap"]["areas"]
    assert row["worst_gap_km2"] == (pytest.approx(areas[0]["km2"], abs=2e-6) if areas else None)
    if len(areas) == 1:
        assert [row["worst_gap_lng"], row["worst_gap_lat"]] == areas[0]["center"]


async def test_what_all_have_together_is_counted_once(clients: Clients) -> None:
    zones = collection(feature("a", NORTH), feature("b", SOUTH), {"type": "Feature", "geometry": TINY})
    answer = await tell(clients["cfd"], zones)
    together = filled(NORTH) | filled(SOUTH)
    assert answer["area_cells"] == len(together)
    assert [row["id"] for row in answer["zones"]] == ["a", "b", "3"]
    assert answer["area_km2"] < answer["zones"][0]["km2"] + answer["zones"][1]["km2"]
    again = (await clients["cfd"].post("/coverage/analysis", json={"run": answer["run"]})).json()
    assert cells_of(again["gap"]) == together


async def test_rows_are_sorted_and_those_without_a_value_come_last(clients: Clients) -> None:
    await add(clients["cfd"], "cfd.areas", "coverage", feature("west", box(-87.72, 41.80, -87.66, 41.94)))
    west = feature("west", box(-87.71, 41.85, -87.67, 41.93))
    north = feature("north", box(-87.70, 41.91, -87.60, 41.93))
    zones = collection(west, north, feature("south", SOUTH))
    for sort, expected in {
        "-gap_km2": ["south", "north", "west"],
        "gap_km2": ["west", "north", "south"],
        "worst_gap_km2": ["north", "south", "west"],
        "-name": ["west", "south", "north"],
    }.items():
        answer = await tell(clients["cfd"], zones, sort)
        assert [row["id"] for row in answer["zones"]] == expected, sort


async def test_every_form_has_the_same_rows(clients: Clients, tmp_path: Path) -> None:
    await cover(clients)
    fire = clients["cfd"]
    question = {"zones": collection(feature("a", NORTH, name='=HYPERLINK("x")'), feature("b", ISLES))}
    rows = (await tell(fire, **question))["zones"]

    async def form(f: str) -> httpx.Response:
        return await fire.post(PATH, params={"f": f}, json=question)

    listed = list(csv.DictReader(io.StringIO((await form("csv")).text)))
    assert listed[0]["name"] == '\'=HYPERLINK("x")'
    assert [float(row["gap_km2"]) for row in listed] == [row["gap_km2"] for row in rows]
    assert listed[0]["weight"] == ""
    drawn = (await form("geojson")).json()["features"]
    assert [each["properties"] for each in drawn] == rows
    assert [each["geometry"]["type"] for each in drawn] == ["Polygon", "MultiPolygon"]
    for f, read in (("gpkg", geopandas.read_file), ("parquet", geopandas.read_parquet)):
        (tmp_path / f"zones.{f}").write_bytes((await form(f)).content)
        frame = read(tmp_path / f"zones.{f}")
        assert frame.covered_km2.tolist() == [row["covered_km2"] for row in rows]
    assert (await form("html")).json()["code"] == "query.f"


async def test_seventy_neighbourhoods_cost_little_more_than_the_city(clients: Clients) -> None:
    fire = clients["cfd"]
    units = [
        feature(f"u{n}", at(-87.9 + n % 30 * 0.0125, 41.65 + n // 30 * 0.0125), reach_m=2000)
        for n in range(900)
    ]
    await add(fire, "cfd.units", "units", *units)
    zones = [
        feature(
            f"z{n}",
            box(
                west := -87.94 + n % 10 * 0.042, south := 41.64 + n // 10 * 0.055, west + 0.042, south + 0.055
            ),
        )
        for n in range(70)
    ]
    await tell(fire, collection(*zones))
    took = []
    for _ in range(3):
        begun = time.perf_counter()
        answer = await tell(fire, collection(*zones), "-gap_km2", at_least=2)
        took.append(time.perf_counter() - begun)
    assert len(answer["zones"]) == 70
    assert min(took) < 1.5
