"""A planner's question as the wire has it, checked as far as the body alone allows. Pure.

Every question has the same members; what a what-if, a placement or a timeline asks beside them, those read themselves.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from layers.errors import Invalid, InvalidFeature
from layers.kinds import escaped
from layers.planning.model import MAX_REACH_M, Along, Reach, Rule, Straight, Where
from layers.times import parse_time

MEMBERS = (
    *("area", "layers", "at_least", "resolution", "where", "agencies", "capabilities", "count_stale"),
    *("reach", "at", "run", "weights"),
)
OF_A_RUN = frozenset({"run"})
"""What may stand beside `run`: nothing else of the question, as the run has settled it."""
MAX_AT_LEAST = 1_000
MAX_RESOLUTION = 12
MAX_LAYERS = 100
MAX_NAMES = 100
MAX_WHERE_NAMES, MAX_WHERE_VALUES = 16, 100
MAX_MINUTES = 600.0
MAX_SPEED_KMH = 300.0
MAX_INLINE_CELLS = 50_000
"""Cells that a question brings along; more are uploaded as a table."""
MAX_UNIT_LENGTH = 40
MAX_LAYER_NAME = 200
"""Longer than any name is: what is refused says it again, and need not say a megabyte."""
WHOLE_NUMBERS = range(-(2**63), 2**63)
"""Those that are written down as they came; a larger one is no value of any feature."""
AREAL = frozenset({"Polygon", "MultiPolygon"})


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked. *area* is a geometry, names a feature (`layer`, `id`), or is None where *run* says it all."""

    area: dict[str, Any] | None
    layers: tuple[str, ...] | None = None
    resolution: int = 9
    rule: Rule = field(default_factory=Rule)
    roads: str | None = None
    """The layer of kind `roads` along whose streets minutes are counted."""
    at: datetime | None = None
    """None: now."""
    weights: dict[str, Any] | None = None
    """By what ground is weighed: names a `table` or a `layer`, or has `cells`."""
    run: UUID | None = None
    """An earlier answer whose question, inputs and moment this one takes over."""
    zones: str | None = None
    """The layer that the area is all zones of, if it was put together from one."""
    stated: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    """The members as they came, without those that only one endpoint has: what a run is written down by."""


def parse_question(body: object, *, also: Iterable[str] = ()) -> Question:
    """The question that *body* asks; it may have further members named in *also*, which are not read here.

    Raises `Invalid` with a pointer (codes `coverage.*`, `h3.resolution`).
    """
    members = object_of(body, (*MEMBERS, *also), pointer="", code="coverage.question")
    if "run" in members:
        return Question(None, run=_run(members, also))
    reach, roads = _reach(members.get("reach"))
    rule = Rule(
        at_least=whole(members, "at_least", 1, 1, MAX_AT_LEAST, code="coverage.at_least"),
        where=_where(members.get("where")),
        agencies=_names(members, "agencies"),
        capabilities=_names(members, "capabilities"),
        stale_counts=_flag(members, "count_stale"),
        reach=reach,
    )
    resolution = whole(members, "resolution", 9, 0, MAX_RESOLUTION, code="h3.resolution")
    return Question(
        _area(members),
        _layers(members.get("layers")),
        resolution,
        rule,
        roads,
        time_of(members, "at"),
        _weights(members.get("weights")),
        stated={name: value for name, value in members.items() if name in MEMBERS},
    )


def object_of(body: object, members: Iterable[str], *, pointer: str, code: str) -> dict[str, Any]:
    """*body* if it is an object with none but *members*; else `Invalid`."""
    if type(body) is not dict:
        raise Invalid("Expected an object.", pointer=pointer, code=code)
    known = tuple(members)
    for name in body:
        if name not in known:
            detail = f"There is no member “{name[:40]}” here; there are {', '.join(known)}."
            raise Invalid(detail, pointer=f"{pointer}/{escaped(name)}", code="coverage.member")
    return body


