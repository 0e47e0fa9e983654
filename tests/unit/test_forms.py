"""Forms of an answer: which one is asked for, what a file is called, and cells of CSV that are no formulas."""

from __future__ import annotations

import csv
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cop.planning.forms import ANALYSIS, Form, Mark, csv_text, form_of
from cop.planning.zoning import WRITERS
from layers.errors import Invalid
from layers.model import Status


@pytest.mark.parametrize("f", ["", "JSON", "shp", "html"])
def test_a_form_that_is_not_among_those_there_are_is_refused(f: str) -> None:
    with pytest.raises(Invalid, check=lambda error: error.code == "query.f"):
        form_of(f, "text/csv", WRITERS)


@pytest.mark.parametrize(
    ("accept", "form"),
    [
        ("", Form.JSON),
        ("image/webp", Form.JSON),
        ("text/csv", Form.CSV),
        ("text/csv;q=0.1, application/geo+json; q=0.2", Form.GEOJSON),
        ("TEXT/CSV", Form.CSV),
        ("text/csv;q=much, application/geo+json;q=0", Form.JSON),
    ],
)
def test_accept_names_the_form_where_nothing_else_does(accept: str, form: Form) -> None:
    assert form_of(None, accept, ANALYSIS) is form
    assert form_of("gpkg", accept, ANALYSIS) is Form.GPKG


def test_what_is_not_actual_begins_with_its_status() -> None:
    moment = datetime(2026, 11, 22, 14, 2, 11, tzinfo=UTC)
    names = [Mark(UUID(int=1), moment, status).file_name("coverage", Form.CSV) for status in Status]
    plain = "coverage-20261122T140211Z-00000000-0000-0000-0000-000000000001.csv"
    assert names == [plain, f"EXERCISE-{plain}", f"TEST-{plain}"]


@pytest.mark.parametrize("formula", ["=cmd()", "+1", "-1", "@sum", "\t=1", "\r=1"])
def test_no_cell_begins_a_formula(formula: str) -> None:
    assert csv_text(formula).lstrip('"').startswith("'")


@given(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0")))
def test_any_text_is_one_cell_and_the_same_but_for_the_mark(text: str) -> None:
    (cells,) = csv.reader([f"{csv_text(text)},1"], strict=True)
    assert cells[1:] == ["1"]
    assert cells[0].removeprefix("'") == text.removeprefix("'") or cells[0] == text
