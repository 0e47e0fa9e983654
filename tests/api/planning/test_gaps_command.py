"""`cop gaps` against the real service: tables in the terminal, and a file of every form of the same answer."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path
from typing import Any

import geopandas
import httpx
import orjson
import pytest
from matplotlib import image
from typer.testing import CliRunner

import web
from cop.cli import app
from tests.api.planning.asking import AREA, WEST, Clients, add, at, feature
from tests.conftest import Serving

BOX = ",".join(map(str, (*AREA["coordinates"][0][0], *AREA["coordinates"][0][2])))


async def run(server: Serving, client: httpx.AsyncClient, *words: object) -> Any:
    secret = client.headers["authorization"].removeprefix("Bearer ")
    named = ["gaps", *map(str, words), "--url", server.url, "--key", secret]
    return await asyncio.to_thread(CliRunner().invoke, app, named)


async def test_what_the_service_refuses_is_one_line_and_no_file(
    server: Serving, clients: Clients, tmp_path: Path
) -> None:
    answer = await run(server, clients["cfd"], "ems.absent", f"--area={BOX}", "--out", tmp_path / "a.csv")
    assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)
    assert "ems.absent" in answer.stderr
    assert not (tmp_path / "a.csv").exists()
    assert (await run(server, clients["viewer"], f"--area={BOX}")).exit_code == 2


async def test_what_is_wrong_with_a_bare_polygon_is_told_with_the_spot(
    server: Serving, clients: Clients, tmp_path: Path
) -> None:
    bow = [[[-87.7, 41.8], [-87.6, 41.9], [-87.6, 41.8], [-87.7, 41.9], [-87.7, 41.8]]]
    (tmp_path / "bow.geojson").write_bytes(orjson.dumps({"type": "Polygon", "coordinates": bow}))
    answer = await run(server, clients["cfd"], "--area", tmp_path / "bow.geojson")
    assert answer.exit_code == 2
    assert "holds no polygon" not in answer.stderr
    assert "-87.65" in answer.stderr


async def test_an_exercise_says_so_before_and_after(server: Serving, clients: Clients) -> None:
    fire = clients["cfd"]
    made = await fire.post("/collections", json={"id": "cfd.play", "kind": "units", "status": "exercise"})
    assert made.is_success, made.text
    played = await run(server, fire, "cfd.play", f"--area={BOX}")
    first, *_, last = played.output.strip().splitlines()
    assert (played.exit_code, first, last) == (0, "EXERCISE — NOT REAL", "EXERCISE — NOT REAL")
    await add(fire, "cfd.units", "units")
    assert "NOT REAL" not in (await run(server, fire, "cfd.units", f"--area={BOX}")).output


@pytest.mark.skipif(web.assets() is None, reason="the page was not built")
async def test_one_command_writes_every_form_of_one_answer(
    server: Serving, clients: Clients, tmp_path: Path
) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.88), reach_m=900, callsign="Engine 1"))
    await add(fire, "cfd.areas", "coverage", feature("w", WEST, name="West"))
    forms = ("json", "geojson", "csv", "gpkg", "parquet", "html", "png")
    files = [word for form in forms for word in ("--out", tmp_path / f"a.{form}")]
    answer = await run(
        server, fire, "cfd.units", "cfd.areas", f"--area={BOX}", "--title", "For Monday", *files
    )
    assert answer.exit_code == 0, answer.output
    told = orjson.loads((tmp_path / "a.json").read_bytes())
    assert told["run"] in answer.output.replace("\n", "")
    for form, read in (("gpkg", geopandas.read_file), ("parquet", geopandas.read_parquet)):
        frame = read(tmp_path / f"a.{form}")
        assert set(frame.run) == {told["run"]}
        assert frame[frame.role == "gap"].km2.sum() == pytest.approx(told["gap_km2"], rel=1e-5)
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + told["area_cells"]
    page = (tmp_path / "a.html").read_text()
    assert told["run"] in page
    assert "<h1>For Monday</h1>" in page
    assert image.imread(io.BytesIO((tmp_path / "a.png").read_bytes())).shape == (1245, 1755, 4)
