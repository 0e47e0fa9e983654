"""A browser, somebody to push what it shows, and a folder for what it was seen to show."""

from __future__ import annotations

from collections.abc import AsyncIterator

import httpx
import pytest
from playwright.async_api import Browser

import web
from tests.conftest import Serving
from tests.e2e.browser import chromium
from tests.e2e.page import ARTEFACTS, Make


@pytest.fixture(scope="module")
def artefacts() -> None:
    """The folder for screenshots; without a page there is nothing to shoot."""
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
    """A fresh one for each test."""
    async with chromium() as launched:
        yield launched
