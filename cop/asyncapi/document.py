"""The AsyncAPI 3.0 document of the live stream, put together from its types, examples and limits.

Schemas are JSON Schema draft 07, which is what every AsyncAPI tool reads.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from cop.api.live import (
    BINARY,
    CLOSE_DEADLINE_S,
    MESSAGES_A_SECOND,
    MESSAGES_AT_ONCE,
    TOO_LARGE,
    TOO_MANY,
)
from cop.asyncapi import examples, messages
from cop.auth import COOKIE
from cop.live.hub import MAX_SESSIONS
from cop.live.inbox import MOST_GONE
from cop.live.pump import SUMMABLE
from cop.live.session import (
    CREDENTIAL_ENDED,
    DRAINED,
    FRAME_BYTES,
    OUR_FAULT,
    SEND_DEADLINE_MS,
    SILENCE_MS,
    TOO_SLOW,
)
from cop.live.wire import (
    DEFAULT_LIMIT,
    MAX_CLIENT_BYTES,
    MAX_LAYERS,
    MAX_LIMIT,
    PACKED_PROTOCOL,
    PROTOCOL,
    RECORD_BYTES,
)
from layers.model import JsonObject

MEDIA_TYPE = "application/vnd.aai.asyncapi+json;version=3.0.0"
INVALID_TEXT = (1007, "text that is not UTF-8")

CLOSE_CODES = (BINARY, INVALID_TEXT, TOO_MANY, TOO_LARGE, OUR_FAULT, DRAINED, TOO_SLOW, CREDENTIAL_ENDED)

DESCRIPTION = f"""\
The live picture over a websocket: what is there, then what changes, in frames.

Open `/live` with the subprotocol `{PROTOCOL}` (JSON text) or `{PACKED_PROTOCOL}` (the same, but moves may be packed
in binary messages), and with a key in the Authorization header or the cookie of a session; without either you are the
public. Then send `subscribe`. A refusal is a problem document (`application/problem+json`) instead of the upgrade.

**Resuming.** Each layer is a log with a gapless revision. Fold the frames, keep for each layer the cursor
`epoch:to`, and when the connection is lost come back with `since`: the answer is exactly what you missed, or a part
with `reset` that is the start of everything. A part whose `from` is not the revision that you hold is a gap: come
back. A cursor of revision 0 means that nothing whole is held.

**Reading slowly.** Nothing is queued: a frame that waits for you is followed by one with the newest state of each
feature that has changed by then. What left your sight meanwhile comes as `gone` if you hold it. Of layers that are
never summed (all but {" and ".join(sorted(SUMMABLE))}) every departure comes, even of what appeared and went between
two frames: then `gone` is all that is said of it, as long as fewer than {MOST_GONE} departures wait. Such a feature is
never put: at the revision that the frame leads to it is no more, and whoever came back from there would hold a ghost.

**Liveness.** Something is said at least every {SILENCE_MS / 1000:g} s; after twice that and some, nobody is there.

**Limits.** {MAX_CLIENT_BYTES} bytes for a message of a client, {MESSAGES_A_SECOND} a second in the long run and
{MESSAGES_AT_ONCE} at once; {MAX_LAYERS} layers in a subscription; a layer of points with more features in sight than
`limit` ({DEFAULT_LIMIT} unless told, {MAX_LIMIT} at most) comes summed by H3 cells; a frame carries about
{FRAME_BYTES:,} bytes and the rest follows in the next; a frame that is not taken for
{SEND_DEADLINE_MS / 1000:g} s ends the connection, with {TOO_SLOW[0]} if the viewer reads again within
{CLOSE_DEADLINE_S:g} s; to one that reads nothing no code gets out, and it finds the connection cut (1006);
{MAX_SESSIONS} connections a process, half of them for the public.

