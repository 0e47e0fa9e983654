"""A viewer that only notes when each message came and keeps its bytes: they are read when all is over.

The websocket is the sans-I/O one of `websockets`: some 16 µs a frame of 8 kB on uvloop, ten of them the kernel's.
(picows, in Cython, took as long; its asyncio client twice that.)
"""

from __future__ import annotations

import asyncio
import ssl
import time
from dataclasses import dataclass, field
from typing import Any, cast

import orjson
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.typing import Subprotocol
from websockets.uri import parse_uri

from cop.bench.plan import SUBPROTOCOLS, Address, Form, LoadFailed

Message = tuple[int, bool, bytes]
"""When it came in nanoseconds since 1970, whether it is binary, and its bytes."""


@dataclass(slots=True, eq=False)
class Recording:
    """What came to one viewer, over all its connections."""

    view: dict[str, Any]
    messages: list[Message] = field(default_factory=list)
    kept: bool = True
    """False once the bound was hit and this viewer's messages were let go."""
    count: int = 0
    size: int = 0
    """Messages and bytes, kept or not."""

    def let_go(self) -> None:
        """Forget what came, and keep nothing more."""
        self.kept = False
        self.messages.clear()


class Shelf:
    """Where recordings lie: when they grow beyond *bound* bytes, every second one that is left is let go."""

    def __init__(self, recordings: list[Recording], bound: int) -> None:
        self.recordings = recordings
        self.arrived = 0
        """Bytes that came to all viewers, kept or not: while it stands still, nothing comes."""
        self._bound = bound
        self._size = 0

    def keep(self, recording: Recording, message: Message) -> None:
        """Note a message that has just come."""
        size = len(message[2])
        recording.count += 1
        recording.size += size
        self.arrived += size
        if not recording.kept:
            return
        recording.messages.append(message)
        self._size += size
        if self._size > self._bound:
            for each in [each for each in self.recordings if each.kept][1::2]:
                each.let_go()
            self._size = sum(len(message[2]) for each in self.recordings for message in each.messages)


class Socket(asyncio.Protocol):
    """One connection of a viewer. `open` is done when the service has accepted it, `gone` when it has ended."""

    def __init__(
        self, shelf: Shelf, recording: Recording, address: Address, form: Form, key: str | None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.open: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._shelf = shelf
        self._recording = recording
        self._parts: list[bytes] = []
        self._binary = False
        self._awaited: tuple[bytes, asyncio.Future[float]] | None = None
        scheme = "wss" if address.tls else "ws"
        host = f"[{address.host}]" if ":" in address.host else address.host
        uri = parse_uri(f"{scheme}://{host}:{address.port}{address.path}/live")
        self._protocol = ClientProtocol(uri, subprotocols=[Subprotocol(SUBPROTOCOLS[form])], max_size=None)
        self._key = key

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Shake hands."""
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its class.
        opening = self._protocol.connect()
        if self._key is not None:
            opening.headers["Authorization"] = f"Bearer {self._key}"
        self._protocol.send_request(opening)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Note what has come."""
        self._protocol.receive_data(data)
        now = time.time_ns()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._frame(now, event)
            elif not self.open.done():
                self._shaken()
        self._flush()

    def connection_lost(self, _error: Exception | None) -> None:
        """Tell those who wait."""
        if not self.gone.done():
            self.gone.set_result(str(self._protocol.close_code or "cut off"))
        if not self.open.done():
            self._shaken()
        if self._awaited is not None and not self._awaited[1].done():
            self._awaited[1].set_exception(LoadFailed(f"A viewer was closed: {self.gone.result()}."))

    def say(self, message: dict[str, Any]) -> None:
        """Send a message to the service."""
        self._protocol.send_text(orjson.dumps(message))
        self._flush()

    def until_view(self, number: int) -> asyncio.Future[float]:
        """Done, with the time on `time.perf_counter`, when the frame comes with which view *number* is held in full."""
        future: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._awaited = (b'"view":%d' % number, future)
        return future

    def leave(self) -> None:
        """Close the connection; `gone` tells when."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(1000)
            self._flush()
        else:
            self._transport.abort()

    def _frame(self, now: int, frame: Frame) -> None:
        if frame.opcode in {Opcode.TEXT, Opcode.BINARY}:
            self._binary = frame.opcode is Opcode.BINARY
        elif frame.opcode is not Opcode.CONT:
            return  # The library has answered it.
        message = bytes(frame.data)
        if not frame.fin or self._parts:
            self._parts.append(message)
            if not frame.fin:
                return
            message = b"".join(self._parts)
            self._parts.clear()
        self._shelf.keep(self._recording, (now, self._binary, message))
        if self._awaited is not None and self._awaited[0] in message:
            awaited, self._awaited = self._awaited[1], None
            if not awaited.done():
                awaited.set_result(time.perf_counter())

    def _shaken(self) -> None:
        error = self._protocol.handshake_exc
        if error is None and self._protocol.state is State.OPEN:
            self.open.set_result(None)
        else:
            self.open.set_exception(_refused(error, self._protocol))

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._transport.write(data)
            else:
                self._transport.close()


def _refused(error: Exception | None, protocol: ClientProtocol) -> LoadFailed:
    if isinstance(error, InvalidStatus):
        from cop.bench.publishing import said

        answer = error.response
        return LoadFailed(
            f"The service lets no viewer in: {said(answer.status_code, bytes(answer.body or b''))}"
        )
    if error is None and protocol.state is State.CONNECTING:
        return LoadFailed("The service closed a viewer's connection before it had answered.")
    return LoadFailed(f"The service lets no viewer in: {error or 'the connection was closed'}.")


async def connect(
    shelf: Shelf, recording: Recording, address: Address, form: Form, key: str | None
) -> Socket:
    """An open connection of the viewer of *recording*. Raises `LoadFailed`."""
    context = ssl.create_default_context() if address.tls else None
    try:
        _, socket = await asyncio.get_running_loop().create_connection(
            lambda: Socket(shelf, recording, address, form, key), address.host, address.port, ssl=context
        )
    except OSError as error:
        raise LoadFailed(
            f"{address.host}:{address.port} does not answer: {error.strerror or error}."
        ) from error
    await socket.open
    return socket
