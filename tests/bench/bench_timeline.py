"""Gaps over time: a city's shifts, a day of moving units, and a day of real buses by neighbourhood from a file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime, timedelta

import numpy as np

from cop.planning.timeline_answers import as_json
from layers.hexes import Field, fill
from layers.planning.coverage import load
from layers.planning.model import Case, Row, Rule
from layers.planning.positions import timeline_of_positions
from layers.planning.spells import History, State, case_at, spells_of
from layers.planning.timeline import Window, timeline
from tests.bench import Bench, Figure, percentile, percentiles, timed
from tests.bench.bench_coverage import CITY, RESOLUTION, as_read, city
from tests.unit.planning_cases import AT, source
from tests.unit.test_planning_positions import AUSTIN, read_austin

DAY = Window.of(AT, AT + timedelta(days=1), timedelta(minutes=15))
HOURS = Window.of(AT, AT + timedelta(days=1), timedelta(hours=1))
UNITS, FIXES = 300, 148


def shifts() -> tuple[History, ...]:
    """900 units of the city, each on shift for some hours of the day, and its stations and districts all day."""
    random = np.random.default_rng(20261122)
    found = []
    for kind, features in city().items():
        for each in features if kind == "units" else ():
            begin = AT + timedelta(minutes=int(random.integers(-480, 1_200)))
            each["properties"] |= {
                "valid_from": begin.isoformat(),
                "valid_to": (begin + timedelta(hours=8)).isoformat(),
            }
        read = as_read(kind, features)
        states = tuple(State(row, AT - timedelta(days=1), None) for row in read.rows)
        found.append(History(source(kind, layer=read.layer, as_of=AT), states, None))
    return tuple(found)


def moving() -> tuple[History, ...]:
    """300 units that say where they are some 150 times a day, each time somewhere else: 44,400 positions."""
    random = np.random.default_rng(20261123)
    states = []
    for unit in range(UNITS):
        at = np.sort(random.integers(0, 86_400_000_000, FIXES))
        steps = np.cumsum(random.normal(0, 0.003, (FIXES, 2)), axis=0) + random.uniform(
            (-87.85, 41.72), (-87.6, 41.95)
        )
        times = [AT + timedelta(microseconds=int(each)) for each in at]
        ends: list[datetime | None] = [*times[1:], None]
        states += [
            State(Row(f"u{unit}", '{"status":"available"}', when, lng, lat, None), when, end)
            for when, end, (lng, lat) in zip(times, ends, steps.tolist(), strict=True)
        ]
    return (History(source("units", reach_m=1_000.0, stale_after_s=600), tuple(states), None),)


def bench_shifts(bench: Bench) -> Iterator[Figure]:
    """A day of shifts in a city, in quarter hours: the whole answer, its sweep, and analysing each step by itself."""
    case, histories = Case(CITY, RESOLUTION, Rule(2), (), AT), shifts()
    field = Field(fill(CITY, RESOLUTION))
    spells = spells_of(histories, field, case, DAY)
    bench.say(f"{field.size:,} cells, {len(spells):,} spells, {len(DAY.steps)} steps")
    work = timed(lambda: as_json(case, histories, DAY, True, {}), repeats=7, warmups=1)
    yield from percentiles("timeline_answer_of_a_city", work, "ms", targets={50: 1_000.0})
    sweep = timed(lambda: timeline(field, spells, DAY, 2), repeats=10)
    yield from percentiles("timeline_sweep_of_a_city", sweep, "ms")
    one = timed(lambda: load(case_at(case, histories, AT)), repeats=7, warmups=1)
    each_alone = percentile(one, 50) * len(DAY.steps)
    yield Figure("timeline_ratio_each_step_alone", each_alone / percentile(work, 50), "×", "higher", 5.0)


def bench_moving(bench: Bench) -> Iterator[Figure]:
    """A day of 300 moving units, a spell for each of 44,400 positions: ground, steps, minutes."""
    case, histories = Case(CITY, RESOLUTION, Rule(), (), AT), moving()
    field = Field(fill(CITY, RESOLUTION))
    begun = time.perf_counter()
    spells = spells_of(histories, field, case, HOURS)
    yield Figure("timeline_moving_spells", (time.perf_counter() - begun) * 1e3, "ms", "lower", 5_000.0)
    steps = timed(lambda: timeline(field, spells, HOURS, exact=False), repeats=5, warmups=1)
    yield Figure("timeline_moving_steps", percentile(steps, 50), "ms", "lower")
    exact = timed(lambda: timeline(field, spells, HOURS), repeats=5, warmups=1)
    yield Figure("timeline_moving_exact", percentile(exact, 50), "ms", "lower", 2_000.0)


def bench_austin(bench: Bench) -> Iterator[Figure]:
    """70 neighbourhoods, 44,300 positions, every hour: from rows in memory."""
    if not AUSTIN.is_dir():
        bench.say("the real positions are not here: ../shared/data/austin")
        return
    zones, columns = read_austin()
    took = timed(
        lambda: timeline_of_positions(zones, **columns, reach_m=800, stale_after_s=300), repeats=5, warmups=1
    )
    yield Figure("timeline_austin_by_neighbourhood", percentile(took, 50), "ms", "lower", 2_000.0)
