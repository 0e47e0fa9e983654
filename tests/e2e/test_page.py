"""The page in a real browser against the real service: what agencies push is what dispatchers see, and nothing else."""

from __future__ import annotations

import asyncio
import random
import re
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import httpx
import pytest
from playwright.async_api import Browser, Page, WebSocket, expect

import web
from cop.app import create_app
from cop.embedded.cluster import Cluster
from cop.settings import Settings
from tests.conftest import Serving, serving
from tests.e2e.browser import chromium, executable, pixels_of

pytestmark = [
    pytest.mark.skipif(executable() is None, reason="Chromium is not installed (apt-get install chromium)"),
    pytest.mark.timeout(180),
]

ARTEFACTS = Path(__file__).parents[2] / "artefacts"
LOOP = (-87.6278, 41.8820)
COLOR = "#0072b2"
"""Of every agency that the fixture `key` adds."""
GAP = "#a8003c"
expect.set_options(timeout=30_000)
Make = Callable[..., Awaitable[str]]
Json = dict[str, Any]


@pytest.fixture(scope="module", autouse=True)
def artefacts() -> None:
    assert web.assets() is not None, (
        "The page is not built: cd web && npm ci --ignore-scripts && npm run build"
    )
    ARTEFACTS.mkdir(exist_ok=True)


@pytest.fixture
async def fire(server: Serving, key: Make) -> AsyncIterator[httpx.AsyncClient]:
    """The fire department, which runs this deployment."""
    secret = await key("cfd", "publish", "view", "plan", "admin", host=True)
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, timeout=30) as client:
        yield client


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as launched:
        yield launched


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


# Denials


async def test_the_anonymous_public_is_told_how_to_get_in(server: Serving, browser: Browser) -> None:
    async with opened(browser, f"{server.url}/") as page:
        await expect(page.get_by_role("heading", name="You are not signed in")).to_be_visible()
        await expect(page.get_by_text("one-time link")).to_be_visible()


async def test_a_layer_that_is_no_longer_shared_vanishes(
    server: Serving, fire: httpx.AsyncClient, key: Make, browser: Browser
) -> None:
    await layer(fire, "cfd.units")
    police_key = await key("cpd", "view")
    await ok(fire.put("/collections/cfd.units/shares/cpd"))
    await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42"))
    async with httpx.AsyncClient(
        base_url=server.url, headers={"Authorization": f"Bearer {police_key}"}
    ) as police:
        url = await ticket(police)
    async with opened(browser, url, fragment=at(*LOOP, 14) + "&sel=cfd.units/E42") as page:
        await expect(page.get_by_role("heading", name="E42")).to_be_visible()
        await until_drawn(page, COLOR)
        await ok(fire.delete("/collections/cfd.units/shares/cpd"))
        await expect(page.get_by_text("Nothing is shared with you yet")).to_be_visible()
        await expect(page.get_by_text("Not on the picture")).to_be_visible()
        await until_drawn(page, COLOR, drawn=False)


