"""Sorted lists of half-open integer ranges and their algebra: one sort and one cumulative sum each.

A list is an (n, 2) int64 array of starts and ends; *canonical* means sorted, not empty, neither touching nor
overlapping. Knows nothing of H3.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Ranges = NDArray[np.int64]
State = TypeVar("State", bound=np.generic)

EMPTY: Ranges = np.empty((0, 2), dtype=np.int64)
EMPTY.flags.writeable = False

# What is true where, as the running sum of +1 for the left set and +2 for the right one.
UNION = np.array([False, True, True, True])
INTERSECTION = np.array([False, False, False, True])
DIFFERENCE = np.array([False, True, False, False])
_STEPS = np.array([1, -1, 2, -2], dtype=np.int8)


def combine(left: Ranges, right: Ranges, wanted: NDArray[np.bool_]) -> Ranges:
    """Where *wanted* holds of two canonical lists; canonical again."""
    # The step rides in the two low bits of the position (ranks end below 2^50), so one plain sort orders both.
    keys = np.concatenate(
        (left[:, 0] << 2, (left[:, 1] << 2) | 1, (right[:, 0] << 2) | 2, (right[:, 1] << 2) | 3)
    )
    keys.sort()
    state = np.cumsum(_STEPS[keys & 3], dtype=np.int8)
    at, state = _settled(keys >> 2, state)
    return where(at, wanted[state])


def sweep(lists: Sequence[Ranges]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Positions, ascending, at which the number of *lists* that hold changes, and the number from there on."""
    if not lists:
        return np.empty(0, np.int64), np.empty(0, np.int32)
    keys = np.concatenate(lists).ravel() << 1
    keys[0::2] |= 1
    keys.sort()
    count = np.cumsum(((keys & 1) << 1) - 1, dtype=np.int32)
    return _settled(keys >> 1, count)


def where(at: NDArray[np.int64], holds: NDArray[np.bool_]) -> Ranges:
    """Canonical ranges in which *holds* is true, given its value from each position on; false at the end."""
    turns = np.flatnonzero(np.diff(holds, prepend=False))
    return at[turns].reshape(-1, 2)


def canonical(ranges: Ranges) -> Ranges:
    """The same integers as a canonical list; *ranges* may overlap, touch, be empty and stand in any order."""
    at, count = sweep([ranges[ranges[:, 0] < ranges[:, 1]]])
    return where(at, count > 0)


def of_integers(values: NDArray[np.int64]) -> Ranges:
    """Canonical ranges of ascending distinct integers."""
    if not len(values):
        return EMPTY
    breaks = np.flatnonzero(np.diff(values) != 1)
    starts = values[np.concatenate(([0], breaks + 1))]
    ends = values[np.concatenate((breaks, [len(values) - 1]))] + 1
    return np.column_stack((starts, ends))


def integers(ranges: Ranges) -> NDArray[np.int64]:
    """Every integer in *ranges*, ascending."""
    lengths = ranges[:, 1] - ranges[:, 0]
    offsets = np.cumsum(lengths) - lengths
    values: NDArray[np.int64] = np.repeat(ranges[:, 0] - offsets, lengths)
    return np.arange(len(values), dtype=np.int64) + values


def position(ranges: Ranges, values: NDArray[np.int64]) -> NDArray[np.int64]:
    """For each value the index of the range that holds it, or -1; *ranges* sorted and disjoint."""
    if not len(ranges):
        return np.full(len(values), -1, dtype=np.int64)
    at = np.searchsorted(ranges[:, 0], values, side="right") - 1
    return np.where((at >= 0) & (values < ranges[at, 1]), at, -1)


def _settled(at: NDArray[np.int64], state: NDArray[State]) -> tuple[NDArray[np.int64], NDArray[State]]:
    """Keep, of several steps at one position, the state after the last."""
    last = np.ones(len(at), dtype=bool)
    np.not_equal(at[1:], at[:-1], out=last[:-1])
    return at[last], state[last]
