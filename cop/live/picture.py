"""The live layers as they stand, folded from their logs in memory; the pump feeds it, the hub reads it.

It also remembers what changed since the last tick, and which features went of late, so that a viewer who
comes back is told exactly what it missed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

import orjson

from cop.live import wire
from layers.log import Head
from layers.model import BBox, Change, Feature, FeatureId, LayerId, Op

MAX_GONE = 20_000
"""Departures remembered a layer, about 3 MB; a viewer who has missed more than that starts anew."""


class Held:
    """A feature as the picture holds it: its rows, written once, and what decides whether it only moved."""

    __slots__ = ("bbox", "id", "id_text", "lifetime_ms", "move", "put", "revision", "still")

    def __init__(self, state: Feature | Change, feature_id: FeatureId) -> None:
        observed_ms = wire.milliseconds(state.observed_at)
        expires_ms = None if state.expires_at is None else wire.milliseconds(state.expires_at)
        self.id = feature_id
        self.revision = state.revision
        self.bbox: BBox | None = state.bbox
        self.id_text = wire.text_of(feature_id)
        self.put = wire.put_row(self.id_text, state.geometry, state.properties, observed_ms, expires_ms)
        self.lifetime_ms = None if expires_ms is None else expires_ms - observed_ms
        self.still = ""
        """The properties without heading and speed; "" for what can never be said as a move."""
        self.move = ""
        coordinates = _plane_point(state.geometry)
        course = _course(state.properties) if coordinates else None
        if coordinates and course:
            heading, speed, self.still = course
            self.move = wire.move_row(self.id_text, coordinates, observed_ms, heading, speed)

    def news(self, before: Held | None) -> tuple[str, bool]:
        """The row for a viewer who holds *before*, and whether it is a move."""
        if before and before.still and before.still == self.still and before.lifetime_ms == self.lifetime_ms:
            return self.move, True
        return self.put, False


_POINT = '{"type":"Point","coordinates":['


def _plane_point(geometry: str | None) -> str:
    """`lng,lat` of a point without height; "" for any other geometry. Expects PostGIS' spelling."""
    if geometry is None or not geometry.startswith(_POINT):
        return ""
    coordinates = geometry[len(_POINT) : -2]
    return coordinates if coordinates.count(",") == 1 else ""


def _course(properties: str) -> tuple[str, str, str] | None:
    """Heading and speed as JSON (`null` if absent) and the other properties.

    None where a move row could not say it: a heading that is there, but is not a number.
    """
    if "heading_deg" not in properties and "speed_mps" not in properties:
        return "null", "null", properties
    try:
        members: dict[str, Any] = orjson.loads(properties)
    except ValueError:  # A number beyond what orjson reads: let such a feature always be put whole.
        return None
    course = [members.pop(name, _ABSENT) for name in ("heading_deg", "speed_mps")]
    if not all(value is _ABSENT or isinstance(value, int | float) for value in course):
        return None
    heading, speed = ("null" if value is _ABSENT else wire.text_of(value) for value in course)
    return heading, speed, wire.text_of(members)


_ABSENT = object()


class Step(NamedTuple):
    """What became of one feature since the last tick; None: was not there, is not there."""

    before: Held | None
    after: Held | None
    why: str
    """Why it is gone; "" when it is not."""


class LayerPicture:
    """One layer: where its log stands, its features in the order of their revisions, its late departures."""

    def __init__(self, head: Head, features: Iterable[Feature] = (), *, tiled: bool = False) -> None:
        self.epoch: UUID = head.epoch
        self.revision = head.revision
        self.tiled = tiled
        self.features = {
            feature.id: Held(feature, feature.id)
            for feature in sorted(features, key=lambda each: each.revision)
        }
        self._gone: dict[FeatureId, tuple[int, str]] = {}
        self._floor = head.revision
        """Departures after this revision are all remembered."""
        self._before: dict[FeatureId, Held | None] = {}
        self._why: dict[FeatureId, str] = {}

    def apply(self, changes: Iterable[Change]) -> None:
        """Take in the *changes* that follow this layer's revision. Raises ValueError at a gap."""
        for change in changes:
            if change.revision != self.revision + 1:
                raise ValueError(f"Revision {change.revision} cannot follow {self.revision}.")
            self.revision = change.revision
            match change.op:
                case Op.PUT:
                    self._put(Held(change, change.feature_id))
                case Op.GONE:
                    self._take(change.feature_id, change.why or "deleted")
                case Op.LATE:
                    pass

    def remember(self, changes: Sequence[Change]) -> None:
        """Take the departures among the *changes* that led up to this layer, for those who come back.

        They must be gapless, and end at the revision at which the layer was read.
        """
        if not changes or changes[-1].revision != self._floor:
            return
        self._floor = changes[0].revision - 1
        for change in changes:
            if change.op is Op.GONE and change.feature_id not in self.features:
                self._bury(change.feature_id, change.revision, change.why or "deleted")

    def take(self) -> list[Step]:
        """What changed since this was last called, one step a feature."""
        steps = [
            Step(before, self.features.get(feature_id), self._why.get(feature_id, ""))
            for feature_id, before in self._before.items()
        ]
        self._before, self._why = {}, {}
        return [step for step in steps if step.before or step.after]

    def missed(self, revision: int) -> tuple[list[Held], dict[FeatureId, str]] | None:
        """What changed after *revision*, and what went, and why; None when not all of that is remembered."""
        if not self._floor <= revision <= self.revision:
            return None
        changed = []
        for held in reversed(self.features.values()):
            if held.revision <= revision:
                break
            changed.append(held)
        gone = {}
        for feature_id, (gone_at, why) in reversed(self._gone.items()):
            if gone_at <= revision:
                break
            gone[feature_id] = why
        return changed, gone

    def _put(self, held: Held) -> None:
        before = self.features.pop(held.id, None)
        if before and before.still == held.still:
            held.still = before.still  # Equal for most moves: one text in memory instead of two.
        self._before.setdefault(held.id, before)
        self._why.pop(held.id, None)
        self._gone.pop(held.id, None)
        self.features[held.id] = held

    def _take(self, feature_id: FeatureId, why: str) -> None:
        before = self.features.pop(feature_id, None)
        if before is not None:
            self._before.setdefault(feature_id, before)
            self._why[feature_id] = why
            self._bury(feature_id, self.revision, why)

    def _bury(self, feature_id: FeatureId, revision: int, why: str) -> None:
        self._gone.pop(feature_id, None)
        self._gone[feature_id] = (revision, why)
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone))
            self._floor = self._gone.pop(oldest)[0]


class Picture:
    """All layers of one process. A layer read anew is another object, which is how its viewers notice."""

    def __init__(self) -> None:
        self.layers: dict[LayerId, LayerPicture] = {}

    def show(self, layer: LayerId, picture: LayerPicture) -> None:
        """Put a layer that was read whole in the place of what was held of it."""
        self.layers[layer] = picture

    def drop(self, layer: LayerId) -> None:
        """Forget a layer."""
        self.layers.pop(layer, None)
