"""`cop gaps-by-hour`: what is refused and by which words, what is written, and a real day against counting by hand."""

from __future__ import annotations

import csv
import gzip
import io
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from matplotlib import image
from typer.testing import CliRunner

from cop.cli import app
from cop.gaps.by_hour import form_of, moment_of, title_of
from cop.gaps.hours import Asked, ByHour, as_csv, as_geojson, by_hour, facts_of, window_of
from cop.gaps.hours_picture import as_png, drawn
from cop.gaps.observed import Positions, Zones, read_positions, read_zones
from layers.errors import Invalid, InvalidGeometry, LayersError, TooLarge
from layers.exchange import Columns
from layers.hexes import Field, disk, fill
from layers.planning.timeline import micros
from tests.unit.hexes_shapes import box

NOON = datetime(2017, 4, 18, 12, tzinfo=UTC)
WEST, EAST = box(-97.80, 30.20, -97.75, 30.30), box(-97.75, 30.20, -97.70, 30.30)
COLUMNS = Columns(id="bus", time="at", lng="x", lat="y")
HEAD = "bus,at,x,y\n"
AUSTIN = Path(__file__).parents[3] / "shared" / "data" / "austin"
AUSTIN_FILES = (AUSTIN / "neighborhoods.geojson", AUSTIN / "avl-2017-04-18.csv.gz")
AUSTIN_COLUMNS = {"id": "vehicle_id", "time": "timestamp", "lng": "longitude", "lat": "latitude"}
needs_austin = pytest.mark.skipif(
    not AUSTIN.is_dir(), reason="the real positions are not here: ../shared/data/austin"
)


def refused(kind: type[LayersError], code: str, words: str | None = None) -> pytest.RaisesExc[LayersError]:
    return pytest.raises(kind, match=words, check=lambda error: error.code == code)


def written(path: Path, *features: tuple[Any, dict[str, Any]]) -> Path:
    """GeoJSON of geometries with their properties."""
    made = [{"type": "Feature", "geometry": shape, "properties": about} for shape, about in features]
    path.write_text(json.dumps({"type": "FeatureCollection", "features": made}))
    return path


def zones_of(tmp_path: Path, *names: str) -> Zones:
    known = zip((WEST, EAST), names or ("West", "East"), strict=True)
    return read_zones(
        written(tmp_path / "z.geojson", *((shape, {"name": name}) for shape, name in known)), "name", 8
    )


def positions_of(tmp_path: Path, rows: str, columns: Columns = COLUMNS) -> Positions:
    (tmp_path / "p.csv").write_text(HEAD + rows)
    return read_positions(tmp_path / "p.csv", columns)


def told(tmp_path: Path, rows: str, *names: str, **options: Any) -> ByHour:
    asked = Asked(**{"reach_m": 2_000.0, "resolution": 8} | options)
    return by_hour(zones_of(tmp_path, *names), positions_of(tmp_path, rows), asked)


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (
            "a,2017-04-18T12:00:00,-97.7,30.2",
            "positions.time",
            r"position 1: .* names no zone; say with --time-zone",
        ),
        ("a,1492516800,-97.7,30.2", "positions.time", "is no time"),
        ("a,,-97.7,30.2", "positions.time", "has no time"),
        (",2017-04-18T12:00:00Z,-97.7,30.2", "positions.id", "has no id"),
        ("a,2017-04-18T12:00:00Z,here,30.2", "positions.place", "not two numbers"),
        ("", "positions.none", "holds no position"),
    ],
)
def test_a_row_that_says_too_little_is_refused_by_its_number(
    tmp_path: Path, row: str, code: str, words: str
) -> None:
    with refused(Invalid, code, words):
        positions_of(tmp_path, row)


def test_a_column_that_is_not_there_is_named_beside_those_that_are(tmp_path: Path) -> None:
    with refused(Invalid, "file.column", r"no column 'lon'\. Its columns are: bus, at, x, y"):
        positions_of(tmp_path, "", Columns(id="bus", time="at", lng="lon", lat="y"))
    with refused(Invalid, "file.column", "no column 'district'"):
        read_zones(written(tmp_path / "z.geojson", (WEST, {"name": "West"})), "district", 8)


