"""Which ground is covered, by whom, how often, and where nobody is: the analysis, and what is stored for it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from layers.errors import Invalid, TooLarge
from layers.hexes import Hexes, HexesError, TooManyCells, disk, fill
from layers.model import LayerRules

COVERING = frozenset({"assets", "coverage"})
"""Kinds whose features' hexes are stored at write. Units cover ground too, but move: theirs are made when asked for."""
MAX_STORED_CELLS = 10_000_000
"""Cells that one feature may cover: a fill of some 0.2 s. About a million km² at resolution 9."""


def coverage_of(
    kind: str, geometry: Mapping[str, Any], properties: Mapping[str, Any], rules: LayerRules
) -> bytes | None:
    """The hexes that a feature covers, packed, at the layer's resolution; None if it covers no ground.

    *geometry* is the GeoJSON geometry as it is placed (in range, split at the antimeridian). Raises `TooLarge`
    (`h3.too_many_cells`) for more than MAX_STORED_CELLS.
    """
    with _hexes_errors():
        covered = _ground(kind, geometry, properties, rules, rules.resolution)
    return None if covered is None else covered.pack()


def reach_of(properties: Mapping[str, Any], rules: LayerRules) -> float | None:
    """How far a feature reaches in metres: its own `reach_m`, else the layer's; None if neither says."""
    reach_m = properties.get("reach_m")
    return rules.reach_m if reach_m is None else float(reach_m)


def _ground(
    kind: str, geometry: Mapping[str, Any], properties: Mapping[str, Any], rules: LayerRules, resolution: int
) -> Hexes | None:
    """`coverage` covers its polygon; what has a reach, the disk round it, and a site with walls its own ground too."""
    if kind == "coverage":
        return fill(geometry, resolution, limit=MAX_STORED_CELLS)
    reach_m = reach_of(properties, rules)
    if kind not in ("assets", "units") or reach_m is None:
        return None
    lng, lat = center_of(geometry)
    around = disk(lng, lat, reach_m, resolution)
    return (
        around if geometry["type"] == "Point" else around | fill(geometry, resolution, limit=MAX_STORED_CELLS)
    )


def center_of(geometry: Mapping[str, Any]) -> tuple[float, float]:
    """A Point's longitude and latitude; of a Polygon or MultiPolygon the middle of its first ring's box."""
    coordinates = geometry["coordinates"]
    if geometry["type"] == "Point":
        return coordinates[0], coordinates[1]
    ring = coordinates[0] if geometry["type"] == "Polygon" else coordinates[0][0]
    lngs, lats = [position[0] for position in ring], [position[1] for position in ring]
    return (min(lngs) + max(lngs)) / 2, (min(lats) + max(lats)) / 2


@contextmanager
def _hexes_errors() -> Iterator[None]:
    """What `hexes` refuses, as errors of the domain: it knows none, so that it can stand alone."""
    try:
        yield
    except TooManyCells as error:
        raise TooLarge(str(error), code=error.code) from None
    except HexesError as error:
        raise Invalid(str(error), code=error.code) from None
