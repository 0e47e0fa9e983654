"""A small world for the pure tests: layers with logs, a directory, and processes that follow them at their pace."""

from __future__ import annotations

import json
from base64 import b64encode
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from cop.live.hub import Hub
from cop.live.picture import LayerPicture
from cop.live.session import Pass, Session
from cop.live.wire import whole
from layers.directory import Directory
from layers.log import Departure, Head
from layers.model import (
    PUBLIC,
    Agency,
    AgencyId,
    BBox,
    Change,
    Feature,
    FeatureId,
    Layer,
    LayerId,
    LayerName,
    Op,
    Operation,
    OperationId,
    Scope,
    Sharing,
    Status,
    Stream,
    Viewer,
    Why,
)
from tests.live.client_model import ClientModel

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)
OWN = Viewer(AgencyId(1), frozenset({Scope.VIEW}), "one")
OTHER = Viewer(AgencyId(2), frozenset({Scope.VIEW}), "two")
NOBODY = PUBLIC
UNITS, ZONES, TILES = LayerId(1), LayerId(2), LayerId(3)
CHICAGO = {"bbox": [-88.0, 41.6, -87.4, 42.1], "zoom": 10}
AUSTIN = {"bbox": [-98.0, 30.0, -97.5, 30.5], "zoom": 10}


def point(lng: float, lat: float) -> dict[str, Any]:
    return {"type": "Point", "coordinates": [lng, lat]}


IN_CHICAGO, IN_AUSTIN = point(-87.6, 41.9), point(-97.7, 30.3)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


def bbox_of(geometry: dict[str, Any] | None) -> BBox | None:
    if geometry is None:
        return None
    positions = [geometry["coordinates"]] if geometry["type"] == "Point" else geometry["coordinates"]
    lngs, lats = zip(*(position[:2] for position in positions), strict=True)
    return min(lngs), min(lats), max(lngs), max(lats)


class Log:
    """One layer as the database would have it: its head, its features, its changes."""

    def __init__(self) -> None:
        self.epoch = uuid4()
        self.features: dict[str, Feature] = {}
        self.changes: list[Change] = []

    @property
    def head(self) -> Head:
        return Head(self.epoch, len(self.changes))

    def put(
        self,
        feature_id: str,
        geometry: dict[str, Any] | None,
        *,
        seconds: float = 0,
        expires_s: int | None = None,
        **properties: Any,
    ) -> None:
        observed = NOON + timedelta(seconds=seconds)
        expires = None if expires_s is None else observed + timedelta(seconds=expires_s)
        text = None if geometry is None else compact(geometry)
        state = (text, bbox_of(geometry), compact(properties), observed, observed, expires)
        revision = len(self.changes) + 1
        self.changes.append(Change(revision, FeatureId(feature_id), Op.PUT, None, *state))
        self.features[feature_id] = Feature(FeatureId(feature_id), *state, revision)

    def gone(self, feature_id: str, why: Why = Why.DELETED) -> None:
        old = self.features.pop(feature_id)
        revision = len(self.changes) + 1
        self.changes.append(Change(revision, old.id, Op.GONE, why, *old[1:7]))

    def departures(self, most: int) -> tuple[int, list[Departure]]:
        """The newest *most* departures, ascending, and the revision after which they are all."""
        gone = [
            Departure(change.feature_id, change.revision, change.why or "")
            for change in self.changes
            if change.op is Op.GONE
        ][-most:]
        return (gone[0].revision if len(gone) == most else 0), gone

    def late(self, feature_id: str) -> None:
        old = self.features[feature_id]
        self.changes.append(Change(len(self.changes) + 1, old.id, Op.LATE, None, *old[1:7]))


