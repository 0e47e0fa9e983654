"""Sets of cells: gap and overlap beside shapely, PostGIS, geopandas and cell sets, fill beside the bare library; all in
one run.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial, reduce
from typing import Any

import asyncpg
import geopandas
import numpy as np
import shapely
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.database import Database, driver
from layers.hexes import Field, Hexes, Spells, depth, disks, fill, fills, outlines, patches, union
from tests.bench import Bench, Figure, long, timed

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
    depths = depth(covers, area.resolution)
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


GAP = "SELECT ST_Difference((SELECT geometry FROM area), (SELECT ST_Union(geometry) FROM covers))"
OVERLAP = """
SELECT ST_Union(ST_Intersection(one.geometry, other.geometry))
FROM covers AS one JOIN covers AS other ON one.id < other.id AND ST_Intersects(one.geometry, other.geometry)
"""


async def by_postgis(raw: asyncpg.Connection, statement: str, *, repeats: int) -> float:
    """Milliseconds that the server takes for *statement*, on its own clock, the quickest of several runs."""
    plans = [await raw.fetchval(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}") for _ in range(repeats)]
    return float(min(plan[0]["Execution Time"] for plan in plans))


async def bench_postgis(bench: Bench) -> AsyncIterator[Figure]:
    """The gap, and the gap with the overlap, beside PostGIS, its polygons in temporary tables with an index."""
    polygons = coverages()
    area, *covers = fills([box(*AREA), *polygons], RESOLUTION)
    database = Database(await bench.fresh_database())
    async with database.connect() as connection:
        raw = await driver(connection)
        for table, shapes in (("area", [box(*AREA)]), ("covers", polygons)):
            await raw.execute(f"CREATE TEMP TABLE {table} (id serial, geometry geometry)")
            rows = [(json.dumps(shape),) for shape in shapes]
            await raw.executemany(f"INSERT INTO {table} (geometry) VALUES (ST_GeomFromGeoJSON($1))", rows)
        await raw.execute("CREATE INDEX ON covers USING gist (geometry)")
        await raw.execute("ANALYZE covers")
        theirs = await by_postgis(raw, GAP, repeats=5)
        ours = best(lambda: area - union(covers, RESOLUTION), repeats=60)
        bench.say(f"gap: PostGIS {theirs:.0f} ms, hexes {ours:.1f} ms")
        yield Figure("hexes_gap_faster_than_postgis", theirs / ours, "x", "higher", 20)
        theirs += await by_postgis(raw, OVERLAP, repeats=2)
        ours = best(lambda: gap_and_overlap(area, covers), repeats=60)
        bench.say(f"gap and overlap: PostGIS {theirs:.0f} ms, hexes {ours:.1f} ms")
        yield Figure("hexes_gap_and_overlap_faster_than_postgis", theirs / ours, "x", "higher", 100)
    await database.dispose()


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
    shapes = [h3.geo_to_h3shape(polygon) for polygon in polygons]
    theirs, bare = once(
        lambda: [h3.h3shape_to_cells_experimental(each, RESOLUTION, "center") for each in shapes]
    )
    ours = best(partial(fills, polygons, RESOLUTION), repeats=10)
    assert fills(polygons, RESOLUTION) == [Hexes.from_cells(cells) for cells in bare]
    yield Figure("hexes_1000_fills_faster_than_bare_library", theirs / ours, "x", "higher", 5)


def bench_large(bench: Bench) -> Iterator[Figure]:
    """Gap and overlap of coverages of 100 million cells, as ranges that a service holds: those of resolution 11."""
    area = fill(box(*AREA), 11, limit=10**9)
    covers, cells = [], 0
    for cover in fills(coverages(), 11):
        covers.append(cover)
        cells += cover.count
        if cells > 100_000_000:
            break
    bench.say(f"{cells:,} cells of {len(covers)} coverages in {sum(len(c.ranges) for c in covers):,} ranges, "
              f"{area.count:,} of area")  # fmt: skip
    ours = best(lambda: gap_and_overlap(area, covers), repeats=20)
    yield Figure("hexes_gap_and_overlap_of_100_million_cells", ours, "ms", "lower", 500)


def country(corners: int = 6_000) -> dict[str, Any]:
    """A polygon of about the size of France, 550,000 km², with a coast: bays within bays, from 300 km to 300 m."""
    random = np.random.default_rng(20261122)
    turns = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    waves = np.arange(3, 1_500)
    heights = 0.12 * random.normal(size=len(waves)) / waves**0.9
    radii = 3.8 * (1 + np.cos(turns[:, None] * waves + random.uniform(0, 6, len(waves))) @ heights)
    ring = np.column_stack((2.5 + radii * np.cos(turns) * 1.42, 46.6 + radii * np.sin(turns))).tolist()
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


GROWTH = """
import json, sys
from pathlib import Path
from layers.hexes import fill

def peak_kb():
    # Not getrusage, whose peak a new program inherits from the process that started it.
    return int(Path("/proc/self/status").read_text().partition("VmHWM:")[2].split()[0])

