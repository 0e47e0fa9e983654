"""What a client of `cop.live.v1` does with the messages it gets, in the plainest way, for the tests to compare."""

from __future__ import annotations

import json
from typing import Any

State = tuple[str, str, int, int | None]
"""Geometry and properties as canonical JSON, observed_at and expires_at in milliseconds."""


def canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def state_of(item: dict[str, Any]) -> State:
    return canonical(item["geometry"]), canonical(item["properties"]), item["observed_at"], item["expires_at"]


class ClientModel:
    """One connection's worth of state: per layer epoch, revision and features."""

    def __init__(self) -> None:
        self.layers: dict[str, dict[str, State]] = {}
        self.cursors: dict[str, str] = {}
        self.hello: dict[str, Any] = {}
        self.errors: list[str] = []
        self.pongs: list[float] = []
        self.view = -1
        self.frames = 0
        self.resets = 0
        self.rows: list[tuple[str, Any]] = []

    def apply(self, text: str) -> None:
        message = json.loads(text)
        match message["type"]:
            case "hello":
                self.hello = message
            case "frame":
                self.frames += 1
                for name, part in message["layers"].items():
                    self._apply_part(name, part)
                self.view = message.get("view", self.view)
            case "revoked":
                self.layers.pop(message["layer"], None)
                self.cursors.pop(message["layer"], None)
            case "error":
                self.errors.append(message["code"])
            case "pong":
                self.pongs.append(message["sent"])
            case other:
                raise AssertionError(f"unknown message {other}")

    def _apply_part(self, name: str, part: dict[str, Any]) -> None:
        if part.get("reset"):
            self.resets += 1
            self.layers[name] = {}
        else:
            assert self.cursors[name] == f"{part['epoch']}:{part['from']}", "a gap"
        features = self.layers[name]
        for item in part.get("put", ()):
            features[item["id"]] = state_of(item)
            self.rows.append(("put", item["id"]))
        for row in part.get("move", ()):
            features[row[0]] = _moved(features[row[0]], *row[1:])
            self.rows.append(("move", row[0]))
        for feature_id, why in part.get("gone", ()):
            features.pop(feature_id, None)
            self.rows.append((why, feature_id))
        self.cursors[name] = f"{part['epoch']}:{part['to']}"


def _moved(
    old: State, lng: float, lat: float, observed_ms: int, heading: float | None, speed: float | None
) -> State:
    properties = json.loads(old[1])
    for name, value in (("heading_deg", heading), ("speed_mps", speed)):
        properties.pop(name, None)
        if value is not None:
            properties[name] = value
    expires_ms = None if old[3] is None else old[3] + observed_ms - old[2]
    geometry = {"type": "Point", "coordinates": [lng, lat]}
    return canonical(geometry), canonical(properties), observed_ms, expires_ms
