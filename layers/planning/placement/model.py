"""The words of placement as types: demand, sites, the answers, how far each is proven, and the limits."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from layers.errors import Invalid, TooLarge
from layers.hexes.field import Counts
from layers.hexes.ranges import Ranges

MAX_CANDIDATES = 10_000
"""Sites, or posts, to choose from."""
MAX_SITES = 1_000
"""Sites to put, units to choose from, and moves."""
MAX_NONZEROS = 10_000_000
"""Cells in all sites together: 120 MB for the matrix, four times that while it is made. 500 disks of 3 km at resolution
9 have 120,000."""


class Ended(StrEnum):
    """Why a search stopped."""

    OPTIMAL = "optimal"
    """Nothing better exists: the bound is reached, within 1e-6 of the gain."""
    SEARCHED = "searched"
    """No swap makes it better; a proof was not asked for, or would be too large (`exact.MAX_MODEL_NONZEROS`)."""
    DEADLINE = "deadline"
    CANCELLED = "cancelled"


class Solver(StrEnum):
    """What an answer, or the bound on it, is owed to."""

    SWAP = "greedy+swap"
    HIGHS = "highs"


@dataclass(frozen=True, eq=False, slots=True)
class Demand:
    """What there is to cover: a value for each place of a field. `Invalid` (`placement.demand`) for what is none."""

    weight: NDArray[np.float64]
    """What each cell counts for: km², people, incidents. 0 or more, finite."""
    depth: Counts
    """How many cover it already."""

    def __post_init__(self) -> None:
        weight, depth = self.weight, self.depth
        if weight.ndim != 1 or weight.shape != depth.shape:
            raise Invalid("Demand has a weight and a depth for every cell.", code="placement.demand")
        with np.errstate(over="ignore"):
            finite = bool(np.isfinite(weight.sum()))
        if not (finite and (weight >= 0).all() and (depth >= 0).all()):
            detail = "Weights are finite, also together, and no weight or depth is below 0."
            raise Invalid(detail, code="placement.demand")

    @property
    def total(self) -> float:
        """All of the weight."""
        return float(self.weight.sum())


@dataclass(frozen=True, slots=True)
class Proof:
    """How good an answer is known to be, and how it was come by."""

    solver: Solver
    bound: float
    """Nothing does better: no placement covers more than this, or none covers all with fewer sites."""
    gap: float
    """The share of what could be gained that may still be missing: 0 is optimal. For the fewest sites the share of
    them that may be too many, and 1 where time ran out before all was covered."""
    ended: Ended
    seconds: float


@dataclass(frozen=True, slots=True)
class Site:
    """A candidate that was chosen."""

    candidate: int
    units: int
    gain: float
    """Demand that it adds to the sites before it in the answer: gains add up to all that is gained. With `at_least`
    above 1 a site may add nothing until the next is there."""
    only: float
    """Demand that would be lost without it."""


@dataclass(frozen=True, eq=False, slots=True)
class Placement:
    """Where to put n: sites in the order in which to open them, the greatest gain first.

    Fewer than n where more would gain nothing.
    """

    sites: tuple[Site, ...]
    total: float
    before: float
    """Demand that is covered already; for expected cover, the demand expected to find a unit free."""
    after: float
    depth: Counts
    """How many cover each cell then."""
    proof: Proof


@dataclass(frozen=True, eq=False, slots=True)
class FullCover:
    """The fewest sites that cover all that any of the candidates can; `proof.bound` counts sites."""

    sites: tuple[Site, ...]
    total: float
    before: float
    after: float
    unreachable: float
    """Demand that stays uncovered if every candidate is taken."""
    unreachable_spans: Ranges
    """Its cells, as places."""
    depth: Counts
    proof: Proof


@dataclass(frozen=True, slots=True)
class Move:
    """A unit that leaves where it is for a post."""

    unit: int
    post: int
    gain: float
    """Demand that is covered more once it is made, after the moves before it; below 0 if others have to follow."""


@dataclass(frozen=True, eq=False, slots=True)
class MoveUp:
    """Which idle units to move where, in the order in which to move them."""

    moves: tuple[Move, ...]
    total: float
    before: float
    after: float
    depth: Counts
    proof: Proof


def check_number(value: int, name: str, highest: int = MAX_SITES) -> int:
    """*value* if it is 1 to *highest*; `Invalid` (`placement.<name>`) at `/place/<name>` if not."""
    if not 1 <= value <= highest:
        detail = f"“{name}” is a whole number from 1 to {highest:,}; got {value}."
        raise Invalid(detail, pointer=f"/place/{name}", code=f"placement.{name}")
    return value


def check_at_least(at_least: int) -> int:
    """*at_least* if it is 1 or more; `Invalid` (`placement.at_least`) at `/at_least` if not."""
    if at_least < 1:
        raise Invalid(
            f"A cell is covered by at least 1; got {at_least}.",
            pointer="/at_least",
            code="placement.at_least",
        )
    return at_least


def check_busy(busy: float) -> float:
    """*busy* if it is a probability below 1; `Invalid` (`placement.busy`) at `/place/busy` if not."""
    if not (math.isfinite(busy) and 0 <= busy < 1):
        raise Invalid(
            f"“busy” is the share of time that a unit is busy, 0 or more and below 1; got {busy:g}.",
            pointer="/place/busy",
            code="placement.busy",
        )
    return busy


def check_sites(
    sites: Sequence[Ranges], size: int, name: str = "candidates", highest: int = MAX_CANDIDATES
) -> None:
    """Refuse no sites (`placement.<name>`), too many or too large ones, and spans that are not of *size* places.

    Raises `Invalid`, or `TooLarge` with code `placement.too_many_<name>` or `placement.too_many_cells`; pointer
    `/place/<name>`.
    """
    pointer = f"/place/{name}"
    if not sites:
        raise Invalid(f"There are no {name} to choose from.", pointer=pointer, code=f"placement.{name}")
    if len(sites) > highest:
        detail = f"{len(sites):,} {name} are more than the limit of {highest:,}."
        raise TooLarge(detail, pointer=pointer, code=f"placement.too_many_{name}")
    every = np.concatenate(sites)
    if len(every) and not (every[:, 0].min() >= 0 and every[:, 1].max() <= size):
        raise Invalid(f"Spans are of places 0 to {size}.", pointer=pointer, code=f"placement.{name}")
    check_cells(int((every[:, 1] - every[:, 0]).sum()), pointer)


def check_cells(cells: int, pointer: str = "/place/candidates") -> None:
    """`TooLarge` (`placement.too_many_cells`) for more than MAX_NONZEROS."""
    if cells > MAX_NONZEROS:
        detail = (
            f"The candidates reach {cells:,} cells, each counted for every candidate, and the limit is "
            f"{MAX_NONZEROS:,}: take fewer of them, or a coarser resolution."
        )
        raise TooLarge(detail, pointer=pointer, code="placement.too_many_cells")
