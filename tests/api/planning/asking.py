"""How tests ask a planner's questions: of which layers, at once, later or again, and the oracle: sets in Python."""

from __future__ import annotations

import asyncio
from typing import Any

import h3.api.basic_str as h3
import httpx
import pytest

from tests.conftest import Serving
from tests.unit.hexes_shapes import box

Clients = dict[str, httpx.AsyncClient]
"""Those of the fixture `clients`, by name."""
ASK = "/coverage/analysis"
AREA = box(-87.70, 41.85, -87.60, 41.93)
WEST, MIDDLE = box(-87.72, 41.84, -87.66, 41.94), box(-87.68, 41.84, -87.63, 41.90)
LATER = {"Prefer": "handling=lenient, respond-async; wait=10"}


async def add(
    client: httpx.AsyncClient, layer: str, kind: str, *features: dict[str, Any], **rules: Any
) -> None:
    """A layer with its features, shared with all."""
    made = await client.post("/collections", json={"id": layer, "kind": kind, **rules})
    assert made.is_success, made.text
    assert (await client.put(f"/collections/{layer}/shares/all")).is_success
    if features:
        body = {"type": "FeatureCollection", "features": features}
        sent = await client.post(f"/collections/{layer}/items", json=body)
        assert sent.is_success, sent.text


def feature(id: str, geometry: dict[str, Any], **properties: Any) -> dict[str, Any]:
    return {"type": "Feature", "id": id, "geometry": geometry, "properties": properties}


def at(lng: float, lat: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lng, lat]}


async def ask(client: httpx.AsyncClient, area: dict[str, Any] = AREA, **question: Any) -> dict[str, Any]:
    """The answer, at once."""
    answer = await client.post(ASK, json={"area": area, **question})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refusal(client: httpx.AsyncClient, question: dict[str, Any]) -> tuple[int, str, str]:
    """Status, code and pointer of the problem that is answered."""
    answer = await client.post(ASK, json=question)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    return answer.status_code, body["code"], body.get("pointer", "")


async def later(client: httpx.AsyncClient, path: str = ASK, **question: Any) -> dict[str, Any]:
    """The job that will answer."""
    answer = await client.post(path, json={"area": AREA, **question}, headers=LATER)
    assert answer.status_code == 202, answer.text
    assert answer.headers["Preference-Applied"] == "respond-async"
    job: dict[str, Any] = answer.json()
    assert answer.headers["Location"] == f"/jobs/{job['id']}"
    return job


async def ended(client: httpx.AsyncClient, job: dict[str, Any]) -> dict[str, Any]:
    """The job once it is over, however it ended."""
    async with asyncio.timeout(30):
        while job["state"] in ("waiting", "running"):
            await asyncio.sleep(0.02)
            job = (await client.get(f"/jobs/{job['id']}")).json()
    return job


# Runs


async def again(client: httpx.AsyncClient, run: str) -> dict[str, Any]:
    """The answer of a run, asked once more."""
    answer = await client.post(ASK, json={"run": run})
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def get(client: httpx.AsyncClient, path: str) -> tuple[int, dict[str, Any]]:
    """Status and body of what is at *path* below the runs."""
    answer = await client.get(f"/coverage/runs{path}")
    return answer.status_code, answer.json()


def forget(server: Serving) -> None:
    """As a process that has started anew, or another worker, would: the run is read from the log."""
    server.app.state.desk._cases.clear()
    server.app.state.analysts.close()


# The oracle: Python sets, the library's fill and its distances.


def filled(polygon: dict[str, Any], resolution: int = 9) -> set[str]:
    return set(h3.h3shape_to_cells_experimental(h3.geo_to_h3shape(polygon), resolution, contain="center"))


def reached(lng: float, lat: float, reach_m: float, resolution: int = 9) -> set[str]:
    middle = h3.latlng_to_cell(lat, lng, resolution)
    near = h3.grid_disk(middle, int(reach_m / 100) + 3)
    inside = {c for c in near if h3.great_circle_distance((lat, lng), h3.cell_to_latlng(c), "m") <= reach_m}
    return inside | {middle}


def km2(cells: set[str]) -> Any:
    return pytest.approx(sum(map(h3.cell_area, cells)), rel=1e-5, abs=1e-5)


def cells_of(part: dict[str, Any], resolution: int = 9) -> set[str]:
    return set(h3.uncompact_cells(part["cells"], resolution))


async def cover(clients: Clients) -> list[tuple[str, str, set[str]]]:
    """Covers of all kinds by two agencies; the oracle's version of them: agency, layer and cells."""
    await add(clients["cfd"], "cfd.areas", "coverage", feature("west", WEST, skills="als"))
    await add(
        clients["ems"],
        "ems.areas",
        "coverage",
        feature("mid", MIDDLE, skills=["als", "bls"]),
        resolution=8,
    )
    stations = [feature("s1", at(-87.62, 41.91), reach_m=1500), feature("s2", at(-87.69, 41.92))]
    await add(clients["ems"], "ems.stations", "assets", *stations, reach_m=700)
    units = [
        feature("u1", at(-87.61, 41.86), reach_m=1200, status="available"),
        feature("u2", at(-87.65, 41.89), reach_m=2500, status="on_scene"),
        feature("far", at(-87.0, 41.0), reach_m=500, status="available"),
        feature("none", at(-87.65, 41.88), status="available"),
    ]
    await add(clients["cfd"], "cfd.units", "units", *units)
    return [
        ("cfd", "cfd.areas", filled(WEST)),
        ("ems", "ems.areas", filled(MIDDLE)),
        ("ems", "ems.stations", reached(-87.62, 41.91, 1500)),
        ("ems", "ems.stations", reached(-87.69, 41.92, 700)),
        ("cfd", "cfd.units", reached(-87.61, 41.86, 1200)),
        ("cfd", "cfd.units", reached(-87.65, 41.89, 2500)),
    ]