class World:
    """Two agencies, two live layers of the first and a tiled one, one operation, and as many processes as asked."""

    def __init__(self, processes: int = 1) -> None:
        self.now = 1_780_000_000_000
        self.logs = {layer: Log() for layer in (UNITS, ZONES, TILES)}
        agencies = {
            AgencyId(1): Agency(AgencyId(1), "one", "One", "#000001"),
            AgencyId(2): Agency(AgencyId(2), "two", "Two", "#000002"),
        }
        layers = {
            UNITS: _layer(UNITS, "one.units"),
            ZONES: _layer(ZONES, "one.zones"),
            TILES: _layer(TILES, "one.tiles", stream=Stream.TILED),
        }
        flood = Operation(OperationId(1), "flood", "Flood", Status.ACTUAL, AgencyId(1), (UNITS, TILES))
        self.directory = Directory(1, agencies, layers, {flood.id: flood})
        self.hubs = [self._started() for _ in range(processes)]

    def load(self, hub: Hub, layer: LayerId, *, remembered: int | None = None) -> None:
        """Have one process read a layer whole, with so many of its last departures (None: none of them)."""
        log = self.logs[layer]
        picture = LayerPicture(log.head, tiled=layer == TILES, summable=layer == UNITS)
        picture.hold(sorted(log.features.values(), key=lambda feature: feature.revision))
        if remembered is not None and not picture.tiled:
            picture.remember(*log.departures(remembered))
        hub.picture[layer] = picture

    def restart(self, process: int, *, remembered: int) -> None:
        """Put another process in the place of one, as the pump starts it: it knows nothing but what is stored."""
        self.hubs[process] = self._started(remembered)

    def _started(self, remembered: int | None = None) -> Hub:
        hub = Hub(clock=lambda: self.now)
        for layer in self.logs:
            self.load(hub, layer, remembered=remembered)
        hub.judge(self.directory)
        return hub

    def follow(self, hub: Hub, layer: LayerId, steps: int = 1_000_000) -> None:
        """Let one process read on in one log, by so many changes."""
        picture, log = hub.picture[layer], self.logs[layer]
        if picture.tiled:
            picture.revision = log.head.revision
        else:
            picture.apply(log.changes[picture.revision : picture.revision + steps])

    def share(self, layer: LayerId, sharing: Sharing) -> None:
        changed = replace(self.directory.layers[layer], sharing=sharing)
        layers = {**self.directory.layers, layer: changed}
        self.directory = replace(
            self.directory, layers=layers, policy_revision=self.directory.policy_revision + 1
        )

    def catch_up(self, hub: Hub) -> None:
        """As the pump does: the policy first."""
        if hub.policy_revision != self.directory.policy_revision:
            hub.judge(self.directory)
        for layer in self.logs:
            self.follow(hub, layer)

    def pass_the_time(self) -> int:
        """A clock for a process that is out of breath."""
        self.now += 20
        return self.now

    def tick(self, hub: Hub) -> None:
        self.now += 250
        hub.tick()


def _layer(layer: LayerId, name: str, *, stream: Stream = Stream.LIVE) -> Layer:
    return Layer(layer, LayerName(name), AgencyId(1), "units", Status.ACTUAL, name, stream)


class Viewing:
    """A viewer with a connection to one process, and its model of what it was sent."""

    def __init__(self, world: World, hub: Hub, viewer: Viewer = OWN, *, packing: bool = False) -> None:
        self.world = world
        self.packing = packing
        self.script: list[dict[str, Any]] = []
        """All that it was sent, and came back for, to be played to the page."""
        self.viewer = viewer
        self.model = ClientModel()
        self.connect(hub)

    def connect(self, hub: Hub) -> None:
        self.hub = hub
        self.session: Session = hub.join(Pass(self.viewer), packing=self.packing)

    def leave(self) -> None:
        self.hub.leave(self.session)

    def say(self, type_: str, **members: Any) -> None:
        self.session.receive(compact({"type": type_} | members))

    def read(self, at_most: int = 1_000_000) -> None:
        """Take what waits, as a socket would."""
        while at_most and (message := self.session.take()) is not None:
            told = whole(message)
            self.model.apply(told)
            packed = isinstance(told, bytes)
            self.script.append({"bytes": b64encode(told).decode()} if packed else {"text": told})
            at_most -= 1

    def ticked(self) -> ClientModel:
        """After everything has arrived."""
        self.world.catch_up(self.hub)
        while True:
            before = self.model.frames
            self.world.tick(self.hub)
            self.read()
            if self.model.frames == before:
                return self.model


def watching(world: World, viewer: Viewer = OWN, **subscription: Any) -> Viewing:
    """A viewer who has subscribed and has been told everything."""
    viewing = Viewing(world, world.hubs[0], viewer)
    viewing.say("subscribe", **subscription)
    viewing.ticked()
    viewing.model.rows.clear()
    viewing.model.resets = 0
    return viewing
