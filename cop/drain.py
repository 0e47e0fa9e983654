"""The last seconds of a process: its viewers are told and sent elsewhere, nobody new is taken in, the rest goes on.

A signal begins it, by way of `cop/process.py`; `cop/app.py` puts the `Gate` before all that the process serves.
"""

from __future__ import annotations

from time import monotonic

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from cop.api.errors import PROBLEM, RETRY_AFTER_S
from cop.live.hub import Hub


class Drain:
    """How far the process is on its way out."""

    def __init__(self, hub: Hub, *, window_s: float) -> None:
        self._hub = hub
        self._window_s = window_s
        self._ends_at: float | None = None

    @property
    def draining(self) -> bool:
        """Whether the process is about to stop."""
        return self._ends_at is not None

    def begin(self) -> None:
        """Tell every viewer to come back elsewhere, and close their sockets one by one over the window."""
        if self._ends_at is None:
            self._ends_at = monotonic() + self._window_s
            self._hub.drain(round(self._window_s * 1000))

    def over(self, *, stay: bool) -> bool:
        """Whether the window has passed; unless the process is to *stay* so long, whether all viewers have left."""
        if self._ends_at is None:
            return False
        return monotonic() >= self._ends_at or not (stay or self._hub.sessions)


class Gate:
    """Takes no websocket while the process drains, and has every other connection end with its next answer.

    A client that keeps its connection open is so led to another worker, or away from this machine, without an error.
    """

    def __init__(self, app: ASGIApp, drain: Drain) -> None:
        self._app = app
        self._drain = drain

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, one websocket, or the application's own start and stop."""
        if scope["type"] == "websocket" and self._drain.draining:
            await self._turn_away(scope, receive, send)
            return

        async def last(message: Message) -> None:
            # Asked when the answer begins: the drain may have begun in the meantime.
            if message["type"] == "http.response.start" and self._drain.draining:
                MutableHeaders(scope=message)["Connection"] = "close"
            await send(message)

        await self._app(scope, receive, last if scope["type"] == "http" else send)

    async def _turn_away(self, scope: Scope, receive: Receive, send: Send) -> None:
        detail = "This process is about to stop; come back at once."
        problem = {
            "type": "about:blank",
            "title": "Service Unavailable",
            "status": 503,
            "code": "live.draining",
            "detail": detail,
        }
        answer = JSONResponse(problem, 503, {"Retry-After": str(RETRY_AFTER_S)}, PROBLEM)
        await WebSocket(scope, receive, send).send_denial_response(answer)
