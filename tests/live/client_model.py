"""What a client of `cop.live.v1` does with the messages it gets, in the plainest way, for the tests to compare."""

from __future__ import annotations

import json
import struct
from collections import defaultdict
from typing import Any
from zlib import crc32

import orjson

State = tuple[str, str, int, int | None]
"""Geometry and properties as canonical JSON, observed_at and expires_at in milliseconds."""


def canonical(value: Any) -> str:
    return orjson.dumps(_plain(value), option=orjson.OPT_SORT_KEYS).decode()


def _plain(value: Any) -> Any:
    """90.0 and 90 are one number, however they came."""
    match value:
        case dict():
            return {name: _plain(each) for name, each in value.items()}
        case list() | tuple():
            return [_plain(each) for each in value]
        case float() if value.is_integer():
            return int(value)
    return value


def state_of(item: dict[str, Any]) -> State:
    return canonical(item["geometry"]), canonical(item["properties"]), item["observed_at"], item["expires_at"]


class ClientModel:
    """One connection's worth of state: per layer epoch, revision and features."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, State]] = {}
        self.cells: dict[str, dict[str, tuple[int, str | None, int]]] = {}
        self.cursors: dict[str, str] = {}
        self.hello: dict[str, Any] = {}
        self.errors: list[str] = []
        self.pongs: list[float] = []
        self.view = -1
        self.anchor = -1
        self.silent: dict[str, int | None] = {}
        self.missing: int | None = None
        self.retry_ms: int | None = None
        self.messages: list[str | bytes] = []
        self.frames = 0
        self.resets = 0
        self.rows: list[tuple[str, Any]] = []

    def held(self) -> dict[str, Any]:
        """All features and sums, as plain JSON."""
        layers = {
            name: {
                feature_id: [json.loads(geometry), json.loads(properties), observed, expires]
                for feature_id, (geometry, properties, observed, expires) in features.items()
            }
            for name, features in self.layers.items()
        }
        return {"layers": layers, "cells": {name: dict(cells) for name, cells in self.cells.items()}}

    def forget(self) -> None:
        """Hold nothing any more."""
        self.layers.clear()
        self.cells.clear()
        self.cursors.clear()

    def apply(self, received: str | bytes) -> None:
        self.messages.append(received)
        message, records = _unpacked(received)
        match message["type"]:
            case "hello":
                self.hello = message
            case "frame":
                self.frames += 1
                self._apply_frame(message, records)
            case "revoked":
                self.layers.pop(message["layer"], None)
                self.cells.pop(message["layer"], None)
                self.cursors.pop(message["layer"], None)
            case "stale":
                self.silent[message["layer"]] = message["since"]
            case "missing":
                self.missing = message["since"]
            case "drain":
                self.retry_ms = message["retry_ms"]
            case "error":
                self.errors.append(message["code"])
            case "pong":
                self.pongs.append(message["sent"])
            case other:
                raise AssertionError(f"unknown message {other}")

    def _apply_frame(self, message: dict[str, Any], records: list[Record]) -> None:
        for name, part in message["layers"].items():
            count = part.get("packed", 0)
            assert count <= len(records)
            self._apply_part(name, part, records[:count], message["time"])
            records = records[count:]
        assert not records
        if "view" in message:
            self.view = message["view"]
            self.anchor = message.get("anchor", self.view)

    def _apply_part(self, name: str, part: dict[str, Any], records: list[Record], time: int) -> None:
        if part.get("reset"):
            self.resets += 1
            self.layers[name] = {}
            self.cells[name] = {}
        elif "cells" not in part:
            assert self.cursors[name] == f"{part['epoch']}:{part['from']}", "a gap"
        features, cells = self.layers[name], self.cells[name]
        for feature_id, why in part.get("gone", ()):
            features.pop(feature_id, None)
            self.rows.append((why, feature_id))
        for item in part.get("put", ()):
            features[item["id"]] = state_of(item)
            self.rows.append(("put", item["id"]))
        for row in part.get("move", ()):
            features[row[0]] = _moved(features[row[0]], *row[1:])
            self.rows.append(("move", row[0]))
        named: defaultdict[int, list[str]] = defaultdict(list)
        for feature_id in features if records else ():
            named[crc32(feature_id.encode())].append(feature_id)
        for ref, *moved in records:
            (feature_id,) = named[ref]
            features[feature_id] = _moved(features[feature_id], *_read_record(moved, time))
            self.rows.append(("packed", feature_id))
        for cell, count, worst, oldest in part.get("cells", ()):
            cells.pop(cell, None)
            if count:
                cells[cell] = (count, worst, oldest)
        self.cursors[name] = f"{part['epoch']}:{part['to']}"


Record = tuple[int, ...]


def _unpacked(received: str | bytes) -> tuple[dict[str, Any], list[Record]]:
    """A message, and the records at its end; as the protocol describes them, not as the server's code does."""
    if isinstance(received, str):
        return json.loads(received), []
    (size,) = struct.unpack_from("<I", received)
    start = (4 + size + 3) // 4 * 4
    assert not any(received[4 + size : start])
    return json.loads(received[4 : 4 + size]), list(struct.iter_unpack("<IiiIHH", received[start:]))


def _read_record(moved: list[int], time: int) -> tuple[float, float, int, float | None, float | None]:
    lng, lat, low, heading, speed = moved
    observed = min(
        (time - time % 2**32 + low + turn * 2**32 for turn in (-1, 0, 1)), key=lambda at: abs(at - time)
    )
    course = [None if each == 65535 else each / 100 for each in (heading, speed)]
    return lng / 1e7, lat / 1e7, observed, course[0], course[1]


def _moved(
    old: State, lng: float, lat: float, observed_ms: int, heading: float | None, speed: float | None
) -> State:
    properties = orjson.loads(old[1])
    for name, value in (("heading_deg", heading), ("speed_mps", speed)):
        properties.pop(name, None)
        if value is not None:
            properties[name] = value
    expires_ms = None if old[3] is None else old[3] + observed_ms - old[2]
    geometry = {"type": "Point", "coordinates": [lng, lat]}
    return canonical(geometry), canonical(properties), observed_ms, expires_ms