def whole(
    body: dict[str, Any], name: str, default: int | None, low: int, high: int, *, code: str, pointer: str = ""
) -> int:
    """A whole number from *low* to *high*; *default* where it is missing, unless that is None."""
    value = body.get(name, default)
    if type(value) is not int or not low <= value <= high:
        raise Invalid(
            f"“{name}” is a whole number from {low} to {high}.", pointer=f"{pointer}/{name}", code=code
        )
    return value


def number(
    body: dict[str, Any],
    name: str,
    low: float,
    high: float,
    *,
    code: str,
    default: float | None = None,
    pointer: str = "",
) -> float:
    """A number from *low* to *high*; *default* where it is missing, unless that is None."""
    value: Any = body.get(name, default)
    if type(value) not in (int, float) or not low <= value <= high:
        raise Invalid(
            f"“{name}” is a number from {low:g} to {high:g}.", pointer=f"{pointer}/{name}", code=code
        )
    return float(value)


def time_of(body: dict[str, Any], name: str, *, pointer: str = "") -> datetime | None:
    """A time with its zone, as in features; None where it is missing."""
    value = body.get(name)
    if value is None:
        return None
    try:
        return parse_time(value, pointer=f"{pointer}/{name}")
    except InvalidFeature as error:
        raise Invalid(error.detail, pointer=error.pointer, code="coverage.time") from None


def _run(members: dict[str, Any], also: Iterable[str]) -> UUID:
    for name in members:
        if name not in OF_A_RUN and name not in also:
            detail = f"A run has settled its question; “{name}” cannot stand beside “run”."
            raise Invalid(detail, pointer=f"/{name}", code="coverage.run")
    try:
        return UUID(members["run"])
    except (ValueError, TypeError, AttributeError):
        raise Invalid(
            "“run” is the id that an answer carried, a UUID.", pointer="/run", code="coverage.run"
        ) from None


def _reach(value: object) -> tuple[Reach | None, str | None]:
    if value is None:
        return None, None
    members = ("metres", "minutes", "speed_kmh", "roads")
    reach = object_of(value, members, pointer="/reach", code="coverage.reach")
    if ("metres" in reach) == ("minutes" in reach) or ("metres" in reach and len(reach) > 1):
        detail = "A reach is {metres}, or {minutes} with speed_kmh or roads."
        raise Invalid(detail, pointer="/reach", code="coverage.reach")
    if "metres" in reach:
        return Straight(
            number(reach, "metres", 0, MAX_REACH_M, code="coverage.reach", pointer="/reach")
        ), None
    roads = reach.get("roads")
    if roads is not None and type(roads) is not str:
        raise Invalid("“roads” is a layer's name, text.", pointer="/reach/roads", code="coverage.reach")
    minutes = number(reach, "minutes", 0, MAX_MINUTES, code="coverage.reach", pointer="/reach")
    speed = number(
        reach, "speed_kmh", 1, MAX_SPEED_KMH, default=40.0, code="coverage.reach", pointer="/reach"
    )
    if roads is None and minutes * speed * 1000 / 60 > MAX_REACH_M:
        detail = f"{minutes:g} minutes at {speed:g} km/h are farther than {MAX_REACH_M / 1000:g} km."
        raise Invalid(detail, pointer="/reach/minutes", code="coverage.reach")
    return Along(minutes, speed), roads


def _names(members: dict[str, Any], name: str) -> frozenset[str] | None:
    value = members.get(name)
    if value is None:
        return None
    if (
        type(value) is not list
        or not 1 <= len(value) <= MAX_NAMES
        or not all(type(each) is str and "\0" not in each for each in value)
    ):
        detail = f"“{name}” is an array of 1 to {MAX_NAMES} names; leave it out for all."
        raise Invalid(detail, pointer=f"/{name}", code=f"coverage.{name}")
    return frozenset(value)


def _flag(members: dict[str, Any], name: str) -> bool:
    value = members.get(name, False)
    if type(value) is not bool:
        raise Invalid(f"“{name}” is true or false.", pointer=f"/{name}", code="coverage.member")
    return value


