"""The words of `cop.live.v1`: client messages checked and read, server messages written.

Everything is JSON text; with `cop.live.v1+bin`, a frame in which features move is a binary message:

    0      u32   n, the length of the JSON in bytes
    4      n     the frame as JSON, UTF-8; a layer of which moves are packed says so: "packed": count
    4 + n        zeros up to the next multiple of four, counted from the beginning of the message
           then, for each such layer in the order of the JSON, count records of 20 bytes:
             0   u32  CRC-32 of the feature's id in UTF-8, as zlib counts it
             4   i32  longitude in 1e-7 degrees
             8   i32  latitude in 1e-7 degrees
             12  u32  observed_at: the low 32 bits of ms since 1970; the moment is the one nearest to the frame's time
             16  u16  heading in 1/100 degree, 65535 for none
             18  u16  speed in 1/100 m/s, 65535 for none

All numbers are little-endian. A move that this cannot say exactly stands in the JSON, among `move`. A feature is
written once, when it changes; frames are joins of what was written.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from cop.live.interest import View, view_from
from layers.errors import Invalid
from layers.log import Head
from layers.model import JsonObject, LayerName

PROTOCOL = "cop.live.v1"
PACKED_PROTOCOL = "cop.live.v1+bin"
RECORD_BYTES = 20
JOINED_BYTES = 65_536
"""Pieces of a frame that are fewer bytes are joined, which costs less than to hand over each; more are handed over as
they are: viewers share them, and whoever does not read would hold copies of its own."""
MAX_CLIENT_BYTES = 65_536
"""A client message of the size of 1,000 layer names; larger ones close the socket with 1009."""
MAX_LAYERS = 256
"""How many layers one subscription may name; a picture of more is not a picture."""
MAX_WHOLE = 2**53
"""Numbers beyond are not whole in every client."""
MAX_LIMIT = 50_000
DEFAULT_LIMIT = 20_000
"""How many features of one layer a viewer is told one by one, unless it says so itself; more come summed by cell."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Where:
    """What of the layers is wanted; None: all. Kind and agency (by slug) choose layers, status chooses features."""

    kinds: frozenset[str] | None = None
    agencies: frozenset[str] | None = None
    statuses: frozenset[str | None] | None = None


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Follow these layers, or those of an operation, or (with neither) all that the viewer may see."""

    operation: str | None = None
    layers: frozenset[LayerName] | None = None
    view: View | None = None
    number: int | None = None
    since: dict[LayerName, Head] = field(default_factory=dict)
    held: View | None = None
    """The view under which the cursors in `since` were told; the one asked for, unless said."""
    where: Where = Where()
    limit: int = DEFAULT_LIMIT


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
    view = view_from(message.get("view"))
    return Subscribe(
        operation,
        _layer_names(message.get("layers")),
        view,
        _number(message.get("n")),
        _cursors(message.get("since")),
        view_from(message["held"]) if "held" in message else view,
        _where(message.get("where")),
        _limit(message.get("limit")),
    )


def _where(value: object) -> Where:
    if value is None:
        return Where()
    if not isinstance(value, dict) or not value.keys() <= {"kind", "agency", "status"}:
        raise Invalid("“where” has members kind, agency and status.", code="live.where", pointer="/where")
    return Where(
        _texts(value, "kind"),
        _texts(value, "agency"),
        _texts_or_null(value, "status"),
    )


def _texts(where: JsonObject, name: str) -> frozenset[str] | None:
    texts = _texts_or_null(where, name)
    if texts is not None and None in texts:
        raise Invalid("Only “status” may hold null.", code="live.where", pointer=f"/where/{name}")
    return texts  # type: ignore[return-value]  # there is no null among them


def _texts_or_null(where: JsonObject, name: str) -> frozenset[str | None] | None:
    value = where.get(name)
    if value is None:
        return None
    if not isinstance(value, list) or not all(each is None or isinstance(each, str) for each in value):
        raise Invalid(f"“{name}” is a list of texts.", code="live.where", pointer=f"/where/{name}")
    if len(value) > MAX_LAYERS:
        raise Invalid(f"“{name}” names at most {MAX_LAYERS}.", code="live.too_many", pointer=f"/where/{name}")
    return frozenset(value)


def _limit(value: object) -> int:
    if value is None:
        return DEFAULT_LIMIT
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= MAX_LIMIT:
        raise Invalid(
            f"“limit” is a whole number from 1 to {MAX_LIMIT}.", code="live.limit", pointer="/limit"
        )
    return value


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
    since = moment - _EPOCH
    return since.days * 86_400_000 + since.seconds * 1_000 + since.microseconds // 1_000


def put_row(
    feature_id: str, geometry: str | None, properties: str, observed_ms: int, expires_ms: int | None
) -> bytes:
    """A feature as it stands. *feature_id*, *geometry* and *properties* are JSON text already."""
    return (
        f'{{"id":{feature_id},"geometry":{geometry or "null"},"properties":{properties},'
        f'"observed_at":{observed_ms},"expires_at":{"null" if expires_ms is None else expires_ms}}}'
    ).encode()


def move_row(feature_id: str, coordinates: str, observed_ms: int, heading: str, speed: str) -> bytes:
    """A feature of which only place and time changed; *coordinates* is `lng,lat`, all texts are JSON."""
    return f"[{feature_id},{coordinates},{observed_ms},{heading},{speed}]".encode()


def gone_row(feature_id: str, why: str) -> bytes:
    """A feature that has left the viewer's sight; *feature_id* is JSON text already."""
    return f'[{feature_id},"{why}"]'.encode()


