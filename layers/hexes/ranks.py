"""Dense ranks: every H3 cell of a resolution as one number, counted in tree order, so that all descendants of
any cell are neighbours in rank. Turns ids into ranks and back, and knows the ranks that no cell has.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from h3.api import numpy_int as h3
from numpy.typing import NDArray

from layers.hexes.errors import HexesError

Ranks = NDArray[np.int64]
Ids = NDArray[np.uint64]

MAX_RESOLUTION = 15
BASE_CELLS = 122
# Five digits at a time: 8^5 = 32,768 entries stay in the first-level cache, and 15 digits take three look-ups.
_CHUNK = 5
_CELL_MODE = np.uint64(1 << 59)


def check_resolution(resolution: int) -> int:
    """*resolution* itself if it is an H3 resolution, 0 to 15; else `HexesError` with code `h3.resolution`."""
    if type(resolution) is not int or not 0 <= resolution <= MAX_RESOLUTION:
        detail = f"An H3 resolution is a whole number from 0 to {MAX_RESOLUTION}; got {resolution!r}."
        raise HexesError(detail, code="h3.resolution")
    return resolution


def rank_count(resolution: int) -> int:
    """One more than the highest rank at *resolution*, counting the ranks that no cell has."""
    return BASE_CELLS * int(7**resolution)


def to_ranks(ids: Ids, resolution: int) -> Ranks:
    """Dense ranks of H3 ids that are all cells of *resolution*; not checked (see `checked_ids`)."""
    septets = _septets_of_octets()
    digits = ids.astype(np.int64) >> (3 * (MAX_RESOLUTION - resolution))
    ranks: Ranks = (digits >> (3 * resolution)) & 0x7F
    left = resolution
    while left:
        size = left % _CHUNK or _CHUNK
        left -= size
        ranks = ranks * 7**size + septets[(digits >> (3 * left)) & (8**size - 1)]
    return ranks


def to_ids(ranks: Ranks, resolution: int) -> Ids:
    """H3 ids of dense ranks at *resolution*; a rank that no cell has gives an id that H3 calls invalid."""
    octets = _octets_of_septets()
    unused = (1 << (3 * (MAX_RESOLUTION - resolution))) - 1
    ids = np.full(len(ranks), (1 << 59) | (resolution << 52) | unused, dtype=np.int64)
    rest, done = ranks, 0
    while done < resolution:
        size = min(_CHUNK, resolution - done)
        rest, digits = np.divmod(rest, 7**size)
        ids |= octets[digits] << (3 * (MAX_RESOLUTION - resolution + done))
        done += size
    return (ids | (rest << 45)).astype(np.uint64)


def checked_ids(ids: Ids, resolution: int) -> Ids:
    """*ids* if each is a cell of *resolution*; else `HexesError` with code `h3.cell` that names the first bad one."""
    good = are_cells(ids, resolution)
    if not good.all():
        bad = int(ids[np.argmin(good)])
        raise HexesError(f"{bad:x} is not an H3 cell of resolution {resolution}.", code="h3.cell")
    return ids


def are_cells(ids: Ids, resolution: int) -> NDArray[np.bool_]:
    """Which of *ids* are cells of *resolution*."""
    ranks = to_ranks(ids, resolution)
    # Round trip: wrong mode, resolution, reserved bits or a digit 7 in use cannot come back as they were.
    good: NDArray[np.bool_] = to_ids(ranks, resolution) == ids
    return good & (ranks < rank_count(resolution)) & exists(ranks, resolution)


def resolution_of(cell: int) -> int:
    """The resolution that the id *cell* claims; says nothing about its validity."""
    return (cell >> 52) & 0xF


def exists(ranks: Ranks, resolution: int) -> NDArray[np.bool_]:
    """Which of *ranks* are cells. A pentagon lacks one of seven children, and so do its central descendants."""
    holes = missing(resolution)
    at = np.searchsorted(holes[:, 0], ranks, side="right") - 1
    inside = (at >= 0) & (ranks < holes[:, 1][at]) if len(holes) else np.zeros(len(ranks), bool)
    return ~inside


@lru_cache(maxsize=MAX_RESOLUTION + 1)
def missing(resolution: int) -> NDArray[np.int64]:
    """Sorted half-open ranges (n, 2) of the ranks that no cell has at *resolution*.

    H3 deletes the subsequence of digit 1 (the k axis) of a pentagon: the first digit that is not 0 is never 1.
    """
    sizes = 7 ** np.arange(resolution, dtype=np.int64)
    starts = (pentagons(resolution)[:, None] + sizes).ravel()
    ranges = np.column_stack((starts, starts + np.tile(sizes, len(pentagons(0)))))
    ranges.flags.writeable = False
    return ranges


@lru_cache(maxsize=MAX_RESOLUTION + 1)
def pentagons(resolution: int) -> Ranks:
    """Sorted ranks of the twelve pentagons: always the central descendants of those of resolution 0."""
    ranks: Ranks = np.sort(to_ranks(h3.get_pentagons(0), 0)) * 7**resolution
    ranks.flags.writeable = False
    return ranks


@lru_cache(maxsize=1)
def _septets_of_octets() -> NDArray[np.int64]:
    octal = np.arange(8**_CHUNK, dtype=np.int64)
    septets = np.zeros_like(octal)
    for place in range(_CHUNK):
        septets += ((octal >> (3 * place)) & 7) * 7**place
    return septets


@lru_cache(maxsize=1)
def _octets_of_septets() -> NDArray[np.int64]:
    ranks = np.arange(7**_CHUNK, dtype=np.int64)
    octets = np.zeros_like(ranks)
    for place in range(_CHUNK):
        octets |= (ranks // 7**place % 7) << (3 * place)
    return octets
