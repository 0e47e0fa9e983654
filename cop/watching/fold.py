"""What a watcher holds of the live stream, as rules: each message in, the exact changes out. No socket, no clock.

`cop/watch.py` hands it the messages of one connection after the other. Every row is compared with what is held,
so that nothing is told twice, whatever a resume or a reset repeats.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cop.watching.changes import Change, Held, Kind, held_of, moment
from layers.model import BBox, JsonObject

LIMIT = 50_000
"""The most features in sight that a layer of points may have before it comes summed: all that can be asked for."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to follow: layers, an operation, or all that may be seen; within *view*; where *where* holds."""

    layers: tuple[str, ...] = ()
    operation: str | None = None
    view: BBox | None = None
    where: Mapping[str, Sequence[Any]] = field(default_factory=dict)

    def message(self, number: int, since: Mapping[str, str]) -> JsonObject:
        """The `subscribe` that says so. The view is the same in all, so `held` is never needed."""
        message: JsonObject = {"type": "subscribe", "n": number, "since": dict(since), "limit": LIMIT}
        message["view"] = None if self.view is None else {"bbox": list(self.view)}
        if self.layers:
            message["layers"] = list(self.layers)
        if self.operation is not None:
            message["operation"] = self.operation
        if self.where:
            message["where"] = {name: list(values) for name, values in self.where.items()}
        return message


@dataclass(slots=True)
class LayerHeld:
    """One layer as held."""

    status: str | None
    tiled: bool
    epoch: str = ""
    revision: int = 0
    """0: not whole, so the next connection asks for all of it."""
    features: dict[str, Held] = field(default_factory=dict)
    unconfirmed: dict[str, None] | None = None
    """During a reset: what is held from before it, and may no longer be there. Gone once the rest is told.
    (The keys only: a set that keeps its order.)"""
    cells: dict[str, tuple[int, str | None, int]] | None = None
    """While the layer comes summed: count, worst status and oldest observation (ms) of each H3 cell."""
    begun: bool = False
    """Whether this connection has told anything of it."""
    settled: bool = False
    """Whether a `current` has covered it: one that came into sight later gets one of its own."""

    @property
    def cursor(self) -> str | None:
        """`epoch:revision`, or None while it is not whole."""
        return f"{self.epoch}:{self.revision}" if self.revision else None