def test_positions_without_a_column_of_times_say_which_option_is_missing(tmp_path: Path) -> None:
    with refused(Invalid, "positions.time", "--time-column"):
        positions_of(tmp_path, "a,2017-04-18T12:00:00Z,-97.7,30.2", Columns(id="bus", lng="x", lat="y"))


def test_what_is_no_point_is_no_position(tmp_path: Path) -> None:
    path = written(tmp_path / "p.geojson", (WEST, {"bus": "a", "observed_at": "2017-04-18T12:00:00Z"}))
    with refused(Invalid, "positions.place", "is no point"):
        read_positions(path, Columns(id="bus"))


def test_zones_are_polygons_and_the_rest_is_left_out_and_counted(tmp_path: Path) -> None:
    point = {"type": "Point", "coordinates": [0.0, 1.0]}
    with refused(Invalid, "zones.none", "holds no polygon"):
        read_zones(written(tmp_path / "z.geojson", (point, {"name": "a"})), "name", 8)
    found = read_zones(
        written(tmp_path / "z.geojson", (point, {"name": "a"}), (WEST, {"name": "b"})), "name", 8
    )
    assert (found.names, found.skipped, found.mended) == (("b",), 1, 0)


@pytest.mark.parametrize("marked", ["exercise", "test"])
def test_what_rests_on_an_exercise_is_marked_in_every_form(tmp_path: Path, marked: str) -> None:
    zones = written(
        tmp_path / "z.geojson",
        (WEST, {"name": "a"}),
        (EAST, {"name": "b", "status": marked}),
        (WEST, {"name": "c"}),
    )
    positions = positions_of(tmp_path, "a,2017-04-18T12:10:00Z,-97.77,30.25\n")
    found = by_hour(read_zones(zones, "name", 8), positions, Asked(2_000.0, resolution=8))
    header, *rows = as_csv(found).decode().splitlines()
    assert header.endswith(",status")
    assert all(row.endswith(f",{marked}") for row in rows)
    assert json.loads(as_geojson(found))["status"] == marked
    assert list(image.imread(io.BytesIO(as_png(found, None)))[5, 5, :3]) == pytest.approx(
        [0.7, 0, 0.11], abs=0.01
    )


def test_a_terminal_says_that_an_exercise_is_not_real_before_and_after(tmp_path: Path) -> None:
    zones = written(tmp_path / "z.geojson", (WEST, {"name": "a", "status": "exercise"}))
    (tmp_path / "p.csv").write_text(HEAD + "a,2017-04-18T12:10:00Z,-97.77,30.25\n")
    columns = ["--id-column", "bus", "--time-column", "at", "--lng-column", "x", "--lat-column", "y"]
    words = ["gaps-by-hour", str(zones), str(tmp_path / "p.csv"), "--reach-m", "900", *columns]
    answer = CliRunner().invoke(app, words)
    first, *_, last = answer.output.strip().splitlines()
    assert (answer.exit_code, first, last) == (0, "EXERCISE — NOT REAL", "EXERCISE — NOT REAL")


def test_units_that_play_make_an_exercise_of_real_zones(tmp_path: Path) -> None:
    rows = written(
        tmp_path / "p.geojson",
        (
            {"type": "Point", "coordinates": [-97.77, 30.25]},
            {"bus": "a", "at": "2017-04-18T12:10:00Z", "status": "exercise"},
        ),
    )
    assert read_positions(rows, Columns(id="bus", time="at")).status == "exercise"
    assert positions_of(tmp_path, "a,2017-04-18T12:10:00Z,-97.77,30.25\n").status == "actual"


def test_a_zone_that_cannot_be_placed_is_named_with_the_spot(tmp_path: Path) -> None:
    off = {"type": "Polygon", "coordinates": [[[0, 0], [1, 0], [1, 95], [0, 0]]]}
    with pytest.raises(InvalidGeometry, match=r"z\.geojson, feature 1/coordinates/0/2"):
        read_zones(written(tmp_path / "z.geojson", (off, {"name": "a"})), "name", 8)


def test_zones_of_too_many_cells_are_refused_before_they_are_filled(tmp_path: Path) -> None:
    texas = written(tmp_path / "z.geojson", (box(-106, 26, -94, 36), {"name": "Texas"}))
    with refused(TooLarge, "h3.too_many_cells", "coarser resolution"):
        read_zones(texas, "name", 10)