**Over plain HTTP** the same messages come from `GET /collections/{{layer}}/changes`, as a long poll or as server-sent
events, and from `GET /live/events` for several layers; see the OpenAPI document at `/api`. From Python:
`Client.watch`. On a terminal: `cop watch`.
"""

PACKED_LAYOUT = f"""\
A frame with packed moves, only with `{PACKED_PROTOCOL}`. All numbers are little-endian. First an unsigned 32-bit
integer n; then n bytes, the frame as JSON in UTF-8; then zeros up to the next multiple of four, counted from the start
of the message. Then, for each layer of the frame that has `packed`, in the order of the JSON, so many records of
{RECORD_BYTES} bytes: at 0, unsigned 32 bits, the CRC-32 (as zlib counts it) of the feature's id in UTF-8; at 4, signed
32 bits, the longitude in 1e-7 degrees; at 8, signed 32 bits, the latitude in 1e-7 degrees; at 12, unsigned 32 bits, the
low 32 bits of observed_at in ms since 1970, the moment being the one nearest to the frame's `time`; at 16, unsigned 16
bits, the heading in 1/100 degree, 65535 for none; at 18, unsigned 16 bits, the speed in 1/100 m/s, 65535 for none. A
move that this cannot say exactly stands among `move` in the JSON. The example is in base64.
"""


def document(*, host: str, secure: bool, version: str, api_url: str) -> JsonObject:
    """The document for a service at *host*; *api_url* is where its OpenAPI document is."""
    names = [*messages.FROM_CLIENT, *messages.FROM_SERVER, "packed"]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "Common operating picture: live stream",
            "version": version,
            "description": DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
            "externalDocs": {"description": "The HTTP API (OpenAPI)", "url": api_url},
        },
        "defaultContentType": "application/json",
        "servers": {
            "here": {
                "host": host,
                "protocol": "wss" if secure else "ws",
                "security": [_ref("components", "securitySchemes", name) for name in ("key", "session")],
            }
        },
        "channels": {"live": _channel(names)},
        "operations": {
            "ask": _operation("receive", "What a client says.", "subscribe", "view", "unsubscribe"),
            "tell": _operation("send", "What a client is told.", *_told()),
            "ping": _operation("receive", "Measure the way, and the service's clock.", "ping")
            | {"reply": {"channel": _ref("channels", "live"), "messages": _of_channel("pong")}},
        },
        "components": {
            "messages": _messages(),
            "schemas": schemas(),
            "securitySchemes": {
                "key": {"type": "http", "scheme": "bearer", "description": "A key with the scope view."},
                "session": {
                    "type": "httpApiKey",
                    "in": "cookie",
                    "name": COOKIE,
                    "description": "A page's session, only from a page of an allowed origin.",
                },
            },
        },
    }


def schemas() -> dict[str, JsonObject]:
    """The schema of each type, by its name."""
    shapes: list[type[BaseModel]] = [*messages.FROM_CLIENT.values(), *messages.FROM_SERVER.values()]
    _, made = models_json_schema(
        [(shape, "validation") for shape in shapes], ref_template="#/components/schemas/{model}"
    )
    return {name: _draft_07(schema) for name, schema in made["$defs"].items()}


def _draft_07(schema: Any) -> Any:
    """Pydantic speaks draft 2020-12: the same in draft 07, without the titles that only repeat names."""
    match schema:
        case {"prefixItems": items, **rest}:
            kept = {name: value for name, value in rest.items() if name not in ("minItems", "maxItems")}
            size = {"minItems": len(items), "maxItems": len(items)}
            return _draft_07(kept) | {"items": _draft_07(items), "additionalItems": False} | size
        case dict():
            return {
                name: {each: _draft_07(value) for each, value in inner.items()}
                if name == "properties"
                else _draft_07(inner)
                for name, inner in schema.items()
                if name != "title"
            }
        case list():
            return [_draft_07(each) for each in schema]
        case _:
            return schema


def _channel(names: list[str]) -> JsonObject:
    subprotocol = {"type": "string", "enum": [PROTOCOL, PACKED_PROTOCOL]}
    return {
        "address": "/live",
        "title": "The live picture",
        "messages": {name: _ref("components", "messages", name) for name in names},
        "bindings": {
            "ws": {
                "method": "GET",
                "headers": {"type": "object", "properties": {"Sec-WebSocket-Protocol": subprotocol}},
                "bindingVersion": "0.1.0",
            }
        },
        "x-close-codes": {str(code): reason for code, reason in CLOSE_CODES},
    }


def _messages() -> JsonObject:
    described = {
        name: _message(name, shape, shown[name])
        for shapes, shown in (
            (messages.FROM_CLIENT, examples.FROM_CLIENT),
            (messages.FROM_SERVER, examples.FROM_SERVER),
        )
        for name, shape in shapes.items()
    }
    packed = {
        "name": "packed",
        "title": "Packed frame",
        "description": PACKED_LAYOUT,
        "contentType": "application/octet-stream",
        "payload": {"type": "string", "contentEncoding": "base64"},
        "examples": [{"name": "moved", "payload": examples.PACKED}],
    }
    return described | {"packed": packed}


def _message(name: str, shape: type[BaseModel], shown: Mapping[str, JsonObject]) -> JsonObject:
    return {
        "name": name,
        "title": name.capitalize(),
        "description": inspect.getdoc(shape) or "",
        "payload": _ref("components", "schemas", shape.__name__),
        "examples": [{"name": each, "payload": payload} for each, payload in shown.items()],
    }


def _told() -> list[str]:
    return [name for name in messages.FROM_SERVER if name != "pong"] + ["packed"]


def _operation(action: str, summary: str, *names: str) -> JsonObject:
    channel = _ref("channels", "live")
    return {"action": action, "summary": summary, "channel": channel, "messages": _of_channel(*names)}


def _of_channel(*names: str) -> list[JsonObject]:
    return [_ref("channels", "live", "messages", name) for name in names]


def _ref(*path: str) -> JsonObject:
    return {"$ref": "#/" + "/".join(path)}
