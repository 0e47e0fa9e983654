"""What viewers leave behind is freed, though Python looks for it but seldom by itself."""

from __future__ import annotations

import asyncio
import gc
from weakref import WeakSet

import pytest

from cop import garbage
from cop.live.session import Session
from tests.conftest import Serving
from tests.live.conftest import Town
from tests.live.dialogue import dialogue


@pytest.mark.parametrize("most", [1, 3])
async def test_what_viewers_leave_behind_is_freed(
    server: Serving, town: Town, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(garbage, "MOST_ENDED", most)
    monkeypatch.setattr(garbage, "REST_S", 0.3)
    sessions: WeakSet[Session] = WeakSet()
    gc.disable()
    try:
        async with asyncio.timeout(30):
            for _ in range(2 * most):
                async with dialogue(server.ws_url, town.police_key) as viewer:
                    await viewer.say("subscribe")
                    await viewer.until(lambda model: model.layers)
                    sessions.update(each for each in gc.get_objects() if type(each) is Session)
                # A viewer who ends while a collection is due already would be counted for it, and not freed by it.
                await asyncio.sleep(2 * garbage.REST_S)
                while len(sessions) >= most:  # noqa: ASYNC110 - nothing rings when an object is gone
                    await asyncio.sleep(0.01)
    finally:
        gc.enable()