def test_a_zone_that_crosses_itself_is_mended_and_that_is_said(tmp_path: Path) -> None:
    ring = [[-97.8, 30.2], [-97.7, 30.3], [-97.7, 30.2], [-97.8, 30.3], [-97.8, 30.2]]
    zones = read_zones(
        written(tmp_path / "z.geojson", ({"type": "Polygon", "coordinates": [ring]}, {"name": "Bow"})),
        "name",
        8,
    )
    found = by_hour(
        zones, positions_of(tmp_path, "a,2017-04-18T12:00:00Z,-97.7,30.2"), Asked(500.0, resolution=8)
    )
    assert any("mended" in note for note in facts_of(found).notes)


def test_zones_of_one_name_are_told_apart(tmp_path: Path) -> None:
    shapes = [(WEST, {"name": name}) for name in ("A", "A", "A (2)")] + [(WEST, {"name": None})]
    found = read_zones(written(tmp_path / "z.geojson", *shapes), "name", 8)
    assert found.names == ("A", "A (3)", "A (2)", "zone 4")


@pytest.mark.parametrize("text", ["soon", "2017-04-18", "12:00", "1492516800"])
def test_a_moment_names_its_zone(text: str) -> None:
    with refused(Invalid, "gaps.time", "--from"):
        moment_of(text, None, "--from")


def test_a_file_of_no_known_form_and_a_title_of_two_lines_are_refused() -> None:
    with refused(Invalid, "gaps.form", r"\.csv \.geojson \.png"):
        form_of(Path("out.docx"))
    with refused(Invalid, "gaps.title"):
        title_of("a\nb")


@pytest.mark.parametrize("rows", ["a,2017-04-18T12:00:00Z,0,0", "a,2017-04-18T12:00:00Z,,"])
def test_a_file_of_receivers_without_a_fix_has_no_time_to_go_by(tmp_path: Path, rows: str) -> None:
    with refused(Invalid, "timeline.positions"):
        told(tmp_path, rows)


def test_what_has_no_fix_does_not_stretch_the_window(tmp_path: Path) -> None:
    found = told(tmp_path, "a,1980-01-06T00:00:00Z,0,0\na,2017-04-18T12:10:00Z,-97.72,30.25")
    assert (len(found.steps), found.found.dropped) == (1, 1)
    assert facts_of(found).notes[0].startswith("1 of 2 positions were dropped")


def test_steps_are_whole_hours_of_the_files_own_clock(tmp_path: Path) -> None:
    india = timezone(timedelta(hours=5, minutes=30))
    rows = "a,2017-04-18T12:10:00+05:30,77.2,28.6\na,2017-04-18T14:50:00+05:30,77.2,28.6"
    window = window_of(positions_of(tmp_path, rows), Asked(500.0))
    assert window == tuple(datetime(2017, 4, 18, hour, tzinfo=india) for hour in (13, 15))


def test_a_window_asked_for_is_the_window(tmp_path: Path) -> None:
    found = told(
        tmp_path, "a,2017-04-18T12:10:00Z,-97.72,30.25", begin=NOON, end=NOON + timedelta(minutes=90)
    )
    assert found.steps == (NOON, NOON + timedelta(hours=1))
    assert found.end == NOON + timedelta(minutes=90)


def test_half_an_hour_of_cover_is_half_of_the_hour(tmp_path: Path) -> None:
    rows = "a,2017-04-18T12:15:00Z,-97.775,30.25"
    found = told(tmp_path, rows, reach_m=20_000.0, stale_after_s=1_800)
    assert found.shares[0].tolist() == [pytest.approx(0.5, abs=1e-6)] * 2
    assert found.whole_share.tolist() == [pytest.approx(0.5, abs=1e-6)]
    assert found.gap_km2(0, 0) == pytest.approx(found.found.zone_km2[0] / 2, rel=1e-6)


def test_hours_of_which_nobody_tells_are_named(tmp_path: Path) -> None:
    rows = "a,2017-04-18T12:00:00Z,-97.72,30.25\na,2017-04-18T14:59:00Z,-97.72,30.25"
    assert any("in 1 of 3 steps, that from 13:00" in note for note in facts_of(told(tmp_path, rows)).notes)


