"""Briefings: words and rows of an answer, an HTML file that asks nobody for anything, a picture."""

from __future__ import annotations

import io
import re
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest
from matplotlib import image

import web
from cop.briefing import basemap
from cop.briefing.basemap import read_basemap
from cop.briefing.facts import Table, facts_of, km, km2, place, rule_in_words
from cop.briefing.form import as_html, as_png
from cop.briefing.page import number_in_html
from cop.briefing.picture import NOTE_CHARACTERS, notes_in_short, told_elsewhere
from cop.planning.answers import totals
from cop.planning.desk import Loaded
from cop.planning.keeping import with_rule
from layers.errors import Unavailable
from layers.hexes import Field, fill
from layers.model import JsonObject
from layers.planning.coverage import load
from layers.planning.model import Along, Case, CellValues, Row, Rule, Straight, Weights
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

AREA = box(-87.66, 41.86, -87.60, 41.90)
EXERCISE = {"status": "exercise"}
AVAILABLE = Rule(1, {"status": ["available"]})
needs_page = pytest.mark.skipif(web.assets() is None, reason="the page was not built")


def unit(id: str, lng: float, status: str = "available", **properties: Any) -> Row:
    return row(id, lng=lng, lat=41.88, reach_m=800, status=status, **properties)


def loaded(*rows: Row, rule: Rule = AVAILABLE) -> Loaded:
    case = Case(AREA, 9, rule, (source("units", *rows),), AT)
    return Loaded(UUID(int=1), case, *load(case))


def facts(*rows: Row, rule: Rule = AVAILABLE, **stated: Any) -> Any:
    found = loaded(*rows, rule=rule)
    answer: JsonObject = {"status": "actual"} | totals(found)
    return facts_of(answer, rule, **stated)


def test_a_picture_says_how_many_gaps_it_has_no_room_for() -> None:
    def gaps(count: int, more: str = "") -> Table:
        return Table("The gaps, largest first", ("",), tuple((str(number),) for number in range(count)), more)

    assert told_elsewhere(gaps(9)) == ""
    assert told_elsewhere(gaps(13)) == "and 4 more, listed in the other forms"
    assert (
        told_elsewhere(gaps(12, "and 5 smaller ones"))
        == "and 3 more, listed in the other forms; and 5 smaller ones"
    )


def test_a_picture_cuts_no_note_in_silence() -> None:
    assert notes_in_short([]) == []
    assert notes_in_short(["one", "two", "three"]) == ["! one", "! two", "! three"]
    *_, last = notes_in_short(["one", "two", "x" * 500, "four", "five"])
    assert last.endswith("x… (and 2 more in the other forms)")
    assert len(last) == NOTE_CHARACTERS


def test_a_number_beside_its_gap_has_a_line_to_it_and_one_in_its_gap_has_none() -> None:
    assert number_in_html(3, 0.0, 0.0) == '<span class="number" style="left:0px;top:0px">3</span>'
    line, number = number_in_html(12, 26.5, -10.0).split("</svg>")
    assert line == '<svg class="leader"><line x2="26" y2="10"/>'
    assert number == '<span class="number" style="left:26px;top:10px">12</span>'


def test_a_gap_is_told_with_its_reasons_and_the_nearest_cover() -> None:
    told = facts(unit("E1", -87.65), unit("E2", -87.61, "on_scene", callsign="Engine 2"))
    gaps = next(table for table in told.tables if table.title.startswith("The gaps"))
    assert gaps.rows[0][-1].startswith(
        "Engine 2 near, but of another status (on_scene); nobody within reach of "
    )
    assert gaps.rows[0][3].startswith("E1 (cfd), ")
    assert "not covered, in one gap" in told.headline


def weighed(counted: str) -> Any:
    """The facts of an area of which each cell holds 10 people, and how many cells of it are in the gap."""
    field = Field(fill(AREA, 9))
    cells = field.ranks(np.arange(field.size))
    values = CellValues(9, cells, np.full(len(cells), 10.0))
    weights = Weights(counted, values, origin={"table": "census", "cells": len(cells), "cell_resolution": 9})
    case = Case(AREA, 9, Rule(), (source("units", unit("E1", -87.65)),), AT, weights=weights)
    found = Loaded(UUID(int=1), case, *load(case))
    return (
        facts_of({"status": "actual"} | totals(found), case.rule),
        int(found.coverage.gap.sum()),
        len(cells),
    )


