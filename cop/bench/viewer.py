"""A viewer that only notes when each message came and keeps its bytes: they are read when all is over.

The load generator must not be the load. `websockets` shakes hands, answers pings and closes; the frames that carry
messages are cut out here, from the buffer that the kernel filled: each is copied once if it is kept, and else not at
all. (As `websockets` reads them, half of the load generator's time went into copies of frames of 56 kB.)
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

    def count(self, recording: Recording, size: int) -> None:
        """A message of *size* bytes has come."""
        recording.count += 1
        recording.size += size
        self.arrived += size

    def keep(self, recording: Recording, message: Message) -> None:
        """Note a message that has just come."""
        size = len(message[2])
        self.count(recording, size)
        if not recording.kept:
            return
        recording.messages.append(message)
        self._size += size
        if self._size > self._bound:
            for each in [each for each in self.recordings if each.kept][1::2]:
                each.let_go()
            self._size = sum(len(message[2]) for each in self.recordings for message in each.messages)


_read_into = bytearray(1 << 18)
"""Where the kernel puts what has come; all sockets of a process read into it, one after the other."""
_HEAD_END = b"\r\n\r\n"


class Socket(asyncio.BufferedProtocol):
    """One connection of a viewer. `open` is done when the service has accepted it, `gone` when it has ended."""

    def __init__(
        self, shelf: Shelf, recording: Recording, address: Address, form: Form, key: str | None
    ) -> None:
        loop = asyncio.get_running_loop()
        self.open: asyncio.Future[None] = loop.create_future()
        self.gone: asyncio.Future[str] = loop.create_future()
        self._shelf = shelf
        self._recording = recording
        self._rest = bytearray()
        """The beginning of a frame of which the end has not come."""
        self._answered = self._opened = False
        """Whether the head of the answer to the handshake has come, and whether it let us in."""
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

    def get_buffer(self, sizehint: int) -> bytearray:
        """Where to read into."""
        return _read_into

    def buffer_updated(self, nbytes: int) -> None:
        """Note what has come."""
        now = time.time_ns()
        with memoryview(_read_into)[:nbytes] as fresh:
            if not self._rest:
                done = self._read(fresh, now)
                self._rest += fresh[done:]
                return
            self._rest += fresh
        with memoryview(self._rest) as data:
            done = self._read(data, now)
        del self._rest[:done]

    def _read(self, data: memoryview, now: int) -> int:
        """Take in what is whole of *data*; how many bytes that were."""
        done = 0 if self._opened else self._shake(data)
        while (frame := _frame_at(data, done)) is not None:
            first, start, end = frame
            if first & 0x08:
                self._hand_over(data[done:end])
            else:
                self._take(first, data[start:end], now)
            done = end
        return done

    def _shake(self, data: memoryview) -> int:
        """Take in the answer to the handshake, its head in one; how many bytes of *data* that were."""
        size = 0
        if not self._answered:
            head, mark, _ = bytes(data).partition(_HEAD_END)
            if not mark:
                return 0
            size = len(head) + len(mark)
            self._answered = True
            self._hand_over(data[:size])
            self._opened = self._protocol.state is State.OPEN
        if self._opened:
            return size
        self._hand_over(data[size:])  # The reason why not, however many readings it takes.
        return len(data)

    def _hand_over(self, data: memoryview) -> None:
        """Let the library see to it."""
        self._protocol.receive_data(bytes(data))
        for event in self._protocol.events_received():
            if not isinstance(event, Frame) and not self.open.done():
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

    def _take(self, first: int, payload: memoryview, now: int) -> None:
        """Note a message, or a part of one, that came in a frame which begins with the byte *first*."""
        if opcode := first & 0x0F:
            self._binary = opcode == Opcode.BINARY
        final = bool(first & 0x80)
        if final and not self._parts and not self._recording.kept and self._awaited is None:
            self._shelf.count(self._recording, len(payload))
            return
        self._parts.append(bytes(payload))
        if not final:
            return
        message = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
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


def _frame_at(data: memoryview, start: int) -> tuple[int, int, int] | None:
    """The frame that begins at *start* (RFC 6455, 5.2; a server masks none): its first byte, and where its payload
    begins and ends; None while it is not whole.
    """
    if len(data) < start + 2:
        return None
    first, length = data[start], data[start + 1]
    begin = start + 2
    if length >= 126:
        begin += 2 if length == 126 else 8
        length = int.from_bytes(data[start + 2 : begin], "big")
    end = begin + length
    return (first, begin, end) if len(data) >= end else None


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
