"""The words of `cop gaps`: what they become for the API, and what is refused before anybody is asked."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cop.briefing.facts import Table
from cop.gaps.command import area_of, form_of, grid, reach_of, where_of
from layers.errors import Invalid


def refused(code: str) -> pytest.RaisesExc[Invalid]:
    return pytest.raises(Invalid, check=lambda error: error.code == code)


@pytest.mark.parametrize("text", ["", "here", "1,2,3", "1,2,3,x", "no/such", "missing.geojson"])
def test_what_is_no_area_is_refused(text: str) -> None:
    with refused("gaps.area"):
        area_of(text)


def test_a_file_without_polygons_is_no_area(tmp_path: Path) -> None:
    (tmp_path / "points.geojson").write_text(
        '{"type":"Feature","properties":{},"geometry":{"type":"Point","coordinates":[0,0]}}'
    )
    with refused("gaps.area"):
        area_of(str(tmp_path / "points.geojson"))


def test_an_area_is_a_box_a_feature_or_the_polygons_of_a_file(tmp_path: Path) -> None:
    ring = [[0, 0], [1, 0], [1, 1], [0, 0]]
    (tmp_path / "area.geojson").write_text(
        f'{{"type":"Feature","properties":{{}},"geometry":{{"type":"Polygon","coordinates":[{ring}]}}}}'
    )
    assert area_of(str(tmp_path / "area.geojson")) == {"type": "MultiPolygon", "coordinates": [[ring]]}
    assert area_of("oem.zones/loop/2") == {"layer": "oem.zones", "id": "loop/2"}
    assert area_of("-1,2,3,4")["coordinates"][0][2] == [3, 4]


@pytest.mark.parametrize("type", ["Polygon", "MultiPolygon"])
def test_a_geometry_without_a_feature_round_it_is_an_area(tmp_path: Path, type: str) -> None:
    ring = [[[0, 0], [1, 0], [1, 1], [0, 0]]]
    coordinates = ring if type == "Polygon" else [ring]
    (tmp_path / "bare.geojson").write_text(json.dumps({"type": type, "coordinates": coordinates}))
    assert area_of(str(tmp_path / "bare.geojson")) == {"type": "MultiPolygon", "coordinates": [ring]}


@pytest.mark.parametrize("pairs", [["status"], ["=available"]])
def test_a_filter_is_pairs(pairs: list[str]) -> None:
    with refused("gaps.where"):
        where_of(pairs)


def test_values_of_one_name_are_alternatives_and_may_be_json() -> None:
    pairs = ["status=available", "status=null", "beds=2", 'tag="2"', "list=[1]"]
    assert where_of(pairs) == {"status": ["available", None], "beds": [2], "tag": ["2"], "list": ["[1]"]}


def test_values_between_commas_are_alternatives_unless_they_are_quoted() -> None:
    pairs = ["status=available,null", "status=open", 'name="Smith, John"', "list=[1,2]", "beds=1,2"]
    assert where_of(pairs) == {
        "status": ["available", None, "open"],
        "name": ["Smith, John"],
        "list": ["[1,2]"],
        "beds": [1, 2],
    }


@pytest.mark.parametrize(
    ("words", "reach"),
    [
        ((None, None, None), None),
        ((500.0, None, None), {"metres": 500.0}),
        ((None, 8.0, None), {"minutes": 8.0}),
        ((None, 8.0, "oem.roads"), {"minutes": 8.0, "roads": "oem.roads"}),
    ],
)
def test_a_reach_is_in_metres_or_in_minutes(words: tuple[Any, Any, Any], reach: Any) -> None:
    assert reach_of(*words) == reach


@pytest.mark.parametrize("words", [(500.0, 8.0, None), (500.0, None, "oem.roads"), (None, None, "oem.roads")])
def test_a_reach_in_both_is_none(words: tuple[Any, Any, Any]) -> None:
    with refused("gaps.reach"):
        reach_of(*words)


def test_a_file_says_its_form_by_its_ending() -> None:
    assert [form_of(Path(name)) for name in ("a.HTML", "b.gpkg", "c.csv")] == ["html", "gpkg", "csv"]
    with refused("gaps.form"):
        form_of(Path("answer.docx"))


def test_what_agencies_say_cannot_rule_the_terminal() -> None:
    out = io.StringIO()
    Console(file=out, width=80).print(grid(Table("Gaps", ("a", "b"), (("[bold]x[/bold]\x1b[2J", "é"),))))
    assert "[bold]x[/bold]·[2J" in out.getvalue()
