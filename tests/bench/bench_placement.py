"""Where next: greedy and swap beside what HiGHS proves to be best, in one run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from h3.api import numpy_int as h3

from layers.hexes import Field, fill
from layers.hexes.ranges import Ranges
from layers.planning.placement import (
    Budget,
    Demand,
    MoveUp,
    Placement,
    candidates_at,
    expected_cover,
    free_candidates,
    full_cover,
    most_covered,
    move_up,
)
from tests.bench import Bench, Figure, percentile, timed
from tests.bench.bench_hexes import box

RESOLUTION = 9
SECONDS = 60.0
SEED = 20261124
CITY = (-88.0, 41.6, -87.5, 42.06)
"""Chicago and what is round it: 20,000 cells."""


def city(count: int = 500) -> tuple[Field, Demand, list[Ranges]]:
    """Stations that reach 1.5 to 4 km, denser towards the middle, and people by lognormal weights, denser there too."""
    random = np.random.default_rng(SEED)
    west, south, east, north = CITY
    field = Field(fill(box(*CITY), RESOLUTION))
    middle, spread = np.array([-87.7, 41.85]), np.array([0.12, 0.11])
    points = random.normal(middle, spread, (4 * count, 2))
    inside = ((points > (west, south)) & (points < (east, north))).all(axis=1)
    sites = candidates_at(field, points[inside][:count], random.uniform(1_500, 4_000, count))
    centres = np.array([h3.cell_to_latlng(cell) for cell in field.cells.tolist()])[:, ::-1]
    people = random.lognormal(0, 1, field.size) * np.exp(
        -np.square((centres - middle) / spread).sum(axis=1) / 4
    )
    return field, Demand(people, np.zeros(field.size, np.int32)), list(sites.spans)


def bench_most_covered(bench: Bench) -> Iterator[Figure]:
    """20 sites among 500 over 20,000 cells, from spans to the answer."""
    field, demand, sites = city()
    bench.say(
        f"{field.size:,} cells, {sum(int((s[:, 1] - s[:, 0]).sum()) for s in sites):,} reached by {len(sites)}"
    )
    yield from beside_highs(bench, "placement_most_covered", partial(most_covered, demand, sites, 20), 100)
    deep = Demand(demand.weight, field.depth(sites[:60]))
    ask = partial(most_covered, deep, sites[60:], 20, at_least=2)
    yield from beside_highs(bench, "placement_most_covered_twice", ask)


def bench_expected_cover(bench: Bench) -> Iterator[Figure]:
    """20 units at 500 posts, each busy three tenths of the time."""
    _, demand, sites = city()
    ask = partial(expected_cover, demand, sites, 20, 0.3)
    yield from beside_highs(bench, "placement_expected_cover", ask)


def bench_move_up(bench: Bench) -> Iterator[Figure]:
    """10 of 50 idle units to 450 posts."""
    field, demand, sites = city()
    demand = Demand(demand.weight, field.depth(sites[:50]))
    ask = partial(move_up, demand, sites[:50], sites[50:], 10)
    yield from beside_highs(bench, "placement_move_up", ask)


def bench_full_cover(bench: Bench) -> Iterator[Figure]:
    """The fewest of 500 for all that they can cover."""
    _, demand, sites = city()
    ask = partial(full_cover, demand, sites)
    yield from (Figure("placement_full_cover", min(timed(partial(ask, prove=False))), "ms", "lower"),)
    quick, proven = ask(prove=False), ask(budget=Budget(SECONDS))
    bench.say(f"full cover: {len(quick.sites)} by greedy, {len(proven.sites)} by HiGHS: {proven.proof}")
    yield Figure("placement_full_cover_sites_over_highs", len(quick.sites) / len(proven.sites), "x", "lower")
    yield Figure("placement_full_cover_proven", proven.proof.seconds, "s", "lower")


def bench_candidates(bench: Bench) -> Iterator[Figure]:
    """Free candidates of a city with the ground of each."""
    field, _, _ = city(1)
    ask = partial(free_candidates, field, 7, 3_000)
    bench.say(f"{len(ask().spans)} candidates")
    yield Figure("placement_free_candidates", min(timed(ask)), "ms", "lower")


def beside_highs(
    bench: Bench, name: str, ask: Callable[..., Placement | MoveUp], target_ms: float | None = None
) -> Iterator[Figure]:
    """Milliseconds without a proof, and what share it gains of the most that HiGHS leaves possible."""
    taken = timed(partial(ask, prove=False))
    yield Figure(f"{name}_p50", percentile(taken, 50), "ms", "lower", target_ms)
    quick, proven = ask(prove=False), ask(budget=Budget(SECONDS))
    bench.say(f"{name}: {quick.after / quick.total:.4f} of {quick.total:,.0f}, known to be within "
              f"{quick.proof.gap:.2%}; then {proven.proof}")  # fmt: skip
    # Of the bound, which nothing exceeds: at least that share of the optimum, whether or not HiGHS got there in time.
    share = (quick.after - quick.before) / (proven.proof.bound - proven.before)
    yield Figure(f"{name}_share_of_optimum", share, "", "higher", 0.99 if target_ms else None)
    yield Figure(f"{name}_proven_gap", proven.proof.gap, "", "lower")
    yield Figure(f"{name}_proven", proven.proof.seconds, "s", "lower")
