"""Sorted lists of half-open integer ranges and their algebra, each operation a sort and a few comparisons.

A list is an (n, 2) int64 array of starts and ends; *canonical* means sorted, not empty, neither touching nor
overlapping. Knows nothing of H3.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Ranges = NDArray[np.int64]

EMPTY: Ranges = np.empty((0, 2), dtype=np.int64)
EMPTY.flags.writeable = False

_FAR = np.int64(2**62)


def deep(starts: NDArray[np.int64], ends: NDArray[np.int64], count: int) -> Ranges:
    """Canonical ranges of the integers that at least *count* of some ranges hold, given all starts and all ends sorted.

    Which end belongs to which start does not matter. Let j ends lie at or before x: x is held *count* times
    exactly if it is not before start number j + count, so the answer is the union of all [start j + count, end j).
    Those come in order already.
    """
    low, high = starts[count - 1 :], ends[: max(len(ends) - count + 1, 0)]
    if count > 1:  # For one, none is empty: start number j never comes after end number j.
        real = np.flatnonzero(low < high)
        low, high = low[real], high[real]
    apart = low[1:] > high[:-1]
    ranges = np.empty((np.count_nonzero(apart) + (len(low) > 0), 2), dtype=np.int64)
    ranges[1:, 0], ranges[:-1, 1] = low[1:][apart], high[:-1][apart]
    ranges[:1, 0], ranges[-1:, 1] = low[:1], high[-1:]
    return ranges


def starts_and_ends(lists: Sequence[Ranges]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """All starts and all ends of *lists*, each sorted."""
    if not lists:
        return EMPTY[:, 0], EMPTY[:, 1]
    every = np.concatenate(lists)
    return np.sort(every[:, 0]), np.sort(every[:, 1])


def union(left: Ranges, right: Ranges) -> Ranges:
    """Integers in either list."""
    return deep(*starts_and_ends([left, right]), 1)


def intersection(left: Ranges, right: Ranges) -> Ranges:
    """Integers in both of two canonical lists."""
    return deep(*starts_and_ends([left, right]), 2)


def difference(left: Ranges, right: Ranges) -> Ranges:
    """Integers in *left* and not in *right*, both canonical."""
    outside = np.concatenate(([-_FAR], right.ravel(), [_FAR])).reshape(-1, 2)
    return intersection(left, outside)


def canonical(ranges: Ranges) -> Ranges:
    """The same integers as a canonical list; *ranges* may overlap, touch, be empty and stand in any order."""
    return deep(*starts_and_ends([ranges[ranges[:, 0] < ranges[:, 1]]]), 1)


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