async def test_what_agencies_write_is_text(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.units", title="<img src=x onerror=alert(1)>")
    await push(fire, "cfd.units", point("E42", *LOOP, callsign="<b>E42</b>"))
    url = await ticket(fire)
    async with opened(browser, url, fragment="sel=cfd.units/E42") as page:
        await expect(page.get_by_role("heading", name="<b>E42</b>")).to_be_visible()
        await expect(page.locator(".layers")).to_contain_text("<img src=x")


# The life of a unit


async def test_a_unit_appears_moves_goes_stale_and_disappears(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", title="Engines", stale_after_s=8)
    url = await ticket(fire)
    # The page may ask for the unit between its deletion and the frame that tells of it.
    deleted = ("404 (Not Found)",)
    async with opened(browser, url, fragment=at(*LOOP, 14) + "&table", expected=deleted) as page:
        await expect(page.locator(".link.live")).to_be_visible()
        await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42", status="en_route", speed_mps=10))
        row = page.get_by_role("row", name="E42")
        await expect(row).to_contain_text("en route")

        await page.mouse.click(**(await middle(page)))
        card = page.locator(".card")
        await expect(card).to_contain_text("36 km/h (22 mph)")
        await expect(card).to_contain_text("1 of the layer")

        lng, lat = LOOP
        await push(fire, "cfd.units", point("E42", lng + 0.01, lat, callsign="E42"))
        await expect(card).to_contain_text(f"{lat:.5f}, {lng + 0.01:.5f}")

        await expect(row).to_contain_text("stale")
        await expect(card).to_contain_text("STALE")
        await expect(page.locator(".layers")).to_contain_text("1 unit stale")
        await expect(page.locator(".reports .warning")).to_contain_text("the only unit is stale")

        await ok(fire.delete("/collections/cfd.units/items/E42"))
        await expect(row).to_have_count(0)
        await expect(card).to_contain_text("Not on the picture")


async def test_a_layer_switched_off_is_not_drawn_and_the_link_says_so(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", title="Engines")
    await push(fire, "cfd.units", point("E42", *LOOP))
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 14)) as page:
        await until_drawn(page, COLOR)
        await page.get_by_label("Engines").uncheck()
        await until_drawn(page, COLOR, drawn=False)
        assert "off=cfd.units" in page.url
        await page.reload()
        await expect(page.get_by_label("Engines")).not_to_be_checked()


async def test_a_tiled_layer_is_drawn_from_tiles_and_follows_its_revision(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.hydrants", "assets", title="Hydrants", stream="tiled")
    await push(fire, "cfd.hydrants", point("h1", *LOOP, name="Hydrant 1", asset_type="hydrant"))
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 16)) as page:
        await until_drawn(page, COLOR)
        await page.mouse.click(**(await middle(page)))
        await expect(page.get_by_role("heading", name="Hydrant 1")).to_be_visible()
        await page.keyboard.press("Escape")
        await ok(fire.delete("/collections/cfd.hydrants/items/h1"))
        await until_drawn(page, COLOR, drawn=False)