def test_csv_has_a_row_for_each_zone_and_step_and_no_formula(tmp_path: Path) -> None:
    found = told(
        tmp_path, "a,2017-04-18T12:00:00Z,-97.72,30.25\na,2017-04-18T13:30:00Z,-97.72,30.25", "=1+1", "East"
    )
    rows = list(csv.DictReader(io.StringIO(as_csv(found).decode())))
    assert [(row["zone"], row["from"][11:16]) for row in rows] == [
        ("'=1+1", "12:00"),
        ("'=1+1", "13:00"),
        ("East", "12:00"),
        ("East", "13:00"),
    ]
    assert float(rows[2]["covered_share"]) == pytest.approx(found.shares[0, 1], abs=1e-6)
    assert float(rows[2]["gap_km2"]) == pytest.approx(found.gap_km2(0, 1), abs=1e-6)


def test_geojson_has_the_zones_with_their_shares(tmp_path: Path) -> None:
    found = told(tmp_path, "a,2017-04-18T12:00:00Z,-97.72,30.25")
    body = json.loads(as_geojson(found))
    east = body["features"][1]
    assert shapely.geometry.shape(east["geometry"]).equals(shapely.geometry.shape(EAST))
    assert east["properties"]["zone"] == "East"
    assert list(east["properties"]["covered_share"].values()) == [round(found.shares[0, 1], 6)]
    assert "p.csv (SHA-256 " in body["provenance"][-1]


@pytest.mark.parametrize("minutes", [60, 1])
def test_a_picture_is_drawn_of_few_steps_and_of_many(tmp_path: Path, minutes: int) -> None:
    rows = "a,2017-04-18T12:00:00Z,-97.72,30.25\na,2017-04-18T13:30:00Z,-97.78,30.25"
    found = told(tmp_path, rows, "$x^2", "\\frac{", step=timedelta(minutes=minutes))
    assert image.imread(io.BytesIO(as_png(found, None))).shape == (1245, 1755, 4)


def test_nothing_lies_below_the_legend_and_no_number_upon_the_curve(tmp_path: Path) -> None:
    rows = "a,2017-04-18T12:00:00Z,-97.72,30.25\na,2017-04-18T13:30:00Z,-97.78,30.25"
    found = told(tmp_path, rows)
    figure = drawn(found, facts_of(found), None)
    figure.canvas.draw()
    chart, (key,) = figure.axes[2], figure.legends
    assert chart.get_ylim() == (0, 100)
    numbers = [text.get_window_extent() for text in chart.texts]
    assert len(numbers) == len(found.steps)
    assert min(number.y0 for number in numbers) > chart.bbox.y1
    others = [*figure.texts, *(text for axes in figure.axes for text in axes.texts)]
    rooms = [axes.get_tightbbox() for axes in figure.axes] + [each.get_window_extent() for each in others]
    assert key.get_window_extent().count_overlaps(rooms) == 0


def run(*words: object) -> Any:
    return CliRunner().invoke(app, ["gaps-by-hour", *map(str, words)])


def test_the_command_says_on_one_line_what_is_wrong_and_writes_nothing(tmp_path: Path) -> None:
    zones, rows = written(tmp_path / "z.geojson", (WEST, {"name": "West"})), tmp_path / "p.csv"
    rows.write_text(HEAD + "a,2017-04-18T12:00:00Z,-97.72,30.25\n")
    named = ("--id-column", "bus", "--time-column", "at", "--lng-column", "x", "--lat-column", "lat")
    answer = run(zones, rows, "--reach-m", 500, *named, "--out", tmp_path / "a.png")
    assert (answer.exit_code, answer.stderr.count("\n")) == (2, 1)
    assert "no column 'lat'" in answer.stderr
    assert not (tmp_path / "a.png").exists()
    assert run(tmp_path / "none.geojson", rows, "--reach-m", 500).exit_code == 2


