"""uvicorn's two protocols, with a bound on all that a peer can make them hold: HTTP up to its head, and websockets.

`cop serve` runs with them. Under any other server `abort` does nothing, and these bounds are that server's affair.
"""

from __future__ import annotations

from asyncio import TimerHandle, Transport
from struct import pack
from typing import Any

from fastapi import WebSocket
from starlette.requests import HTTPConnection
from uvicorn._types import ASGISendEvent
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import ClientDisconnected
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame
from websockets.http11 import Request
from websockets.protocol import State

from cop.garbage import ended
from cop.live import wire

SOCKET = "cop.socket"

MAX_CONNECTIONS = 6_000
"""Sockets of one process, of every kind and in every state; the hub takes 4,000 of them for live viewers."""
MAX_REFUSALS = 500
"""Sockets beyond those that wait for their 503; further ones are cut as they come."""
HEAD_DEADLINE_S = 10.0
"""A request whose head is not complete by then is given up, and so is the rest of a body that nobody reads."""
MAX_HEAD_BYTES = 65_536
"""What a head may weigh, give or take one reading of the socket (256 kB); ours are below one kB."""

FRAMES_A_SECOND = 100
"""Frames of every kind, pings and parts of messages among them; the messages have their own limit, of 20."""
FRAMES_AT_ONCE = 200
MAX_FRAGMENTS = 256
"""Frames that one message may come in: an empty one adds nothing to its size, but takes a place."""
SLICE_BYTES = 4_096
"""What is parsed at a time. A reading of 256 kB can hold 43,000 frames, a quarter of a second of parsing; a
slice holds 680 at the most, and after the first one of those the peer has used up its allowance."""
CLOSE_DEADLINE_S = 2.0
"""Until a closed connection is cut: whoever reads gets the close code first, whoever does not is not waited for."""