async def test_the_keyboard_finds_follows_and_leaves_a_unit(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units")
    await push(
        fire, "cfd.units", point("u-1", *LOOP, callsign="E-42"), point("u-2", -87.7, 41.8, callsign="M7")
    )
    await push(fire, "cfd.units", point("u-1", LOOP[0] + 0.001, LOOP[1], callsign="E-42"))
    url = await ticket(fire)
    async with opened(browser, url) as page:
        await expect(page.locator(".layers")).to_contain_text("2")
        await page.keyboard.press("/")
        await page.keyboard.type("e42")
        await page.keyboard.press("Enter")
        await expect(page.get_by_role("heading", name="E-42")).to_be_visible()
        await page.keyboard.press("f")
        await page.keyboard.press("t")
        await expect(page.get_by_role("button", name="Follow")).to_have_attribute("aria-pressed", "true")
        await expect(page.get_by_role("button", name="Trail")).to_have_attribute("aria-pressed", "true")
        assert "sel=cfd.units/u-1" in page.url
        await page.keyboard.press("Escape")
        await expect(page.get_by_role("heading", name="E-42")).to_have_count(0)
        await page.keyboard.press("?")
        await expect(page.get_by_role("dialog")).to_be_visible()


async def test_distress_is_said_aloud_and_listed(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.units")
    await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42"))
    url = await ticket(fire)
    async with opened(browser, url, reduced_motion="reduce") as page:
        await expect(page.locator(".link.live")).to_be_visible()
        await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42", status="distress"))
        await expect(page.get_by_role("heading", name="Distress (1)")).to_be_visible()
        await expect(page.locator(".spoken")).to_have_text("Distress: E42, CFD.")


# What must not be overlooked


async def test_an_exercise_is_shouted_and_the_real_thing_is_not(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", status="exercise")
    await layer(fire, "cfd.real")
    await push(fire, "cfd.units", point("E42", *LOOP))
    for slug, status, name in (("surge", "exercise", "cfd.units"), ("daily", "actual", "cfd.real")):
        await ok(
            fire.post("/operations", json={"id": slug, "agency": "cfd", "title": slug, "status": status})
        )
        await ok(fire.put(f"/operations/{slug}/layers/{name}"))
    for theme in ("light", "dark"):
        url = await ticket(fire)
        async with opened(browser, url, fragment=f"op=surge&theme={theme}&sel=cfd.units/E42") as page:
            await expect(page.get_by_text("EXERCISE EXERCISE EXERCISE")).to_be_visible()
            await expect(page.locator(".card")).to_contain_text("EXERCISE: not a real unit")
            await page.screenshot(path=ARTEFACTS / f"exercise-{theme}.png")
            await page.get_by_label("Operation").select_option("daily")
            await expect(page.get_by_text("EXERCISE EXERCISE EXERCISE")).to_have_count(0)


async def test_a_live_link_over_a_dead_picture_says_so(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.units")
    old = [point(f"E{n}", LOOP[0] + n / 200, LOOP[1], age_s=900 + n) for n in range(3)]
    await push(fire, "cfd.units", *old)
    for theme in ("light", "dark"):
        url = await ticket(fire)
        async with opened(browser, url, fragment=f"theme={theme}") as page:
            await expect(page.locator(".link.live")).to_contain_text("link heard")
            await expect(page.locator(".reports")).to_contain_text("newest report 15 min ago")
            await expect(page.locator(".reports .warning")).to_contain_text("all 3 units stale")
            await expect(page.locator(".spoken")).to_have_text("Warning: all 3 units stale.")
            await page.screenshot(path=ARTEFACTS / f"stale-{theme}.png")
            if theme == "dark":
                fresh = [{**each, "properties": point("", *LOOP)["properties"]} for each in old[:2]]
                await push(fire, "cfd.units", *fresh)
                await expect(page.locator(".reports")).to_contain_text(re.compile(r"newest report \d+ s ago"))
                await expect(page.locator(".reports .warning")).to_have_count(0)


async def test_a_lost_connection_is_never_shown_as_live(
    settings: Settings, key: Make, browser: Browser
) -> None:
    secret = await key("cfd", "publish", "view", "admin", host=True)
    app = serving(create_app(settings))
    server = await app.__aenter__()
    headers = {"Authorization": f"Bearer {secret}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as fire:
        await layer(fire, "cfd.units")
        await push(fire, "cfd.units", point("E42", *LOOP))
        url = await ticket(fire)
    # All the names that Chromium has for a server that is gone, by what the connection was doing at that moment.
    refused = (
        "ERR_CONNECTION_REFUSED",
        "ERR_CONNECTION_RESET",
        "ERR_EMPTY_RESPONSE",
        "ERR_SOCKET_NOT_CONNECTED",
        "WebSocket connection",
    )
    async with opened(browser, url, expected=refused) as page:
        await expect(page.locator(".link.live")).to_be_visible()
        await app.__aexit__(None, None, None)
        await expect(page.get_by_role("alert")).to_contain_text("positions are ageing")
        await expect(page.locator(".link.lost")).to_be_visible()
        await expect(page.locator(".spoken")).to_contain_text("Connection lost")
        await page.screenshot(path=ARTEFACTS / "not-live.png")


async def test_a_feed_that_falls_silent_is_told_until_it_is_heard_again(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", title="Engines", stale_after_s=2)
    await push(fire, "cfd.units", point("E42", *LOOP))
    url = await ticket(fire)
    async with opened(browser, url) as page:
        notice = page.get_by_role("status", name="Silent feeds")
        await expect(notice).to_contain_text(re.compile(r"CFD, Engines: silent since \d\d:\d\d"))
        await expect(page.locator(".layers")).to_contain_text("silent since")
        await page.screenshot(path=ARTEFACTS / "silent.png")
        for _ in range(8):  # Once might be too short a while to see it gone.
            await push(fire, "cfd.units", point("E42", *LOOP))
            if not await notice.count():
                break
            await page.wait_for_timeout(500)
        await expect(notice).to_have_count(0)


@asynccontextmanager
async def cut_off(cluster: Cluster, database_url: str) -> AsyncIterator[None]:
    """Nobody gets into that database."""
    name = urlsplit(database_url).path[1:]
    connection = await asyncpg.connect(cluster.url_of("postgres"))
    await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
    await connection.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name
    )
    yield
    await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    await connection.close()


async def test_a_server_that_is_cut_off_says_since_when_until_it_has_caught_up(
    fire: httpx.AsyncClient, cluster: Cluster, database_url: str, browser: Browser
) -> None:
    await layer(fire, "cfd.units")
    await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42"))
    url = await ticket(fire)
    async with opened(browser, url) as page:
        await expect(page.locator(".link.live")).to_be_visible()
        async with cut_off(cluster, database_url):
            await expect(page.get_by_role("alert")).to_contain_text(re.compile(r"Missing since \d\d:\d\d"))
            await expect(page.locator(".link")).to_contain_text("INCOMPLETE")
            await expect(page.locator(".spoken")).to_contain_text("the server cannot read the log")
            await page.screenshot(path=ARTEFACTS / "missing.png")
        await expect(page.get_by_role("alert")).to_have_count(0)
        await expect(page.locator(".link")).to_contain_text("LIVE")


async def test_a_planned_restart_hands_viewers_over_without_an_alarm(
    settings: Settings, key: Make, browser: Browser
) -> None:
    secret = await key("cfd", "publish", "view", "admin", host=True)
    headers = {"Authorization": f"Bearer {secret}"}
    listener = socket.create_server(("127.0.0.1", 0))
    brief = settings.model_copy(update={"drain_s": 1.0})
    leaving = serving(create_app(brief), listener.dup())
    first = await leaving.__aenter__()
    async with httpx.AsyncClient(base_url=first.url, headers=headers) as fire:
        await layer(fire, "cfd.units")
        await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42"))
        url = await ticket(fire)
    async with opened(browser, url, fragment="sel=cfd.units/E42", expected=("WebSocket connection",)) as page:
        await expect(page.get_by_role("heading", name="E42")).to_be_visible()
        await page.evaluate(WATCH_ALARMS)
        async with serving(create_app(brief), listener) as second:
            first.app.state.drain.begin()
            await asyncio.sleep(brief.drain_s)
            await leaving.__aexit__(None, None, None)
            async with httpx.AsyncClient(base_url=second.url, headers=headers) as fire:
                await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42", status="on_scene"))
            await expect(page.locator(".card")).to_contain_text("on scene")
            await expect(page.locator(".link.live")).to_be_visible()
            assert await page.evaluate("window.alarms") == []


WATCH_ALARMS = """() => {
  window.alarms = [];
  new MutationObserver(() => {
    for (const each of document.querySelectorAll("[role=alert]")) window.alarms.push(each.textContent);
  }).observe(document.body, { childList: true, subtree: true });
}"""


# Much at once


async def test_moves_come_packed(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.units")
    await push(fire, "cfd.units", point("E42", *LOOP))
    url = await ticket(fire)
    lng, lat = LOOP
    frames: list[str | bytes] = []
    async with opened(browser, url, fragment="sel=cfd.units/E42", frames=frames) as page:
        await expect(page.locator(".page[data-protocol='cop.live.v1+bin']")).to_be_visible()
        await expect(page.locator(".card")).to_contain_text(f"{lat:.5f}, {lng:.5f}")
        await push(fire, "cfd.units", point("E42", lng + 0.01, lat))
        await expect(page.locator(".card")).to_contain_text(f"{lat:.5f}, {lng + 0.01:.5f}")
        assert [frame for frame in frames if isinstance(frame, bytes)]


async def test_a_large_layer_comes_summed_and_apart_where_one_zooms_in(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", title="Engines")
    crowd = [point(f"E{n}", LOOP[0] + n % 8 / 100, LOOP[1] + n // 8 / 100) for n in range(60)]
    await push(fire, "cfd.units", *crowd)
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 9) + "&limit=20&table") as page:
        panel = page.locator(".layers")
        await expect(panel).to_contain_text("summed")
        await expect(panel).to_contain_text("60")
        await expect(page.locator(".reports")).to_contain_text("60 units around here, summed")
        await expect(page.locator(".units")).to_contain_text("Engines (60)")
        await until_hovered(page, "60 here")
        await page.mouse.click(**(await middle(page)))
        await page.wait_for_function("() => Number(location.hash.match(/,([0-9.]+)(&|$)/)[1]) > 10")
        await page.evaluate(f"location.hash = '{at(*LOOP, 16)}&limit=20&table'")
        await expect(panel).not_to_contain_text("summed")
        await expect(page.get_by_role("row", name="E0")).to_be_visible()


async def test_distress_among_many_is_still_shouted(fire: httpx.AsyncClient, browser: Browser) -> None:
    await scene(fire)
    for theme in ("light", "dark"):
        url = await ticket(fire)
        async with opened(browser, url, fragment=f"theme={theme}&limit=100") as page:
            await expect(page.get_by_role("heading", name="Distress (1)")).to_be_visible()
            await expect(page.locator("section.distress")).to_contain_text(
                re.compile(r"(Among \d+ units|One unit)")
            )
            await expect(page.locator(".spoken")).to_contain_text("Distress:")
            await until_idle(page)
            await page.screenshot(path=ARTEFACTS / f"summed-{theme}.png")


async def test_only_what_has_a_chosen_status_is_asked_for(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.units")
    statuses = {"E1": "available", "E2": "on_scene", "E3": None}
    await push(
        fire,
        "cfd.units",
        *(point(id, *LOOP, **({"status": each} if each else {})) for id, each in statuses.items()),
    )
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 14) + "&table") as page:
        await expect(page.get_by_role("heading", name="3 units in view")).to_be_visible()
        await page.get_by_text("Only these statuses").click()
        await page.get_by_role("button", name="on scene").click()
        await expect(page.get_by_role("heading", name="1 unit in view")).to_be_visible()
        await page.get_by_role("button", name="no status").click()
        await expect(page.get_by_role("heading", name="2 units in view")).to_be_visible()
        assert "status=on_scene,-" in page.url
        await page.get_by_role("button", name="Show all").click()
        await expect(page.get_by_role("heading", name="3 units in view")).to_be_visible()


# Gaps


async def test_gaps_are_drawn_with_their_area(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.coverage", "coverage", title="Ladder coverage")
    lng, lat = LOOP
    await push(fire, "cfd.coverage", box("west", lng - 0.05, lat - 0.025, 0.05, name="West"))
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=at(*LOOP, 13)) as page:
        await expect(page.locator(".layers")).to_contain_text("Ladder coverage")
        await page.keyboard.press("g")
        await page.get_by_role("button", name="Take the view").click()
        gap = page.get_by_role("row", name="Gap")
        await expect(gap).to_contain_text("km²")
        square_km = float((await gap.locator("td").first.inner_text()).split()[0].replace(",", ""))
        area = page.get_by_role("row", name="Area")
        whole_km = float((await area.locator("td").first.inner_text()).split()[0].replace(",", ""))
        assert 0 < square_km < whole_km
        east = {**(await middle(page)), "around": 60}
        east["x"] += 150
        assert await pixels_of(page, GAP, **east) > 200, "hatched where nobody covers"
        await page.screenshot(path=ARTEFACTS / "gaps.png")
        await page.get_by_role("button", name="Remove").click()
        await expect(gap).to_have_count(0)


async def test_an_area_is_drawn_by_hand(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.coverage", "coverage")
    await push(fire, "cfd.coverage", box("west", *LOOP, 0.05, name="West"))
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=at(*LOOP, 12) + "&gap") as page:
        await expect(page.locator(".layers")).to_be_visible()
        await page.get_by_role("button", name="Draw an area").click()
        await expect(page.get_by_text("Click the corners")).to_be_visible()
        spot = await middle(page)
        for dx, dy in ((-120, -120), (120, -120), (120, 120), (-120, 120), (-120, -120)):
            await page.mouse.click(spot["x"] + dx, spot["y"] + dy, delay=30)
        await expect(page.get_by_role("row", name="Gap")).to_contain_text("km²")


# Looking


async def test_the_picture_is_shot_in_both_themes_at_three_zooms(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await scene(fire)
    for theme in ("light", "dark"):
        url = await ticket(fire)
        async with opened(browser, url, fragment=f"theme={theme}&{at(*LOOP, 10)}") as page:
            await expect(page.locator(".layers")).to_contain_text("240")
            for zoom in (10, 12, 14):
                await page.evaluate(f"location.hash = 'theme={theme}&{at(-87.65, 41.875, zoom)}'")
                await page.wait_for_function(f"() => document.location.hash.includes(',{zoom}')")
                await until_idle(page)
                await page.screenshot(path=ARTEFACTS / f"map-{theme}-z{zoom}.png")


async def until_idle(page: Page) -> None:
    """Wait until every tile in view is drawn."""
    await page.wait_for_selector(".map[aria-busy=false]")


async def scene(fire: httpx.AsyncClient) -> None:
    """240 units, incidents, stations, a zone and a coverage area over Chicago; the same every time."""
    chance = random.Random(1)
    await layer(fire, "cfd.units", title="Fire AVL")
    await layer(fire, "cfd.incidents", "incidents", title="Incidents")
    await layer(fire, "cfd.stations", "assets", title="Stations")
    await layer(fire, "cfd.zones", "zones", title="Evacuation")
    await layer(fire, "cfd.reach", "coverage", title="Ladder coverage")
    types = ["engine", "truck", "medic", "boat", "helicopter", "usar", "utility"]
    statuses = ["available", "available", "en_route", "on_scene", "out_of_service"]

    def somewhere() -> tuple[float, float]:
        return -87.66 + chance.gauss(0, 0.04), 41.87 + chance.gauss(0, 0.035)

    units = [
        point(
            f"u{n}",
            *somewhere(),
            age_s=chance.choice([0, 0, 0, 150, 240, 900]),
            callsign=f"E{n}",
            unit_type=chance.choice(types),
            status="distress" if n == 7 else chance.choice(statuses),
            heading_deg=chance.randrange(360),
            speed_mps=chance.choice([0, 8, 14]),
        )
        for n in range(240)
    ]
    await push(fire, "cfd.units", *units)
    kinds = ["fire", "flood", "hazmat", "crash", "medical", "outage"]
    await push(
        fire,
        "cfd.incidents",
        *(
            point(f"i{n}", *somewhere(), title=f"{kind.title()} {n}", incident_type=kind)
            for n, kind in enumerate(kinds)
        ),
        box("flood", -87.63, 41.85, 0.02, title="Lakefront flooding", incident_type="flood"),
    )
    places = ["fire_station", "hospital", "shelter", "icp", "fuel", "comms"]
    await push(
        fire,
        "cfd.stations",
        *(point(f"s{n}", *somewhere(), name=f"Station {n}", asset_type=places[n % 6]) for n in range(18)),
    )
    await push(
        fire,
        "cfd.zones",
        box("pilsen", -87.68, 41.845, 0.025, name="Pilsen evacuation", zone_type="evacuation"),
    )
    await push(fire, "cfd.reach", box("north", -87.72, 41.885, 0.04, name="Ladder north"))