@pytest.mark.parametrize(
    "words",
    [
        ("--reach-m", "nan"),
        ("--reach-m", "-1"),
        ("--reach-m", "1e9"),
        ("--reach-m", "1", "--stale-after-s", "1e30"),
        ("--reach-m", "1", "--step-minutes", "0"),
        ("--reach-m", "1", "--step-minutes", "99999999999999"),
        ("--reach-m", "1", "--at-least", "0"),
        ("--reach-m", "1", "--resolution", "16"),
        ("--reach-m", "1", "--time-zone", "Mars/Olympus"),
        ("--reach-m", "1", "--from", "2010-01-01T00:00Z"),
        ("--reach-m", "1", "--to", "2010-01-01T00:00Z"),
        (),
    ],
)
def test_numbers_and_times_out_of_bounds_are_refused_without_a_trace(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    zones, rows = written(tmp_path / "z.geojson", (WEST, {"name": "West"})), tmp_path / "p.csv"
    rows.write_text(HEAD + "a,2017-04-18T12:00:00Z,-97.72,30.25\n")
    named = ("--id-column", "bus", "--time-column", "at", "--lng-column", "x", "--lat-column", "y")
    answer = run(zones, rows, *named, *words)
    assert (answer.exit_code, type(answer.exception)) == (2, SystemExit)
    assert "Traceback" not in answer.output


def counted_by_hand(zone: Any, rows: list[dict[str, str]], begin_us: int, end_us: int) -> float:
    """The share of a zone's ground times an hour that somebody covers: cell by cell, fix by fix."""
    field = Field(fill(zone, 9))
    ends: dict[tuple[str, int], int] = {}
    fixes = sorted(
        (row["vehicle_id"], micros(datetime.fromisoformat(row["timestamp"])), at)
        for at, row in enumerate(rows)
    )
    for (id, at, number), (next_id, next_at, _) in zip(fixes, [*fixes[1:], ("", 0, 0)], strict=True):
        stale = at + 300_000_001
        ends[id, number] = min(stale, next_at) if next_id == id else stale
    held: list[list[tuple[int, int]]] = [[] for _ in range(field.size)]
    west, south, east, north = shapely.geometry.shape(zone).bounds
    for id, at, number in fixes:
        begin, end = max(at, begin_us), min(ends[id, number], end_us)
        lng, lat = float(rows[number]["longitude"]), float(rows[number]["latitude"])
        if begin < end and west - 0.02 < lng < east + 0.02 and south - 0.02 < lat < north + 0.02:
            for cell in field.places(np.array(list(disk(lng, lat, 800, 9)), np.uint64)).tolist():
                if cell >= 0:
                    held[cell].append((begin, end))
    covered = 0.0
    for km2, spells in zip(field.km2.tolist(), held, strict=True):
        last = begin_us
        for begin, end in sorted(spells):
            covered += km2 * max(end - max(begin, last), 0)
            last = max(last, end)
    return covered / field.km2.sum() / (end_us - begin_us)


@needs_austin
@pytest.mark.parametrize("name", ["Oakmont Heights", "Windsor Park"])
def test_a_real_hour_of_a_neighbourhood_is_what_counting_by_hand_says(name: str) -> None:
    zones, positions = (
        read_zones(AUSTIN_FILES[0], "name", 9),
        read_positions(AUSTIN_FILES[1], Columns(**AUSTIN_COLUMNS)),
    )
    found = by_hour(zones, positions, Asked(800.0))
    assert (found.shares.shape, found.found.dropped) == ((6, 70), 22)
    with gzip.open(AUSTIN_FILES[1], "rt") as lines:
        rows = [row for row in csv.DictReader(lines) if float(row["latitude"])]
    zone, step = zones.names.index(name), 3
    begin_us = micros(found.steps[step])
    by_hand = counted_by_hand(
        shapely.geometry.mapping(zones.shapes[zone]), rows, begin_us, begin_us + 3_600_000_000
    )
    assert 0.1 < by_hand < 0.9
    assert found.shares[step, zone] == pytest.approx(by_hand, abs=1e-6)


@needs_austin
def test_one_command_tells_every_neighbourhood_of_every_hour_and_draws_it(tmp_path: Path) -> None:
    named = [word for name, column in AUSTIN_COLUMNS.items() for word in (f"--{name}-column", column)]
    files = [word for form in ("csv", "geojson", "png") for word in ("--out", tmp_path / f"a.{form}")]
    answer = run(*AUSTIN_FILES, "--reach-m", 800, *named, *files)
    assert answer.exit_code == 0, answer.output
    assert "Oak Hill" in answer.output
    assert len((tmp_path / "a.csv").read_text().splitlines()) == 1 + 70 * 6
    assert image.imread(tmp_path / "a.png").shape == (1245, 1755, 4)