def test_an_open_station_is_not_busy() -> None:
    house = row("h", lng=-87.63, lat=41.88, reach_m=800, status="open", name="Firehouse 32")
    case = Case(AREA, 9, AVAILABLE, (source("assets", house),), AT)
    answer = {"status": "actual"} | totals(Loaded(UUID(int=1), case, *load(case)))
    (reason,) = answer["gap"]["areas"][0]["why"]
    assert (reason["reason"], reason["statuses"]) == ("other_status", ["open"])
    assert (
        facts_of(answer, AVAILABLE)
        .tables[1]
        .rows[0][-1]
        .startswith("Firehouse 32 near, but of another status (open); ")
    )


def test_what_lies_in_the_gap_is_told_in_people_where_people_were_weighed() -> None:
    told, gap, whole = weighed("people")
    share = f"{100 * gap / whole:.1f} %"
    assert told.headline.endswith(f"with {10 * gap:,} of {10 * whole:,} people ({share}).")
    area, gaps = told.tables[:2]
    assert (area.columns[3], area.rows[2][3:]) == ("People", (f"{10 * gap:,}", share))
    assert (gaps.columns[2], gaps.rows[0][2]) == ("People", f"{10 * gap:,}")
    assert told.provenance[-1] == "Weighed with the table census."


def test_a_weight_without_a_unit_is_a_weight() -> None:
    told, gap, whole = weighed("")
    assert f"with {10 * gap:,} of {10 * whole:,} (" in told.headline
    assert told.tables[0].columns[3] == "Weight"


def test_a_saved_rule_that_is_broken_is_told() -> None:
    found = loaded(unit("E1", -87.65))
    answer: JsonObject = {"status": "actual"} | totals(found)
    for least, words in ((0.999, "is broken"), (0.001, "holds")):
        stated = answer | {"rule": {"covered_share_at_least": least}}
        assert facts_of(with_rule(stated), AVAILABLE).rule.endswith(
            f"{100 * least:g} % are to be covered: that {words}."
        )


def test_it_is_said_what_overlap_means_and_that_one_of_an_agency_may_not_be_enough() -> None:
    both = (unit("E1", -87.65), unit("E2", -87.64))
    area, *_, by_agency = facts(*both, rule=Rule(2)).tables[:3]
    assert area.more == "Overlap: covered by more than 2."
    assert by_agency.more == "Covers: what one of the agency reaches, though 2 are asked for."
    assert facts(*both).tables[2].more == ""


def test_nobody_near_is_said_and_no_gap_is_too() -> None:
    assert facts().tables[1].rows[0][-1] == "nobody within reach"
    everywhere = unit("E1", -87.63)._replace(properties='{"reach_m": 9000, "status": "available"}')
    assert facts(everywhere).headline.startswith("No gap")


def test_what_is_old_is_told_as_such() -> None:
    old = unit("E1", -87.63, observed_at=AT - timedelta(hours=1))
    assert "not heard of for too long" in facts(old).tables[1].rows[0][-1]


def test_the_answer_can_be_asked_for_again_by_what_stands_below_it() -> None:
    run, grid, inputs = facts(unit("E1", -87.63)).provenance
    assert str(UUID(int=1)) in run
    assert "resolution 9" in grid
    assert "cfd.x at revision 7, 1 features" in inputs


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        (
            Rule(),
            "Covered is what at least 1 of units, stations and areas has within the reach that each states.",
        ),
        (
            Rule(2, {"status": ["available", None]}, None, frozenset({"als"}), reach=Straight(3000)),
            "Covered is what at least 2 of als have within 3.0 km (status: available or none stated).",
        ),
        (
            Rule(1, agencies=frozenset({"ems", "cfd"}), capabilities=frozenset({"als"}), reach=Along(8)),
            "Covered is what at least 1 of als of cfd, ems has within 8 minutes in a straight line at 40 km/h.",
        ),
    ],
)
def test_a_rule_is_told_in_a_sentence(rule: Rule, words: str) -> None:
    assert rule_in_words(rule) == words


def reason_of(*rows: Row, rule: Rule = AVAILABLE, **about: Any) -> str:
    answer = {"status": "actual"} | totals(loaded(*rows, rule=rule)) | about
    reason: str = facts_of(answer, rule).tables[1].rows[0][-1]
    return reason


