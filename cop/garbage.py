"""When Python looks for objects that refer to each other in circles: rarely, and after many connections have ended.

The picture is many small objects that live long and know no circles: to look through them all at every 700 new ones
would cost a third of each tick. But a connection leaves some 150 objects behind (uvicorn's, Starlette's and ours) that
only a full collection frees, 30 kB for a live viewer, and one of those is hardly ever due by itself.
"""

from __future__ import annotations

import asyncio
import gc

MOST_ENDED = 500
"""After so many connections it is time: of live viewers 15 MB, besides those who leave during the rest."""
REST_S = 2.0
"""From when there is enough to when it is freed: who leave at once may come back at once, and are served first."""


def seldom() -> None:
    """Have this process look for circles seldom by itself."""
    gc.set_threshold(50_000, 20, 50)


class Ended:
    """Counts connections that have ended, and has what they leave behind freed."""

    def __init__(self) -> None:
        self._loop: asyncio.AbstractEventLoop | None = None
        self._count = 0
        self._due: asyncio.TimerHandle | None = None

    def one_more(self, loop: asyncio.AbstractEventLoop) -> None:
        """A connection served by *loop* has ended."""
        if loop is not self._loop:
            self._loop, self._count, self._due = loop, 0, None
        self._count += 1
        if self._count >= MOST_ENDED and self._due is None:
            self._due = loop.call_later(REST_S, self._free)

    def _free(self) -> None:
        self._count, self._due = 0, None
        gc.collect()


ended = Ended()
"""Of this process."""
