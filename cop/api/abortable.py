"""uvicorn's websocket protocol with one thing more: the application may cut a connection that cannot be closed.

A peer that has stopped reading takes no close frame, and uvicorn would wait for it, buffers and all, for
ever. `cop serve` runs with this protocol; under any other server `abort` does nothing.
"""

from __future__ import annotations

from fastapi import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

ABORT = "cop.abort"


class AbortableProtocol(WebSocketsSansIOProtocol):
    """Hands the application, in the scope's extensions, the transport's `abort`."""

    def handle_connect(self, event: Request) -> None:
        """Open a connection; the application's task, made in here, starts after we are done."""
        super().handle_connect(event)
        if not self.handshake_complete:  # It is when the request was refused, and then there is no scope.
            self.scope["extensions"][ABORT] = {"abort": self.transport.abort}


def abort(websocket: WebSocket) -> None:
    """Cut the connection at once; what was not sent yet is dropped."""
    extension = websocket.scope.get("extensions", {}).get(ABORT)
    if extension is not None:
        extension["abort"]()
