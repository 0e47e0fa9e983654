"""Notices when the client of a request has gone, so that nothing is kept for somebody who is not there."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

Outcome = TypeVar("Outcome")


async def unless_gone(request: Request, work: Coroutine[Any, Any, Outcome]) -> Outcome | None:
    """What *work* returns or raises; None, and *work* is given up at once, if the client leaves meanwhile."""
    working, leaving = asyncio.create_task(work), asyncio.create_task(_gone(request))
    try:
        await asyncio.wait({working, leaving}, return_when=asyncio.FIRST_COMPLETED)
        return working.result() if working.done() else None
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
