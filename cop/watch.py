"""Following the live stream: the socket of `Client.watch`, kept up through losses, drains and refusals.

What the messages mean is in `cop/watching/fold.py`. It asks for `cop.live.v1`, JSON text: the packed form
saves bytes for maps that draw tens of thousands of moves, and a program that wants each feature whole gains
nothing by it.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http import HTTPStatus

import httpx
import orjson
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import (
    ConnectionClosed,
    InvalidHandshake,
    InvalidMessage,
    InvalidStatus,
    InvalidURI,
)
from websockets.typing import Subprotocol

from cop.client import AGAIN, ProblemError, pause_s, problem_of, retry_after_s
from cop.watching.changes import Change, Kind
from cop.watching.fold import Fold, Wanted
from layers.model import JsonObject

PROTOCOL = Subprotocol("cop.live.v1")
SILENCE_S = 12.0
"""The service says something every 5 s at least: after twice that, and some, nobody is there."""
OPEN_DEADLINE_S = 10.0
CLOSE_DEADLINE_S = 1.0
MAX_MESSAGE_BYTES = 32_000_000
"""A frame is cut at about a million characters and one feature more: some 6 MB where all of them are wide."""
WAITING_MESSAGES = 4
"""Read ahead of a slow consumer; beyond that the network holds the stream back, and the service conflates it."""
REFUSALS = frozenset({1003, 1007, 1008, 1009})
"""Close codes that say that we did wrong: to come back and do it again would help nobody."""
CREDENTIAL_ENDED = 4401
UNSEEN = frozenset({"live.layer", "live.operation"})
"""Said of what is not to be seen. Passed over: the hello before says the same, and says it every time."""


@dataclass(slots=True)
class Link:
    """How the connection is, and since when by this machine's clock."""

    state: str = "connecting"
    """connecting, live, lost, or closed."""
    since: datetime = field(default_factory=lambda: datetime.now(UTC))
    why: str = ""


class Clock:
    """The service's clock, from the messages that were under way for the shortest time."""

    def __init__(self) -> None:
        self._ahead_ms: deque[float] = deque(maxlen=60)

    def hear(self, server_ms: float) -> None:
        """A message that says *server_ms* has just arrived."""
        self._ahead_ms.append(server_ms - time.time() * 1000.0)

    def now(self) -> datetime:
        """What it shows now; this machine's time before anything was heard."""
        ahead_s = max(self._ahead_ms, default=0.0) / 1000.0
        return datetime.fromtimestamp(time.time() + ahead_s, UTC)


