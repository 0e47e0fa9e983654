"""A table of cells and values as it comes in, checked row by row: whatever is wrong is named, with its line. Pure."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from layers.errors import Invalid, RowsRejected, TooLarge
from layers.hexes.ranks import Ids, are_cells, resolution_of, to_ids, to_ranks
from layers.kinds import escaped
from layers.model import Rejection
from layers.planning.model import MAX_VALUE, CellValues

MAX_TABLE_CELLS = 2_000_000
"""Rows of a table, 16 bytes each: more than a city has buildings, or a country has square kilometres."""
MAX_NAMED = 100
"""Bad rows that are named one by one, the first ones; the rest are counted."""

Pointer = Callable[[int], str]
"""The JSON pointer to the row of a number."""


class CellRows:
    """Takes a CSV table `cell,value` in pieces of whole lines, and gives it back as `CellValues`.

    Cells are hexadecimal H3 ids, all of one resolution, each once; values are 0 to MAX_VALUE. `take` raises `Invalid`
    (`cells.header`) and `TooLarge` (`cells.too_many`); `finish` raises `Invalid` (`cells.empty`), or `RowsRejected`
    with the line of each bad row, counted from 1, as its pointer.
    """

    def __init__(self, *, limit: int = MAX_TABLE_CELLS) -> None:
        self._limit = limit
        self._line = 1
        self._headed = False
        self._rows: list[_Rows] = []
        self._bad = _Bad(lambda line: f"/{line}")

    def take(self, piece: bytes) -> None:
        """Some lines, the last of which may lack its end."""
        lines = piece.removesuffix(b"\n").split(b"\n")
        first, self._line = self._line, self._line + len(lines)
        if not self._headed:
            _check_header(lines[0])
            self._headed = True
            lines, first = lines[1:], first + 1
        rows = _read_together(lines, first)
        self._rows.append(self._read_singly(lines, first) if rows is None else rows)
        if self._bad.count + sum(len(rows.ids) for rows in self._rows) > self._limit:
            detail = f"The table has more than {self._limit:,} rows: take larger cells, or a part of it."
            raise TooLarge(detail, code="cells.too_many")

    def finish(self) -> CellValues:
        """The whole table, once all of it has been taken."""
        rows = _Rows(*(np.concatenate(part) for part in zip(_rows([]), *self._rows, strict=True)))
        return _checked(rows, self._bad)

    def _read_singly(self, lines: Sequence[bytes], first: int) -> _Rows:
        found = []
        for line, text in enumerate(lines, first):
            if text.strip():
                try:
                    found.append((line, *_row(text)))
                except (ValueError, csv.Error):
                    shown = text[:60].decode(errors="replace").strip()
                    self._bad.add(line, "cells.row", f"Expected an H3 cell and a number; got “{shown}”.")
        return _rows(found)


def cells_of(members: Mapping[str, Any], pointer: str) -> CellValues:
    """The same of a JSON object, `{"892664c1a8bffff": 12.5, …}`, at *pointer*."""
    names = list(members)
    bad = _Bad(lambda at: f"{pointer}/{escaped(names[at])}")
    found = []
    for at, (name, value) in enumerate(members.items()):
        if isinstance(value, bool) or not isinstance(value, int | float):
            bad.add(at, "cells.row", "Expected a number.")
            continue
        try:
            found.append((at, _id(name), float(value)))
        except (ValueError, OverflowError):
            bad.add(
                at, "cells.cell", f"“{name[:40]}” is not an H3 cell, or its value is no number for a cell."
            )
    return _checked(_rows(found), bad)


def as_csv(values: CellValues) -> bytes:
    """*values* as a table that `CellRows` takes, exactly."""
    ids = to_ids(values.ranks, values.resolution).tolist()
    rows = (f"{id:x},{value!r}\n" for id, value in zip(ids, values.values.tolist(), strict=True))
    return f"cell,value\n{''.join(rows)}".encode()


class _Rows(NamedTuple):
    """Rows that could be read, each with its number."""

    number: NDArray[np.int64]
    ids: Ids
    values: NDArray[np.float64]


def _rows(found: Sequence[tuple[int, int, float]]) -> _Rows:
    numbers, ids, values = zip(*found, strict=True) if found else ((), (), ())
    return _Rows(np.array(numbers, np.int64), np.array(ids, np.uint64), np.array(values, np.float64))


class _Bad:
    """The rows that were refused: the first ones by number, and how many."""

    def __init__(self, pointer: Pointer) -> None:
        self.count = 0
        self._pointer = pointer
        self._named: list[tuple[int, str, str]] = []

    def add(self, number: int, code: str, detail: str) -> None:
        """One row."""
        self.count += 1
        self._named.append((number, code, detail))
        if len(self._named) > 2 * MAX_NAMED:
            self._named = sorted(self._named)[:MAX_NAMED]

    def add_all(
        self, rows: _Rows, which: NDArray[np.bool_], code: str, say: Callable[[int, float], str]
    ) -> None:
        """Those of *rows* that a mask names."""
        at = np.flatnonzero(which)
        for each in at[:MAX_NAMED].tolist():
            self.add(int(rows.number[each]), code, say(int(rows.ids[each]), float(rows.values[each])))
        self.count += max(len(at) - MAX_NAMED, 0)

    def raise_if_any(self, good: int) -> None:
        """`RowsRejected` if there are any, beside *good* ones."""
        if self.count:
            named = [
                Rejection(self._pointer(number), code, detail)
                for number, code, detail in sorted(self._named)[:MAX_NAMED]
            ]
            raise RowsRejected(named, self.count, self.count + good)


def _check_header(line: bytes) -> None:
    names = line.removeprefix(b"\xef\xbb\xbf").decode(errors="replace").split(",")
    if [name.strip(' "\r').lower() for name in names] != ["cell", "value"]:
        raise Invalid("The first line of the table names its columns: cell,value.", code="cells.header")


def _read_together(lines: Sequence[bytes], first: int) -> _Rows | None:
    """Lines without a fault, all at once; None if there is any."""
    text = b",".join(lines)
    parts = text.split(b",")
    if len(parts) != 2 * len(lines) or b"_" in text or b'"' in text:
        return None
    try:
        ids = np.array([int(part, 16) for part in parts[::2]], np.uint64)
        values = np.array([float(part) for part in parts[1::2]], np.float64)
    except (ValueError, OverflowError):
        return None
    return _Rows(np.arange(first, first + len(lines)), ids, values)


def _row(text: bytes) -> tuple[int, float]:
    """Raises `ValueError` or `csv.Error`."""
    (cells,) = csv.reader([text.decode().strip()], strict=True)
    name, value = cells
    if "_" in value or not value.isascii():  # In Python 8_9 and ٣ are numbers, in a table they are slips.
        raise ValueError
    return _id(name), float(value)


def _id(name: str) -> int:
    id = int(name, 16)
    if "_" in name or not 0 <= id < 2**64:
        raise ValueError
    return id


def _checked(rows: _Rows, bad: _Bad) -> CellValues:
    if not len(rows.ids):
        bad.raise_if_any(0)
        raise Invalid("There is no cell in the table.", code="cells.empty")
    # The resolution of most rows is the table's.
    claimed = (rows.ids >> np.uint64(52) & np.uint64(15)).astype(np.int64)
    resolution = int(np.bincount(claimed).argmax())
    cells = are_cells(rows.ids, resolution)
    ranks = to_ranks(rows.ids, resolution)
    order = np.argsort(ranks, kind="stable")
    again = np.zeros(len(ranks), np.bool_)
    again[order[1:]] = ranks[order[1:]] == ranks[order[:-1]]
    weighty = (rows.values >= 0) & (rows.values <= MAX_VALUE)
    bad.add_all(rows, ~cells, "cells.cell", lambda id, _: _why_no_cell(id, resolution))
    bad.add_all(rows, cells & again, "cells.twice", lambda id, _: f"{id:x} stands in an earlier row too.")
    bad.add_all(
        rows,
        cells & ~again & ~weighty,
        "cells.value",
        lambda _, value: f"Expected a number from 0 to {MAX_VALUE:g}; got {value:g}.",
    )
    bad.raise_if_any(int((cells & ~again & weighty).sum()))
    return CellValues(resolution, ranks[order], rows.values[order])


def _why_no_cell(id: int, resolution: int) -> str:
    own = resolution_of(id)
    if own != resolution and are_cells(np.array([id], np.uint64), own)[0]:
        return f"{id:x} is of resolution {own}, and the table of {resolution}."
    return f"{id:x} is not an H3 cell."
