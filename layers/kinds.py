"""What each kind of layer allows: its geometries, how it streams and ages, and what its known properties may hold.

`layers.admission` checks features against it; creating a layer takes its defaults from it.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import orjson

from layers.errors import InvalidFeature
from layers.model import Stream
from layers.times import parse_time

RESERVED = frozenset({"observed_at", "expires_at", "received_at", "revision", "quality"})
"""Names inside `properties` that belong to the service; the last three are ignored when pushed."""
MAX_MEMBERS = 256
MAX_PROPERTIES_BYTES = 65_536
"""Of the properties as JSON text."""
MAX_DEPTH = 28
"""Arrays and objects within one property, so that a stored feature still fits a body of 32 levels."""
MAX_NUMBER = 1e30
"""The database keeps numbers as written-out decimals: beyond this a short body would grow large in storage."""

COVERING = frozenset({"assets", "coverage"})
"""Kinds whose features' hexes are stored at write. Units cover ground too, but move: theirs are made when asked for."""
ANALYSED = COVERING | {"units"}
"""Kinds whose features can cover ground."""

DISTRESS = "distress"
"""The status of a unit that calls for help. Whoever follows its layer is told of it, wherever they look."""

Check = Callable[[Any], str | None]
"""Says what is expected of a value that does not meet it; None if it does. Prefixed “type:” for the wrong type."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f]")
_DISPLAYED = frozenset({"callsign", "name", "title"})


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of layer. Ages are the defaults of a new layer of this kind."""

    name: str
    title: str
    geometries: frozenset[str]
    properties: Mapping[str, Check]
    """Checks by the name of a known property; all are optional, and others are allowed beside them."""
    stream: Stream = Stream.LIVE
    stale_after_s: int = 300
    expire_after_s: int | None = None
    null_geometry: bool = False

    @property
    def statuses(self) -> tuple[str, ...] | None:
        """All that a feature's status may be, if it is there; None: any text."""
        check = self.properties.get("status")
        return check.choices if isinstance(check, _OneOf) else None


def _text(value: Any) -> str | None:
    return None if type(value) is str else "type:a string"


def _texts(value: Any) -> str | None:
    if type(value) is list and all(type(item) is str for item in value):
        return None
    return "type:an array of strings"


@dataclass(frozen=True, slots=True)
class _OneOf:
    choices: tuple[str, ...]

    def __call__(self, value: Any) -> str | None:
        if type(value) is not str:
            return "type:a string"
        return None if value in self.choices else "one of " + ", ".join(self.choices)


def _one_of(*choices: str) -> Check:
    return _OneOf(choices)


def _number(low: float, high: float, wanted: str, *, below: bool = False) -> Check:
    """A number from *low* to *high*, or strictly *below* it."""

    def check(value: Any) -> str | None:
        if type(value) is not float and type(value) is not int:
            return "type:a number"
        return None if low <= value <= high and not (below and value == high) else wanted

    return check


def _time(value: Any) -> str | None:
    if type(value) is not str:
        return "type:a time as text"
    try:
        parse_time(value, "")
    except InvalidFeature:
        return "a time as in RFC 3339 with a zone, such as 2026-01-31T12:00:00Z"
    return None


def _boolean(value: Any) -> str | None:
    return None if type(value) is bool else "type:true or false"


# When a feature is there to cover ground: from the one, which counts, to the other, which does not.
_SHIFT: dict[str, Check] = {"valid_from": _time, "valid_to": _time}
# What it is good for. Text or a list of it, as a rule of coverage may ask for one of them.
_ABLE: dict[str, Check] = {"capability": _text, "capabilities": _texts}
_not_negative = _number(0, MAX_NUMBER, "a number of at least 0")
_reach_m = _number(0, 100_000, "metres from 0 to 100000")


def _speed_kmh(value: Any) -> str | None:
    wanted = "km/h above 0 and at most 200"
    return wanted if value == 0 and type(value) is not bool else _number(0, 200, wanted)(value)


def _kind(name: str, title: str, geometries: str, properties: dict[str, Check], **rest: Any) -> Kind:
    return Kind(name, title, frozenset(geometries.split()), MappingProxyType(properties), **rest)


