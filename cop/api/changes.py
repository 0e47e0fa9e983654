"""A layer's changes over HTTP, for networks without websockets: a long poll, or server-sent events.

Each request opens a session of `cop/live`, as a websocket does, and passes its messages on unchanged.
"""

from __future__ import annotations

import asyncio
import contextlib
import math

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from cop.api import examples_live as examples
from cop.api.entry import caught_up, join, layer_of, missing, narrowing_of
from cop.api.events import event_stream, wants_events
from cop.api.leaving import unless_gone
from cop.api.protocols import abort
from cop.api.requests import check_query, names_etag
from cop.api.sender import Sender
from cop.api.shapes import JSON
from cop.auth import refuse_nul
from cop.live import wire
from cop.live.hub import Hub
from cop.live.session import CREDENTIAL_ENDED, Pass, Session
from cop.live.told import Told, is_news
from layers.errors import Invalid, LayersError, Unauthenticated, Unavailable
from layers.model import JsonObject, Layer

router = APIRouter(tags=["stream"])

MAX_WAIT_S = 60.0
"""Proxies give up an answer that has not begun after about a minute."""
FIRST_ANSWER_S = 12.0
"""For the first answer: longer than a cursor may be ahead of this process before it is answered by a reset."""


@router.get("/collections/{layer}/changes", openapi_extra=examples.CHANGES_QUERY, responses=examples.CHANGES)
async def get_changes(layer: str, request: Request) -> Response:
    """What has changed in a layer since a cursor, or the whole layer: the live stream without a websocket.

    Answers as soon as there is something to say, or after `wait` seconds. `messages` are those of `/live`, to
    be applied in their order; `next` is the `since` of the next request. A cursor holds for the `bbox` and
    `status` that it was told under. `Accept: text/event-stream` makes it a stream of server-sent events.
    """
    refuse_nul(request)
    check_query(request, "since", "wait", "bbox", "status", "limit")
    query = request.query_params
    wait_s, asked = parse_wait(query.get("wait")), {"layers": [layer], **narrowing_of(query)}
    since = {layer: parse_since(query["since"])} if "since" in query else {}
    entry = await caught_up(request)
    hub: Hub = request.app.state.hub
    seen = layer_of(hub, entry, layer)
    if wants_events(request):
        return event_stream(request, entry, asked, since)
    with contextlib.ExitStack() as held:
        session = join(hub, entry, asked, since)
        held.callback(hub.leave, session)
        poll = Poll(session, seen, Told(since), request.headers.get("if-none-match", ""))
        if not await unless_gone(request, poll.listen(wait_s)):
            return Response(status_code=204)  # Nobody is there to read it.
        if not poll.whole:
            return Rest(poll, held.pop_all(), _headers(entry))
    return poll.answer(_headers(entry))


def parse_since(text: str) -> str:
    """A cursor, as it is to be sent on. Raises `Invalid`."""
    try:
        head = wire.cursor_from(text)
    except Invalid as fault:
        raise Invalid(f"since: {fault.detail}", code="query.since") from None
    return f"{head.epoch}:{head.revision}"


def parse_wait(text: str | None) -> float:
    """Seconds from 0 to `MAX_WAIT_S`."""
    try:
        wait_s = float(text or 0)
    except ValueError:
        wait_s = math.nan
    if not 0 <= wait_s <= MAX_WAIT_S:
        raise Invalid(f"wait: expected seconds from 0 to {MAX_WAIT_S:.0f}.", code="query.wait")
    return wait_s


def _headers(entry: Pass) -> dict[str, str]:
    # Who asks without a credential is told what everybody may know: a cache may make one request of a crowd's.
    kept = "private, no-store" if entry.credential else "public, max-age=1"
    return {"Cache-Control": kept, "Vary": "Authorization, Cookie, Accept"}


