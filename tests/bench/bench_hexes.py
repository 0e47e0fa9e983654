"""Sets of cells: gap and overlap beside shapely and cell sets, fill beside the bare library; all in one run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import shapely
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes import Hexes, depth, fill, fills
from tests.bench import Bench, Figure, timed

RESOLUTION = 9
AREA = (-91.1, 36.5, -84.2, 42.1)
"""Illinois and Indiana, 3.6 million cells."""


def box(west: float, south: float, east: float, north: float) -> dict[str, Any]:
    """A GeoJSON box."""
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {"type": "Polygon", "coordinates": [ring]}


def coverages(count: int = 1_000) -> list[dict[str, Any]]:
    """Lobed polygons of 64 corners, as isochrones are, reaching 10 to 30 km, over the whole area."""
    random = np.random.default_rng(20261122)
    west, south, east, north = AREA
    found = []
    for _ in range(count):
        lng, lat, size = random.uniform(west, east), random.uniform(south, north), random.uniform(0.1, 0.27)
        turns = np.linspace(0, 2 * np.pi, 64, endpoint=False)
        radii = size * (0.85 + 0.15 * np.cos(turns * random.integers(2, 7) + random.uniform(0, 6)))
        ring = np.column_stack((lng + radii * np.cos(turns) * 1.3, lat + radii * np.sin(turns))).tolist()
        found.append({"type": "Polygon", "coordinates": [[*ring, ring[0]]]})
    return found


def best(action: Callable[[], object], *, repeats: int = 30, warmups: int = 3) -> float:
    """Milliseconds of the quickest of several calls: what the work takes when nobody else wants the processor."""
    return min(timed(action, repeats=repeats, warmups=warmups))


def once(action: Callable[[], Any]) -> tuple[float, Any]:
    """Milliseconds of one call, and its result: for what takes seconds."""
    begun = time.perf_counter()
    result = action()
    return (time.perf_counter() - begun) * 1e3, result


def gap_and_overlap(area: Hexes, covers: list[Hexes]) -> tuple[Hexes, Hexes]:
    """What the analysis asks of the hexes."""
    depths = depth(covers, RESOLUTION)
    return area - depths.at_least(1), depths.at_least(2) & area


def by_shapely(area: Any, polygons: list[Any]) -> Any:
    """The gap only: shapely counts no depth."""
    return shapely.difference(area, shapely.union_all(polygons))


def by_ids(area: NDArray[np.uint64], covers: list[NDArray[np.uint64]]) -> tuple[Any, Any]:
    """Arrays of cell ids."""
    ids, counts = np.unique(np.concatenate(covers), return_counts=True)
    return np.setdiff1d(area, ids, assume_unique=True), np.intersect1d(
        area, ids[counts > 1], assume_unique=True
    )


def by_sets(area: set[int], covers: list[list[int]]) -> tuple[set[int], set[int]]:
    """Python's own."""
    counts: Counter[int] = Counter()
    for cells in covers:
        counts.update(cells)
    return area - counts.keys(), {cell for cell, count in counts.items() if count > 1} & area


def bench_gap(bench: Bench) -> Iterator[Figure]:
    """Gap and overlap of 1,000 coverages within 3.6 million cells."""
    polygons = coverages()
    area = fill(box(*AREA), RESOLUTION)
    covers = [fill(polygon, RESOLUTION) for polygon in polygons]
    ours = best(lambda: gap_and_overlap(area, covers), repeats=60)
    bench.say(f"{area.count:,} cells of area, {sum(c.count for c in covers):,} of coverage in "
              f"{sum(len(c.ranges) for c in covers):,} ranges")  # fmt: skip
    gap, overlap = gap_and_overlap(area, covers)
    yield Figure("hexes_gap_and_overlap", ours, "ms", "lower", 25)

    shapes = [shapely.geometry.shape(polygon) for polygon in polygons]
    theirs = best(lambda: by_shapely(shapely.box(*AREA), shapes), repeats=10, warmups=1)
    yield Figure("hexes_gap_faster_than_shapely", theirs / ours, "x", "higher", 5)

    ids = [cover.cells() for cover in covers]
    theirs, (gap_ids, overlap_ids) = once(lambda: by_ids(area.cells(), ids))
    assert (gap_ids == gap.cells()).all()
    assert (overlap_ids == overlap.cells()).all()
    yield Figure("hexes_gap_faster_than_numpy_ids", theirs / ours, "x", "higher", 100)

    lists, whole = [each.tolist() for each in ids], set(area)
    theirs, (gap_set, overlap_set) = once(lambda: by_sets(whole, lists))
    assert (len(gap_set), len(overlap_set)) == (gap.count, overlap.count)
    yield Figure("hexes_gap_faster_than_python_sets", theirs / ours, "x", "higher", 100)


