"""What a viewer holds after each message it was told: its cursors, and whether something is still to come.

For those who keep no picture themselves but pass messages on: the HTTP twins of the stream.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import orjson

from layers.model import JsonObject

ROWS = ("put", "move", "gone")
VIEW = 1
"""The number under which `subscription` asks for its one view."""


@dataclass(frozen=True, slots=True)
class Told:
    """A viewer with one view and no memory but of its cursors."""

    cursors: Mapping[str, str] = field(default_factory=dict)
    """`epoch:revision` by layer, where there is one: at first those it came with."""
    settled: bool = False
    """Whether all of the view has been told once."""
    owed: frozenset[str] = frozenset()
    """Layers of which a part has come, and the rest has not."""

    @property
    def whole(self) -> bool:
        """Whether nothing that was begun is still to come: what the cursors say is held."""
        return self.settled and not self.owed

    def after(self, message: JsonObject) -> Told:
        """The same viewer once it has taken *message*."""
        match message["type"]:
            case "frame":
                parts: Mapping[str, JsonObject] = message["layers"]
                settled = self.settled or message.get("view") == VIEW
                owed = {layer for layer, part in parts.items() if _goes_on(part)}
                return Told(self._moved_on(parts), settled, (self.owed - parts.keys()) | owed)
            case "revoked":
                gone = message["layer"]
                cursors = {layer: cursor for layer, cursor in self.cursors.items() if layer != gone}
                return replace(self, cursors=cursors, owed=self.owed - {gone})
            case _:
                return self

    def _moved_on(self, parts: Mapping[str, JsonObject]) -> dict[str, str]:
        cursors = dict(self.cursors)
        for layer, part in parts.items():
            cursor = _cursor(part)
            if cursor is not None:
                cursors[layer] = cursor
            elif part.get("reset"):
                cursors.pop(layer, None)
        return cursors


def _says(part: JsonObject) -> bool:
    return any(name in part for name in ROWS)


def _goes_on(part: JsonObject) -> bool:
    """Whether more of this is to come: the cursor moves on with the last part only."""
    return part["to"] == part["from"] and _says(part)


def _cursor(part: JsonObject) -> str | None:
    """What whoever has taken *part* holds. A layer to which nothing has happened yet is held at revision 0."""
    if part["to"] == 0 and ("cells" in part or _says(part)):
        return None
    return f"{part['epoch']}:{part['to']}"


def is_news(part: JsonObject, held: str | None) -> bool:
    """Whether a layer's part of a frame tells who is at the cursor *held* more than that the cursor moves on."""
    if "cells" in part or _says(part):
        return True
    return "reset" in part and _cursor(part) != held


def subscription(asked: JsonObject, since: Mapping[str, str]) -> str:
    """The text of the message that asks for the one view of a `Told`."""
    return orjson.dumps({"type": "subscribe", "n": VIEW, "since": dict(since)} | asked).decode()