# A type comes with its Multi form where the cut at the antimeridian can turn the one into the other.
KINDS: Mapping[str, Kind] = MappingProxyType(
    {
        kind.name: kind
        for kind in (
            _kind(
                "units",
                "Units",
                "Point",
                {
                    "callsign": _text,
                    "unit_type": _text,
                    "status": _one_of(
                        "available",
                        "dispatched",
                        "en_route",
                        "on_scene",
                        "transporting",
                        "returning",
                        "out_of_service",
                        DISTRESS,
                    ),
                    "heading_deg": _number(0, 360, "degrees from 0 to below 360", below=True),
                    "speed_mps": _not_negative,
                    "accuracy_m": _not_negative,
                    "reach_m": _reach_m,
                    "incident": _text,
                }
                | _SHIFT
                | _ABLE,
                stale_after_s=300,
            ),
            _kind(
                "assets",
                "Assets",
                "Point Polygon MultiPolygon",
                {
                    "name": _text,
                    "asset_type": _text,
                    "status": _text,
                    "reach_m": _reach_m,
                    "capacity": _not_negative,
                }
                | _SHIFT
                | _ABLE,
                stale_after_s=86_400,
            ),
            _kind(
                "incidents",
                "Incidents",
                "Point Polygon MultiPolygon",
                {
                    "title": _text,
                    "incident_type": _text,
                    "severity": _one_of("minor", "moderate", "severe", "extreme"),
                    "status": _one_of("open", "contained", "closed"),
                    "units": _texts,
                },
                stale_after_s=3_600,
            ),
            _kind(
                "zones",
                "Zones",
                "LineString MultiLineString Polygon MultiPolygon",
                {"name": _text, "zone_type": _text, "status": _text},
                stale_after_s=86_400,
            ),
            _kind(
                "coverage",
                "Coverage",
                "Polygon MultiPolygon",
                {"name": _text} | _SHIFT | _ABLE,
                stale_after_s=86_400,
            ),
            _kind(
                "roads",
                "Roads",
                "LineString MultiLineString",
                {"name": _text, "road_class": _text, "speed_kmh": _speed_kmh, "oneway": _boolean},
                stream=Stream.TILED,
                stale_after_s=31_536_000,  # streets are surveyed, not heard from
            ),
            _kind(
                "alerts",
                "Alerts",
                "Point Polygon MultiPolygon",
                {
                    "title": _text,
                    "severity": _one_of("minor", "moderate", "severe", "extreme"),
                    "status": _one_of("active", "cleared"),
                    "rule": _text,
                    "since": _time,
                },
                stale_after_s=300,
                null_geometry=True,
            ),
        )
    }
)


def check_properties(kind: Kind, properties: Mapping[str, Any], pointer: str) -> dict[str, Any]:
    """*properties* without the reserved names, ready to be stored.

    Text that is displayed as a name is put in NFC and loses its control characters; a known property that is null
    is left out, as it says nothing. All else stays as it was sent. *pointer* is that of the properties.
    Raises InvalidFeature (codes `prop.*`).
    """
    if len(properties) > MAX_MEMBERS + len(RESERVED):
        raise _too_many(pointer)
    kept: dict[str, Any] = {}
    for name, value in properties.items():
        if name in RESERVED:
            continue
        if "\0" in name:
            raise _nul(pointer, name)
        value_type = type(value)
        if value_type is str and "\0" in value:
            raise _nul(pointer, name)
        if value_type is float or value_type is int:
            kept[name] = _check_number(value, pointer, name)
        elif value_type is list or value_type is dict:
            kept[name] = _check_nested(value, f"{pointer}/{escaped(name)}", 1)
        else:
            kept[name] = value
    _check_known(kind, kept, pointer)
    _check_shift(kind, kept, pointer)
    if len(kept) > MAX_MEMBERS:
        raise _too_many(pointer)
    return kept


def _check_known(kind: Kind, kept: dict[str, Any], pointer: str) -> None:
    """Check the properties that *kind* knows, clean the displayed names and leave out the nulls, in place."""
    for name in kind.properties.keys() & kept.keys():
        value = kept[name]
        if value is None:
            del kept[name]
        elif (wanted := kind.properties[name](value)) is not None:
            raise _unexpected(wanted, value, pointer, name)
        elif name in _DISPLAYED and not (value.isascii() and value.isprintable()):
            kept[name] = unicodedata.normalize("NFC", _CONTROLS.sub("", value))


