"""The planner's panel in a real browser against the real service: what is asked, pointed at, changed and compared."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from playwright.async_api import Browser, Locator, Page, expect

from tests.conftest import Serving
from tests.e2e.page import ARTEFACTS, IN_CHROMIUM, LOOP, at, box, layer, middle, opened, point, push, ticket

pytestmark = IN_CHROMIUM

LNG, LAT = LOOP
SIDE = 0.04
CORNERS = ((-SIDE, -SIDE), (SIDE, -SIDE), (SIDE, SIDE), (-SIDE, SIDE))
AREA = ";".join(f"{LNG + dx:.4f},{LAT + dy:.4f}" for dx, dy in CORNERS)
"""Around the Loop, some 6.6 by 8.9 km."""
STATION = "sel=cfd.stations/s1"


async def stations(fire: httpx.AsyncClient) -> None:
    """Two of the fire department that overlap in the middle of the area, and an engine that is busy."""
    await layer(fire, "cfd.stations", "assets", title="Stations", reach_m=2000)
    await push(
        fire,
        "cfd.stations",
        point("s1", LNG, LAT, name="Firehouse 1"),
        point("s2", LNG + 0.015, LAT, name="Firehouse 2"),
    )
    await layer(fire, "cfd.units", title="Engines", reach_m=1500)
    await push(fire, "cfd.units", point("E7", LNG - 0.03, LAT - 0.03, callsign="Engine 7", status="on_scene"))


def planned(*more: str) -> str:
    """The fragment of a page whose panel is open with AREA, of whom only the available and the stations count."""
    return "&".join(["theme=light", at(*LOOP, 12.5), "gap", f"area={AREA}", "only=available,-", *more])


async def km2_of(page: Page, row: str, cell: int = 0) -> float:
    """The km² that a row of the panel's tables tells."""
    told = page.locator(".planner").get_by_role("row", name=row).first.locator("td").nth(cell)
    await expect(told).to_contain_text("km²")
    return float((await told.inner_text()).split()[0].replace(",", ""))


def said(page: Page, name: str) -> Locator:
    """A live region of the panel."""
    return page.get_by_role("status", name=name)


# Denials and bad input


