"""Who asks a planner's questions, and of which server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from cop.settings import Settings
from tests.api.planning.asking import Clients
from tests.conftest import Serving


@pytest.fixture
def settings(database_url: str, tmp_path: Path) -> Settings:
    """A server that never sweeps, so that what has expired is still there for the analysis to leave out."""
    return Settings(database_url=database_url, data_dir=tmp_path, sweep_s=3600)


@pytest.fixture
async def clients(server: Serving, key: Callable[..., Awaitable[str]]) -> AsyncIterator[Clients]:
    """`cfd` and `ems` with all rights, `viewer` of cfd, and the `public`."""
    keys = {
        "cfd": await key("cfd", "admin"),
        "ems": await key("ems", "admin"),
        "viewer": await key("cfd", "view"),
    }
    made = {
        name: httpx.AsyncClient(
            base_url=server.url, headers={"Authorization": f"Bearer {secret}"}, timeout=60
        )
        for name, secret in keys.items()
    }
    made["public"] = httpx.AsyncClient(base_url=server.url)
    yield made
    await asyncio.gather(*(client.aclose() for client in made.values()))
