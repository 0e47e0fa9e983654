"""The websocket `/live`: who may open it, and the two tasks that carry messages between a socket and its session.

Close codes: 1003 binary message, 1008 too many messages, 1009 message too large, 1011 our fault, 1012 this process
is about to stop, 1013 too slow to keep up (both: come back with `since`), 4401 the credential has ended. The rules
are in `cop/live`.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from time import monotonic

from fastapi import APIRouter, Response, WebSocket
from starlette.websockets import WebSocketDisconnect

from cop.api.entry import pass_of
from cop.api.errors import PROBLEM, RETRY_AFTER_S, status_of
from cop.api.protocols import abort, socket_of
from cop.api.sender import Sender
from cop.api.standings import OUT_OF_REACH
from cop.auth import origin_allowed
from cop.live.hub import Hub
from cop.live.session import OUR_FAULT, Pass, Session
from cop.live.wire import MAX_CLIENT_BYTES, PACKED_PROTOCOL, PROTOCOL, text_of
from cop.settings import Settings
from layers.errors import Forbidden, Invalid, LayersError, Unavailable

log = logging.getLogger("cop.live")
router = APIRouter()

MESSAGES_A_SECOND = 20
"""What a client may send in the long run: a map that is dragged sends some four views a second."""
MESSAGES_AT_ONCE = 60
ADMISSION_DEADLINE_S = 10.0
CLOSE_DEADLINE_S = 1.0
"""A viewer who does not read takes no close frame either; after this its connection is cut."""

BINARY = (1003, "text only")
TOO_MANY = (1008, f"more than {MESSAGES_A_SECOND} messages a second")
TOO_LARGE = (1009, f"more than {MAX_CLIENT_BYTES} bytes")


@router.websocket("/live")
async def live(websocket: WebSocket) -> None:
    """The live stream, protocol `cop.live.v1`, or `cop.live.v1+bin` for whoever asks for that."""
    hub: Hub = websocket.app.state.hub
    packing = PACKED_PROTOCOL in websocket.scope["subprotocols"]
    try:
        async with asyncio.timeout(ADMISSION_DEADLINE_S):
            session = hub.join(await _admit(websocket), packing=packing)
    except LayersError as error:
        await websocket.send_denial_response(_refusal(error))
        return
    except OUT_OF_REACH:
        unknown = Unavailable("The credential cannot be checked now; try again.")
        await websocket.send_denial_response(_refusal(unknown))
        return
    try:
        await websocket.accept(subprotocol=PACKED_PROTOCOL if packing else PROTOCOL)
        await _carry(websocket, session)
    finally:
        hub.leave(session)


async def _admit(websocket: WebSocket) -> Pass:
    """Check the protocol, the page that asks, and the credential, in the order of their cost."""
    if not {PROTOCOL, PACKED_PROTOCOL} & set(websocket.scope["subprotocols"]):
        raise Invalid(f"Ask for the subprotocol {PROTOCOL} or {PACKED_PROTOCOL}.", code="live.subprotocol")
    state = websocket.app.state
    settings: Settings = state.settings
    allowed = (*settings.allowed_origins, settings.origin)
    if not origin_allowed(websocket.headers.get("origin"), websocket.headers.get("host"), allowed):
        raise Forbidden("This page may not open the live stream.", code="live.origin")
    return await pass_of(websocket)


def _refusal(error: LayersError) -> Response:
    status = 400 if isinstance(error, Invalid) else status_of(error)
    title = HTTPStatus(status).phrase
    body = {
        "type": "about:blank",
        "title": title,
        "status": status,
        "code": error.code,
        "detail": error.detail,
    }
    headers = {"Retry-After": str(RETRY_AFTER_S)} if status == 503 else None
    return Response(text_of(body), status, headers, PROBLEM)


async def _carry(websocket: WebSocket, session: Session) -> None:
    """Run both directions until either ends, then close with the code that fits."""
    directions = [
        asyncio.create_task(Sender(session, _put_on(websocket), socket_of(websocket)).run()),
        asyncio.create_task(_receive(websocket, session)),
    ]
    try:
        await asyncio.wait(directions, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in directions:
            task.cancel()
        ends = await asyncio.gather(*directions, return_exceptions=True)
    for end in ends:
        if isinstance(end, Exception) and not isinstance(end, WebSocketDisconnect | OSError):
            log.error("A live socket failed; it is closed and may come back.", exc_info=end)
            session.close(*OUR_FAULT)
    if session.closing is not None:
        await _close(websocket, *session.closing)


async def _close(websocket: WebSocket, code: int, reason: str) -> None:
    try:
        async with asyncio.timeout(CLOSE_DEADLINE_S):
            await websocket.close(code, reason)
    except TimeoutError:
        abort(websocket)
    except (RuntimeError, OSError, WebSocketDisconnect):
        pass  # It has left already.


def _put_on(websocket: WebSocket) -> Callable[[str | bytes], Awaitable[None]]:
    async def put(message: str | bytes) -> None:
        form = "text" if isinstance(message, str) else "bytes"
        await websocket.send({"type": "websocket.send", form: message})

    return put


async def _receive(websocket: WebSocket, session: Session) -> None:
    """Hand over what the client says until it leaves or says too much."""
    allowance, counted_at = float(MESSAGES_AT_ONCE), monotonic()
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            return
        now = monotonic()
        allowance = min(allowance + (now - counted_at) * MESSAGES_A_SECOND, MESSAGES_AT_ONCE) - 1
        counted_at = now
        text = message.get("text")
        if text is None:
            session.close(*BINARY)
            return
        if len(text) > MAX_CLIENT_BYTES:
            session.close(*TOO_LARGE)
            return
        if allowance < 0:
            session.close(*TOO_MANY)
            return
        session.receive(text)
