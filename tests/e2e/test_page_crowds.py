"""The page with much on it at once: packed, summed, filtered, and shot in both themes to be looked at."""

from __future__ import annotations

import random
import re

import httpx
from playwright.async_api import Browser, expect

from tests.e2e.page import (
    ARTEFACTS,
    IN_CHROMIUM,
    LOOP,
    at,
    box,
    layer,
    middle,
    opened,
    point,
    push,
    ticket,
    until_hovered,
    until_idle,
)

pytestmark = IN_CHROMIUM


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


async def test_a_unit_that_is_not_in_view_is_found_and_gone_to(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", title="Engines")
    crowd = [point(f"E{n}", LOOP[0] + n / 100_000, LOOP[1]) for n in range(30)]
    await push(fire, "cfd.units", *crowd, point("far", LOOP[0] - 2, LOOP[1], callsign="Medic 7"))
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 13) + "&limit=20&table") as page:
        await expect(page.locator(".layers")).to_contain_text("summed")  # so the page holds what is in view
        search = page.get_by_role("combobox")
        await search.fill("medic 8")
        await expect(page.locator("#hits")).to_have_text("Nothing of that name in this picture")
        await search.fill("medic 7")
        await expect(page.get_by_role("option")).to_contain_text("Medic 7")
        await search.press("Enter")
        await expect(page.locator(".card")).to_contain_text("Medic 7")
        await page.wait_for_url(re.compile(rf"at={LOOP[0] - 2:.4f}"))


async def test_enter_waits_for_the_better_hit_that_comes_from_afar(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.units", title="Engines")
    crowd = [point(f"E{n}", LOOP[0] - 1 + n / 100_000, LOOP[1]) for n in range(30)]
    near, far = (
        point("near", *LOOP, callsign="Medic 71"),
        point("far", LOOP[0] - 2, LOOP[1], callsign="Medic 7"),
    )
    await push(fire, "cfd.units", *crowd, near, far)
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 13) + "&limit=20&table") as page:
        await expect(page.get_by_role("row", name="Medic 71")).to_be_visible()  # and nothing else is held
        await page.get_by_role("combobox").fill("medic 7")
        await page.get_by_role("combobox").press("Enter")
        await page.wait_for_url(re.compile("sel=cfd.units/far"))


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