def test_along_streets_nobody_near_is_not_said_of_somebody_who_is_near() -> None:
    told = facts_of({"status": "actual"} | totals(loaded()) | {"roads": "oem.roads"}, Rule(reach=Along(4)))
    assert "within 4 minutes along the streets of oem.roads" in told.rule
    assert "are not covered along the streets, in one gap" in told.headline
    assert told.tables[1].rows[0][-1] == "nobody within reach along the streets"


def test_where_one_is_there_and_two_are_asked_for_nobody_else_is() -> None:
    there = unit("E1", -87.63)._replace(properties='{"reach_m": 9000, "status": "available"}')
    assert reason_of(there, rule=Rule(2)) == "only 1 there; nobody else within reach"


def test_units_that_state_no_reach_are_said_to_have_none() -> None:
    mute = [row(id, lng=-87.63, lat=41.88, status="available") for id in ("a", "b")]
    assert reason_of(*mute) == "nobody within reach (2 within 100 km without a reach)"


def test_the_ground_that_no_reason_explains_is_told_too() -> None:
    found = loaded(unit("E1", -87.63, "on_scene"))
    area = totals(found)["gap"]["areas"][0]
    assert area["nobody_km2"] == pytest.approx(area["km2"] - area["why"][0]["km2"])
    assert reason_of(unit("E1", -87.63, "on_scene")).endswith(
        f"; nobody within reach of the other {km2(area['nobody_km2'])}"
    )


def test_numbers_are_for_people() -> None:
    assert (km(950), km(1_500)) == ("950 m", "1.5 km")
    assert (km2(1234.5), km2(12.34), km2(0.123)) == ("1,234 km²", "12.3 km²", "0.12 km²")
    assert place((-87.63, 41.88)) == "41.8800° N, 87.6300° W"


@needs_page
def test_the_page_holds_all_that_it_shows() -> None:
    page = as_html(loaded(unit("E1", -87.65)), EXERCISE, web.assets()).decode()
    assert not re.findall(r"<script[^>]+src=|<link |<img |@import|<iframe", page)
    assert "L.geoJson" in page
    assert page.count("exercise — not real") == 2


@needs_page
def test_what_agencies_say_is_text_on_the_page() -> None:
    evil = unit("x", -87.61, "on_scene", callsign="<script>alert(1)</script>{{ 7 * 7 }}")
    page = as_html(loaded(evil), EXERCISE, web.assets(), title="<img src=x onerror=alert(1)>").decode()
    assert "<script>alert" not in page
    assert "<img src=x" not in page
    assert "&#123;&#123; 7 * 7" in page


def test_without_a_built_page_there_is_a_picture_but_no_html(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, check=lambda error: error.code == "briefing.assets"):
        as_html(loaded(), EXERCISE, tmp_path)
    assert image.imread(io.BytesIO(as_png(loaded(), EXERCISE, None))).shape == (1245, 1755, 4)


def test_an_exercise_is_marked_on_the_picture() -> None:
    def top_left(status: str) -> list[float]:
        return list(image.imread(io.BytesIO(as_png(loaded(), {"status": status}, None)))[5, 5, :3])

    assert top_left("exercise") == pytest.approx([0.7, 0.0, 0.11], abs=0.01)
    assert top_left("actual") == [1.0, 1.0, 1.0]


@needs_page
def test_the_basemap_is_cut_to_the_box_and_empty_where_there_is_none(tmp_path: Path) -> None:
    around = (-87.66, 41.86, -87.58, 41.90)
    found = read_basemap(web.ROOT / "basemap", around)
    assert found.roads
    assert found.water
    for shape in (*found.roads, *found.water, *found.land):
        west, south, east, north = shape.bounds
        assert around[0] <= west <= east <= around[2]
        assert around[1] <= south <= north <= around[3]
    assert read_basemap(tmp_path, around) == read_basemap(None, around)


@needs_page
def test_a_tile_that_was_read_before_is_not_read_again() -> None:
    around = (-87.66, 41.86, -87.58, 41.90)
    first = read_basemap(web.ROOT / "basemap", around)
    known = basemap._tile.cache_info()
    again = read_basemap(web.ROOT / "basemap", around)
    assert basemap._tile.cache_info().misses == known.misses
    assert [len(part) for part in (again.roads, again.water, again.land)] == [
        len(part) for part in (first.roads, first.water, first.land)
    ]
