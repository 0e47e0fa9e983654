"""Files in: what each format becomes as GeoJSON, and which files are refused as a whole."""

from __future__ import annotations

import gzip
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import geopandas
import pandas
import pyarrow
import pyarrow.parquet
import pytest
from shapely.geometry import Point

from layers import exchange
from layers.errors import Invalid, TooLarge
from layers.exchange import Columns, parsed_time, read_features

BUSES = Columns(id="bus", time="seen", lng="x", lat="y")
CSV = """bus,seen,x,y,speed,route,note
007,2026-11-22T08:00:00-06:00,-87.6,41.9,4.5,01,
8,2026-11-22T08:00:01-06:00,-87.5,41.8,NaN,20,late
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


@pytest.fixture
def frame() -> geopandas.GeoDataFrame:
    """Three hydrants in Chicago, one with gaps in its cells, in metres of UTM zone 16 north."""
    return geopandas.GeoDataFrame(
        {
            "code": ["a", "b", "c"],
            "flow": [1.5, float("nan"), 3.0],
            "built": [1990, 2001, 2010],
            "seen": pandas.to_datetime(["2026-11-22T08:00:00Z", None, "2026-11-22T09:00:00Z"]),
        },
        geometry=[Point(-87.6, 41.9), Point(-87.61, 41.91), Point(-87.62, 41.92)],
        crs="OGC:CRS84",
    ).to_crs(26916)


def test_csv_without_the_columns_asked_for_names_those_it_has(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(Invalid, match=r"no column 'lon'.*bus, seen, x, y, speed, route, note"):
        list(read_features(write("a.csv", CSV), Columns(id="bus", lng="lon", lat="y")))


def test_csv_without_an_id_column_is_refused(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(Invalid, match="id of each feature"):
        list(read_features(write("a.csv", CSV), Columns(lng="x", lat="y")))


def test_unknown_ending_names_those_that_are_known(write: Callable[[str, str], Path]) -> None:
    with pytest.raises(Invalid, match=r"\.gpkg"):
        list(read_features(write("a.xlsx", ""), BUSES))


@pytest.mark.parametrize("name", ["a.gpkg", "a.shp", "a.fgb"])
def test_instructions_to_gdal_under_another_name_are_refused(
    write: Callable[[str, str], Path], name: str
) -> None:
    vrt = '<OGRVRTDataSource><OGRVRTLayer name="x"><SrcDataSource>/etc/passwd</SrcDataSource></OGRVRTLayer>'
    with pytest.raises(Invalid, match="whatever its name says"):
        list(read_features(write(name, vrt), Columns(id="id")))


def test_endless_line_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    path = tmp_path / "bomb.csv.gz"
    with gzip.open(path, "wb") as file:
        file.write(b"a" * (exchange.MAX_LINE_BYTES + 2))
    with pytest.raises(TooLarge):
        list(read_features(path, BUSES))


def test_zip_that_unpacks_beyond_the_limit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.shp", b"\0" * 20_000_000)
    with pytest.raises(TooLarge, match="packed"):
        list(read_features(path, Columns(id="id")))


def test_zip_of_many_members_or_of_no_shapefile_is_refused(tmp_path: Path) -> None:
    many, none = tmp_path / "many.zip", tmp_path / "none.zip"
    with zipfile.ZipFile(many, "w") as archive:
        for number in range(exchange.MAX_ZIP_MEMBERS + 1):
            archive.writestr(f"{number}.txt", "x")
    with zipfile.ZipFile(none, "w") as archive:
        archive.writestr("../a.shp", "x")
    for path, error in ((many, TooLarge), (none, Invalid)):
        with pytest.raises(error):
            list(read_features(path, Columns(id="id")))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.csv", ""),
        ("a.csv", 'bus,seen,x,y\n"1,2\n'),
        ("a.csv", "bus,seen,x,y\n1,2,3,4,5\n"),
        ("a.ndjson", '{"type":"Feature"\n'),
        ("a.geojson", '{"type":"FeatureCollection","features":[1]}'),
        ("a.geojson", '{"type":"Feature","id":1e999}'),
        ("a.parquet", "PAR1"),
    ],
)
def test_damaged_files_are_refused(write: Callable[[str, str], Path], name: str, text: str) -> None:
    with pytest.raises(Invalid):
        list(read_features(write(name, text), BUSES))


def test_text_that_is_not_utf8_is_refused_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "latin.csv"
    path.write_bytes(b"bus,seen,x,y\n\xe9,2026-11-22T08:00:00Z,1,2\n")
    with pytest.raises(Invalid, match="line 2"):
        list(read_features(path, BUSES))


def test_table_without_a_reference_system_is_refused(tmp_path: Path, frame: geopandas.GeoDataFrame) -> None:
    path = tmp_path / "a.parquet"
    frame.set_crs(None, allow_override=True).to_parquet(path)
    with pytest.raises(Invalid, match="reference system"):
        list(read_features(path, Columns(id="code")))


def test_columns_that_nobody_named_can_be_left_out(write: Callable[[str, str], Path]) -> None:
    path = write("a.csv", "id,at,x,y,speed,route\na,2026-01-01T00:00:00Z,1,2,5,7\n")
    columns = Columns(time="at", lng="x", lat="y", rename={"route": "line"}, others=False)
    (feature,) = read_features(path, columns)
    assert feature["geometry"]["coordinates"] == [1, 2]
    assert feature["properties"] == {"observed_at": "2026-01-01T00:00:00+00:00", "line": 7}


def test_csv_cells_become_numbers_only_where_json_writes_them_so(write: Callable[[str, str], Path]) -> None:
    first, second = read_features(write("a.csv", "\ufeff" + CSV), BUSES)
    assert first == {
        "type": "Feature",
        "id": "007",
        "geometry": {"type": "Point", "coordinates": [-87.6, 41.9]},
        "properties": {"observed_at": "2026-11-22T08:00:00-06:00", "speed": 4.5, "route": "01"},
    }
    assert second["properties"]["route"] == 20
    assert "speed" not in second["properties"]


def test_what_is_no_number_is_left_for_the_door_to_refuse(write: Callable[[str, str], Path]) -> None:
    (feature,) = read_features(write("a.csv", "bus,seen,x,y\n1,yesterday,west,41.9\n"), BUSES)
    assert feature["geometry"]["coordinates"] == ["west", 41.9]
    assert feature["properties"]["observed_at"] == "yesterday"


def test_columns_are_renamed(write: Callable[[str, str], Path]) -> None:
    columns = Columns(id="bus", time="seen", lng="x", lat="y", rename={"speed": "speed_mps"})
    first, _ = read_features(write("a.csv", CSV), columns)
    assert first["properties"]["speed_mps"] == 4.5
    assert "speed" not in first["properties"]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz"])
def test_csv_is_read_as_it_is_asked_for(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(gzip.compress(CSV.encode()) if name.endswith("gz") else CSV.encode())
    assert [feature["id"] for feature in read_features(path, BUSES)] == ["007", "8"]


def test_times_without_a_zone_take_the_zone_given_and_numbers_are_never_guessed() -> None:
    chicago = ZoneInfo("America/Chicago")
    assert parsed_time("2026-11-22T08:00:00") is None
    assert parsed_time("1763820000") is None
    assert parsed_time(1763820000) is None
    assert (moment := parsed_time("2026-07-01 08:00", chicago)) is not None
    assert moment.isoformat() == "2026-07-01T08:00:00-05:00"
    assert parsed_time("2026-11-22T08:00:00Z", chicago) == parsed_time("2026-11-22T08:00:00+00:00")


@pytest.mark.parametrize("name", ["a.gpkg", "a.parquet", "a.fgb", "a.shp", "a.zip"])
def test_tables_come_in_degrees_with_clean_cells(
    tmp_path: Path, frame: geopandas.GeoDataFrame, name: str
) -> None:
    path = tmp_path / name
    if name.endswith(".parquet"):
        frame.to_parquet(path)
    elif name.endswith((".shp", ".zip")):  # a shapefile has no times, only dates
        frame["seen"] = frame["seen"].map(lambda time: time.isoformat() if time is not pandas.NaT else None)
        frame.to_file(tmp_path / "a.shp")
        if name.endswith(".zip"):
            with zipfile.ZipFile(path, "w") as archive:
                for part in tmp_path.glob("a.*"):
                    if part != path:
                        archive.write(part, part.name)
    else:
        frame.to_file(path)
    by_id = {f["id"]: f for f in read_features(path, Columns(id="code", time="seen"))}
    assert by_id["a"]["geometry"]["coordinates"] == pytest.approx([-87.6, 41.9], abs=1e-7)
    assert parsed_time(by_id["a"]["properties"].pop("observed_at")) == parsed_time("2026-11-22T08:00:00Z")
    assert by_id["a"]["properties"] == {"flow": 1.5, "built": 1990}
    assert by_id["b"]["properties"] == {"built": 2001}
    assert json.loads(json.dumps(by_id, allow_nan=False)) == by_id


def test_parquet_without_geometry_takes_its_position_from_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pyarrow.parquet.write_table(pyarrow.table({"n": [7], "x": [1.5], "y": [2.5]}), path)
    (feature,) = read_features(path, Columns(id="n", lng="x", lat="y"))
    assert (feature["id"], feature["geometry"]["coordinates"]) == ("7", [1.5, 2.5])


def test_geojson_keeps_what_it_says_and_takes_id_and_time_from_properties(
    write: Callable[[str, str], Path],
) -> None:
    features = [
        {
            "type": "Feature",
            "geometry": None,
            "properties": {"k": "a", "t": "2026-11-22T08:00:00Z", "n": None},
        }
    ]
    path = write("a.geojson", json.dumps({"type": "FeatureCollection", "features": features}))
    (feature,) = read_features(path, Columns(id="k", time="t"))
    assert feature["id"] == "a"
    assert feature["properties"] == {"observed_at": "2026-11-22T08:00:00+00:00"}


def test_geojson_in_another_reference_system_is_brought_to_degrees(
    tmp_path: Path, frame: geopandas.GeoDataFrame
) -> None:
    path = tmp_path / "a.geojson"
    frame.drop(columns="seen").to_crs(3857).to_file(path, RFC7946=False)
    assert '"crs"' in path.read_text()
    first = next(read_features(path, Columns(id="code")))
    assert first["geometry"]["coordinates"] == pytest.approx([-87.6, 41.9], abs=1e-6)


def test_ndjson_and_text_sequences_are_read_by_line(write: Callable[[str, str], Path]) -> None:
    line = '{"type":"Feature","id":"%s","geometry":null,"properties":{}}'
    path = write("a.ndjson", "\x1e" + line % "a" + "\n\n" + line % "b" + "\n")
    assert [feature["id"] for feature in read_features(path)] == ["a", "b"]
