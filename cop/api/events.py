"""The live stream as server-sent events: for browsers and scripts on networks without websockets."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import random
from collections.abc import Mapping

import orjson
from fastapi import APIRouter, Request, Response
from starlette.types import Receive, Scope, Send

from cop.api import examples_live as examples
from cop.api.entry import caught_up, join, narrowing_of
from cop.api.leaving import unless_gone
from cop.api.protocols import abort
from cop.api.requests import check_query
from cop.api.sender import Sender
from cop.auth import refuse_nul
from cop.live import wire
from cop.live.hub import Hub
from cop.live.session import OUR_FAULT, SEND_DEADLINE_MS, TOO_SLOW, Pass, Session
from cop.live.told import Told
from layers.errors import Invalid
from layers.model import JsonObject

router = APIRouter(tags=["stream"])

EVENTS = "text/event-stream"
HEARTBEAT_S = 4.0
"""After so long without an event a comment shows that the link lives."""
RETRY_MS = (1_000, 4_000)
"""When a browser is to come back: each a little different, so that a crowd does not come at once."""
ID_CHARACTERS = 6_000
"""What an event's id may hold: it comes back in a header, for which proxies have 8 kB. Further layers start anew."""
CLOSE_DEADLINE_S = 1.0


@router.get("/live/events", openapi_extra=examples.EVENTS_QUERY, responses=examples.EVENTS)
async def get_events(request: Request) -> Response:
    """The live stream of several layers, or of an operation, as server-sent events; all that you see by default.

    The events are the messages of `/live`. `Last-Event-ID`, which a browser sends by itself, goes on where the
    stream ended. The last event, `close`, says why it did.
    """
    refuse_nul(request)
    check_query(request, "layers", "operation", "bbox", "status", "limit")
    query = request.query_params
    asked = narrowing_of(query)
    if "operation" in query:
        asked["operation"] = query["operation"]
    if "layers" in query:
        asked["layers"] = query["layers"].split(",")
    return event_stream(request, await caught_up(request), asked, {})


def wants_events(request: Request) -> bool:
    """Whether the request asks for events rather than for one answer."""
    return EVENTS in request.headers.get("accept", "")


def event_stream(request: Request, entry: Pass, asked: JsonObject, since: Mapping[str, str]) -> Response:
    """The stream of what is *asked* for, from where the client left it, or from *since*."""
    hub: Hub = request.app.state.hub
    mark = hashlib.sha256(orjson.dumps(asked, option=orjson.OPT_SORT_KEYS)).hexdigest()[:8]
    since = cursors_of(request.headers.get("last-event-id", ""), mark) or since
    with contextlib.ExitStack() as held:
        session = join(hub, entry, asked, since)
        held.callback(hub.leave, session)
        return EventStream(session, Told(since), mark, held.pop_all())


def event_id(mark: str, cursors: Mapping[str, str]) -> str:
    """What a client sends back to go on from *cursors*, which hold for the question that *mark* stands for."""
    text = mark
    for layer, cursor in cursors.items():
        if len(text) + len(layer) + len(cursor) + 2 > ID_CHARACTERS:
            break
        text += f";{layer}={cursor}"
    return text


def cursors_of(text: str, mark: str) -> dict[str, str]:
    """The cursors in an `event_id`; none in one that is not ours, or belongs to another question."""
    first, *pairs = text.split(";")
    if first != mark:
        return {}
    found = dict(pair.split("=", 1) for pair in pairs if "=" in pair)
    try:
        for cursor in found.values():
            wire.cursor_from(cursor)
    except Invalid:
        return {}
    return found


def event(message: JsonObject, text: str, id: str = "") -> bytes:
    """*message*, whose JSON is *text*, as an event; a `drain` also says when to come back."""
    retry = f"retry: {message['retry_ms']}\n" if message["type"] == "drain" else ""
    mark = f"id: {id}\n" if id else ""
    return f"event: {message['type']}\n{mark}{retry}data: {text}\n\n".encode()


class EventStream(Response):
    """A session's messages as events, each when the client has taken the one before."""

    def __init__(self, session: Session, told: Told, mark: str, held: contextlib.ExitStack) -> None:
        # nginx gathers answers unless told not to.
        headers = {"Cache-Control": "no-store, no-transform", "X-Accel-Buffering": "no"}
        super().__init__(headers=headers | {"Vary": "Authorization, Cookie, Accept"}, media_type=EVENTS)
        del self.headers["content-length"]
        self._session = session
        self._told = told
        self._mark = mark
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send events until either side ends, then leave the session."""
        request = Request(scope, receive)
        with self._held, contextlib.suppress(OSError):  # TimeoutError is one
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            if await unless_gone(request, self._tell(send)):
                return
        abort(request)
        await asyncio.sleep(0)  # The server is to notice before we return.

    async def _tell(self, send: Send) -> bool:
        """Whether the client was told of the end."""
        session = self._session

        async def put(body: bytes, *, more: bool = True) -> None:
            await send({"type": "http.response.body", "body": body, "more_body": more})

        async def pass_on(text: str) -> None:
            message: JsonObject = orjson.loads(text)
            told = self._told.after(message)
            moved = told is not self._told
            await put(event(message, text, event_id(self._mark, told.cursors) if moved else ""))
            self._told = told  # Not before: what was taken back has not been told.

        async def beat() -> None:
            try:
                async with asyncio.timeout(SEND_DEADLINE_MS / 1000):
                    await put(b":\n\n")
            except TimeoutError:
                session.close(*TOO_SLOW)

        await put(f"retry: {random.randint(*RETRY_MS)}\n\n".encode())  # noqa: S311
        await Sender(session, pass_on).run(idle_s=HEARTBEAT_S, idle=beat)
        code, reason = session.closing or OUR_FAULT
        end = {"type": "close", "code": code, "reason": reason}
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            await put(event(end, wire.text_of(end)), more=False)
        return True
