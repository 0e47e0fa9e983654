"""The ground below a briefing's hexes: water, land, borders and main roads out of the page's own basemap files."""

from __future__ import annotations

import gzip
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import shapely

from layers.model import BBox

EXTENT = 4096
MOST_TILES = 16
"""Tiles that are read of each file: the zoom is chosen so that no more are needed."""
KEPT_TILES = 64
"""Read before, and likely to be asked for again: decoding one takes up to a second, and it is some 2 MB."""
CITY, WORLD = "chicago.pmtiles", "world.pmtiles"
MAIN_ROADS = frozenset({"motorway", "trunk", "primary", "secondary"})
_TAKEN: Mapping[str, Mapping[str, str]] = {
    CITY: {"water": "water", "road": "roads"},
    WORLD: {
        "land": "land",
        "lakes": "water",
        "borders": "borders",
        "states": "borders",
        "counties": "borders",
    },
}
"""Which layer of which file is drawn as what."""
Shape = tuple[str, Any]
"""As what it is drawn, and a shape in WGS 84."""


@dataclass(frozen=True, slots=True)
class Basemap:
    """Shapes in WGS 84, clipped to the box that was asked for; none where there is no file."""

    land: tuple[Any, ...] = ()
    water: tuple[Any, ...] = ()
    borders: tuple[Any, ...] = ()
    roads: tuple[Any, ...] = ()


def read_basemap(folder: Path | None, box: BBox) -> Basemap:
    """What the basemap files in *folder* show of *box* (west ≤ east)."""
    found: dict[str, list[Any]] = {"land": [], "water": [], "borders": [], "roads": []}
    if folder is not None:
        for name in _TAKEN:
            if (folder / name).exists():
                for part, shape in _shapes(folder / name, box):
                    found[part].append(shape)
    merged = {part: _clipped(shapes, box) for part, shapes in found.items()}
    return Basemap(**merged)


def _clipped(shapes: list[Any], box: BBox) -> tuple[Any, ...]:
    if not shapes:
        return ()
    whole = shapely.clip_by_rect(shapely.union_all(shapes, grid_size=1e-6), *box)
    return tuple(part for part in shapely.get_parts(whole) if not part.is_empty)


def _shapes(path: Path, box: BBox) -> Iterator[Shape]:
    from pmtiles.reader import MmapSource, Reader

    changed_ns = path.stat().st_mtime_ns
    with path.open("rb") as file:
        header = Reader(MmapSource(file)).header()  # type: ignore[no-untyped-call]  # pmtiles has no types
    for zoom, x, y in _tiles(box, header["min_zoom"], header["max_zoom"]):
        yield from _tile(path, changed_ns, zoom, x, y)


@lru_cache(maxsize=KEPT_TILES)
def _tile(path: Path, changed_ns: int, zoom: int, x: int, y: int) -> tuple[Shape, ...]:
    """What a tile of the file has to be drawn, as long as the file is the one that was last changed then."""
    import mapbox_vector_tile
    from pmtiles.reader import MmapSource, Reader

    with path.open("rb") as file:
        packed = Reader(MmapSource(file)).get(zoom, x, y)  # type: ignore[no-untyped-call]
    if packed is None:
        return ()
    layers = mapbox_vector_tile.decode(gzip.decompress(packed), default_options={"y_coord_down": True})
    return tuple(
        (part, _placed(feature["geometry"], zoom, x, y))
        for layer, part in _TAKEN[path.name].items()
        for feature in layers.get(layer, {}).get("features", ())
        if layer != "road" or feature["properties"].get("class") in MAIN_ROADS
    )


def _placed(geometry: Any, zoom: int, x: int, y: int) -> Any:
    shape = shapely.make_valid(shapely.geometry.shape(geometry))
    cut = shapely.intersection(shape, shapely.box(0, 0, EXTENT, EXTENT))
    return shapely.transform(cut, partial(_degrees, zoom, x, y))


def _tiles(box: BBox, least: int, most: int) -> list[tuple[int, int, int]]:
    """The tiles of the finest zoom that needs no more than MOST_TILES of them; the coarsest one if all need more."""
    for zoom in range(most, least - 1, -1):
        west, south, east, north = box
        left, top = _tile_at(west, north, zoom)
        right, bottom = _tile_at(east, south, zoom)
        if (right - left + 1) * (bottom - top + 1) <= MOST_TILES or zoom == least:
            across, down = range(left, right + 1), range(top, bottom + 1)
            return [(zoom, x, y) for x in across for y in down][: MOST_TILES * 4]
    return []


def _tile_at(lng: float, lat: float, zoom: int) -> tuple[int, int]:
    side = 2**zoom
    lat = math.radians(max(min(lat, 85.05), -85.05))
    x = (lng + 180) / 360 * side
    y = (1 - math.asinh(math.tan(lat)) / math.pi) / 2 * side
    return min(max(int(x), 0), side - 1), min(max(int(y), 0), side - 1)


def _degrees(zoom: int, x: int, y: int, steps: Any) -> Any:
    """Steps within a tile to longitude and latitude (inverse Web Mercator)."""
    across = (steps / EXTENT + np.array([x, y])) / 2**zoom
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1 - 2 * across[:, 1]))))
    return np.column_stack((across[:, 0] * 360 - 180, lat))
