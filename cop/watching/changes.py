"""What a watcher is told: one change at a time, of a feature, of a layer, or of how far the picture can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple

import orjson

from layers.model import JsonObject

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Kind(StrEnum):
    """What a change says. Whoever folds `put`, `moved` and `gone`, and nothing else, holds the picture."""

    PUT = "put"
    """A feature is new in sight, or anything of it changed."""
    MOVED = "moved"
    """A feature changed its place, course or time of observation, and nothing else."""
    GONE = "gone"
    """A feature has left sight; `feature` is as it was last held."""
    CURRENT = "current"
    """All that was there has been told: once after the start, and once after each resume. With a `layer`: all
    of that one, which came into sight since, as after `revoked` when it is shared again."""
    REVOKED = "revoked"
    """The layer is not yours to see any more, or left the operation; its features were `gone` just before."""
    SUMMED = "summed"
    """More of the layer is in sight than is told one by one: `count` features, by cells. See `Fold.layers`."""
    ADVANCED = "advanced"
    """A layer that reaches maps as tiles has changed; its features are read with `Client.items`."""
    SILENT = "silent"
    """The layer's feed has not been heard since `since`: what is held of it may be out of date."""
    HEARD = "heard"
    """The layer's feed is heard again."""
    MISSING = "missing"
    """Since `since` the service itself cannot read what is published: the picture may be incomplete."""
    COMPLETE = "complete"
    """The service reads again, and all that it missed has been told."""
    LOST = "lost"
    """The connection is lost, and nothing was heard since `since`: what is held is as it was then."""
    BACK = "back"
    """The service is heard again. What was missed is told now; `current` says when it is all."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the picture; members that say nothing about its kind are None."""

    kind: Kind
    layer: str | None = None
    """`agency.slug`."""
    id: str | None = None
    feature: JsonObject | None = None
    """GeoJSON, as `Client.items` gives it, but `observed_at` and `expires_at` in its properties are datetimes."""
    why: str | None = None
    """Of `gone`: deleted, expired, replaced, view, filter, revoked, summed; or `unknown`, when it happened
    while the link was down and the service could only tell what is there now. Of `lost`: what happened."""
    status: str | None = None
    """Of the layer: actual, exercise or test. An exercise must not pass for real."""
    cursor: str | None = None
    """`epoch:revision`: how far the layer is held after the frame that brought this; None: not whole yet."""
    since: datetime | None = None
    count: int | None = None


class Held(NamedTuple):
    """One feature as held."""

    geometry: JsonObject | None
    properties: JsonObject
    observed_ms: int
    expires_ms: int | None

    def equals(self, other: Held) -> bool:
        """Whether both say the same. Python takes 1, 1.0 and true for equal; the wire does not."""
        return self == other and _canonical(self) == _canonical(other)

    def moved(
        self, lng: float, lat: float, observed_ms: int, heading_deg: float | None, speed_mps: float | None
    ) -> Held:
        """The same at another place and time. A lifetime that counts from the observation goes with it."""
        properties = dict(self.properties)
        for name, value in (("heading_deg", heading_deg), ("speed_mps", speed_mps)):
            properties.pop(name, None)
            if value is not None:
                properties[name] = value
        expires_ms = None if self.expires_ms is None else self.expires_ms + observed_ms - self.observed_ms
        return Held({"type": "Point", "coordinates": [lng, lat]}, properties, observed_ms, expires_ms)

    def feature(self, layer: str, status: str | None, feature_id: str) -> JsonObject:
        """As GeoJSON, marked with its layer and that layer's status."""
        times = {"observed_at": moment(self.observed_ms), "expires_at": moment(self.expires_ms)}
        return {
            "type": "Feature",
            "id": feature_id,
            "geometry": self.geometry,
            "properties": self.properties | times,
            "layer": layer,
            "status": status,
        }


def held_of(row: JsonObject) -> Held:
    """A `put` row as held."""
    return Held(row["geometry"], row["properties"], row["observed_at"], row["expires_at"])


def moment(milliseconds: int | None) -> datetime | None:
    """Milliseconds since 1970 as an aware datetime."""
    return None if milliseconds is None else _EPOCH + timedelta(milliseconds=milliseconds)


def _canonical(held: Held) -> bytes:
    return orjson.dumps([held.geometry, held.properties], option=orjson.OPT_SORT_KEYS)
