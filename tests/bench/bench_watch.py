"""A watched analysis of a city after one unit has moved, beside working it all out anew."""

from __future__ import annotations

import json
from collections.abc import Iterator

import numpy as np

from cop.planning import watch_work
from cop.planning.watch_work import News
from layers.model import FeatureId, LayerName
from layers.planning.coverage import load
from layers.planning.model import Case, Row, Rule
from tests.bench import Figure, percentiles, timed
from tests.bench.bench_coverage import AT, CITY, RESOLUTION, as_read, city

WATCH = 1
UNITS = LayerName("cfd.units")


def moved(number: int, random: np.random.Generator) -> Row:
    """A unit somewhere else."""
    lng, lat = random.uniform(-87.94, -87.52), random.uniform(41.64, 42.03)
    return Row(FeatureId(str(number)), json.dumps({"reach_m": 2_000}), AT, lng, lat, None)


def bench_watch() -> Iterator[Figure]:
    """From the change of one unit among 1,020 covers to the new gaps, each with its reasons and its polygon."""
    random = np.random.default_rng(20261124)
    sources = tuple(as_read(kind, found) for kind, found in city().items())
    case = Case(CITY, RESOLUTION, Rule(3), sources, AT)
    assert watch_work.begin(WATCH, case).gap_km2 > 0

    def one() -> object:
        row = moved(int(random.integers(900)), random)
        return watch_work.update(WATCH, [News(UNITS, (row,), ())], AT)

    took = timed(one, repeats=60)
    yield from percentiles("watch_after_one_unit_moved", took, "ms", targets={50: 20.0})
    anew = min(timed(lambda: load(case), repeats=5, warmups=1))
    yield Figure("watch_faster_than_anew", anew / sorted(took)[len(took) // 2], "x", "higher")
