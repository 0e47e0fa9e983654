"""What the page costs a dispatcher: script for each update of 50,000 moving units, and the wait for the first picture.

Both in a real Chromium with the real bundle; the second against the real service.
"""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx

import web
from cop.app import create_app
from cop.settings import Settings
from layers.credentials import create_key
from layers.database import Database
from layers.directory import add_agency
from layers.model import Scope
from tests.bench import Bench, Figure, percentile
from tests.conftest import serving
from tests.e2e.browser import chromium

MOVING = 50_000
LOADS = 5
VIEWPORT: Any = {"width": 1400, "height": 850}


class Quiet(SimpleHTTPRequestHandler):
    """Files without a line on standard error for each."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


def built() -> Path:
    """The bundle; there is nothing to measure without it."""
    assets = web.assets()
    assert assets is not None, "The page is not built: cd web && npm ci --ignore-scripts && npm run build"
    return assets


async def bench_page_update() -> AsyncIterator[Figure]:
    """Parsing runs in the worker; applying, drawing and sending to the graphics card on the page's thread."""
    files = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(built())))
    Thread(target=files.serve_forever, daemon=True).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport=VIEWPORT)
            page.set_default_timeout(120_000)
            await page.goto(f"http://127.0.0.1:{files.server_port}/bench.html?units={MOVING}")
            times = await page.evaluate("window.bench")
    finally:
        files.shutdown()
        files.server_close()
    yield Figure("page_update_50k_p50", percentile(times["page_ms"], 50), "ms", "lower", 8)
    yield Figure("page_update_50k_p95", percentile(times["page_ms"], 95), "ms", "lower")
    yield Figure("page_parse_50k_in_worker_p50", percentile(times["worker_ms"], 50), "ms", "lower")
    yield Figure("page_first_frame_50k", times["first_ms"], "ms", "lower")


async def bench_page_cold_load(bench: Bench) -> AsyncIterator[Figure]:
    """From the address to 900 units on the screen, by the page's own mark; a fresh browser profile each time."""
    url = await bench.fresh_database()
    database = Database(url)
    async with database.begin() as connection:
        await add_agency(connection, "cfd", name="Fire", color="#d55e00", host=True)
        key = await create_key(connection, "cfd", frozenset({Scope.PUBLISH, Scope.VIEW, Scope.ADMIN}))
    await database.dispose()
    built()
    app = create_app(Settings(database_url=url, data_dir=Path("unused")))
    async with serving(app) as server, chromium() as browser:
        headers = {"Authorization": f"Bearer {key}"}
        async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as fire:
            await push_units(fire, 900)
            waits = []
            for _ in range(LOADS):
                ticket = (await fire.post("/tickets", json={})).raise_for_status().json()["url"]
                waits.append(await cold_load(browser, ticket, server.url))
    yield Figure("page_cold_load_900_units_p50", percentile(waits, 50), "s", "lower", 3)
    yield Figure("page_cold_load_900_units_max", max(waits), "s", "lower")


async def cold_load(browser: Any, ticket: str, url: str) -> float:
    """Seconds from navigation to the first picture, with an empty cache."""
    context = await browser.new_context(viewport=VIEWPORT)
    await context.request.get(ticket)
    page = await context.new_page()
    await page.goto(f"{url}/")
    mark = "performance.getEntriesByName('picture-drawn')[0]"
    await page.wait_for_function(f"() => {mark}", timeout=60_000)
    milliseconds: float = await page.evaluate(f"{mark}.startTime")
    await context.close()
    return milliseconds / 1000


async def push_units(client: httpx.AsyncClient, count: int) -> None:
    """A layer of *count* units over Chicago, the same every time."""
    chance = random.Random(1)
    (await client.post("/collections", json={"id": "cfd.units", "kind": "units"})).raise_for_status()
    features = [
        {
            "type": "Feature",
            "id": f"u{n}",
            "geometry": {
                "type": "Point",
                "coordinates": [chance.gauss(-87.68, 0.05), chance.gauss(41.87, 0.05)],
            },
            "properties": {"callsign": f"E{n}", "heading_deg": chance.randrange(360), "speed_mps": 12},
        }
        for n in range(count)
    ]
    body = {"type": "FeatureCollection", "features": features}
    (await client.post("/collections/cfd.units/items", json=body)).raise_for_status()
