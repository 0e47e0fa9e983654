"""Seventy neighbourhoods in one question, the people on two million cells, and what leaves as a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from uuid import UUID

import numpy as np

from cop.planning import forms, zoning
from cop.planning.desk import Loaded
from layers.hexes import Field, fill
from layers.hexes.ranges import integers
from layers.model import Status
from layers.planning.cell_rows import CellRows, as_csv
from layers.planning.coverage import Coverage, load
from layers.planning.jurisdictions import jurisdictions
from layers.planning.model import Case, CellValues, Rule, Weights, Zone
from layers.planning.weights import narrowed, weigh
from tests.bench import Figure, percentile, timed
from tests.bench.bench_coverage import CITY, RESOLUTION, as_read, city
from tests.bench.bench_hexes import box
from tests.unit.planning_cases import AT

STATED = {"status": Status.ACTUAL}


def neighbourhoods() -> tuple[Zone, ...]:
    """The city in 70 zones, ten by seven."""
    across, up = 0.42 / 10, 0.39 / 7
    corners = [(-87.94 + n % 10 * across, 41.64 + n // 10 * up) for n in range(70)]
    return tuple(
        Zone(f"z{n}", f"Zone {n}", box(west, south, west + across, south + up))
        for n, (west, south) in enumerate(corners)
    )


def case_of_the_city() -> Case:
    """900 units, 100 stations and 20 districts, asked for twofold cover."""
    return Case(CITY, RESOLUTION, Rule(2), tuple(as_read(kind, found) for kind, found in city().items()), AT)


def table(cells: int) -> CellValues:
    """So many cells of resolution 10 in and around the city, with a number each."""
    ranks = integers(fill(box(-89.5, 40.5, -86.0, 43.2), 10).ranges)[:cells]
    return CellValues(10, ranks, np.random.default_rng(20261122).integers(0, 100, len(ranks)).astype(float))


def bench_zones() -> Iterator[Figure]:
    """All zones off one coverage, against an analysis for each; and the whole work of the question."""
    zones, case = neighbourhoods(), case_of_the_city()
    found, _ = load(replace(case, zones=zones))
    together = percentile(timed(lambda: jurisdictions(found, zones, None)), 50)

    def one_by_one() -> None:
        for zone in zones:
            alone = replace(case, area=zone.geometry)
            jurisdictions(load(alone)[0], [zone], None)

    def work() -> bytes:
        zoned = replace(case, zones=zones)
        return zoning.as_json(Loaded(UUID(int=1), zoned, *load(zoned)), dict(STATED), None)

    whole = percentile(timed(work, repeats=5, warmups=1), 50)
    each = percentile(timed(one_by_one, repeats=3, warmups=1), 50)
    yield Figure("zones_70_of_a_loaded_city", together, "ms", "lower")
    yield Figure("zones_70_of_a_city_with_all_its_work", whole, "ms", "lower")
    yield Figure("zones_70_each_by_itself_over_together", each / whole, "ratio", "higher", 5.0)


def bench_weights() -> Iterator[Figure]:
    """A table of two million cells: read, kept to a city, and put on its cells."""
    values = table(2_000_000)
    text = as_csv(values)
    begun = time.perf_counter()
    rows, at = CellRows(), 0
    while at < len(text):
        end = text.rfind(b"\n", at, at + 1_000_000)
        rows.take(text[at:end])
        at = end + 1
    assert len(rows.finish().ranks) == len(values.ranks)
    yield Figure("weights_2m_rows_read", time.perf_counter() - begun, "s", "lower")
    field = Field(fill(CITY, RESOLUTION))
    near = percentile(timed(lambda: narrowed(values, field.area)), 50)
    yield Figure("weights_2m_cells_kept_to_a_city", near, "ms", "lower")
    given, elsewhere = narrowed(values, field.area)
    weighing = percentile(timed(lambda: weigh(Weights("people", given, elsewhere), field)), 50)
    yield Figure("weights_of_a_city_on_its_cells", weighing, "ms", "lower")


def bench_forms() -> Iterator[Figure]:
    """What each form of a loaded city's answer takes."""
    case = case_of_the_city()
    loaded = Loaded(UUID(int=1), case, *load(case))
    for form in (forms.Form.JSON, forms.Form.GEOJSON, forms.Form.CSV, forms.Form.GPKG, forms.Form.PARQUET):
        write = forms.ANALYSIS[form]
        took = timed(lambda write=write: write(loaded, dict(STATED)), repeats=7, warmups=2)  # type: ignore[misc]
        yield Figure(f"coverage_as_{form}", percentile(took, 50), "ms", "lower")
    million = Field(fill(box(-88.6, 41.0, -87.0, 42.5), 10))
    large = Loaded(UUID(int=2), case, Coverage.of(million, ()), ())
    begun = time.perf_counter()
    size = len(forms.as_csv(large, STATED))
    yield Figure("coverage_csv_rows", million.size / (time.perf_counter() - begun), "rows/s", "higher")
    yield Figure("coverage_csv_bytes_per_row", size / million.size, "B", "lower")