class Poll:
    """What one request gathers from its session: messages about one layer, and the cursor that they lead to."""

    def __init__(self, session: Session, layer: Layer, told: Told, if_none_match: str = "") -> None:
        self.session = session
        self._layer = layer
        self._told = told
        self._if_none_match = if_none_match
        self._messages: list[str] = []
        self._news = False
        self._troubles: set[str] = set()
        """`stale` and `missing`, if they hold."""
        self._drained = False
        self._awake = asyncio.Event()
        session.wake = self._awake.set

    @property
    def whole(self) -> bool:
        """Whether what was gathered is a whole answer."""
        return self._told.whole

    @property
    def _cursor(self) -> str | None:
        """What the client holds once it has applied everything; None: nothing that a cursor could say."""
        return self._told.cursors.get(self._layer.name)

    @property
    def _etag(self) -> str:
        # Weak: the same changes may come in other frames. What it is told besides changes is not in the cursor.
        return f'W/"{"+".join([self._cursor, *sorted(self._troubles)])}"' if self._cursor else ""

    @property
    def _unchanged(self) -> bool:
        """Whether the client has told us that it holds just this."""
        return self.whole and self._etag != "" and names_etag(self._if_none_match, self._etag)

    async def listen(self, wait_s: float) -> bool:
        """Gather until there is something to say, or for *wait_s*. Raises what is to be said instead.

        Ends also when an answer has begun that takes several frames: the rest is to follow as it comes.
        """
        deadline = asyncio.get_running_loop().time() + wait_s
        try:
            async with asyncio.timeout(max(wait_s, FIRST_ANSWER_S)) as patience:
                while (not self._news or self._unchanged) and not (self._drained and self.whole):
                    self.take(await self._next())
                    if self.whole:
                        patience.reschedule(deadline)
        except TimeoutError:
            if not self.whole:
                detail = "The live picture is not up to date here; ask again."
                raise Unavailable(detail, code="live.starting") from None
        return True

    async def _next(self) -> str:
        while self.session.closing is None:
            message = self.session.take()
            if message is not None:
                return str(wire.whole(message))  # It is text: nothing else was asked for.
            self._awake.clear()
            await self._awake.wait()
        raise _ended(*self.session.closing)

    def take(self, text: str) -> bool:
        """Take a message in; whether it is passed on. Raises `NotFound` once the layer may not be seen."""
        message: JsonObject = orjson.loads(text)
        name, before = self._layer.name, self._cursor
        self._told = self._told.after(message)
        match message["type"]:
            case "frame" if name in message["layers"]:
                self._news = self._news or is_news(message["layers"][name], before)
            case "stale" | "missing" as trouble if message.get("layer", name) == name:
                self._news = self._news or self.whole  # Those told before the first frame are older.
                (self._troubles.discard if message["since"] is None else self._troubles.add)(trouble)
            case "drain":
                self._drained = True
            case "revoked" | "error":
                raise missing(self.session.viewer, name)
            case _:
                return False
        self._messages.append(text)
        return True

    def answer(self, headers: dict[str, str]) -> Response:
        """All of it, or that nothing is new."""
        if self._etag:
            headers = headers | {"ETag": self._etag}
        if self._unchanged:
            return Response(status_code=304, headers=headers)
        return Response(self.head() + self.tail(), 200, headers, JSON)

    def head(self) -> bytes:
        """The beginning of the body, with the messages that have come so far."""
        marks = orjson.dumps({"layer": self._layer.name, "status": self._layer.status})[:-1]
        return marks + b',"messages":[' + ",".join(self._messages).encode()

    def tail(self) -> bytes:
        """The end of the body."""
        return b'],"next":' + orjson.dumps(self._cursor) + b"}"


def _ended(code: int, reason: str) -> LayersError:
    if code == CREDENTIAL_ENDED[0]:
        return Unauthenticated("The credential has ended.")
    return Unavailable(f"The stream has ended ({reason}); ask again.", code="live.ended")


class Rest(Response):
    """An answer that takes several frames, each passed on when the client has taken the one before.

    Whatever ends it early cuts the connection, so that the body is no JSON: half a layer never passes for one.
    """

    def __init__(self, poll: Poll, held: contextlib.ExitStack, headers: dict[str, str]) -> None:
        super().__init__(headers=headers, media_type=JSON)
        del self.headers["content-length"]
        self._poll = poll
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, then leave the session."""
        request = Request(scope, receive)
        with self._held, contextlib.suppress(LayersError, OSError):
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if await unless_gone(request, self._send(send)):
                return
        abort(request)
        await asyncio.sleep(0)  # The server is to notice before we return.

    async def _send(self, send: Send) -> bool:
        """Whether all of it was sent."""
        poll = self._poll

        async def put(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        async def pass_on(text: str) -> None:
            if poll.take(text):
                await put(b"," + text.encode())
            if poll.whole:
                raise _Complete

        await put(poll.head())
        try:
            await Sender(poll.session, pass_on).run()
        except _Complete:
            await put(poll.tail(), more=False)
            return True
        return False


class _Complete(Exception):
    """The client has got the whole answer."""
