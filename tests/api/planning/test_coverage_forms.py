"""The forms of an analysis: what each holds, that all say the same, and that none of an exercise passes for real."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import geopandas
import h3.api.basic_str as h3
import httpx
import pyarrow.parquet
import pyogrio
import pytest
import shapely

from layers.planning.ground import MAX_AREA_CELLS
from tests.api.planning.asking import AREA, ASK, Clients, add, ask, at, cover, feature, filled
from tests.unit.hexes_shapes import box


async def form(client: httpx.AsyncClient, f: str, **question: Any) -> httpx.Response:
    answer = await client.post(ASK, params={"f": f}, json={"area": AREA, **question})
    assert answer.status_code == 200, answer.text
    return answer


def table(answer: httpx.Response) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(answer.text)))


async def test_a_form_that_is_none_and_too_many_cells_for_one_are_refused(clients: Clients) -> None:
    fire = clients["cfd"]
    refused = await fire.post(f"{ASK}?f=shp", json={"area": AREA})
    assert (refused.status_code, refused.json()["code"]) == (400, "query.f")
    large = {"area": box(-90, 40, -84, 44)}
    assert MAX_AREA_CELLS > 2_000_000
    for f in ("csv", "gpkg", "parquet", "geojson"):
        assert (await fire.post(f"{ASK}?f={f}", json=large)).json()["code"] == "h3.too_many_cells"


async def test_a_csv_has_a_row_for_each_cell_with_its_depth_and_who_covers_it(clients: Clients) -> None:
    covers = await cover(clients)
    cells = dict.fromkeys(filled(AREA), 2.5)
    answer = await form(clients["cfd"], "csv", weights={"cells": cells})
    assert answer.text.startswith("cell,depth,km2,weight,agencies,only\r\n")
    rows = {row["cell"]: row for row in table(answer)}
    assert set(rows) == set(cells)
    for cell, row in rows.items():
        reaching = [(agency, layer) for agency, layer, reach in covers if cell in reach]
        assert int(row["depth"]) == len(reaching)
        assert row["agencies"].split() == sorted({agency for agency, _ in reaching})
        assert row["only"].partition("/")[0] == (reaching[0][1] if len(reaching) == 1 else "")
        assert float(row["km2"]) == pytest.approx(h3.cell_area(cell), abs=1e-6)
        assert row["weight"] == "2.5"


async def test_an_id_with_commas_quotes_and_formulas_stays_one_cell(clients: Clients) -> None:
    await add(clients["cfd"], "cfd.units", "units", feature('=cmd("x"),1', at(-87.65, 41.88), reach_m=900))
    rows = table(await form(clients["cfd"], "csv"))
    assert {row["only"] for row in rows} == {"", 'cfd.units/=cmd("x"),1'}


async def test_geopackage_and_geoparquet_hold_the_polygons_with_their_reasons(
    clients: Clients, tmp_path: Path
) -> None:
    fire = clients["cfd"]
    busy = feature("u", at(-87.65, 41.89), reach_m=1500, status="on_scene")
    await add(
        fire, "cfd.units", "units", busy, feature("v", at(-87.69, 41.86), reach_m=1500, status="available")
    )
    question = {"where": {"status": ["available"]}, "weights": {"cells": dict.fromkeys(filled(AREA), 1)}}
    answer = await ask(fire, **question)
    for f, read in (("gpkg", geopandas.read_file), ("parquet", geopandas.read_parquet)):
        (tmp_path / f"a.{f}").write_bytes((await form(fire, f, **question)).content)
        frame = read(tmp_path / f"a.{f}")
        assert frame.crs == "EPSG:4326"
        for role in ("gap", "overlap", "covered"):
            assert frame[frame.role == role].km2.sum() == pytest.approx(answer[f"{role}_km2"], rel=1e-5)
        gaps = frame[frame.role == "gap"]
        assert gaps.weight.sum() == answer["weights"]["gap"]
        (why,) = [reasons for reasons in gaps.reasons if reasons.startswith("u near")]
        assert why.startswith("u near, but of another status (on_scene), who would close ")
        assert set(gaps.nearest) == {"v (cfd)"}
        told = sorted(round(area["nearest"]["distance_m"]) for area in answer["gap"]["areas"])
        assert sorted(gaps.nearest_m) == told
        assert set(frame.status) == {"actual"}
        whole = shapely.union_all(gaps.geometry.to_numpy())
        inside = {c for c in filled(AREA) if shapely.contains_xy(whole, *reversed(h3.cell_to_latlng(c)))}
        assert len(inside) == answer["gap"]["cell_count"]


async def test_what_accept_would_rather_have_is_sent(clients: Clients) -> None:
    fire = clients["cfd"]
    wanted = {
        "*/*": "application/json",
        "text/csv": "text/csv; charset=utf-8",
        "application/json;q=0.4, application/geo+json;q=0.9": "application/geo+json",
        "application/geopackage+sqlite3": "application/geopackage+sqlite3",
        "text/csv;q=0": "application/json",
        "text/csv;q=x": "application/json",
    }
    for accept, media_type in wanted.items():
        answer = await fire.post(ASK, json={"area": AREA}, headers={"Accept": accept})
        assert answer.headers["content-type"] == media_type


async def test_an_exercise_is_marked_in_every_form_and_in_its_file_name(
    clients: Clients, tmp_path: Path
) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.played", "units", feature("u", at(-87.65, 41.88), reach_m=900), status="exercise")
    run = (await ask(fire))["run"]

    async def again(f: str) -> httpx.Response:
        return await fire.post(ASK, params={"f": f}, json={"run": run})

    rows = table(await again("csv"))
    assert {row["status"] for row in rows} == {"exercise"}
    (tmp_path / "a.gpkg").write_bytes((await again("gpkg")).content)
    assert pyogrio.read_info(tmp_path / "a.gpkg")["layer_metadata"]["status"] == "exercise"
    parquet = pyarrow.parquet.read_table(io.BytesIO((await again("parquet")).content))
    assert set(parquet["status"].to_pylist()) == {"exercise"}
    assert set(parquet["run"].to_pylist()) == {run}
    for f in ("csv", "gpkg", "parquet"):
        name = (await again(f)).headers["content-disposition"]
        assert name.startswith('attachment; filename="EXERCISE-coverage-')
        assert name.endswith(f'Z-{run}.{f}"')
    assert (await again("geojson")).json()["status"] == "exercise"


async def test_a_briefing_is_a_page_or_a_picture_with_its_title(clients: Clients) -> None:
    fire = clients["cfd"]
    for f, begins in (("html", b"<!DOCTYPE html>"), ("png", b"\x89PNG")):
        answer = await fire.post(ASK, params={"f": f, "title": "The <Loop>"}, json={"area": AREA})
        assert answer.content[:15].lower().startswith(begins.lower())
    refused = await fire.post(ASK, params={"f": "png", "title": "x" * 201}, json={"area": AREA})
    assert refused.json()["code"] == "query.title"