def _check_shift(kind: Kind, kept: dict[str, Any], pointer: str) -> None:
    """Refuse a shift that would never be: a night's that has the date of its first half for both its ends, say."""
    if kind.properties.keys() >= _SHIFT.keys() <= kept.keys():
        begin, end = (parse_time(kept[name], "") for name in ("valid_from", "valid_to"))
        if end <= begin:
            raise _unexpected("a time after “valid_from”", kept["valid_to"], pointer, "valid_to")


def properties_text(properties: dict[str, Any], pointer: str) -> str:
    """*properties*, checked before, as JSON text of at most MAX_PROPERTIES_BYTES."""
    try:
        text = orjson.dumps(properties)
    except TypeError:  # a lone surrogate: a body has none (`strictjson`), a caller in Python may
        detail = "A string holds a lone surrogate, which is not a character."
        raise InvalidFeature(detail, pointer=pointer, code="prop.unicode") from None
    if len(text) > MAX_PROPERTIES_BYTES:
        detail = f"The properties take {len(text)} bytes as JSON; at most {MAX_PROPERTIES_BYTES} are stored."
        raise InvalidFeature(detail, pointer=pointer, code="prop.size")
    return text.decode()


def escaped(name: str) -> str:
    """*name* as a token of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")


def _check_number(value: float, pointer: str, name: str | int) -> float:
    if -MAX_NUMBER <= value <= MAX_NUMBER:
        if type(value) is int:
            if -(2**63) <= value < 2**63:
                return value
        elif abs(value) >= 1 / MAX_NUMBER or value == 0:
            return value
        else:
            return 0.0
    at = f"{pointer}/{escaped(str(name))}"
    if type(value) is float and not math.isfinite(value):
        raise InvalidFeature("The number is not finite.", pointer=at, code="prop.non_finite")
    detail = "The number is too large to be kept exactly (64-bit integers, ±1e30); send it as a string."
    raise InvalidFeature(detail, pointer=at, code="prop.number")


def _check_nested(value: Any, pointer: str, depth: int) -> Any:
    if depth > MAX_DEPTH:
        detail = f"It nests deeper than {MAX_DEPTH} levels."
        raise InvalidFeature(detail, pointer=pointer, code="prop.size")
    match value:
        case str():
            if "\0" in value:
                raise InvalidFeature("Text cannot hold a NUL.", pointer=pointer, code="prop.nul")
            return value
        case None | bool():
            return value
        case int() | float():
            parent, _, name = pointer.rpartition("/")
            return _check_number(value, parent, name)
        case list():
            return [_check_nested(item, f"{pointer}/{i}", depth + 1) for i, item in enumerate(value)]
        case dict():
            if any("\0" in name for name in value):
                raise InvalidFeature("A name cannot hold a NUL.", pointer=pointer, code="prop.nul")
            return {
                name: _check_nested(item, f"{pointer}/{escaped(name)}", depth + 1)
                for name, item in value.items()
            }
        case _:
            raise InvalidFeature("Expected a JSON value.", pointer=pointer, code="prop.type")


def _unexpected(wanted: str, value: Any, pointer: str, name: str) -> InvalidFeature:
    at = f"{pointer}/{escaped(name)}"
    if wanted.startswith("type:"):
        return InvalidFeature(f"Expected {wanted[5:]}.", pointer=at, code="prop.type")
    got = repr(value[:80]) if isinstance(value, str) else str(value)[:80]
    return InvalidFeature(f"Expected {wanted}; got {got}.", pointer=at, code="prop.value")


def _nul(pointer: str, name: str) -> InvalidFeature:
    detail = "Text and names cannot hold a NUL."
    return InvalidFeature(detail, pointer=f"{pointer}/{escaped(name)}", code="prop.nul")


def _too_many(pointer: str) -> InvalidFeature:
    detail = f"A feature has at most {MAX_MEMBERS} properties."
    return InvalidFeature(detail, pointer=pointer, code="prop.size")