def bench_cold(bench: Bench) -> Iterator[Figure]:
    """The same from polygons, fills included."""
    polygons = coverages()

    def cold() -> object:
        area, *covers = fills([box(*AREA), *polygons], RESOLUTION)
        return gap_and_overlap(area, covers)

    yield Figure("hexes_gap_and_overlap_cold", best(cold, repeats=10, warmups=1), "ms", "lower", 400)


def bench_fill(bench: Bench) -> Iterator[Figure]:
    """Fills of a state, a city and a block, beside the bare library: the same cells."""
    star = coverages(1)[0]
    for name, polygon, resolution in (
        ("state", box(*AREA), RESOLUTION),
        ("county", star, RESOLUTION),
        ("city", box(-87.94, 41.64, -87.52, 42.03), RESOLUTION),
        ("block", box(-87.64, 41.87, -87.62, 41.89), RESOLUTION),
    ):
        shape = h3.geo_to_h3shape(polygon)

        bare = partial(h3.h3shape_to_cells_experimental, shape, resolution, contain="center")
        assert fill(polygon, resolution) == Hexes.from_cells(bare())
        ours = best(partial(fill, polygon, resolution))
        theirs = best(bare)
        bench.say(f"fill of a {name}: {ours:.2f} ms, the bare library {theirs:.2f} ms")
        yield Figure(f"hexes_fill_{name}_over_bare_library", ours / theirs, "x", "lower", 3)


def bench_area(bench: Bench) -> Iterator[Figure]:
    """The area of 3.6 million cells, warm and with nothing remembered, and how far it is off."""
    from layers.hexes.area import _area_km2

    hexes = fill(box(*AREA), RESOLUTION)

    def cold() -> float:
        _area_km2.cache_clear()
        return Hexes(hexes.resolution, hexes.ranges).area_km2

    yield Figure("hexes_area_cold", best(cold, repeats=5), "ms", "lower")
    warm = best(lambda: Hexes(hexes.resolution, hexes.ranges).area_km2)
    yield Figure("hexes_area_warm", warm, "ms", "lower")
    exact = sum(map(h3.cell_area, hexes.cells().tolist()))
    yield Figure("hexes_area_relative_error", abs(hexes.area_km2 / exact - 1), "", "lower", 5e-5)


def bench_parts(bench: Bench) -> Iterator[Figure]:
    """Separate gaps and outlines of the gap in a city."""
    from layers.hexes import disks, outlines, patches

    random = np.random.default_rng(9)
    places = np.column_stack((random.uniform(-87.94, -87.52, 900), random.uniform(41.64, 42.03, 900)))
    radii = random.uniform(500, 3_000, 900)
    yield Figure("hexes_900_disks", best(lambda: disks(places, radii, RESOLUTION)), "ms", "lower")
    covers = disks(places[:150], radii[:150], RESOLUTION)
    gap, _ = gap_and_overlap(fill(box(-87.94, 41.64, -87.52, 42.03), RESOLUTION), covers)
    bench.say(f"{gap.count:,} cells of gap in {len(patches(gap))} pieces")
    yield Figure("hexes_patches", best(lambda: patches(gap)), "ms", "lower")
    yield Figure("hexes_outlines", best(lambda: outlines(gap)), "ms", "lower")
