"""A feature as the picture holds it: its rows for the wire, each written once, when first asked for.

A state that the next one replaces before any viewer was to hear of it costs nothing but its place.
"""

from __future__ import annotations

from struct import Struct
from typing import Any
from zlib import crc32

import orjson

from cop.live import wire
from cop.live.interest import Cell, Sight, finest_cell
from layers.kinds import DISTRESS
from layers.model import BBox, Change, Feature, FeatureId

RECORD = Struct("<IiiIHH")
"""A packed move: reference, lng and lat in 1e-7 degrees, low 32 bits of ms since 1970, heading and speed in 1/100."""
NONE = 0xFFFF
"""Stands for a heading or a speed that is not known."""
PACKED_AGE_MS = 2_000_000_000
"""23 days: an observation further than that from the frame's time cannot be said in 32 bits of milliseconds."""


class Held:
    """One state of one feature."""

    __slots__ = (
        "_coordinates",
        "_heading",
        "_properties",
        "_speed",
        "_state",
        "bbox",
        "cell",
        "everywhere",
        "id",
        "lifetime_ms",
        "move",
        "observed_ms",
        "packed",
        "put",
        "ref",
        "revision",
        "status",
        "still",
    )

    _coordinates: str
    """`lng,lat` as JSON; "" for what can never be said as a move."""
    _heading: float | None
    _properties: str
    _speed: float | None
    _state: Feature | Change | None
    bbox: BBox | None
    """Its extent; None where it has no place."""
    cell: Cell | None
    """The finest cell of what stands at one place and is not everywhere."""
    everywhere: bool
    """Whether it is in every view: a unit in distress must not be overlooked because the map was panned."""
    lifetime_ms: int | None
    move: bytes
    observed_ms: int
    packed: bytes
    """The move as a record; b"" where that could not say it exactly."""
    put: bytes
    status: str | None
    still: str
    """The properties without heading and speed; "" for what can never be said as a move."""

    def __init__(self, state: Feature | Change, feature_id: FeatureId, ref: int | None = None) -> None:
        self._state = state
        self.id = feature_id
        self.ref = crc32(feature_id.encode()) if ref is None else ref
        self.revision = state.revision
        self.bbox = state.bbox
        self.everywhere = _MAYBE_IN_DISTRESS in state.properties and self.status == DISTRESS

    def __getattr__(self, name: str) -> Any:
        """Called for a slot that is not set yet."""
        write = _WRITERS.get(name)
        if write is None:
            raise AttributeError(name)
        write(self)
        return getattr(self, name)

    @property
    def has_cell(self) -> bool:
        """Whether a cell says where it is seen: it has a place and no extent, and is not everywhere."""
        bbox = self.bbox
        return bbox is not None and bbox[0] == bbox[2] and bbox[1] == bbox[3] and not self.everywhere

    def seen_by(self, sight: Sight) -> bool:
        """Whether a viewer of *sight* is to hold it."""
        if sight.statuses is not None and self.status not in sight.statuses:
            return False
        if sight.resolution is None or self.everywhere:
            return True
        cell = self.cell
        return sight.touches(self.bbox) if cell is None else sight.holds(cell)

    def moved_from(self, before: Held | None) -> bool:
        """Whether, to a viewer who holds *before*, only place, time, heading and speed are new."""
        if before and before.still and before.still == self.still and before.lifetime_ms == self.lifetime_ms:
            self.still = before.still  # One text in memory instead of two.
            return True
        return False

    def _read(self) -> None:
        """Everything that the state says, but for the rows; after `put` is written the state is let go."""
        state = self._state
        assert state is not None, "read before it is let go"
        self.observed_ms = wire.milliseconds(state.observed_at)
        expires_ms = None if state.expires_at is None else wire.milliseconds(state.expires_at)
        self.lifetime_ms = None if expires_ms is None else expires_ms - self.observed_ms
        self._properties = state.properties
        self._coordinates, self.still = _plane_point(state.geometry), ""
        self._heading = self._speed = None
        course = _course(state.properties) if self._coordinates else None
        if course is None:
            self._coordinates = ""
        else:
            self._heading, self._speed, self.still = course

    def _find(self) -> None:
        bbox = self.bbox
        self.cell = finest_cell(bbox[0], bbox[1]) if bbox is not None and self.has_cell else None

    def _find_status(self) -> None:
        status = None
        properties = self._properties
        if '"status"' in properties:
            try:
                status = orjson.loads(properties).get("status")
            except ValueError:  # A number beyond what orjson reads.
                status = None
        self.status = status if isinstance(status, str) else None

    def _write_put(self) -> None:
        expires_ms = None if self.lifetime_ms is None else self.observed_ms + self.lifetime_ms
        state = self._state
        assert state is not None, "written once"
        id_text = wire.text_of(self.id)
        self.put = wire.put_row(id_text, state.geometry, state.properties, self.observed_ms, expires_ms)
        self._state = None

    def _write_move(self) -> None:
        heading, speed = wire.text_of(self._heading), wire.text_of(self._speed)
        self.move = wire.move_row(wire.text_of(self.id), self._coordinates, self.observed_ms, heading, speed)

    def _pack(self) -> None:
        self.packed = b""
        assert self.bbox is not None, "only what has a place moves"
        lng, lat = self.bbox[:2]
        east, north = round(lng * 1e7), round(lat * 1e7)
        heading, speed = _hundredths(self._heading), _hundredths(self._speed)
        if heading is not None and speed is not None and east / 1e7 == lng and north / 1e7 == lat:
            self.packed = RECORD.pack(self.ref, east, north, self.observed_ms & 0xFFFFFFFF, heading, speed)


_WRITERS = {
    **dict.fromkeys(
        ("observed_ms", "lifetime_ms", "still", "_properties", "_coordinates", "_heading", "_speed"),
        Held._read,
    ),
    "cell": Held._find,
    "status": Held._find_status,
    "put": Held._write_put,
    "move": Held._write_move,
    "packed": Held._pack,
}


def _hundredths(value: float | None) -> int | None:
    """*value* in hundredths, `NONE` for none; None where that would not be exact or does not fit."""
    if value is None:
        return NONE
    whole = round(value * 100) if 0 <= value < 1000 else NONE
    return whole if whole < NONE and whole / 100 == value else None


# Looked for in every state, so that hardly any is parsed for its status.
_MAYBE_IN_DISTRESS = f'"{DISTRESS}"'
_POINT = '{"type":"Point","coordinates":['


def _plane_point(geometry: str | None) -> str:
    """`lng,lat` of a point without height; "" for any other geometry. Expects PostGIS' spelling."""
    if geometry is None or not geometry.startswith(_POINT):
        return ""
    coordinates = geometry[len(_POINT) : -2]
    return coordinates if coordinates.count(",") == 1 else ""


def _course(properties: str) -> tuple[float | None, float | None, str] | None:
    """Heading and speed (None if absent) and the other properties.

    None where a move row could not say it: a heading that is there, but is not a number.
    """
    if "heading_deg" not in properties and "speed_mps" not in properties:
        return None, None, properties
    try:
        members: dict[str, Any] = orjson.loads(properties)
    except ValueError:  # A number beyond what orjson reads: let such a feature always be put whole.
        return None
    heading, speed = members.pop("heading_deg", _ABSENT), members.pop("speed_mps", _ABSENT)
    for value in (heading, speed):
        if type(value) is not int and type(value) is not float and value is not _ABSENT:
            return None
    still = wire.text_of(members)
    return None if heading is _ABSENT else heading, None if speed is _ABSENT else speed, still


_ABSENT = object()