class Fold:
    """The picture of one watcher, over as many connections as it takes.

    A reset is turned into differences: what it repeats says nothing, what it changes is `put` or `moved`, and
    what it no longer has is `gone`, as soon as the layer is whole again. Memory is that of the picture.
    """

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.layers: dict[str, LayerHeld] = {}
        self.silent: dict[str, int] = {}
        """Layers whose feed is silent, and since when (ms)."""
        self.missing_since: int | None = None
        self.broken: str | None = None
        """A layer whose frames did not follow from what is held: the connection must be made anew."""
        self.current = False
        """Whether this connection has told all that was there."""
        self.unseen: list[tuple[str, str]] = []
        """What was asked for and is not to be seen: (`layer` or `operation`, its name)."""
        self.kinds: frozenset[str] = frozenset()
        """Of the layers that are followed."""
        self._known: dict[str, JsonObject] = {}
        self._number = 0
        self._said: set[str] = set()
        """Layers that this connection called silent; and "" if it said that the service misses something."""

    def subscription(self) -> JsonObject:
        """The message that begins a new connection: goes on where the last one ended."""
        self._number += 1
        self.broken, self.current, self._said = None, False, set()
        for layer in self.layers.values():
            layer.begun = False
        cursors = {name: layer.cursor for name, layer in self.layers.items()}
        return self.wanted.message(self._number, {name: at for name, at in cursors.items() if at})

    def apply(self, message: JsonObject) -> list[Change]:
        """Take in one message of the server; what it changes, in order. Messages of other types change nothing."""
        match message["type"]:
            case "hello":
                return list(self._hello(message))
            case "frame":
                return list(self._frame(message))
            case "revoked":
                return list(self._drop(message["layer"]))
            case "stale":
                return list(self._stale(message["layer"], message["since"]))
            case "missing":
                return list(self._missing(message["since"]))
            case _:
                return []

    def _hello(self, hello: JsonObject) -> Iterator[Change]:
        self._known = {layer["id"]: layer for layer in hello["layers"]}
        followed = set(self._known)
        self.unseen = [("layer", name) for name in self.wanted.layers if name not in self._known]
        if self.wanted.operation is not None:
            drawn = {each["id"]: each["layers"] for each in hello["operations"]}
            if self.wanted.operation not in drawn:
                self.unseen.append(("operation", self.wanted.operation))
            followed &= set(drawn.get(self.wanted.operation, ()))
        asked = followed.intersection(self.wanted.layers) if self.wanted.layers else followed
        self.kinds = frozenset(self._known[name]["kind"] for name in asked)
        for name in [name for name in self.layers if name not in followed]:
            yield from self._drop(name)

    def _frame(self, frame: JsonObject) -> Iterator[Change]:
        for name, part in frame["layers"].items():
            yield from self._part(name, part)
        if not frame["layers"]:  # Nothing is owed then: a layer that was reset to nothing is whole, too.
            yield from self._confirm()
        if frame.get("view") == self._number and not self.current:
            yield from self._settle()

    def _part(self, name: str, part: JsonObject) -> Iterator[Change]:
        layer = self.layers.get(name)
        if part.get("reset"):
            layer = self._begin(name, part["epoch"])
        elif layer is None or not _follows(layer, part):
            self._break(name)
            return
        layer.begun = True
        if layer.tiled:
            yield from _advance(name, layer, part)
            return
        before, layer.revision = layer.revision, part["to"]
        if "cells" in part:
            yield from self._sum(name, layer, part["cells"])
        yield from self._rows(name, layer, part)
        if layer.revision and layer.revision != before:
            yield from self._absent(name, layer)
            yield from self._arrive(name, layer)

    def _begin(self, name: str, epoch: str) -> LayerHeld:
        layer = self.layers.get(name)
        if layer is None:
            known = self._known.get(name, {})
            layer = self.layers[name] = LayerHeld(known.get("status"), known.get("stream") == "tiled")
        if not layer.tiled:
            layer.epoch, layer.revision = epoch, 0
            layer.unconfirmed = dict.fromkeys(layer.features)
            layer.cells = None
        return layer

    def _break(self, name: str) -> None:
        self.broken = name
        if layer := self.layers.get(name):
            layer.revision = 0

    def _rows(self, name: str, layer: LayerHeld, part: JsonObject) -> Iterator[Change]:
        for feature_id, why in part.get("gone", ()):
            yield from self._gone(name, layer, feature_id, why)
        for row in part.get("put", ()):
            yield from self._show(Kind.PUT, name, layer, row["id"], held_of(row))
        for feature_id, *move in part.get("move", ()):
            before = layer.features.get(feature_id)
            if before is None or feature_id in (layer.unconfirmed or ()):
                self._break(name)
                return
            yield from self._show(Kind.MOVED, name, layer, feature_id, before.moved(*move))

    def _show(self, kind: Kind, name: str, layer: LayerHeld, id_: str, held: Held) -> Iterator[Change]:
        if layer.unconfirmed:
            layer.unconfirmed.pop(id_, None)
        before = layer.features.get(id_)
        if before is not None and before.equals(held):
            return
        layer.features[id_] = held
        feature = held.feature(name, layer.status, id_)
        yield Change(kind, name, id_, feature, status=layer.status, cursor=layer.cursor)

    def _gone(self, name: str, layer: LayerHeld, feature_id: str, why: str) -> Iterator[Change]:
        if layer.unconfirmed:
            layer.unconfirmed.pop(feature_id, None)
        if held := layer.features.pop(feature_id, None):
            feature = held.feature(name, layer.status, feature_id)
            yield Change(Kind.GONE, name, feature_id, feature, why, layer.status, layer.cursor)

    def _absent(self, name: str, layer: LayerHeld, why: str = "unknown") -> Iterator[Change]:
        """The layer is whole: what a reset has not confirmed by now is no longer there."""
        unconfirmed, layer.unconfirmed = layer.unconfirmed, None
        for feature_id in unconfirmed or ():
            yield from self._gone(name, layer, feature_id, why)

    def _confirm(self) -> Iterator[Change]:
        for name, layer in self.layers.items():
            if layer.begun:
                yield from self._absent(name, layer)
                yield from self._arrive(name, layer)

    def _arrive(self, name: str, layer: LayerHeld) -> Iterator[Change]:
        """The layer is whole: told by itself if it was not there when this connection had told all that was."""
        if self.current and not layer.settled and not layer.tiled and layer.cells is None:
            layer.settled = True
            yield Change(Kind.CURRENT, name, status=layer.status, cursor=layer.cursor)

    def _settle(self) -> Iterator[Change]:
        """The server has told all that there was when this connection began."""
        yield from self._confirm()
        for name in self.silent.keys() - self._said:
            yield from self._stale(name, None)
        if "" not in self._said:
            yield from self._missing(None)
        self.current = True
        for layer in self.layers.values():
            layer.settled = True
        yield Change(Kind.CURRENT)

    def _sum(self, name: str, layer: LayerHeld, rows: list[list[Any]]) -> Iterator[Change]:
        layer.unconfirmed = dict.fromkeys(layer.features)
        yield from self._absent(name, layer, "summed")
        cells = layer.cells = layer.cells or {}
        for cell, count, worst, oldest_ms in rows:
            if count:
                cells[cell] = (count, worst, oldest_ms)
            else:
                cells.pop(cell, None)
        count = sum(count for count, _, _ in cells.values())
        yield Change(Kind.SUMMED, name, status=layer.status, count=count)

    def _drop(self, name: str) -> Iterator[Change]:
        self.silent.pop(name, None)
        if layer := self.layers.pop(name, None):
            layer.revision = 0
            for feature_id in list(layer.features):
                yield from self._gone(name, layer, feature_id, "revoked")
            yield Change(Kind.REVOKED, name, status=layer.status)

    def _stale(self, name: str, since: int | None) -> Iterator[Change]:
        before = self.silent.pop(name, None)
        status = self._known.get(name, {}).get("status")
        if since is not None:
            self.silent[name] = since
            self._said.add(name)
        if since == before:
            return
        kind = Kind.HEARD if since is None else Kind.SILENT
        yield Change(kind, name, status=status, since=moment(since))

    def _missing(self, since: int | None) -> Iterator[Change]:
        before, self.missing_since = self.missing_since, since
        if since is not None:
            self._said.add("")
        if since != before:
            yield Change(Kind.COMPLETE if since is None else Kind.MISSING, since=moment(since))


def _follows(layer: LayerHeld, part: JsonObject) -> bool:
    """Whether a part builds on what is held; one on revision 0 only if this connection began the layer."""
    known = layer.begun or layer.revision > 0
    return known and layer.epoch == part["epoch"] and layer.revision == part["from"]


def _advance(name: str, layer: LayerHeld, part: JsonObject) -> Iterator[Change]:
    before, layer.epoch, layer.revision = layer.cursor, part["epoch"], part["to"]
    if layer.cursor != before:
        yield Change(Kind.ADVANCED, name, status=layer.status, cursor=layer.cursor)