Pieces = Sequence[bytes | memoryview]
"""Bytes that follow each other. Viewers share them, so they are joined only where somebody wants them whole."""


def led(rows: Iterable[bytes]) -> bytes:
    """Rows of one kind as one piece, a comma before each: pieces of the same kind may follow it as they are."""
    return b",".join((b"", *rows))


class Body(NamedTuple):
    """What one layer's part of one frame says: its rows as members of JSON text, and its packed moves."""

    text: Pieces = ()
    packed: Pieces = ()
    size: int = 0
    """Bytes of both."""
    records: int = 0
    """How many moves are packed."""


def body(
    puts: Sequence[bytes] = (),
    moves: Sequence[bytes] = (),
    gones: Sequence[bytes] = (),
    packed: Sequence[bytes] = (),
    cells: Sequence[bytes] = (),
) -> Body:
    """The lists of one layer of one frame, the empty ones left out. Each item is what `led` gives, or whole records."""
    records = sum(map(len, packed)) // RECORD_BYTES
    if not (puts or moves or gones or cells):
        return Body((), packed, RECORD_BYTES * records, records)
    text: list[bytes | memoryview] = []
    closing = b""
    for opening, rows in (
        (b'"put":[', puts),
        (b'"move":[', moves),
        (b'"gone":[', gones),
        (b'"cells":[', cells),
    ):
        if rows:
            text += (closing + opening, memoryview(rows[0])[1:], *rows[1:])
            closing = b"],"
    text.append(b"]")
    return Body(text, packed, sum(map(len, text)) + RECORD_BYTES * records, records)


Part = tuple[str, Body]  # One for each layer of each viewer's frame: names would cost 0.25 µs more.
"""What one frame says of one layer: JSON text up to the members of the body, its object still open; and the body."""


def layer_part(name: str, epoch: str, from_: int, to: int, body: Body, *, reset: bool = False) -> Part:
    """One layer of one frame; *name* is JSON text already."""
    flag = ',"reset":true' if reset else ""
    packed = f',"packed":{body.records}' if body.records else ""
    comma = "," if body.text else ""
    return f'{name}:{{"epoch":"{epoch}","from":{from_},"to":{to}{flag}{packed}{comma}', body


class Frame(NamedTuple):
    """A message that tells what changed, in pieces."""

    pieces: Pieces
    size: int
    packed: bool
    """Whether it is a binary message, with moves as records."""


Message = str | Frame
"""What is sent to a viewer."""


def whole(message: Message) -> str | bytes:
    """A message in one."""
    if isinstance(message, str):
        return message
    joined = b"".join(message.pieces)
    return joined if message.packed else joined.decode()


def frame(
    now_ms: int, parts: Sequence[Part], *, number: int | None = None, anchor: int | None = None
) -> Frame:
    """All that changed since the last frame; binary where moves are packed.

    *number* says: with this frame the viewer holds all of the view that it sent under that number. *anchor* is the
    number of an earlier view, if what the viewer sees is still what was made out for that.
    """
    view = "" if number is None else f'"view":{number},'
    if anchor is not None:
        view += f'"anchor":{anchor},'
    words = f'{{"type":"frame","time":{now_ms},{view}"layers":{{'
    comma = ""
    pieces: list[bytes | memoryview] = []
    packed: list[bytes | memoryview] = []
    size = records = 0
    for opening, body in parts:
        words += comma + opening
        if body.text:
            before = words.encode()
            pieces += (before, *body.text)
            size += len(before) + body.size - RECORD_BYTES * body.records
            words = ""
        packed += body.packed
        records += body.records
        comma = "},"
    closing = (words + ("}}}" if parts else "}}")).encode()
    size += len(closing)
    if not records:
        return Frame([*pieces, closing], size, packed=False)
    padding = -size % 4
    pieces = [size.to_bytes(4, "little"), *pieces, closing, bytes(padding), *packed]
    return Frame(pieces, 4 + size + padding + RECORD_BYTES * records, packed=True)


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


def stale(name: LayerName, since_ms: int | None) -> str:
    """The layer's feed has been silent since then; None: it is heard again."""
    return text_of({"type": "stale", "layer": name, "since": since_ms})


def missing(since_ms: int | None) -> str:
    """What changed since then may be missing, as the log cannot be read; None: the picture is whole again."""
    return text_of({"type": "missing", "since": since_ms})


def drain(retry_ms: int) -> str:
    """This process is about to stop: leave, and come back after so long."""
    return text_of({"type": "drain", "retry_ms": retry_ms})


def pong(sent: float, now_ms: int) -> str:
    """The answer to a ping."""
    return text_of({"type": "pong", "sent": sent, "server_time": now_ms})
