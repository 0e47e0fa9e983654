"""What the notes on an answer say."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

from layers.planning.coverage import load
from layers.planning.model import Case, Rule, Source
from layers.planning.notes import notes
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import AT, row, source

BLOCK = box(-87.64, 41.87, -87.62, 41.89)
HERE: dict[str, Any] = {"lng": -87.63, "lat": 41.88}


def noted(*sources: Source, rule: Rule | None = None, **rest: Any) -> list[str]:
    case = Case(BLOCK, 9, rule or Rule(), sources, AT, **rest)
    found, inputs = load(case)
    return notes(case, found.covers, inputs)


def test_what_there_was_to_say_of_the_reading_comes_first() -> None:
    assert noted(source("units", row(**HERE)), notes=("Read a while ago.",))[0] == "Read a while ago."


def test_what_states_no_reach_or_is_not_there_is_told_by_layer() -> None:
    beside = row("far", lng=-87.5, lat=41.88, reach_m=10)
    assert noted(
        source("units", row(**HERE), layer="cfd.mute"),
        source("units", row(**HERE), layer="cpd.mute"),
        source("units", layer="cfd.elsewhere", held=9),
        source("units", row("a", **HERE), row("b", **HERE, reach_m=900), layer="cfd.mixed"),
        source("units", beside, layer="cfd.beside"),
        source("units", row(**HERE, reach_m=900), layer="cfd.good"),
        source("units", layer="cfd.empty"),
    ) == [
        "Without any reach_m, of a feature or of the layer, and so without cover: cfd.mute, cpd.mute.",
        "Without any feature near the area that the question is about: cfd.elsewhere, cfd.empty.",
        "cfd.mixed: 1 of 2 features within 100 km state no reach_m.",
        "cfd.beside: none of its features reaches into the area.",
    ]


def test_what_does_not_count_now_is_told_with_its_reasons() -> None:
    units = source(
        "units",
        row("a", **HERE, reach_m=900, status="available"),
        row("b", **HERE, reach_m=900, status="on_scene"),
        row("c", **HERE, reach_m=900, status="out_of_service"),
        row("d", **HERE, reach_m=900, status="on_scene"),
        row("e", **HERE, reach_m=900, status="available", observed_at=AT - timedelta(hours=1)),
    )
    (note,) = noted(units, rule=Rule(where={"status": ["available"]}))
    assert note.startswith(
        "cfd.x: 4 of 5 features that reach into the area do not count: 2 of another status than asked for"
    )
    assert note.endswith("1 out of service, 1 not heard of for too long.")


def test_what_was_not_heard_of_yet_is_told_first_and_not_as_empty() -> None:
    later = replace(source("units", layer="cfd.later"), revision=0, heard_since=AT + timedelta(minutes=33))
    never = replace(source("units", layer="cfd.never"), revision=0)
    assert noted(later, never, notes=("Read a while ago.",)) == [
        "Nothing is known of cfd.later before 2026-01-31 12:33 UTC.",
        "Nothing has ever been heard of cfd.never.",
        "Read a while ago.",
    ]


def test_stations_of_another_status_are_not_busy_and_their_statuses_are_named() -> None:
    stations = [
        row(f"{at}", **HERE, reach_m=900, status=status) for at, status in enumerate(["open", "open", None])
    ]
    *_, note = noted(source("assets", *stations), rule=Rule(where={"status": ["available"]}))
    assert note.endswith("do not count: 3 of another status than asked for (open, none stated).")


def test_a_filter_that_nobody_meets_is_told() -> None:
    units = source("units", row(**HERE, reach_m=900, status="available"))
    misspelt, _ = noted(units, rule=Rule(where={"status": ["avialable"]}))
    assert misspelt == "No feature near the area has “avialable” as its status; there are: available."


def test_what_is_too_far_away_to_matter_is_not_counted_as_near() -> None:
    far = [row(f"far{at}", lng=-87.63, lat=42.5, reach_m=900, status="on_scene") for at in range(7)]
    near = [
        row("a", **HERE, reach_m=900, status="available"),
        row("b", **HERE, reach_m=900, status="on_scene"),
    ]
    (note,) = noted(source("units", *far, *near), rule=Rule(where={"status": ["available"]}))
    assert note.startswith(
        "cfd.x: 1 of 2 features that reach into the area do not count: 1 of another status"
    )


def test_agencies_of_which_nothing_is_seen_are_named() -> None:
    assert noted(unshared=("cpd", "uscg")) == ["You see nothing that could cover of cpd, uscg."]