def _area(body: dict[str, Any]) -> dict[str, Any]:
    area = body.get("area")
    if type(area) is not dict:
        at = "/area" if "area" in body else ""
        raise Invalid("“area” is a GeoJSON geometry, or {layer, id}.", pointer=at, code="coverage.area")
    if "layer" in area or "id" in area:
        if set(area) != {"layer", "id"} or not all(type(value) is str for value in area.values()):
            detail = "An area by name has a layer and an id, both text, and nothing else."
            raise Invalid(detail, pointer="/area", code="coverage.area")
        if "\0" in area["id"]:
            raise Invalid("An id holds no NUL character.", pointer="/area/id", code="coverage.area")
    elif type(kind := area.get("type")) is not str or kind not in AREAL:
        detail = "The area is a Polygon or a MultiPolygon."
        raise Invalid(detail, pointer="/area/type" if "type" in area else "/area", code="coverage.area")
    return area


def _layers(value: object) -> tuple[str, ...] | None:
    if value is None:
        return None
    if type(value) is not list or not value or len(value) > MAX_LAYERS:
        detail = f"“layers” is an array of 1 to {MAX_LAYERS} names; leave it out for all that you see."
        raise Invalid(detail, pointer="/layers", code="coverage.layers")
    for at, name in enumerate(value):
        if type(name) is not str or len(name) > MAX_LAYER_NAME:
            detail = "A layer's name is text, “agency.slug”."
            raise Invalid(detail, pointer=f"/layers/{at}", code="coverage.layers")
    return tuple(dict.fromkeys(value))


def _weights(value: object) -> dict[str, Any] | None:
    if value is None:
        return None
    members = ("table", "layer", "property", "cells", "unit")
    weights = object_of(value, members, pointer="/weights", code="coverage.weights")
    if len({"table", "layer", "cells"} & set(weights)) != 1 or (
        "property" in weights and "layer" not in weights
    ):
        detail = "Weights are {table}, {layer, property} or {cells}, each with a unit if you like."
        raise Invalid(detail, pointer="/weights", code="coverage.weights")
    for name in ("table", "layer", "property"):
        text = weights.get(name, "")
        if type(text) is not str or "\0" in text or len(text) > 128:
            detail = f"“{name}” is text of up to 128 characters, without NUL."
            raise Invalid(detail, pointer=f"/weights/{name}", code="coverage.weights")
    unit = weights.get("unit", "")
    if type(unit) is not str or len(unit) > MAX_UNIT_LENGTH or not unit.isprintable():
        detail = f"“unit” is a line of up to {MAX_UNIT_LENGTH} characters."
        raise Invalid(detail, pointer="/weights/unit", code="coverage.weights")
    cells = weights.get("cells", {})
    if type(cells) is not dict or len(cells) > MAX_INLINE_CELLS:
        detail = (
            f"“cells” has up to {MAX_INLINE_CELLS:,} H3 cells, each with a number; upload more as a table."
        )
        raise Invalid(detail, pointer="/weights/cells", code="coverage.weights")
    return weights


def _where(value: object) -> Where:
    if value is None:
        return {}
    if type(value) is not dict or len(value) > MAX_WHERE_NAMES:
        detail = f"“where” is an object of up to {MAX_WHERE_NAMES} properties, each with the values allowed."
        raise Invalid(detail, pointer="/where", code="coverage.where")
    for name, allowed in value.items():
        at = f"/where/{escaped(name)}"
        if type(allowed) is not list or not 1 <= len(allowed) <= MAX_WHERE_VALUES or len(name) > 128:
            detail = f"Expected an array of 1 to {MAX_WHERE_VALUES} values that are allowed."
            raise Invalid(detail, pointer=at, code="coverage.where")
        if "\0" in name or not all(_is_scalar(each) for each in allowed):
            detail = "A value is text without NUL, a finite number of up to 64 bits, true, false or null."
            raise Invalid(detail, pointer=at, code="coverage.where")
    return value


def _is_scalar(value: object) -> bool:
    match value:
        case float():
            return math.isfinite(value)
        case str():
            return "\0" not in value
        case int():
            return value in WHOLE_NUMBERS
        case _:
            return value is None