geometry, before = json.load(sys.stdin), peak_kb()
filled = fill(geometry, 10)
print(json.dumps([(peak_kb() - before) / 1024, filled.count, len(filled.ranges)]))
"""


def bench_memory(bench: Bench) -> Iterator[Figure]:
    """How far the memory of a process grows that fills a country at resolution 10, at its peak."""
    run = subprocess.run(
        [sys.executable, "-c", GROWTH],
        input=json.dumps(country()),
        capture_output=True,
        text=True,
        check=True,
    )
    megabytes, cells, ranges = json.loads(run.stdout)
    bench.say(f"a country: {cells:,} cells in {ranges:,} ranges")
    yield Figure("hexes_fill_country_peak_memory", megabytes, "MB", "lower", 500)
    yield Figure(
        "hexes_fill_country", best(partial(fill, country(), 10), repeats=5, warmups=1), "ms", "lower"
    )


def by_overlay(layers: list[dict[str, Any]]) -> geopandas.GeoDataFrame:
    """The union overlay of layers one after another, as replication papers of discrete global grids do it."""
    frames = [
        geopandas.GeoDataFrame({f"layer_{n}": [1]}, geometry=[shapely.geometry.shape(each)], crs=4326)
        for n, each in enumerate(layers)
    ]
    return reduce(partial(geopandas.overlay, how="union", keep_geom_type=True), frames)


@long
def bench_overlay(bench: Bench) -> Iterator[Figure]:
    """Depth of 50 layers over one county, fills included, beside the union overlay of geopandas."""
    layers = [shifted(polygon, n) for n, polygon in enumerate(coverages(50))]

    def pieces() -> Any:
        return depth(fills(layers, RESOLUTION), RESOLUTION).pieces()

    ranges, counts = pieces()
    theirs, overlaid = once(lambda: by_overlay(layers))
    flags = overlaid[[name for name in overlaid if name.startswith("layer_")]].notna().sum(axis=1)
    ground = overlaid.to_crs("ESRI:54034").area / 1e6
    most = int(flags.max())
    bench.say(
        f"{len(overlaid):,} polygons up to {most} deep; {len(ranges):,} pieces up to {counts.max()} deep"
    )
    for deep in (1, 5, 10, 20):
        ours_km2 = Hexes(RESOLUTION, ranges[counts >= deep]).area_km2
        assert abs(ours_km2 / ground[flags >= deep].sum() - 1) < 0.01
    yield Figure(
        "hexes_depth_of_50_layers_faster_than_geopandas", theirs / best(pieces, repeats=5), "x", "higher", 20
    )


def shifted(polygon: dict[str, Any], number: int) -> dict[str, Any]:
    """The coverage moved into one county of half a degree, where 50 of them lie across one another."""
    random = np.random.default_rng(number)
    ring = np.array(polygon["coordinates"][0])
    ring += random.uniform((-87.85, 41.55), (-87.35, 42.05)) - ring.mean(axis=0)
    return {"type": "Polygon", "coordinates": [ring.tolist()]}


def bench_spells(bench: Bench) -> Iterator[Figure]:
    """For how long each cell of a city is uncovered in a day of quarter hours, with 900 units on shift."""
    random = np.random.default_rng(9)
    places = np.column_stack((random.uniform(-87.94, -87.52, 900), random.uniform(41.64, 42.03, 900)))
    covers = disks(places, random.uniform(500, 3_000, 900), RESOLUTION)
    starts = random.integers(0, 96, 900)
    ends = np.minimum(starts + random.integers(1, 48, 900), 96)
    shifts = list(zip(starts.tolist(), ends.tolist(), covers, strict=True))
    city = fill(box(-87.94, 41.64, -87.52, 42.03), RESOLUTION)

    def uncovered() -> Any:
        return Spells.of(Field(city), shifts).over(0, 96).uncovered

    def each_instant() -> Any:
        total = Counter[int]()
        for instant in range(96):
            holding = [hexes for start, end, hexes in shifts if start <= instant < end]
            total.update((city - depth(holding, RESOLUTION).at_least(1)).cells().tolist())
        return [total[cell] for cell in city]

    ours = best(uncovered)
    theirs, expected = once(each_instant)
    assert uncovered().tolist() == expected
    bench.say(f"{city.count:,} cells, {len(shifts)} spells, 96 instants")
    yield Figure("hexes_time_uncovered_of_a_day", ours, "ms", "lower", 100)
    yield Figure("hexes_time_uncovered_faster_than_each_instant", theirs / ours, "x", "higher", 4)


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
    random = np.random.default_rng(9)
    places = np.column_stack((random.uniform(-87.94, -87.52, 900), random.uniform(41.64, 42.03, 900)))
    radii = random.uniform(500, 3_000, 900)
    yield Figure("hexes_900_disks", best(lambda: disks(places, radii, RESOLUTION)), "ms", "lower")
    covers = disks(places[:150], radii[:150], RESOLUTION)
    gap, _ = gap_and_overlap(fill(box(-87.94, 41.64, -87.52, 42.03), RESOLUTION), covers)
    bench.say(f"{gap.count:,} cells of gap in {len(patches(gap))} pieces")
    yield Figure("hexes_patches", best(lambda: patches(gap)), "ms", "lower")
    yield Figure("hexes_outlines", best(lambda: outlines(gap)), "ms", "lower")
