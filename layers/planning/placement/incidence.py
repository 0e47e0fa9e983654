"""Which sites reach which cells, as a sparse matrix; cells that are alike to every question are one column."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from layers.hexes import ranges as rg
from layers.hexes.ranges import Ranges


@dataclass(frozen=True, eq=False, slots=True)
class Incidence:
    """Sites × columns. A column stands for all cells of one depth that the very same sites reach.

    That changes no answer, and makes a quarter of the columns that there are cells where disks over a city overlap.
    """

    rows: Any
    """CSR, a row a site; every entry is 1.0."""
    columns: Any
    """The same by column: CSR, a row a column of `rows`."""
    weight: NDArray[np.float64]
    """The weight of all cells of each column."""
    cells: NDArray[np.int64]
    """How many they are."""
    depth: NDArray[np.int64]

    @property
    def reaching(self) -> NDArray[np.int64]:
        """How many sites reach each column."""
        found: NDArray[np.int64] = np.diff(self.columns.indptr).astype(np.int64)
        return found

    def among(self, sites: NDArray[np.int64]) -> Incidence:
        """With those *sites* alone, in that order."""
        rows = self.rows[sites]
        return Incidence(rows, rows.T.tocsr(), self.weight, self.cells, self.depth)

    def only(self, wanted: NDArray[np.bool_]) -> Incidence:
        """With those columns alone for which *wanted* is true."""
        columns = self.columns[np.flatnonzero(wanted)]
        return Incidence(
            columns.T.tocsr(), columns, self.weight[wanted], self.cells[wanted], self.depth[wanted]
        )


def incidence(sites: Sequence[Ranges], weight: NDArray[np.float64], depth: NDArray[Any]) -> Incidence:
    """The matrix of *sites*, of the cells that have any weight and that any of them reaches."""
    rows = _rows(sites, len(weight))
    by_cell = rows.T.tocsr()
    wanted = np.flatnonzero((weight > 0) & (np.diff(by_cell.indptr) > 0))
    by_cell = by_cell[wanted]
    weight, depth = weight[wanted], depth[wanted].astype(np.int64)
    order = _alike_together(by_cell, depth)
    first = _differs_from_last(by_cell[order], depth[order])
    group = np.cumsum(first) - 1
    columns = by_cell[order[first]]
    return Incidence(
        columns.T.tocsr(),
        columns,
        np.bincount(group, weight[order], len(columns.indptr) - 1).astype(np.float64),
        np.bincount(group, minlength=len(columns.indptr) - 1),
        depth[order[first]],
    )


def _rows(sites: Sequence[Ranges], size: int) -> Any:
    every = np.concatenate(sites)
    cells = np.concatenate(([0], np.cumsum(every[:, 1] - every[:, 0])))
    ends = cells[np.cumsum([0, *map(len, sites)])]
    places = rg.integers(every).astype(np.int32)
    return sparse.csr_array((np.ones(len(places)), places, ends.astype(np.int32)), shape=(len(sites), size))


def _alike_together(by_cell: Any, depth: NDArray[np.int64]) -> NDArray[np.int64]:
    """An order in which cells of one depth and the same sites follow each other.

    By a sum of random codes of their sites: should two different sets ever have the same sum, some cells that are
    alike stay apart, which only costs time.
    """
    codes = np.random.default_rng(1974).integers(0, 2**63, by_cell.shape[1], dtype=np.uint64)
    sums = (
        np.add.reduceat(codes[by_cell.indices], by_cell.indptr[:-1]) if len(depth) else np.empty(0, np.uint64)
    )
    return np.lexsort((sums, depth))


def _differs_from_last(by_cell: Any, depth: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether each row differs from the one before it, in its sites or in *depth*. No row is empty."""
    if not len(depth):
        return np.empty(0, bool)
    lengths = np.diff(by_cell.indptr)
    before = by_cell.indices[np.arange(by_cell.nnz) - np.repeat(lengths, lengths)]
    same = np.logical_and.reduceat(by_cell.indices == before, by_cell.indptr[:-1])
    same[1:] &= (lengths[1:] == lengths[:-1]) & (depth[1:] == depth[:-1])
    same[0] = False
    return ~same