class BoundedHttp(HttpToolsProtocol):
    """Gives up heads that do not come to an end, and refuses sockets beyond `MAX_CONNECTIONS`.

    It hands itself to the application, in the scope's extensions: for `abort`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._full = False
        self._deaf = False
        """It was refused; what it still sends is dropped unread."""
        self._due: TimerHandle | None = None
        """Runs while a head, or the rest of a body that nobody reads, is being waited for."""
        self._head_bytes: int | None = 0
        """How much of a head has come; None outside of a head."""

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Take the socket if there is a place for it."""
        super().connection_made(transport)
        self._full = len(self.connections) > MAX_CONNECTIONS
        if len(self.connections) > MAX_CONNECTIONS + MAX_REFUSALS:
            transport.abort()
            return
        self._expect()

    def data_received(self, data: bytes) -> None:
        """Parse what has come, or refuse it."""
        if self._deaf:
            return
        if self._full:
            self._refuse(503, "Service Unavailable")
            return
        super().data_received(data)
        if self._head_bytes is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431, "Request Header Fields Too Large")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.scope["extensions"] = {SOCKET: {"socket": self}}
        self._head_bytes = 0
        self._expect()

    def on_headers_complete(self) -> None:
        """The head has come; for the body, its reader has a deadline of its own."""
        self._head_bytes = None
        self._expect_no_more()
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """Answered, perhaps before the body has come: its rest is read and dropped, for a while."""
        super().on_response_complete()
        if self.cycle.more_body:
            self._expect()

    def on_message_complete(self) -> None:
        """The body has come, whoever read it."""
        super().on_message_complete()
        self._expect_no_more()
        if self.cycle is not None:  # It is None in a request to open a websocket.
            self.cycle.more_body = False

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        self._expect_no_more()
        super().connection_lost(exc)
        ended.one_more(self.loop)

    def _expect(self) -> None:
        if self._due is None:
            self._due = self.loop.call_later(HEAD_DEADLINE_S, self.transport.abort)

    def _expect_no_more(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _refuse(self, status: int, phrase: str) -> None:
        self._deaf = True
        self._expect_no_more()
        if not self.transport.is_closing():
            head = f"HTTP/1.1 {status} {phrase}\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            self.transport.write(head.encode())
            self.transport.write_eof()  # A socket closed with unread bytes in it would be reset, the answer lost.
            self._due = self.loop.call_later(CLOSE_DEADLINE_S, self.transport.abort)


class BoundedWebsocket(WebSocketsSansIOProtocol):
    """Counts frames and fragments, answers no ping that cannot be sent, and cuts what cannot be closed.

    It hands itself to the application, in the scope's extensions: for `abort`, and for `send_now`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._allowance, self._counted_at = float(FRAMES_AT_ONCE), self.loop.time()
        self._deaf = False
        """The peer was told to go; what it still sends is dropped unread."""

    def handle_connect(self, event: Request) -> None:
        """Open a connection; the application's task, made in here, starts after we are done."""
        super().handle_connect(event)
        if not self.handshake_complete:  # It is when the request was refused, and then there is no scope.
            self.scope["extensions"][SOCKET] = {"socket": self}

    def data_received(self, data: bytes) -> None:
        """Parse what has come, a slice at a time, for as long as the peer keeps within its bounds."""
        for start in range(0, len(data), SLICE_BYTES):
            if self._deaf:
                return
            super().data_received(data[start : start + SLICE_BYTES])
        if self.conn.handshake_exc is not None and not self.handshake_initiated:
            # A head that only the websocket's own parser refuses; uvicorn would leave such a socket open for ever.
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        """The socket is gone."""
        super().connection_lost(exc)
        ended.one_more(self.loop)

    def handle_events(self) -> None:
        """Count the frames that have come, then take one at a time: nothing follows one that ends the connection."""
        now = self.loop.time()
        earned = (now - self._counted_at) * FRAMES_A_SECOND
        self._allowance = min(self._allowance + earned, FRAMES_AT_ONCE) - len(self.conn.events)
        self._counted_at = now
        if self._allowance < 0:
            self._fail(1008, f"more than {FRAMES_A_SECOND} frames a second")
        for event in self.conn.events_received():
            if self._deaf:
                return
            self.conn.events = [event]
            super().handle_events()

    def handle_cont(self, event: Frame) -> None:
        """Take a further part of a message."""
        if len(self.frames) >= MAX_FRAGMENTS:
            self._fail(1009, f"more than {MAX_FRAGMENTS} frames in one message")
        else:
            super().handle_cont(event)

    def send_receive_event_to_app(self) -> None:
        """Hand on a message that has come whole; one that is no text is the peer's fault, not one for the log."""
        try:
            if self.curr_msg_data_type == "text":
                b"".join(self.frames).decode()
        except UnicodeDecodeError:
            self._fail(1007, "not UTF-8")
        else:
            super().send_receive_event_to_app()

    def handle_ping(self) -> None:
        """Answer, unless the peer does not read: the answers would pile up."""
        if self.writable.is_set() or self.conn.state is not State.OPEN:
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_parser_exception(self) -> None:
        """Close after what the peer has sent, and drop whatever it still sends until it has read why.

        A socket that is closed with unread bytes in it is reset, and the close code is lost on the way.
        """
        self._deaf = True
        closed = self.conn.close_sent
        if closed is None:  # It spoke before the handshake was over.
            self.transport.abort()
            return
        self.queue.put_nowait({"type": "websocket.disconnect", "code": closed.code, "reason": closed.reason})
        self.close_sent = True
        self.stop_keepalive()
        if not self.transport.is_closing():
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.transport.write_eof()
            self.transport.resume_reading()
        self._cut_soon()

    def keepalive_timeout(self) -> None:
        """The peer is gone, or as good as gone."""
        self._deaf = True
        super().keepalive_timeout()
        self._cut_soon()

    def shutdown(self) -> None:
        """The process stops."""
        super().shutdown()
        self._cut_soon()

    async def send(self, message: ASGISendEvent) -> None:
        """Send what the application says, once there is room."""
        await self.writable.wait()
        if self._deaf:  # uvicorn would take it for a mistake of the application's.
            raise ClientDisconnected
        await super().send(message)
        if self.close_sent and self.initial_response is not None:
            self.handshake_complete = True  # It was refused; uvicorn would report that as an error of ours.
        elif message["type"] == "websocket.close" and self.close_timer is not None:
            self._cut_soon()

    @property
    def has_room(self) -> bool:
        """Whether a message would be on its way at once."""
        return self.writable.is_set() and self.conn.state is State.OPEN and not self.transport.is_closing()

    def send_now(self, message: wire.Message) -> None:
        """Send without a turn of the event loop; only where there `has_room`."""
        if isinstance(message, str):
            self.conn.send_text(message.encode())
            self.transport.write(b"".join(self.conn.data_to_send()))
        elif message.size < wire.JOINED_BYTES:
            self.transport.write(b"".join((_frame_head(message), *message.pieces)))
        else:
            self.transport.writelines([_frame_head(message), *message.pieces])

    def _fail(self, code: int, reason: str) -> None:
        self.conn.fail(code, reason)
        self.handle_parser_exception()

    def _cut_soon(self) -> None:
        if self.close_timer is not None:
            self.close_timer.cancel()
        self.close_timer = self.loop.call_later(CLOSE_DEADLINE_S, self.transport.abort)


def _frame_head(message: wire.Frame) -> bytes:
    """What precedes an unfragmented, unmasked message of a server (RFC 6455, 5.2)."""
    kind = 0x82 if message.packed else 0x81
    if message.size < 126:
        return bytes((kind, message.size))
    if message.size < 1 << 16:
        return pack("!BBH", kind, 126, message.size)
    return pack("!BBQ", kind, 127, message.size)


def socket_of(websocket: WebSocket) -> BoundedWebsocket | None:
    """The protocol below *websocket*, under `cop serve`."""
    extension = websocket.scope.get("extensions", {}).get(SOCKET)
    return None if extension is None else extension["socket"]


def abort(connection: HTTPConnection) -> None:
    """Cut the connection at once; what was not sent yet is dropped."""
    extension = connection.scope.get("extensions", {}).get(SOCKET)
    if extension is not None:
        extension["socket"].transport.abort()
