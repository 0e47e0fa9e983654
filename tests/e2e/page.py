"""The page as a test handles it: opened and watched for complaints, given something to show, waited for."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from playwright.async_api import Browser, Page, WebSocket, expect

from tests.e2e.browser import executable, pixels_of

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
LOOP = (-87.6278, 41.8820)
COLOR = "#0072b2"
"""Of every agency that the fixture `key` adds."""
IN_CHROMIUM = [
    pytest.mark.skipif(executable() is None, reason="Chromium is not installed (apt-get install chromium)"),
    pytest.mark.timeout(180),
    pytest.mark.usefixtures("artefacts"),
]
"""What every test of the page is marked with."""
Make = Callable[..., Awaitable[str]]
Json = dict[str, Any]
expect.set_options(timeout=30_000)


class Complaints:
    """What must not happen on any page: a request to anywhere else, an error on the console."""

    def __init__(self, page: Page, host: str) -> None:
        self.found: list[str] = []
        self._host = host
        self.expected: tuple[str, ...] = ()
        page.on("request", lambda request: self._request(request.url))
        page.on("websocket", lambda socket: self._request(socket.url))
        page.on("pageerror", lambda error: self.found.append(f"error: {error}"))
        page.on("console", lambda line: self._console(line.type, line.text))

    def _request(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("blob", "data") and parts.netloc != self._host:
            self.found.append(f"external request: {url}")

    def _console(self, kind: str, text: str) -> None:
        if kind in ("error", "warning") and not any(each in text for each in self.expected):
            self.found.append(f"console {kind}: {text}")


@asynccontextmanager
async def opened(
    browser: Browser,
    url: str,
    *,
    fragment: str = "",
    expected: tuple[str, ...] = (),
    frames: list[str | bytes] | None = None,
    **context: Any,
) -> AsyncIterator[Page]:
    """The page at *url*, which may be a ticket's; afterwards, there must have been nothing to complain of.

    What its websocket receives is noted in *frames*.
    """
    page = await browser.new_page(viewport={"width": 1400, "height": 850}, **context)
    page.set_default_timeout(30_000)
    complaints = Complaints(page, urlsplit(url).netloc)
    complaints.expected = expected
    if frames is not None:
        page.on("websocket", lambda socket: _note(socket, frames))
    if "?ticket=" in url:
        await page.context.request.get(url)
        url = url.partition("/enter")[0] + "/"
    await page.goto(f"{url}#{fragment}")
    yield page
    await page.close()
    assert complaints.found == []


def _note(websocket: WebSocket, frames: list[str | bytes]) -> None:
    # Playwright wants a function of Python's own, which `append` is not.
    def note(frame: str | bytes) -> None:
        frames.append(frame)

    websocket.on("framereceived", note)


async def ok(answer: Awaitable[httpx.Response]) -> httpx.Response:
    response = await answer
    assert response.is_success, response.text
    return response


async def layer(client: httpx.AsyncClient, name: str, kind: str = "units", **rules: Any) -> None:
    await ok(client.post("/collections", json={"id": name, "kind": kind, **rules}))


async def push(client: httpx.AsyncClient, name: str, *features: Json) -> None:
    body = {"type": "FeatureCollection", "features": features}
    await ok(client.post(f"/collections/{name}/items", json=body))


async def ticket(client: httpx.AsyncClient, *scopes: str) -> str:
    url: str = (await ok(client.post("/tickets", json={"scopes": ["view", *scopes]}))).json()["url"]
    return url


def point(id: str, lng: float, lat: float, *, age_s: float = 0, **properties: Any) -> Json:
    observed_at = (datetime.now(UTC) - timedelta(seconds=age_s)).isoformat()
    return {
        "type": "Feature",
        "id": id,
        "geometry": {"type": "Point", "coordinates": [lng, lat]},
        "properties": {"observed_at": observed_at, **properties},
    }


def box(id: str, lng: float, lat: float, side: float, **properties: Any) -> Json:
    ring = [[lng, lat], [lng + side, lat], [lng + side, lat + side], [lng, lat + side], [lng, lat]]
    geometry = {"type": "Polygon", "coordinates": [ring]}
    return {"type": "Feature", "id": id, "geometry": geometry, "properties": properties}


def at(lng: float, lat: float, zoom: float) -> str:
    return f"at={lng},{lat},{zoom}"


async def middle(page: Page) -> dict[str, float]:
    """Where the middle of the map is on the screen."""
    box = await page.locator(".map").bounding_box()
    assert box is not None
    return {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}


async def until_drawn(page: Page, color: str, *, drawn: bool = True) -> None:
    """Wait until *color* is, or is no longer, drawn in the middle of the map."""
    spot = await middle(page)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (await pixels_of(page, color, **spot) > 20) is drawn:
            return
    pytest.fail(f"{color} is {'not' if drawn else 'still'} drawn in the middle of the map")


async def until_hovered(page: Page, told: str) -> None:
    """Wait until the map says *told* of what is drawn in its middle."""
    spot = await middle(page)
    for n in range(100):
        await page.mouse.move(spot["x"] + n % 2, spot["y"])
        if await page.locator(".hover").get_by_text(told).count():
            return
        await page.wait_for_timeout(200)
    pytest.fail(f"nothing in the middle of the map says {told!r}")


async def until_idle(page: Page) -> None:
    """Wait until every tile in view is drawn."""
    await page.wait_for_selector(".map[aria-busy=false]")
