"""What may be counted of a layer that is shared generalized: its features by cells of a kilometre, and nobody's name.

A feature is first made coarse and only then looked at: whatever is asked, filtered or measured afterwards can tell no
more than its coarse self. Pure.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

import orjson
import shapely
from h3.api import basic_str as h3

from layers.hexes import Hexes, fill
from layers.model import FeatureId
from layers.planning.judging import CAPABILITIES
from layers.planning.model import Row, Source

RESOLUTION = 8
"""Cells of 0.7 km², a good kilometre from corner to corner."""
MARGIN_M = 5_000.0
"""Farther than anything is moved by being made coarse: so far beyond what is asked about features are read."""
KEPT = frozenset({*CAPABILITIES, "status", "reach_m", "valid_from", "valid_to"})
"""The properties that decide whether and how far a feature covers; nothing else of it is to be known."""


def generalized(source: Source, area: Hexes, sides: Sequence[Sequence[float]]) -> Source:
    """*source*, of which more was read than is asked about, with each feature made coarse.

    What stands somewhere goes to the middle of its cell; coverage becomes the cells whose middle it holds. A feature is
    called after its cell, with a number where there are several. Left out is what then stands in none of the boxes
    *sides* (wests, souths, easts and norths), and coverage that then has nothing of *area*.
    """
    rows = []
    for row in source.rows:
        cell = _cell_of(row)
        if cell is None:
            continue
        coarse = Row(FeatureId(cell), _kept(row.properties), row.observed_at, None, None, None)
        if source.kind == "coverage" and row.shape is not None:
            hexes = _at(fill(json.loads(row.shape), RESOLUTION), area.resolution)
            if hexes.touches(area):
                rows.append(coarse._replace(shape=_outline(cell), stored=hexes.pack()))
            continue
        lat, lng = h3.cell_to_latlng(cell)
        if any(
            west <= lng <= east and south <= lat <= north
            for west, south, east, north in zip(*sides, strict=True)
        ):
            rows.append(coarse._replace(lng=lng, lat=lat))
    return replace(source, rows=tuple(sorted(_numbered(rows), key=lambda row: row.id)), generalized=True)


def _numbered(rows: Iterable[Row]) -> Iterator[Row]:
    """*rows*, which are called after their cells, told apart by a number that depends on nothing but what is kept."""
    taken: Counter[str] = Counter()
    for row in sorted(rows, key=lambda row: (row.id, row.properties, row.observed_at, row.stored or b"")):
        taken[row.id] += 1
        yield row._replace(id=FeatureId(f"{row.id}.{taken[row.id]}"))


def _cell_of(row: Row) -> str | None:
    """The cell of the place that counts as the feature's; None where it has none."""
    if row.shape is not None:
        middle = shapely.from_geojson(row.shape).envelope.centroid
        lng, lat = middle.x, middle.y
    elif row.lng is None or row.lat is None:
        return None
    else:
        lng, lat = row.lng, row.lat
    cell: str = h3.latlng_to_cell(lat, lng, RESOLUTION)
    return cell


def _at(hexes: Hexes, resolution: int) -> Hexes:
    return hexes.to_resolution(resolution) if resolution > RESOLUTION else hexes.by_center(resolution)


def _outline(cell: str) -> str:
    corners = [[lng, lat] for lat, lng in h3.cell_to_boundary(cell)]
    return json.dumps({"type": "Polygon", "coordinates": [[*corners, corners[0]]]})


def _kept(properties: str) -> str:
    members = json.loads(properties)
    kept = {name: members[name] for name in members if name in KEPT}
    return orjson.dumps(kept, option=orjson.OPT_SORT_KEYS).decode()