async def test_who_may_not_plan_is_told_so_in_the_words_of_the_server(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await stations(fire)
    url = await ticket(fire)
    async with opened(browser, url, fragment=planned(), expected=("403",)) as page:
        panel = page.locator(".planner")
        await expect(panel).to_contain_text("not signed in as a planner")
        await expect(panel.locator("[role=status] .mark")).to_contain_text("plan")


async def test_a_question_that_the_server_refuses_says_why(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    fragment = planned("when=2001-01-01T00:00:00Z")
    async with opened(browser, url, fragment=fragment, expected=("422",)) as page:
        await expect(page.locator(".planner .mark")).to_contain_text("no longer known")


async def test_at_least_none_is_not_taken_and_that_is_said(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned("k=2")) as page:
        panel = page.locator(".planner")
        await panel.locator("summary").first.click()
        field = panel.get_by_label("Covered by at least")
        await field.fill("0")
        await field.press("Enter")
        await expect(panel.get_by_role("alert")).to_contain_text("0 is not taken")
        await expect(field).to_have_value("2")
        await expect(panel).not_to_contain_text("The question was changed")


async def test_whom_a_status_leaves_out_is_said_beside_it(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    await push(fire, "cfd.stations", point("s3", LNG, LAT + 0.01, name="Firehouse 3", status="open"))
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned()) as page:
        await page.locator(".planner summary").first.click()
        await expect(said(page, "Left out")).to_contain_text("leaves out 1 of 3 of Stations: open")


async def test_a_few_of_many_layers_are_ticked_from_none(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned()) as page:
        panel = page.locator(".planner")
        await panel.locator("summary").first.click()
        layers = panel.locator("details", has_text="Layers that count").last
        await layers.locator("summary").click()
        await layers.get_by_role("button", name="None").click()
        await expect(layers.locator("summary")).to_have_text("Layers that count: all, until you tick one")
        await expect(layers.locator(":checked")).to_have_count(0)
        await layers.get_by_label("Engines").check()
        await expect(layers.locator("summary")).to_have_text("Layers that count: 1 of 2")
        await layers.get_by_role("button", name="All").click()
        await expect(layers.locator(":checked")).to_have_count(2)


async def test_names_from_outside_stay_text_in_the_panel(fire: httpx.AsyncClient, browser: Browser) -> None:
    await layer(fire, "cfd.stations", "assets", title="<i>Stations</i>", reach_m=2000)
    await push(fire, "cfd.stations", point("s1", LNG, LAT, name="<img src=x onerror=alert(1)>"))
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned(STATION, "tab=changes")) as page:
        await page.get_by_role("button", name="Remove it").click()
        await expect(page.locator(".changes")).to_contain_text("<img src=x onerror=alert(1)> is removed")
        await expect(page.locator(".handle")).to_have_text("<img src=x onerror=alert(1)>")


# The question and its answer


async def test_an_answer_says_how_much_is_a_gap_and_why(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned()) as page:
        whole, gap = await km2_of(page, "Area"), await km2_of(page, "Gap")
        assert 0 < gap < whole
        assert await km2_of(page, "Overlap") > 0
        first = page.locator(".gap-list .entry").first
        await expect(first).to_contain_text("busy (on scene): Engine 7, who would close")
        await expect(first).to_contain_text("nearest that counts: Firehouse")
        await page.get_by_role("button", name="How many cover").click()
        await expect(page.locator(".depths")).to_contain_text("nobody")
        assert "depth" in page.url
        await page.screenshot(path=ARTEFACTS / "planner-depth.png")


async def test_a_changed_question_asks_to_be_asked_again(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned()) as page:
        before = await km2_of(page, "Gap")
        await page.locator(".question > summary").click()
        await page.get_by_label("Reach").first.select_option("metres")
        metres = page.get_by_label("Metres", exact=True)
        await metres.fill("3500")
        told = page.locator("header time")
        await expect(told).not_to_have_text(await told.inner_text())  # the clock ticks while somebody types
        await metres.press("Enter")
        await expect(page.locator(".planner")).to_contain_text("ask again")
        await page.get_by_role("button", name="Ask again").click()
        await expect(page.locator(".planner")).not_to_contain_text("ask again.")
        assert await km2_of(page, "Gap") < before
        assert "reach=3500m" in page.url


async def test_a_zone_is_an_area_by_its_name(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    await layer(fire, "cfd.zones", "zones")
    await push(fire, "cfd.zones", box("pier", LNG, LAT, 0.02, name="Pier"))
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=at(*LOOP, 12.5) + "&gap") as page:
        await page.get_by_label("Take a zone").select_option(label="Pier")
        assert await km2_of(page, "Area") == pytest.approx(3.7, abs=0.4)
        assert "zone=cfd.zones/pier" in page.url
        await page.reload()
        assert await km2_of(page, "Area") == pytest.approx(3.7, abs=0.4)


async def test_a_hex_says_who_covers_it_to_the_pointer_and_to_the_keyboard(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned("off=cfd.stations")) as page:
        await km2_of(page, "Gap")
        spot = await middle(page)
        await page.mouse.move(spot["x"] + 40, spot["y"])
        await page.mouse.move(spot["x"] + 41, spot["y"])
        hover = page.locator(".hover.hex")
        await expect(hover).to_contain_text("Covered by 2: overlap")
        await expect(hover).to_contain_text("Firehouse 2")
        await page.mouse.move(10, spot["y"])
        await expect(hover).to_have_count(0)
        await page.keyboard.press("x")
        await expect(said(page, "The hex")).to_contain_text("Firehouse 1")


# What if


async def test_a_station_removed_makes_the_gap_grow_and_undone_it_is_as_before(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned(STATION, "tab=changes")) as page:
        await page.get_by_role("button", name="Remove it").click()
        assert await km2_of(page, "Gap", 1) > await km2_of(page, "Gap", 0)
        await expect(said(page, "What becomes of it")).to_contain_text("Newly uncovered")
        assert "a=r~cfd.stations~s1" in page.url
        await page.screenshot(path=ARTEFACTS / "planner-what-if.png")
        await page.reload()
        assert await km2_of(page, "Gap", 1) > await km2_of(page, "Gap", 0), "the link says the changes, too"
        await page.get_by_role("button", name="Undo").click()
        await expect(page.locator(".compared")).to_have_count(0)


async def test_two_variants_stand_side_by_side(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    added = quote(f"n~{LNG - 0.02}~{LAT}~2000~Spare")
    async with opened(
        browser, url, fragment=planned("tab=changes", "a=r~cfd.stations~s1", f"b={added}")
    ) as page:
        now, a, b = [await km2_of(page, "Gap", cell) for cell in range(3)]
        assert b < now < a
        await page.get_by_role("button", name="Variant B").click()
        await expect(page.locator(".changes")).to_contain_text("Spare is added, reaching 2,000 m")
        assert "shown=b" in page.url


async def test_the_variants_can_be_compared_while_a_card_is_open(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned(STATION, "tab=changes", "a=r~cfd.stations~s1")) as page:
        await expect(page.locator(".card")).to_be_visible()
        gap = page.locator(".compared tr.main")
        await expect(gap).to_be_in_viewport(ratio=1)
        row, panel = await gap.bounding_box(), await page.locator(".planner").bounding_box()
        assert row is not None
        assert panel is not None
        assert row["y"] + 5 * row["height"] < panel["y"] + panel["height"]


async def test_a_handle_is_dragged_and_the_gap_changes(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned(STATION, "tab=changes")) as page:
        handle = page.locator(".handle")
        spot = await handle.bounding_box()
        assert spot is not None
        x, y = spot["x"] + spot["width"] / 2, spot["y"] + spot["height"] / 2
        await page.mouse.move(x, y)
        await page.mouse.down()
        await page.mouse.move(x - 150, y + 60, steps=8)
        await expect(page.locator(".compared")).to_contain_text("A")  # before it is let go
        await page.mouse.move(x - 151, y + 60)
        await expect(page.locator(".hover")).to_have_count(0)  # which would lie over its name
        await page.mouse.up()
        await expect(page.locator(".changes")).to_contain_text("Firehouse 1 moves")
        assert await km2_of(page, "Gap", 1) != await km2_of(page, "Gap", 0)


async def test_the_arrow_keys_move_a_handle(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned(STATION, "tab=changes")) as page:
        await page.locator(".handle").focus()
        for _ in range(2):
            await page.keyboard.press("Shift+ArrowLeft")
        await expect(page.locator(".changes")).to_contain_text("Firehouse 1 moves")
        (lng,) = re.findall(r"m~cfd\.stations~s1~(-[\d.]+)", page.url)
        assert float(lng) < LNG - 0.005


async def test_a_click_on_the_map_adds_a_unit(fire: httpx.AsyncClient, browser: Browser) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned("tab=changes")) as page:
        await page.get_by_role("button", name="Add one").click()
        spot = await middle(page)
        await page.mouse.click(spot["x"] - 120, spot["y"] + 120)
        await expect(page.locator(".changes")).to_contain_text("New 1 is added")
        assert await km2_of(page, "Gap", 1) < await km2_of(page, "Gap", 0)


# Over time, and where next


async def test_a_timeline_marks_its_worst_moment_and_leads_to_it(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    now = datetime.now(UTC).replace(second=0, microsecond=0)
    await layer(fire, "cfd.stations", "assets", title="Stations", reach_m=2000)
    leaves = (now + timedelta(minutes=60)).isoformat()
    await push(fire, "cfd.stations", point("day", LNG, LAT, name="Day shift", valid_to=leaves))
    window = [f"{name}={quote(_utc(now + timedelta(minutes=m)))}" for name, m in (("from", 30), ("to", 120))]
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned("tab=time", *window)) as page:
        await page.get_by_role("button", name="Run the timeline").click()
        await expect(page.get_by_role("img", name="The gap over time")).to_be_visible()
        told = said(page, "The moment")
        await expect(told).to_contain_text("covered 0 %, by 0")
        slider, first = page.get_by_label("Moment", exact=True), (now + timedelta(minutes=30)).astimezone()
        await slider.press("Home")
        await expect(told).to_contain_text("by 1")
        await page.wait_for_url("**when=*")
        await expect(slider).to_be_focused()  # and goes on from there
        await expect(page.locator("#planner-content")).to_contain_text(
            f"On the map: {first.day} {first:%b}, {first:%H:%M}"
        )
        await page.get_by_text("The same as a table").click()
        await expect(page.locator("#planner-content table tbody tr")).to_have_count(6)
        await page.screenshot(path=ARTEFACTS / "planner-timeline.png")
        await page.get_by_role("button", name="Go to the worst").click()
        await page.get_by_role("button", name="Show this moment").click()
        assert await km2_of(page, "Covered") == 0
        assert "when=" in page.url


async def test_a_moment_that_cannot_be_had_leaves_the_way_back_to_the_timeline(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned("tab=time"), expected=("ERR_FAILED",)) as page:
        await page.get_by_role("button", name="Run the timeline").click()
        line = page.get_by_role("img", name="The gap over time")
        await expect(line).to_be_visible()
        await page.route("**/coverage/analysis", lambda route: route.abort())
        await page.get_by_role("button", name="Show this moment").click()
        await expect(page.locator(".planner .mark")).to_contain_text("could not be reached")
        await expect(line).to_have_count(0)
        await page.get_by_role("tab", name="Over time").click()
        await expect(line).to_be_visible()


async def test_the_next_sites_are_numbered_and_can_be_tried(
    fire: httpx.AsyncClient, browser: Browser
) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned("tab=next", "each=2000")) as page:
        await page.get_by_role("button", name="Find places").click()
        told = said(page, "Where next")
        await expect(told.locator(".entry")).to_have_count(2)
        await expect(told).to_contain_text(re.compile("Proven|proven"))
        await page.get_by_role("button", name="Try them").click()
        await expect(page.locator(".changes")).to_contain_text("Site 2 is added")
        assert await km2_of(page, "Gap", 2) < await km2_of(page, "Gap", 0)


