"""The live layers as they stand, folded from their logs in memory; the pump feeds it, the hub reads it.

It also remembers what changed since the last tick, and which features went of late, so that a viewer who
comes back is told exactly what it missed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

from cop.live import wire
from cop.live.interest import Span, span_of
from layers.log import Departure, Head
from layers.model import Change, Feature, FeatureId, LayerId, Op

MAX_GONE = 20_000
"""Departures remembered a layer, about 3 MB; a viewer who has missed more than that starts anew."""


class Held:
    """A feature as the picture holds it: its rows, written once, and what decides whether it only moved.

    They are written when first asked for: a state that the next one replaces before any viewer was to hear
    of it costs nothing but its place.
    """

    __slots__ = ("_state", "id", "lifetime_ms", "move", "put", "revision", "span", "still")

    _state: Feature | Change | None
    lifetime_ms: int | None
    move: str
    put: str
    span: Span | None
    """The finest cells that it touches; None where it has no place."""
    still: str
    """The properties without heading and speed; "" for what can never be said as a move."""

    def __init__(self, state: Feature | Change, feature_id: FeatureId) -> None:
        self._state = state
        self.id = feature_id
        self.revision = state.revision

    def __getattr__(self, name: str) -> Any:
        """Called for a slot that is not set yet."""
        if self._state is None or name not in self.__slots__:
            raise AttributeError(name)
        self._write(self._state)
        self._state = None
        return getattr(self, name)

    def _write(self, state: Feature | Change) -> None:
        observed_ms = wire.milliseconds(state.observed_at)
        expires_ms = None if state.expires_at is None else wire.milliseconds(state.expires_at)
        self.span = span_of(state.bbox)
        id_text = wire.text_of(self.id)
        self.put = wire.put_row(id_text, state.geometry, state.properties, observed_ms, expires_ms)
        self.lifetime_ms = None if expires_ms is None else expires_ms - observed_ms
        self.still, self.move = "", ""
        coordinates = _plane_point(state.geometry)
        course = _course(state.properties) if coordinates else None
        if coordinates and course:
            heading, speed, self.still = course
            self.move = wire.move_row(id_text, coordinates, observed_ms, heading, speed)

    def news(self, before: Held | None) -> tuple[str, bool]:
        """The row for a viewer who holds *before*, and whether it is a move."""
        if before and before.still and before.still == self.still and before.lifetime_ms == self.lifetime_ms:
            self.still = before.still  # One text in memory instead of two.
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

    def __init__(self, head: Head, *, tiled: bool = False) -> None:
        self.epoch = head.epoch
        self.epoch_text = str(head.epoch)
        self.revision = head.revision
        self.tiled = tiled
        self.features: dict[FeatureId, Held] = {}
        self._gone: dict[FeatureId, Departure] = {}
        self._floor = head.revision
        """What departed after this revision is all remembered."""
        self._before: dict[FeatureId, Held | None] = {}
        self._why: dict[FeatureId, str] = {}

    def hold(self, features: Iterable[Feature]) -> None:
        """Start with *features*, as they stand at this layer's head, ascending by revision."""
        for feature in features:
            self.features[feature.id] = Held(feature, feature.id)

    def remember(self, floor: int, departures: Iterable[Departure]) -> None:
        """Take all *departures* after revision *floor*, ascending, for viewers who come back from before."""
        self._floor = floor
        for departure in departures:
            if departure.id not in self.features:
                self._bury(departure)

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

    def take(self) -> list[Step]:
        """What changed since this was last called, one step a feature."""
        steps = [
            Step(before, self.features.get(feature_id), self._why.get(feature_id, ""))
            for feature_id, before in self._before.items()
        ]
        self._before, self._why = {}, {}
        return [step for step in steps if step.before or step.after]

    def forget(self) -> None:
        """Let go of what changed since `take` was last called: there is nobody to tell."""
        self._before, self._why = {}, {}

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
        for departure in reversed(self._gone.values()):
            if departure.revision <= revision:
                break
            gone[departure.id] = departure.why
        return changed, gone

    def _put(self, held: Held) -> None:
        before = self.features.pop(held.id, None)
        self._before.setdefault(held.id, before)
        self._why.pop(held.id, None)
        self._gone.pop(held.id, None)
        self.features[held.id] = held

    def _take(self, feature_id: FeatureId, why: str) -> None:
        before = self.features.pop(feature_id, None)
        if before is not None:
            self._before.setdefault(feature_id, before)
            self._why[feature_id] = why
            self._bury(Departure(feature_id, self.revision, why))

    def _bury(self, departure: Departure) -> None:
        self._gone.pop(departure.id, None)
        self._gone[departure.id] = departure
        if len(self._gone) > MAX_GONE:
            oldest = next(iter(self._gone.values()))
            del self._gone[oldest.id]
            self._floor = oldest.revision


Picture = dict[LayerId, LayerPicture]
"""All layers of one process. A layer that was read anew is another object, by which its viewers notice."""
