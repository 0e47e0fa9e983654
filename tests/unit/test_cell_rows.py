"""Tables of cells: every bad row is named by its line, and what is good comes through whole."""

from __future__ import annotations

import h3.api.basic_str as h3
import pytest
from hypothesis import given
from hypothesis import strategies as st

from layers.errors import Invalid, RowsRejected, TooLarge
from layers.hexes.ranks import to_ids
from layers.planning.cell_rows import CellRows, cells_of
from layers.planning.model import CellValues

CELLS = sorted(h3.grid_disk(h3.latlng_to_cell(41.88, -87.63, 9), 6))
A, B, C = CELLS[:3]


def read(*pieces: str, limit: int = 1_000) -> CellValues:
    rows = CellRows(limit=limit)
    for piece in pieces:
        rows.take(piece.encode())
    return rows.finish()


def refused(*lines: str) -> list[tuple[str, str]]:
    with pytest.raises(RowsRejected) as caught:
        read("\n".join(("cell,value", *lines)))
    assert f"{len(caught.value.rejections)} of " in caught.value.detail
    return [(each.pointer, each.code) for each in caught.value.rejections]


def as_dict(values: CellValues) -> dict[str, float]:
    ids = to_ids(values.ranks, values.resolution).tolist()
    return {f"{id:x}": value for id, value in zip(ids, values.values.tolist(), strict=True)}


@pytest.mark.parametrize("first", ["", "h3,people", f"{A},5", "value,cell", "cell"])
def test_a_table_without_its_header_is_refused(first: str) -> None:
    with pytest.raises(Invalid, check=lambda error: error.code == "cells.header"):
        read(first + "\n")


@pytest.mark.parametrize(
    ("row", "code"),
    [
        (f"{A}", "cells.row"),
        (f"{A},1,2", "cells.row"),
        (f"{A},", "cells.row"),
        (f"{A},many", "cells.row"),
        (f"{A},1_000", "cells.row"),
        (f"{A},٣", "cells.row"),
        (f"{A[:4]}_{A[5:]},1", "cells.row"),
        ("here,1", "cells.row"),
        (f"-{A},1", "cells.row"),
        (f"{A}ffff,1", "cells.row"),
        ("0,1", "cells.cell"),
        ("892664c1a8bfff0,1", "cells.cell"),
        (f"{h3.cell_to_parent(A)},1", "cells.cell"),
        (f"{A},-1", "cells.value"),
        (f"{A},nan", "cells.value"),
        (f"{A},inf", "cells.value"),
        (f"{A},1e16", "cells.value"),
        (f"{C},4", "cells.twice"),
    ],
)
def test_a_bad_row_is_named_by_its_line(row: str, code: str) -> None:
    assert refused(f"{B},1", f"{C},2", "", row) == [("/5", code)]


def test_all_bad_rows_are_named_in_their_order_and_the_first_hundred_of_many() -> None:
    assert refused(f"{A},x", f"{B},-1", f"{C},1", f"{C},1", "x,1") == [
        ("/2", "cells.row"),
        ("/3", "cells.value"),
        ("/5", "cells.twice"),
        ("/6", "cells.row"),
    ]
    for bad in ("{},-1", "{},x"):
        rows = "\n".join(["cell,value", f"{CELLS[-1]},1", *(bad.format(cell) for cell in CELLS[:120])])
        with pytest.raises(RowsRejected) as caught:
            read(rows)
        assert [each.pointer for each in caught.value.rejections] == [f"/{line}" for line in range(3, 103)]
        assert "120 of 121 rows" in caught.value.detail


def test_more_rows_than_the_limit_are_refused_before_the_end() -> None:
    rows = CellRows(limit=2)
    rows.take(f"cell,value\n{A},1\n{B},1\n".encode())
    with pytest.raises(TooLarge, check=lambda error: error.code == "cells.too_many"):
        rows.take(f"{C},1\n".encode())


def test_a_table_without_rows_is_refused() -> None:
    with pytest.raises(Invalid, check=lambda error: error.code == "cells.empty"):
        read("cell,value\n\n")


def test_text_that_is_not_utf8_is_a_bad_row() -> None:
    rows = CellRows()
    rows.take(b"cell,value\n" + A.encode() + b",1\n\xff\xfe,1\n")
    with pytest.raises(RowsRejected, match="1 of 2"):
        rows.finish()


def test_spreadsheets_write_byte_order_marks_quotes_and_carriage_returns() -> None:
    text = f'\ufeff"Cell","Value"\r\n"{A}",1\r\n{B.upper()}, 2.5 \r\n\r\n'
    assert as_dict(read(text)) == {A: 1.0, B: 2.5}


@given(st.dictionaries(st.sampled_from(CELLS), st.floats(0, 1e15)), st.data())
def test_what_is_good_comes_through_whole_however_it_is_cut(
    cells: dict[str, float], data: st.DataObject
) -> None:
    lines = ["cell,value", *(f"{cell},{value!r}" for cell, value in cells.items())]
    cut = data.draw(st.integers(1, len(lines)))
    pieces = ["\n".join(part) for part in (lines[:cut], lines[cut:]) if part]
    if cells:
        assert as_dict(read(*pieces)) == as_dict(cells_of(cells, "")) == cells


def test_a_bad_member_is_named_by_its_pointer() -> None:
    with pytest.raises(RowsRejected) as caught:
        cells_of({A: 1, B: -1, C: True, "a/b": 1, "2": 10**400}, "/weights/cells")
    assert [each.pointer.removeprefix("/weights/cells/") for each in caught.value.rejections] == [
        B,
        C,
        "a~1b",
        "2",
    ]
