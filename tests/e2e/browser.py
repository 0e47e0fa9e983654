"""Chromium for the tests of the page: the system's own, with the flags under which WebGL draws without a screen."""

from __future__ import annotations

import base64
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from playwright.async_api import Browser, Page, async_playwright

FLAGS = [
    "--no-sandbox",
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def executable() -> str | None:
    """Where Chromium is, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """A headless browser. `--no-sandbox`, as tests often run as root: it only ever opens our own page."""
    path = executable()
    assert path is not None, "Chromium is not installed"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=FLAGS)
        try:
            yield browser
        finally:
            await browser.close()


COUNT_PIXELS = """async ([image, color]) => {
  const bytes = Uint8Array.from(atob(image), (c) => c.charCodeAt(0));
  const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
  const pen = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  const wanted = [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16));
  let count = 0;
  for (let i = 0; i < data.length; i += 4) {
    if (wanted.every((value, channel) => Math.abs(data[i + channel] - value) <= 6)) count++;
  }
  return count;
}"""


async def pixels_of(page: Page, color: str, *, x: float, y: float, around: int = 20) -> int:
    """How many pixels within *around* of x, y on the screen have *color* (`#rrggbb`, give or take 6)."""
    clip = {"x": x - around, "y": y - around, "width": 2 * around, "height": 2 * around}
    shot = await page.screenshot(clip=clip)  # type: ignore[arg-type]
    count: int = await page.evaluate(COUNT_PIXELS, [base64.b64encode(shot).decode(), color])
    return count
