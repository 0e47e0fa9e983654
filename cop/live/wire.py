"""The words of `cop.live.v1`: client messages checked and read, server messages written.

Everything is JSON text. A feature is written once, when it changes; frames are joins of those texts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson

from cop.live.interest import View, view_from
from layers.errors import Invalid
from layers.log import Head
from layers.model import JsonObject, LayerName

PROTOCOL = "cop.live.v1"
MAX_CLIENT_BYTES = 65_536
"""A client message of the size of 1,000 layer names; larger ones close the socket with 1009."""
MAX_LAYERS = 256
"""How many layers one subscription may name; a picture of more is not a picture."""
MAX_WHOLE = 2**53
"""Numbers beyond are not whole in every client."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Follow these layers, or those of an operation, or (with neither) all that the viewer may see."""

    operation: str | None = None
    layers: frozenset[LayerName] | None = None
    view: View | None = None
    number: int | None = None
    since: dict[LayerName, Head] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Look:
    """The map now shows *view*; the frame from which that holds in full carries *number*."""

    view: View | None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Follow nothing."""


@dataclass(frozen=True, slots=True)
class Ping:
    """Answer with the same number."""

    sent: float


ClientMessage = Subscribe | Look | Unsubscribe | Ping


def read_message(text: str) -> ClientMessage:
    """Read what a client sent. Raises `Invalid` with a code `live.*`; the socket can go on."""
    try:
        message = orjson.loads(text)
    except ValueError as error:
        raise Invalid(f"Not JSON: {error}.", code="live.json") from error
    match message:
        case {"type": "subscribe"}:
            return _subscribe(message)
        case {"type": "view"}:
            return Look(view_from(message.get("view")), _number(message.get("n")))
        case {"type": "unsubscribe"}:
            return Unsubscribe()
        case {"type": "ping", "sent": int() | float() as sent} if not isinstance(sent, bool):
            return Ping(sent)
        case {"type": "ping"}:
            raise Invalid("A ping has a number “sent”.", code="live.message", pointer="/sent")
        case _:
            pass
    raise Invalid(
        "Expected an object with “type”: subscribe, view, unsubscribe or ping.",
        code="live.message",
        pointer="/type",
    )


def _subscribe(message: JsonObject) -> Subscribe:
    operation = message.get("operation")
    if operation is not None and not isinstance(operation, str):
        raise Invalid("“operation” is an operation's slug.", code="live.operation", pointer="/operation")
    return Subscribe(
        operation,
        _layer_names(message.get("layers")),
        view_from(message.get("view")),
        _number(message.get("n")),
        _cursors(message.get("since")),
    )


def _number(value: object) -> int | None:
    if value is None or (isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= MAX_WHOLE):
        return value
    raise Invalid("“n” is a whole number that counts your views.", code="live.view", pointer="/n")


def _layer_names(value: object) -> frozenset[LayerName] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise Invalid("“layers” is a list of layer ids.", code="live.layer", pointer="/layers")
    if len(value) > MAX_LAYERS:
        raise Invalid(
            f"A subscription names at most {MAX_LAYERS} layers.", code="live.too_many", pointer="/layers"
        )
    return frozenset(map(LayerName, value))


def _cursors(value: object) -> dict[LayerName, Head]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise Invalid("“since” maps layer ids to “epoch:revision”.", code="live.since", pointer="/since")
    if len(value) > MAX_LAYERS:
        raise Invalid(f"“since” names at most {MAX_LAYERS} layers.", code="live.too_many", pointer="/since")
    return {LayerName(name): cursor_from(cursor) for name, cursor in value.items()}


def cursor_from(value: object) -> Head:
    """Read a cursor `epoch:revision`. Raises `Invalid` with code `live.since`."""
    if isinstance(value, str):
        epoch, _, revision = value.rpartition(":")
        if len(epoch) == 36 and revision.isascii() and revision.isdigit() and len(revision) <= 16:
            try:
                head = Head(UUID(epoch), int(revision))
            except ValueError:
                pass
            else:
                if head.revision <= MAX_WHOLE:
                    return head
    raise Invalid(
        f"Expected a cursor “epoch:revision”, got {value!r:.60}.", code="live.since", pointer="/since"
    )


def text_of(value: Any) -> str:
    """*value* as compact JSON text."""
    return orjson.dumps(value).decode()


def milliseconds(moment: datetime) -> int:
    """Whole milliseconds since 1970; what is finer is cut off."""
    return (moment - _EPOCH) // _MILLISECOND


def put_row(
    feature_id: str, geometry: str | None, properties: str, observed_ms: int, expires_ms: int | None
) -> str:
    """A feature as it stands. *feature_id*, *geometry* and *properties* are JSON text already."""
    return (
        f'{{"id":{feature_id},"geometry":{geometry or "null"},"properties":{properties},'
        f'"observed_at":{observed_ms},"expires_at":{"null" if expires_ms is None else expires_ms}}}'
    )


def move_row(feature_id: str, coordinates: str, observed_ms: int, heading: str, speed: str) -> str:
    """A feature of which only place and time changed; *coordinates* is `lng,lat`, all texts are JSON."""
    return f"[{feature_id},{coordinates},{observed_ms},{heading},{speed}]"


def gone_row(feature_id: str, why: str) -> str:
    """A feature that has left the viewer's sight; *feature_id* is JSON text already."""
    return f'[{feature_id},"{why}"]'


def rows(puts: Iterable[str], moves: Iterable[str], gones: Iterable[str]) -> str:
    """The lists of one layer of one frame, the empty ones left out; empty text when all are."""
    put, move, gone = ",".join(puts), ",".join(moves), ",".join(gones)
    lists = []
    if put:
        lists.append(f'"put":[{put}]')
    if move:
        lists.append(f'"move":[{move}]')
    if gone:
        lists.append(f'"gone":[{gone}]')
    return ",".join(lists)


def layer_part(name: str, epoch: str, from_: int, to: int, body: str, *, reset: bool = False) -> str:
    """One layer of one frame; *name* is JSON text already, *body* comes from `rows`."""
    opening = f'{name}:{{"epoch":"{epoch}","from":{from_},"to":{to}'
    flag = ',"reset":true' if reset else ""
    return f"{opening}{flag},{body}}}" if body else f"{opening}{flag}}}"


def frame(now_ms: int, parts: Iterable[str], *, number: int | None = None) -> str:
    """All that changed since the last frame; the parts come from `layer_part`.

    *number* says: with this frame the viewer holds all of the view that it sent under that number.
    """
    view = "" if number is None else f'"view":{number},'
    return f'{{"type":"frame","time":{now_ms},{view}"layers":{{{",".join(parts)}}}}}'


def hello(body: str, now_ms: int, tick_ms: int) -> str:
    """What the viewer may see; *body* is the JSON text of `hello_body`."""
    opening = f'{{"type":"hello","protocol":"{PROTOCOL}","server_time":{now_ms},"tick_ms":{tick_ms},'
    return opening + body.removeprefix("{")


def error(fault: Invalid) -> str:
    """A message that was not understood; the socket goes on."""
    return text_of({"type": "error", "code": fault.code, "detail": fault.detail})


def revoked(name: LayerName) -> str:
    """The viewer may no longer see this layer: drop it whole."""
    return text_of({"type": "revoked", "layer": name})


def pong(sent: float, now_ms: int) -> str:
    """The answer to a ping."""
    return text_of({"type": "pong", "sent": sent, "server_time": now_ms})
