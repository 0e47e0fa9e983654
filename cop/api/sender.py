"""Takes what waits in a live session to its viewer, one message at a time, over whatever carries it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from cop.live.session import Session
from cop.live.wire import Message, whole


class Socket(Protocol):
    """A transport that can take a message without a turn of the event loop."""

    @property
    def has_room(self) -> bool:
        """Whether `send_now` may be called."""

    def send_now(self, message: Message) -> None:
        """Take *message*."""


class Sender:
    """Hands each message of *session* to *put*, which waits until the transport has room for it.

    The next message is asked for only when *put* has returned: until then the session conflates. Where there is
    a *socket*, what it has room for goes out from within the tick: waking a task for each frame would cost more
    than the frame. *put* is given bytes only if the session is one that packs.
    """

    def __init__(
        self, session: Session, put: Callable[[Any], Awaitable[None]], socket: Socket | None = None
    ) -> None:
        self._session = session
        self._put = put
        self._socket = socket
        self._awake = asyncio.Event()
        self._awake.set()
        self._task: asyncio.Task[None] | None = None
        self._sending = False
        self._interrupted = False

    async def run(
        self, *, idle_s: float | None = None, idle: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        """Send until the session is to be closed, or *put* fails. After *idle_s* without a message, call *idle*."""
        session = self._session
        self._task = asyncio.current_task()
        session.wake, session.interrupt = self._wake, self._interrupt
        while session.closing is None:
            try:
                async with asyncio.timeout(idle_s):
                    await self._awake.wait()
            except TimeoutError:
                assert idle is not None, "what is to be done after idle_s"
                await idle()
                continue
            self._awake.clear()
            while (message := session.next_message()) is not None:
                await self._send(message)
                session.sent()

    def _wake(self) -> None:
        session, socket = self._session, self._socket
        if socket is None or self._sending or session.closing is not None:
            self._awake.set()
            return
        while socket.has_room:
            message = session.take()
            if message is None:
                return
            socket.send_now(message)
            if not session.has_more:
                return
        self._awake.set()

    async def _send(self, message: Message) -> None:
        self._sending = True
        try:
            await self._put(whole(message))
        except asyncio.CancelledError:
            if self._task is None or not self._interrupted or self._task.uncancel() > 0:
                raise
        finally:
            self._sending = self._interrupted = False

    def _interrupt(self) -> None:
        """Give up the message that the transport has no room for; the server has written none of it yet."""
        if self._sending and self._task is not None:
            self._interrupted = True
            self._task.cancel()