class Watch:
    """What `Client.watch` gives: iterate over it, once, for changes without end.

    `fold` is the picture as held, `link` how the connection is, `clock` the service's time. Changes wait for
    the consumer: while it is slow the service keeps the newest state of each feature, so nothing is lost and
    nothing piles up. Raises `ProblemError` when the service refuses, or does not answer within *patience_s*
    at the start; once it has answered, losses are mended for ever.
    """

    def __init__(
        self,
        url: str,
        authorization: str | None,
        wanted: Wanted,
        *,
        patience_s: float,
        on_wait: Callable[[str, float], None],
    ) -> None:
        self.fold = Fold(wanted)
        self.link = Link()
        self.clock = Clock()
        self._address = f"ws{url.removeprefix('http')}/live"
        self._headers = {"Authorization": authorization} if authorization else {}
        self._patience_s = patience_s
        self._on_wait = on_wait
        self._was_heard = False
        self._heard_at = self.clock.now()
        self._was_current = False

    async def __aiter__(self) -> AsyncGenerator[Change, None]:
        """Changes, without end; `contextlib.aclosing(aiter(watch))` closes the connection on the way out."""
        deadline, attempt = time.monotonic() + self._patience_s, 0
        while True:
            attempt += 1
            try:
                async with await self._open() as socket:
                    await self._subscribe(socket)
                    while True:
                        for change in await self._changes(socket):
                            yield change
                        if self.fold.current:
                            attempt, self._was_current = 0, True
            except _Lost as lost:
                wait_s = pause_s(attempt) if lost.retry_s is None else lost.retry_s
                if not self._was_heard and time.monotonic() + wait_s > deadline:
                    raise ProblemError(0, "client.no_answer", lost.why) from lost
                why = lost.why
            except ProblemError as problem:
                self._now("closed", str(problem))
                raise
            if self._was_heard and self.link.state != "lost":
                self._now("lost", why)
                yield Change(Kind.LOST, why=why, since=self._heard_at)
            self.link.why = why
            self._on_wait(why, wait_s)
            await asyncio.sleep(wait_s)

    async def _open(self) -> ClientConnection:
        """Connect. Raises `_Lost` when that may go better another time, else `ProblemError`."""
        try:
            return await _Connect(
                self._address,
                subprotocols=[PROTOCOL],
                additional_headers=self._headers,
                compression=None,
                proxy=None,
                open_timeout=OPEN_DEADLINE_S,
                close_timeout=CLOSE_DEADLINE_S,
                ping_interval=None,  # While the consumer is slow no pong is read; SILENCE_S notices who is dead.
                max_size=MAX_MESSAGE_BYTES,
                max_queue=WAITING_MESSAGES,
            )
        except InvalidStatus as refusal:
            answer = refusal.response
            told = httpx.Response(
                answer.status_code, headers=list(answer.headers.raw_items()), content=bytes(answer.body)
            )
            if told.status_code in AGAIN or told.is_server_error:
                after_s = retry_after_s(told)
                why = f"{self._address} answers {told.status_code}"
                raise _Lost(why, after_s + pause_s(1) if after_s else None) from refusal
            raise problem_of(told) from refusal
        except (OSError, TimeoutError, EOFError, InvalidMessage) as error:  # the last: cut off in the middle
            why = f"{self._address} does not answer: {str(error) or type(error).__name__}"
            raise _Lost(why) from error
        except (InvalidHandshake, InvalidURI) as error:
            raise ProblemError(0, "client.no_stream", f"{self._address}: {error}") from error

    async def _subscribe(self, socket: ClientConnection) -> None:
        try:
            await socket.send(orjson.dumps(self.fold.subscription()), text=True)
        except ConnectionClosed:
            raise self._ended(socket) from None

    async def _changes(self, socket: ClientConnection) -> list[Change]:
        """What the next message changes. The first one after a loss says that first."""
        was_lost = self.link.state == "lost"
        message = await self._next(socket)
        changes = self.fold.apply(message)
        self._check_seen()
        return [Change(Kind.BACK), *changes] if was_lost and self.link.state == "live" else changes

    async def _next(self, socket: ClientConnection) -> JsonObject:
        """The next message that is for the fold. Raises `_Lost` or `ProblemError` where the connection ends."""
        if self.fold.broken is not None:
            raise _Lost(f"{self.fold.broken}: a frame did not follow from what was held")
        try:
            async with asyncio.timeout(SILENCE_S):
                text = await socket.recv(decode=False)
        except TimeoutError:
            raise _Lost(f"{self._address} has been silent for {SILENCE_S:.0f} s") from None
        except ConnectionClosed:
            raise self._ended(socket) from None
        message: JsonObject = orjson.loads(text)
        self._was_heard = True
        self._heed(message)
        return message

    def _heed(self, message: JsonObject) -> None:
        """Do what a message asks of the connection."""
        if (server_ms := message.get("server_time", message.get("time"))) is not None:
            self.clock.hear(server_ms)
        self._heard_at = self.clock.now()
        match message["type"]:
            case "drain":
                raise _Lost(f"{self._address} is about to stop", message["retry_ms"] / 1000.0)
            case "error" if message["code"] not in UNSEEN:
                raise ProblemError(HTTPStatus.BAD_REQUEST, message["code"], message["detail"])
            case "hello" | "frame":
                self._now("live")
            case _:
                pass

    def _check_seen(self) -> None:
        """What cannot be seen is a mistake at the start; later, a share that was taken back, for a while perhaps."""
        if self.fold.unseen and not self._was_current:
            what, name = self.fold.unseen[0]
            detail = f"There is no {what} “{name}” that you can see."
            raise ProblemError(HTTPStatus.NOT_FOUND, f"live.{what}", detail)

    def _ended(self, socket: ClientConnection) -> Exception:
        """What it means that the connection is closed."""
        code, reason = socket.close_code, socket.close_reason or ""
        if code == CREDENTIAL_ENDED:
            return ProblemError(HTTPStatus.UNAUTHORIZED, "unauthenticated", reason)
        if code in REFUSALS:
            return ProblemError(0, "live.closed", f"closed with {code}: {reason}")
        return _Lost(f"{self._address} closed the stream ({code}{': ' * bool(reason)}{reason})")

    def _now(self, state: str, why: str = "") -> None:
        if self.link.state != state:
            self.link.state, self.link.since = state, datetime.now(UTC)
        self.link.why = why


class _Lost(Exception):
    """There is no connection, for now. *retry_s* is when the service wants us back; None: it did not say."""

    def __init__(self, why: str, retry_s: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.retry_s = retry_s


class _Connect(connect):
    """Follows no redirect, as the rest of the client does not: the key goes to the host it is for."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        """Every redirect is an answer like any other."""
        return exc
