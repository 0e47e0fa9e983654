"""One serving process: uvicorn that lets its viewers go before it stops.

Alone it listens to signals itself; as one of several, `cop/workers.py` tells it what to do.
"""

from __future__ import annotations

import asyncio
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from types import FrameType

import uvicorn

from cop.drain import Drain
from cop.live.pump import Pump

LOOK_EVERY_S = 0.1
CUT_DEADLINE_S = 2.0
"""What is taken but not committed when the process is to end at once gets this much time; it was not acknowledged."""


class Server(uvicorn.Server):
    """uvicorn whose first signal begins a drain, and whose second ends the process at once.

    uvicorn itself closes all sockets in the moment it is told to stop, and dies of the signal afterwards.
    """

    def __init__(
        self, config: uvicorn.Config, *, heeds: tuple[signal.Signals, ...] = (signal.SIGTERM,)
    ) -> None:
        super().__init__(config)
        self.ticked_at = monotonic()
        """When the event loop last had its turn, once the process has `started`."""
        self._heeds = heeds
        self._stay = False
        self._retiring = False

    @property
    def ready(self) -> bool:
        """Whether it serves the picture as the database has it."""
        if not self.started or self.should_exit:
            return False
        pump: Pump = self.lifespan.state["pump"]
        return pump.connected

    def stop(self, *, stay: bool) -> None:
        """Begin to stop, listening to the end; *stay* for the whole window even if nobody is left."""
        self._stay = self._stay or stay
        self.should_exit = True

    def retire(self) -> None:
        """Begin to stop, taking no connection any more: the other workers do."""
        self._retiring = True
        self.should_exit = True

    def cut(self) -> None:
        """Stop at once."""
        self.should_exit = self.force_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Take a signal."""
        if self.should_exit:
            self.cut()
        # Whoever presses Ctrl-C waits; a machine that sends SIGTERM may stand behind a balancer that asks /readyz.
        self.stop(stay=sig == signal.SIGTERM)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Take the signals that are ours, and die of none of them."""
        before = {each: signal.signal(each, self.handle_exit) for each in self._heeds}
        try:
            yield
        finally:
            for each, handler in before.items():
                signal.signal(each, handler)

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second."""
        self.ticked_at = monotonic()
        return await super().on_tick(counter)

    async def main_loop(self) -> None:
        """Serve until told to stop, then until the viewers have gone."""
        await super().main_loop()
        if self._retiring:
            for listener in self.servers:
                listener.close()
        drain: Drain = self.lifespan.state["drain"]
        drain.begin()
        counter = 0
        while not (self.force_exit or drain.over(stay=self._stay)):
            counter += 1
            await self.on_tick(counter)
            await asyncio.sleep(LOOK_EVERY_S)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Finish what is under way, and let go of the database; uvicorn skips that when it is in a hurry."""
        await super().shutdown(sockets)
        if self.force_exit:
            with suppress(TimeoutError):
                async with asyncio.timeout(CUT_DEADLINE_S):
                    await self.lifespan.shutdown()
