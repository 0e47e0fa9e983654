"""The page in a real browser against the real service: what agencies push is what dispatchers see, and nothing else."""

from __future__ import annotations

import httpx
from playwright.async_api import Browser, expect

from tests.conftest import Serving
from tests.e2e.browser import pixels_of
from tests.e2e.page import (
    ARTEFACTS,
    COLOR,
    IN_CHROMIUM,
    LOOP,
    Make,
    at,
    box,
    layer,
    middle,
    ok,
    opened,
    point,
    push,
    ticket,
    until_drawn,
)

pytestmark = IN_CHROMIUM
GAP = "#a8003c"


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