async def test_an_answer_is_saved_as_a_file_of_its_run(
    fire: httpx.AsyncClient, browser: Browser, tmp_path: Path
) -> None:
    await stations(fire)
    url = await ticket(fire, "plan")
    async with opened(browser, url, fragment=planned()) as page:
        await km2_of(page, "Gap")
        run = await page.locator(".planner code").inner_text()
        async with page.expect_download() as coming:
            await page.get_by_role("button", name="CSV").click()
        file = await coming.value
        assert run in file.suggested_filename
        await file.save_as(tmp_path / "coverage.csv")
        assert (tmp_path / "coverage.csv").read_text().startswith("cell,depth,")


# Alerts


async def test_an_alert_is_listed_and_said_to_be_over_when_it_is_cleared(
    server: Serving, fire: httpx.AsyncClient, browser: Browser
) -> None:
    await layer(fire, "cfd.alerts", "alerts", title="Alerts")
    url = await ticket(fire)
    async with opened(browser, url, fragment=at(*LOOP, 9)) as page:
        await expect(page.locator(".layers")).to_contain_text("Alerts")
        await push(fire, "cfd.alerts", _alert("active"))
        alerts = said(page, "Alerts")
        await expect(alerts.get_by_role("heading", name="Alerts (1)")).to_be_visible()
        await expect(alerts).to_contain_text("At least 2 ALS")
        await page.screenshot(path=ARTEFACTS / "alerts.png")
        await alerts.get_by_role("button").click()
        await page.wait_for_function("() => /at=[-\\d.]+,[\\d.]+,1[2-4]/.test(location.hash)")
        await push(fire, "cfd.alerts", _alert("cleared"))
        await expect(alerts).to_contain_text("Cleared: Loop below its rule")
        await expect(alerts.get_by_role("heading", name="No alert is active")).to_be_visible()


def _alert(status: str) -> dict[str, Any]:
    alert = box("loop", LNG, LAT, 0.02, title="Loop below its rule", rule="At least 2 ALS", status=status)
    alert["properties"] |= {"severity": "severe", "since": datetime.now(UTC).isoformat()}
    return alert


def _utc(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
