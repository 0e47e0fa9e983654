"""A briefing in a real browser, opened from a file: it draws its map, and asks nobody for anything."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

import web
from cop.briefing.form import as_html
from tests.e2e.browser import chromium, executable
from tests.unit.test_briefing import loaded, unit

pytestmark = [
    pytest.mark.skipif(executable() is None, reason="Chromium is not installed (apt-get install chromium)"),
    pytest.mark.timeout(180),
]
DARK_OF = """async ([left, top, width, height]) => {
  const canvas = document.querySelector(".leaflet-overlay-pane canvas");
  const { x, y } = canvas.getBoundingClientRect();
  const scale = canvas.width / canvas.getBoundingClientRect().width;
  const { data } = canvas.getContext("2d").getImageData(
    (left - x) * scale, (top - y) * scale, width * scale, height * scale);
  let red = 0;
  for (let i = 0; i < data.length; i += 4) if (data[i] - data[i + 2] > 60 && data[i + 3] > 60) red++;
  return red / (data.length / 4);
}"""
"""Which share of the pixels in a box of the screen are drawn in red, the colour of gaps."""


class Told:
    """What the page asked for, and what it complained of."""

    def __init__(self, page: Page) -> None:
        self.requests: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", lambda line: self._console(line.type, line.text))

    def _console(self, kind: str, text: str) -> None:
        if kind == "error":
            self.complaints.append(text)


@pytest.fixture
async def opened(tmp_path: Path) -> AsyncIterator[tuple[Page, Told, str]]:
    """An exercise's briefing in a browser, what it did, and its address."""
    assert web.assets() is not None, (
        "The page is not built: cd web && npm ci --ignore-scripts && npm run build"
    )
    rows = (unit("E1", -87.65), unit("E2", -87.647), unit("E3", -87.61, "on_scene", callsign="<b>Engine</b>"))
    file = tmp_path / "briefing.html"
    file.write_bytes(
        as_html(loaded(*rows), {"status": "exercise"}, web.assets(), title="<i>Loop</i> {{ 7 * 7 }}")
    )
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 1200, "height": 1400})
        told = Told(page)
        await page.goto(file.as_uri())
        await expect(page.locator(".leaflet-overlay-pane canvas")).to_be_visible()
        yield page, told, file.as_uri()


async def red(page: Page) -> float:
    """Which share of the map is drawn as a gap."""
    box = await page.locator(".folium-map").bounding_box()
    assert box is not None
    share: float = await page.evaluate(DARK_OF, [box["x"], box["y"], box["width"], box["height"]])
    return share


async def test_it_opens_from_a_file_without_asking_anybody(opened: tuple[Page, Told, str]) -> None:
    page, told, address = opened
    await page.wait_for_load_state("networkidle")
    assert told.requests == [address]
    assert told.complaints == []


async def test_what_was_said_is_text_and_an_exercise_is_marked(opened: tuple[Page, Told, str]) -> None:
    page, told, _ = opened
    await expect(page.locator("h1")).to_have_text("<i>Loop</i> {{ 7 * 7 }}")
    await expect(page.locator("main")).to_contain_text("<b>Engine</b> near, but of another status")
    assert await page.locator("main table b, h1 i").count() == 0
    await expect(page.locator(".mark")).to_have_text(["exercise — not real"] * 2)
    assert told.complaints == []


async def test_the_map_shows_gaps_until_they_are_switched_off(opened: tuple[Page, Told, str]) -> None:
    page, told, _ = opened
    before = await red(page)
    assert before > 0.1
    gap = page.locator(".leaflet-control-layers-overlays label", has_text="Gap").locator("input")
    await gap.uncheck()
    await expect(page.locator(".number")).not_to_have_count(0)
    await page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(true)))")
    assert await red(page) < before / 10
    await gap.check()
    await page.wait_for_function("() => new Promise((done) => requestAnimationFrame(() => done(true)))")
    assert await red(page) == pytest.approx(before, abs=0.01)
    assert told.complaints == []


async def test_a_gap_says_how_large_it_is_when_it_is_pointed_at(opened: tuple[Page, Told, str]) -> None:
    page, _, _ = opened
    number = await page.locator(".number").first.bounding_box()
    assert number is not None
    await page.mouse.move(number["x"] + number["width"] / 2, number["y"] + number["height"] / 2)
    await expect(page.locator(".leaflet-tooltip")).to_contain_text("Gap: ")
    await expect(page.locator(".leaflet-tooltip")).to_contain_text("km²")
