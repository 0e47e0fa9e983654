"""What a dispatcher must not overlook on the page: distress, an exercise, and a picture that is old or not whole."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import asyncpg
import httpx
from playwright.async_api import Browser, expect

from cop.app import create_app
from cop.embedded.cluster import Cluster
from cop.settings import Settings
from tests.conftest import serving
from tests.e2e.page import ARTEFACTS, IN_CHROMIUM, LOOP, Make, layer, ok, opened, point, push, ticket

pytestmark = IN_CHROMIUM


# Of what is on the picture


async def test_distress_is_said_aloud_and_listed(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.units")
    await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42"))
    url = await ticket(fire)
    async with opened(browser, url, reduced_motion="reduce") as page:
        await expect(page.locator(".link.live")).to_be_visible()
        await push(fire, "cfd.units", point("E42", *LOOP, callsign="E42", status="distress"))
        await expect(page.get_by_role("heading", name="Distress (1)")).to_be_visible()
        await expect(page.locator(".spoken")).to_have_text("Distress: E42, CFD.")


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


# Of what is missing from it


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
