"""Small placement cases, and every way to answer them: the oracle of the tests of `layers.planning.placement`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, combinations_with_replacement
from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from layers.hexes import Field, disk, disks, spans_of
from layers.hexes.ranges import Ranges
from layers.planning.placement import Demand

WEIGHTS = st.sampled_from([0.0, 0.5, 1.0, 1.0, 2.0, 7.25])


class Small(NamedTuple):
    """Few cells and few sites, at random: not even connected."""

    weight: NDArray[np.float64]
    depth: NDArray[np.int32]
    masks: NDArray[np.bool_]
    """Sites × cells."""

    @property
    def demand(self) -> Demand:
        return Demand(self.weight, self.depth)

    @property
    def sites(self) -> list[Ranges]:
        return [spans_of(mask) for mask in self.masks]

    def covered(self, depth: NDArray[np.int32], at_least: int) -> float:
        return float(self.weight[depth >= at_least].sum())

    def depths(self, n: int, *, repeat: bool = False) -> Iterator[NDArray[np.int32]]:
        """The depth of every choice of *n* sites or fewer."""
        choose = combinations_with_replacement if repeat else combinations
        for count in range(n + 1):
            for chosen in choose(range(len(self.masks)), count):
                yield self.depth + self.masks[list(chosen)].sum(axis=0, dtype=np.int32)


@st.composite
def small(draw: st.DrawFn, *, sites: int = 7, deepest: int = 2) -> Small:
    cells, count = draw(st.integers(1, 14)), draw(st.integers(1, sites))
    some = st.lists(st.booleans(), min_size=cells, max_size=cells)
    return Small(
        np.array(draw(st.lists(WEIGHTS, min_size=cells, max_size=cells))),
        np.array(draw(st.lists(st.integers(0, deepest), min_size=cells, max_size=cells)), np.int32),
        np.array(draw(st.lists(some, min_size=count, max_size=count))),
    )


def city(seed: int, count: int, radius_m: float = 12_000) -> tuple[Field, Demand, list[Ranges]]:
    """Disks of 1 to 4 km over a round city, with lognormal weights."""
    random = np.random.default_rng(seed)
    field = Field(disk(-97.74, 30.27, radius_m, 8))
    points = np.column_stack((random.normal(-97.74, 0.07, count), random.normal(30.27, 0.06, count)))
    made = disks(points, random.uniform(1_000, 4_000, count), 8)
    weight = random.lognormal(0, 1, field.size)
    return field, Demand(weight, np.zeros(field.size, np.int32)), [field.spans(each) for each in made]
