"""Reads the files of `cop gaps-by-hour`: zones that have names, and where units were at which time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import shapely
from numpy.typing import NDArray

from layers.errors import Invalid, InvalidGeometry, TooLarge
from layers.exchange import Columns, parsed_time, read_features
from layers.geometry import place
from layers.hexes import estimate_cells
from layers.model import JsonObject, Status
from layers.planning.ground import MAX_AREA_CELLS, hexes_errors
from layers.planning.timeline import micros

MAX_ZONES = 5_000
MAX_ZONE_VERTICES = 200_000
"""A county with all its islands; a feature that is pushed may have 10,000."""
MAX_POSITIONS = 1_000_000
"""What they reach takes some 500 bytes each."""
MAX_NAME_LENGTH = 80
AREAL = frozenset({"Polygon", "MultiPolygon"})
NOT_REAL = (Status.EXERCISE, Status.TEST)
"""What a feature's `status` may be for its layer's: files that the service writes have it in every row."""


@dataclass(frozen=True, slots=True)
class Origin:
    """A file that an answer rests on: its name, and the beginning of its SHA-256."""

    name: str
    digest: str


@dataclass(frozen=True, slots=True)
class Zones:
    """Areas in the order of their file, each under a name of its own."""

    names: tuple[str, ...]
    shapes: tuple[Any, ...]
    """Shapely polygons, valid, split at the antimeridian."""
    mended: int
    """Polygons that were not valid, and were mended."""
    skipped: int
    """Features that are no areas."""
    origin: Origin
    status: Status = Status.ACTUAL
    """Not actual if that is the `status` of any of them."""


@dataclass(frozen=True, slots=True)
class Positions:
    """Rows of a file in its order: who was where, and when."""

    ids: tuple[str, ...]
    times_us: NDArray[np.int64]
    """Microseconds since 1970."""
    lng_lat: NDArray[np.float64]
    """(rows, 2); NaN where a row has no position."""
    clock: tzinfo
    """In which the file tells its times: that of the first."""
    origin: Origin
    status: Status = Status.ACTUAL
    """Not actual if that is the `status` of any of them, as far as that was read."""


def read_zones(path: Path, name_property: str, resolution: int) -> Zones:
    """The polygons of the file at *path*, called by their property *name_property*.

    A name that occurs again gets a number, and a zone without one is called by its number. Raises `Invalid` (`file.*`,
    `zones.none`), `InvalidGeometry`, and `TooLarge` (`zones.too_many`, `h3.too_many_cells`: by estimate).
    """
    names: list[str] = []
    shapes: list[Any] = []
    mended = skipped = 0
    status = Status.ACTUAL
    for number, feature in enumerate(read_features(path, Columns(id=name_property)), start=1):
        geometry = feature.get("geometry")
        if not isinstance(geometry, dict) or geometry.get("type") not in AREAL:
            skipped += 1
            continue
        if len(shapes) == MAX_ZONES:
            raise TooLarge(f"{path.name} has more than {MAX_ZONES:,} zones.", code="zones.too_many")
        shape, repaired = _placed(geometry, f"{path.name}, feature {number}")
        status = _status_of(feature, status)
        names.append(str(feature.get("id") or f"zone {number}")[:MAX_NAME_LENGTH])
        shapes.append(shape)
        mended += repaired
    if not shapes:
        raise Invalid(f"{path.name} holds no polygon.", code="zones.none")
    _check_size(shapes, resolution)
    return Zones(_told_apart(names), tuple(shapes), mended, skipped, _origin(path), status)


def read_positions(path: Path, columns: Columns) -> Positions:
    """Who was where at what time, of the file at *path*.

    Raises `Invalid` (`file.*`, `positions.none`, `positions.id`, `positions.time`, `positions.place`) with the number
    of the row, and `TooLarge` (`positions.too_many`).
    """
    ids: list[str] = []
    times_us: list[int] = []
    places: list[tuple[float, float]] = []
    clock: tzinfo | None = None
    status = Status.ACTUAL
    for number, feature in enumerate(islice(read_features(path, columns), MAX_POSITIONS + 1), start=1):
        where = f"{path.name}, position {number}"
        at = _time_of(feature, columns, where)
        clock = clock or at.tzinfo
        status = _status_of(feature, status)
        ids.append(_id_of(feature, where))
        times_us.append(micros(at))
        places.append(_place_of(feature.get("geometry"), where))
    if not ids:
        raise Invalid(f"{path.name} holds no position.", code="positions.none")
    if len(ids) > MAX_POSITIONS:
        detail = f"{path.name} has more than {MAX_POSITIONS:,} positions: take a day at a time."
        raise TooLarge(detail, code="positions.too_many")
    shown = columns.zone or clock or UTC
    return Positions(
        tuple(ids),
        np.array(times_us, np.int64),
        np.array(places, np.float64),
        shown,
        _origin(path),
        status,
    )


def _placed(geometry: Mapping[str, Any], where: str) -> tuple[Any, bool]:
    try:
        placed = place(geometry, pointer="", allowed=AREAL, repair=True, max_vertices=MAX_ZONE_VERTICES)
    except (InvalidGeometry, TooLarge) as error:
        error.pointer = f"{where}{error.pointer}"
        raise
    return shapely.from_wkb(placed.ewkb), placed.repaired


def _check_size(shapes: list[Any], resolution: int) -> None:
    with hexes_errors():
        expected = sum(estimate_cells(shapely.geometry.mapping(shape), resolution) for shape in shapes)
    if expected > MAX_AREA_CELLS:
        detail = (
            f"The zones have about {expected:,} cells at resolution {resolution}, and the limit is "
            f"{MAX_AREA_CELLS:,}: take a coarser resolution."
        )
        raise TooLarge(detail, code="h3.too_many_cells")


def _told_apart(names: list[str]) -> tuple[str, ...]:
    taken = set(names)
    seen: set[str] = set()
    found = []
    for name in names:
        number, own = 1, name
        while own in seen or (number > 1 and own in taken):
            number += 1
            own = f"{name} ({number})"
        seen.add(own)
        found.append(own)
    return tuple(found)


def _time_of(feature: JsonObject, columns: Columns, where: str) -> datetime:
    properties = feature.get("properties")
    value = properties.get("observed_at") if isinstance(properties, dict) else None
    at = parsed_time(value, columns.zone)
    if at is not None:
        return at
    if value is None and columns.time is None:
        detail = f"{where} has no “observed_at”: say with --time-column which column holds the time."
    elif value is None:
        detail = f"{where} has no time."
    elif parsed_time(value, UTC) is not None:
        detail = f"{where}: “{value}” names no zone; say with --time-zone in which it is."
    else:
        detail = f"{where}: “{str(value)[:40]}” is no time; expected such as 2017-04-18T22:31:40-05:00."
    raise Invalid(detail, code="positions.time")


def _status_of(feature: JsonObject, before: Status) -> Status:
    """What *feature* and those *before* it come to: a single one that is not for real makes the whole none."""
    stated = (feature.get("properties") or {}).get("status")
    return Status(stated) if before is Status.ACTUAL and stated in NOT_REAL else before


def _id_of(feature: JsonObject, where: str) -> str:
    id = feature.get("id")
    if id is None or id == "":
        raise Invalid(f"{where} has no id, so whose it is cannot be known.", code="positions.id")
    return str(id)


def _place_of(geometry: object, where: str) -> tuple[float, float]:
    if geometry is None:
        return np.nan, np.nan
    if not isinstance(geometry, dict) or geometry.get("type") != "Point":
        raise Invalid(f"{where} is no point.", code="positions.place")
    try:
        lng, lat = geometry["coordinates"][:2]
        return _degrees(lng), _degrees(lat)
    except (KeyError, TypeError, ValueError):
        detail = f"{where}: its longitude and latitude are not two numbers."
        raise Invalid(detail, code="positions.place") from None


def _degrees(value: object) -> float:
    """NaN for an empty cell; raises for what is neither empty nor a number."""
    if value is None:
        return np.nan
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError
    return float(value)


def _origin(path: Path) -> Origin:
    with path.open("rb") as file:
        return Origin(path.name, file_digest(file, "sha256").hexdigest()[:12])
