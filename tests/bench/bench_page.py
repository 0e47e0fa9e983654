"""How much script the page runs for each update of 50,000 moving units, in a real Chromium with the real bundle."""

from __future__ import annotations

from collections.abc import AsyncIterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import web
from tests.bench import Figure, percentile
from tests.e2e.browser import chromium

UNITS = 50_000


class Quiet(SimpleHTTPRequestHandler):
    """Files without a line on standard error for each."""

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


async def bench_page_update() -> AsyncIterator[Figure]:
    """Parsing runs in the worker; applying, drawing and sending to the graphics card on the page's thread."""
    assets = web.assets()
    assert assets is not None, "the page is not built: cd web && npm ci --ignore-scripts && npm run build"
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(assets)))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        async with chromium() as browser:
            page = await browser.new_page(viewport={"width": 1400, "height": 850})
            page.set_default_timeout(120_000)
            await page.goto(f"http://127.0.0.1:{server.server_port}/bench.html?units={UNITS}")
            times = await page.evaluate("window.bench")
    finally:
        server.shutdown()
        server.server_close()
    yield Figure("page_update_50k_p50", percentile(times["page_ms"], 50), "ms", "lower", 8)
    yield Figure("page_update_50k_p95", percentile(times["page_ms"], 95), "ms", "lower")
    yield Figure("page_parse_50k_in_worker_p50", percentile(times["worker_ms"], 50), "ms", "lower")
    yield Figure("page_first_frame_50k", times["first_ms"], "ms", "lower")
