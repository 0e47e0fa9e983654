"""Messages of one small story, for the document: a dispatcher in Chicago follows engine E42 through an exercise."""

from __future__ import annotations

from base64 import b64encode
from struct import pack
from typing import Any
from zlib import crc32

import orjson

from cop.live.wire import PROTOCOL

EPOCH = "0d8f6d3e-6b0f-4c1e-9c57-1c2f1f6f0c11"
NOON_MS = 1_795_348_800_000
"""2026-11-22T12:00:00Z."""
VIEW = {"bbox": [-88.0, 41.6, -87.4, 42.1], "zoom": 10.5}
ENGINE: dict[str, Any] = {
    "id": "E42",
    "geometry": {"type": "Point", "coordinates": [-87.6278, 41.8819]},
    "properties": {"callsign": "E42", "unit_type": "engine", "status": "en_route"},
    "observed_at": NOON_MS - 1_500,
    "expires_at": None,
}

FROM_CLIENT: dict[str, dict[str, dict[str, Any]]] = {
    "subscribe": {
        "all": {"type": "subscribe"},
        "operation": {"type": "subscribe", "operation": "lakefront-surge", "view": VIEW, "n": 1},
        "resume": {
            "type": "subscribe",
            "layers": ["cfd.units", "ems.units"],
            "view": VIEW,
            "n": 7,
            "since": {"cfd.units": f"{EPOCH}:118"},
        },
        "filtered": {
            "type": "subscribe",
            "where": {"kind": ["units"], "agency": ["cfd", "ems"], "status": ["on_scene", "distress", None]},
            "limit": 5_000,
        },
    },
    "view": {
        "panned": {"type": "view", "view": VIEW, "n": 2},
        "everywhere": {"type": "view", "view": None, "n": 3},
    },
    "unsubscribe": {"nothing": {"type": "unsubscribe"}},
    "ping": {"ping": {"type": "ping", "sent": NOON_MS}},
}


def _frame(from_: int, to: int, body: dict[str, Any], **members: Any) -> dict[str, Any]:
    part = {"epoch": EPOCH, "from": from_, "to": to} | body
    return {"type": "frame", "time": NOON_MS, **members, "layers": {"cfd.units": part}}


FROM_SERVER: dict[str, dict[str, dict[str, Any]]] = {
    "hello": {
        "dispatcher": {
            "type": "hello",
            "protocol": PROTOCOL,
            "server_time": NOON_MS,
            "tick_ms": 200,
            "viewer": {"agency": "oem", "name": "oem:cop_view_Ab3dE6", "scopes": ["view"]},
            "agencies": [{"id": "cfd", "name": "Fire Department", "color": "#d55e00"}],
            "layers": [
                {
                    "id": "cfd.units",
                    "title": "Engines and trucks",
                    "agency": "cfd",
                    "kind": "units",
                    "status": "exercise",
                    "stream": "live",
                    "stale_after_s": 120,
                    "epoch": EPOCH,
                }
            ],
            "operations": [
                {
                    "id": "lakefront-surge",
                    "title": "Lakefront Surge",
                    "status": "exercise",
                    "layers": ["cfd.units"],
                }
            ],
        }
    },
    "frame": {
        "start": _frame(0, 118, {"reset": True, "put": [ENGINE]}, view=1),
        "changes": _frame(
            118,
            121,
            {"move": [["E42", -87.6301, 41.8822, NOON_MS, 270, 11.2]], "gone": [["T7", "expired"]]},
        ),
        "summed": _frame(
            0, 0, {"reset": True, "cells": [["872664c1effffff", 214, "distress", NOON_MS - 90_000]]}
        ),
        "panned": {"type": "frame", "time": NOON_MS, "view": 2, "anchor": 1, "layers": {}},
    },
    "stale": {
        "silent": {"type": "stale", "layer": "cfd.units", "since": NOON_MS - 180_000},
        "heard": {"type": "stale", "layer": "cfd.units", "since": None},
    },
    "missing": {
        "blind": {"type": "missing", "since": NOON_MS - 4_000},
        "whole": {"type": "missing", "since": None},
    },
    "drain": {"drain": {"type": "drain", "retry_ms": 1_300}},
    "revoked": {"revoked": {"type": "revoked", "layer": "cpd.tactical"}},
    "error": {
        "unseen": {
            "type": "error",
            "code": "live.layer",
            "detail": "There is no layer “cpd.tactical” that you can see.",
        }
    },
    "pong": {"pong": {"type": "pong", "sent": NOON_MS, "server_time": NOON_MS + 12}},
}


def packed_frame() -> bytes:
    """A binary message: E42 has moved to 87.6301° W 41.8822° N, heading 270°, at 11.2 m/s."""
    head = orjson.dumps(_frame(121, 122, {"packed": 1}))
    place = round(-87.6301 * 1e7), round(41.8822 * 1e7)
    record = pack("<IiiIHH", crc32(b"E42"), *place, NOON_MS % 2**32, 27_000, 1_120)
    return len(head).to_bytes(4, "little") + head + bytes(-len(head) % 4) + record


PACKED = b64encode(packed_frame()).decode()
