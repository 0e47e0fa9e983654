"""Files in: CSV, GeoJSON, NDJSON, GeoPackage, GeoParquet, FlatGeobuf and Shapefile become GeoJSON features.

It only translates. What a feature may be is for the door (`layers.publish`) to say: a value that cannot be
read stays as it is, so that the door refuses it by name. `cop push` hands it files.
"""

from __future__ import annotations

import csv
import gzip
import io
import math
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time, tzinfo
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from layers.errors import Invalid, TooLarge
from layers.model import JsonObject

MAX_LINE_BYTES = 5_000_000
"""One line of CSV or NDJSON: as much as one whole request may hold, so no line beyond could be pushed."""
MAX_GEOJSON_BYTES = 512_000_000
"""GeoJSON is one value and is read whole; at about six times its size in memory. Larger: use NDJSON."""
MAX_ZIP_MEMBERS = 64
MAX_ZIP_BYTES = 2_000_000_000
"""What a zip may hold unpacked: a shapefile's own parts end at 2 GB."""
MAX_ZIP_RATIO = 200
"""Deflate ends near 1,000; real shapefiles lie below 30."""
ROWS = 10_000
"""Rows of a table in memory at once."""

_NUMBER = re.compile(r"-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?")
_NOTHING = frozenset({"", "nan"})
_MAGIC = {".gpkg": b"SQLite format 3\x00", ".shp": b"\x00\x00\x27\x0a", ".fgb": b"fgb\x03fgb"}
SUFFIXES = ".csv .csv.gz .geojson .json .ndjson .geojsonl .jsonl .gpkg .parquet .geoparquet .fgb .shp .zip"


@dataclass(frozen=True, slots=True)
class Columns:
    """Which columns of a file mean what. Others become properties under their own names, unless they are left out."""

    id: str | None = None
    time: str | None = None
    """Becomes `observed_at`."""
    lng: str | None = None
    lat: str | None = None
    rename: Mapping[str, str] = field(default_factory=dict)
    """Column → property, where the two differ."""
    zone: tzinfo | None = None
    """The zone of times that say none. Without it they stay as they are, and the door refuses them."""
    others: bool = True
    """Whether columns that are not named here are read at all. Without four of eight, a file takes a fifth less."""


def read_features(path: Path, columns: Columns | None = None) -> Iterator[JsonObject]:
    """GeoJSON features of the file at *path*, in its order, in longitude and latitude of WGS 84.

    The format is told by the name's ending. Empty cells and NaN are left out of the properties; a CSV cell
    that is a JSON number becomes one, any other stays text (`007` is text). Memory is bounded but for
    GeoJSON, which is read whole. Raises `Invalid` for what makes the whole file unreadable: a column that
    is not there (naming those that are), an unknown format, a damaged file, no known reference system.
    """
    columns = columns or Columns()
    name = path.name.lower()
    if not path.is_file():
        raise Invalid(f"There is no file {path}.", code="file.not_found")
    if name.endswith((".csv", ".csv.gz")):
        return _csv(path, columns)
    match path.suffix.lower():
        case ".geojson" | ".json":
            return _geojson(path, columns)
        case ".ndjson" | ".geojsonl" | ".jsonl":
            return _ndjson(path, columns)
        case ".parquet" | ".geoparquet":
            return _parquet(path, columns)
        case ".gpkg" | ".fgb" | ".shp" as suffix:
            with path.open("rb") as file:
                _check_magic(path.name, suffix, file)
            return _ogr(str(path), path, columns)
        case ".zip":
            return _ogr(_shapefile_in(path), path, columns)
        case _:
            raise Invalid(
                f"{path.name}: the ending tells the format, and this one is not known. Known: {SUFFIXES}.",
                code="file.format",
            )


def parsed_time(value: object, zone: tzinfo | None = None) -> datetime | None:
    """The moment that *value* names, or None if it names none: an ISO 8601 text or a datetime, with a zone
    of its own or else in *zone*. A bare number names none: seconds and milliseconds are never guessed."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value.strip())
        except ValueError:
            return None
    if not isinstance(value, datetime):
        return None
    if value.tzinfo is None:
        return value.replace(tzinfo=zone) if zone is not None else None
    return value


# Text formats.


def _csv(path: Path, columns: Columns) -> Iterator[JsonObject]:
    with _bytes_of(path) as file:
        rows = csv.reader(_lines(file, path), strict=True)
        try:
            header = next(rows, None)
            if header is None:
                raise Invalid(f"{path.name} is empty: a CSV file begins with a line of column names.")
            _check_columns(path, header, columns, needs_position=True)
            for row in rows:
                if len(row) > len(header):
                    raise Invalid(
                        f"{path.name}, line {rows.line_num}: {len(row)} cells under {len(header)} columns.",
                        code="file.damaged",
                    )
                if row:
                    yield _feature_of(dict(zip(header, row, strict=False)), columns, cell=_cell)
        except csv.Error as error:
            raise Invalid(f"{path.name}, line {rows.line_num}: {error}.", code="file.damaged") from error


def _ndjson(path: Path, columns: Columns) -> Iterator[JsonObject]:
    checked = False
    with path.open("rb") as file:
        for number, line in enumerate(_lines(file, path), start=1):
            text = line.strip("\x1e \t\r\n")  # RFC 8142 opens each text with a record separator
            if not text:
                continue
            feature = _object(text, f"{path.name}, line {number}")
            if not checked:
                _check_columns(path, _names(feature), columns, needs_position=False)
                checked = True
            yield _mapped(feature, columns)


def _geojson(path: Path, columns: Columns) -> Iterator[JsonObject]:
    size = path.stat().st_size
    if size > MAX_GEOJSON_BYTES:
        raise TooLarge(
            f"{path.name} has {size:,} bytes; GeoJSON is read whole and ends at {MAX_GEOJSON_BYTES:,}. "
            "Turn it into NDJSON, one feature a line.",
            code="file.too_large",
        )
    body = _object(path.read_bytes(), path.name)
    if not _is_crs84(body.get("crs")):
        yield from _ogr(
            str(path), path, columns
        )  # GeoJSON of 2008: another reference system, which GDAL reads
        return
    features = body.get("features") if body.get("type") == "FeatureCollection" else [body]
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise Invalid(f"{path.name}: `features` is not a list of features.", code="file.damaged")
    names = {name for feature in features for name in _names(feature)}
    if features:
        _check_columns(path, sorted(names), columns, needs_position=False)
    for feature in features:
        yield _mapped(feature, columns)


def _object(text: str | bytes, where: str) -> JsonObject:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"{where}: this is not JSON: {error}.", code="file.damaged") from error
    if not isinstance(value, dict):
        raise Invalid(f"{where}: a GeoJSON object was expected.", code="file.damaged")
    return value


def _is_crs84(crs: object) -> bool:
    """Whether a GeoJSON 2008 `crs` member says what RFC 7946 takes for granted (or is not there)."""
    if crs is None:
        return True
    name = str(crs.get("properties", {}).get("name", "")) if isinstance(crs, dict) else ""
    return name.upper().replace("::", ":").endswith(("CRS84", "OGC:1.3:CRS84"))


def _names(feature: JsonObject) -> list[str]:
    properties = feature.get("properties")
    return ["id", *(properties if isinstance(properties, dict) else ())]


def _mapped(feature: JsonObject, columns: Columns) -> JsonObject:
    """A feature that is GeoJSON already: its id, its time and its properties renamed as asked."""
    properties = feature.get("properties")
    if not isinstance(properties, dict):
        return feature
    out = dict(feature)
    row = {name: value for name, value in properties.items() if value is not None}
    if columns.id not in (None, "id") or "id" not in feature:
        identity = row.pop(columns.id or "id", None)
        if identity is not None:
            out["id"] = str(identity)
    if columns.lng is not None and columns.lat is not None:
        out["geometry"] = _point(row.pop(columns.lng, None), row.pop(columns.lat, None))
    out["properties"] = _properties(row, columns)
    return out


# Tables of Arrow: whatever GDAL or Parquet hands over, in batches.


def _ogr(source: str, path: Path, columns: Columns) -> Iterator[JsonObject]:
    import pyogrio

    try:
        opened = pyogrio.open_arrow(source, batch_size=ROWS, use_pyarrow=True, datetime_as_string=True)
        with opened as (meta, reader):
            names = [str(name) for name in meta["fields"]]
            _check_columns(path, names, columns, needs_position=not meta["geometry_type"])
            geometry = meta["geometry_name"] or "wkb_geometry"
            for batch in reader:
                yield from _rows(
                    batch, geometry if meta["geometry_type"] else None, meta["crs"], path, columns
                )
    except pyogrio.errors.DataSourceError as error:
        raise Invalid(f"{path.name} cannot be read: {error}", code="file.damaged") from error


def _parquet(path: Path, columns: Columns) -> Iterator[JsonObject]:
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            about = orjson.loads((file.schema_arrow.metadata or {}).get(b"geo", b"{}"))
            geometry = about.get("primary_column")
            names = [name for name in file.schema_arrow.names if name != geometry]
            _check_columns(path, names, columns, needs_position=geometry is None)
            crs = about["columns"][geometry].get("crs", "OGC:CRS84") if geometry else None
            for batch in file.iter_batches(batch_size=ROWS):
                yield from _rows(batch, geometry, crs, path, columns)
    except (pyarrow.ArrowInvalid, OSError, orjson.JSONDecodeError) as error:
        raise Invalid(f"{path.name} cannot be read: {error}", code="file.damaged") from error


def _rows(batch: Any, geometry: str | None, crs: Any, path: Path, columns: Columns) -> Iterator[JsonObject]:
    """Features of one Arrow record batch whose column *geometry* holds WKB in the reference system *crs*."""
    rows: list[JsonObject] = batch.to_pylist()
    shapes: list[JsonObject | None] = [None] * len(rows)
    if geometry is not None:
        shapes = _wgs84([row.pop(geometry, None) for row in rows], crs, path)
    for row, shape in zip(rows, shapes, strict=True):
        feature = _feature_of(row, columns, cell=_json)
        if shape is not None or geometry is not None:
            feature["geometry"] = shape
        yield feature


def _wgs84(wkb: list[bytes | None], crs: Any, path: Path) -> list[JsonObject | None]:
    import shapely
    from pyproj import CRS, Transformer
    from pyproj.exceptions import ProjError

    if not crs:
        raise Invalid(
            f"{path.name} does not say its reference system, so where it lies cannot be known. "
            "Add it (a .prj file, or `ogr2ogr -a_srs`).",
            code="file.crs",
        )
    try:
        source = CRS.from_user_input(crs)
        shapes = shapely.from_wkb(wkb)
        if not source.equals(CRS("OGC:CRS84"), ignore_axis_order=True):
            turn = Transformer.from_crs(source, "OGC:CRS84", always_xy=True)
            shapes = shapely.transform(shapes, turn.transform, interleaved=False)
    except (ProjError, shapely.errors.GEOSException) as error:
        raise Invalid(f"{path.name}: its geometry cannot be read: {error}", code="file.damaged") from error
    return [None if text is None else orjson.loads(text) for text in shapely.to_geojson(shapes)]


# One row, one feature.


def _feature_of(row: JsonObject, columns: Columns, *, cell: Any) -> JsonObject:
    identity = row.pop(columns.id or "id", None)
    lng = cell(row.pop(columns.lng)) if columns.lng in row else None
    lat = cell(row.pop(columns.lat)) if columns.lat in row else None
    if not columns.others:
        row = {name: row[name] for name in (columns.time, *columns.rename) if name in row}
    cells = {name: cell(value) for name, value in row.items()}
    feature: JsonObject = {"type": "Feature"}
    if identity is not None:
        feature["id"] = _text(identity)
    feature["geometry"] = _point(lng, lat) if columns.lng is not None else None
    feature["properties"] = _properties({n: v for n, v in cells.items() if v is not None}, columns)
    return feature


def _properties(row: JsonObject, columns: Columns) -> JsonObject:
    properties: JsonObject = {}
    for name, value in row.items():
        if name == columns.time:
            moment = parsed_time(value, columns.zone)
            properties["observed_at"] = moment.isoformat() if moment is not None else value
        else:
            properties[columns.rename.get(name, name)] = value
    return properties


def _point(lng: object, lat: object) -> JsonObject | None:
    """A point, even of what are no numbers: the door says what is wrong with it."""
    return None if lng is None and lat is None else {"type": "Point", "coordinates": [lng, lat]}


def _cell(text: str) -> object:
    """A CSV cell as JSON: nothing, a number, or text."""
    text = text.strip()
    if text.lower() in _NOTHING:
        return None
    if _NUMBER.fullmatch(text) and len(text) <= 32:
        number = float(text)
        return int(text) if text.lstrip("-").isdigit() else number if math.isfinite(number) else text
    return text


def _json(value: object) -> object:
    """An Arrow value as JSON: nothing for null and NaN, ISO 8601 for times, hexadecimal text for bytes."""
    match value:
        case float():
            return value if math.isfinite(value) else None
        case Decimal():
            return _json(float(value))
        case datetime() | date() | time():
            return value.isoformat()
        case bytes():
            return value.hex()
        case dict():
            return {str(name): _json(inner) for name, inner in value.items()}
        case list() | tuple():
            return [_json(inner) for inner in value]
        case _:
            return value


def _text(identity: object) -> str:
    """An id as text; one that a table with gaps turned into a float (`12.0`) is the integer it was."""
    if isinstance(identity, float) and identity.is_integer():
        return str(int(identity))
    return str(identity).strip()


# Checks before anything is read.


def _check_columns(path: Path, names: Iterable[str], columns: Columns, *, needs_position: bool) -> None:
    names = list(names)
    there = ", ".join(names) or "none"
    asked = [columns.id, columns.time, columns.lng, columns.lat, *columns.rename]
    if missing := [name for name in asked if name is not None and name not in names]:
        lacks = " and no column ".join(map(repr, missing))
        raise Invalid(f"{path.name} has no column {lacks}. Its columns are: {there}.", code="file.column")
    if (columns.lng is None) != (columns.lat is None) or (needs_position and columns.lng is None):
        raise Invalid(
            f"{path.name}: say which columns hold longitude and latitude. Its columns are: {there}.",
            code="file.column",
        )
    if columns.id is None and "id" not in names:
        raise Invalid(
            f"{path.name}: say which column holds the id of each feature. Its columns are: {there}.",
            code="file.column",
        )


def _check_magic(name: str, suffix: str, file: Any) -> None:
    """Refuse a file that is not what its name says: GDAL goes by content, and some of its formats (VRT) are
    instructions to read other files."""
    if file.read(16)[: len(_MAGIC[suffix])] != _MAGIC[suffix]:
        raise Invalid(f"{name} is no {suffix} file, whatever its name says.", code="file.damaged")


def _shapefile_in(path: Path) -> str:
    """The GDAL path of the one shapefile in the zip at *path*; nothing is unpacked to disk."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            size = sum(member.file_size for member in members)
            packed = max(1, sum(member.compress_size for member in members))
            if len(members) > MAX_ZIP_MEMBERS or size > MAX_ZIP_BYTES or size / packed > MAX_ZIP_RATIO:
                raise TooLarge(
                    f"{path.name} holds {len(members)} files of {size:,} bytes, packed {size // packed} "
                    f"to 1; the limits are {MAX_ZIP_MEMBERS}, {MAX_ZIP_BYTES:,} and {MAX_ZIP_RATIO}.",
                    code="file.too_large",
                )
            shapefiles = [member.filename for member in members if member.filename.lower().endswith(".shp")]
            if len(shapefiles) != 1 or ".." in Path(shapefiles[0]).parts or shapefiles[0].startswith("/"):
                raise Invalid(
                    f"{path.name} must hold one shapefile, not {len(shapefiles)}.", code="file.format"
                )
            with archive.open(shapefiles[0]) as file:
                _check_magic(shapefiles[0], ".shp", file)
    except (zipfile.BadZipFile, RuntimeError) as error:  # RuntimeError: the member is encrypted
        raise Invalid(f"{path.name} cannot be read: {error}", code="file.damaged") from error
    return f"/vsizip/{{{path.resolve()}}}/{shapefiles[0]}"


@contextmanager
def _bytes_of(path: Path) -> Iterator[BinaryIO]:
    if path.suffix.lower() == ".gz":
        with gzip.open(path, "rb") as unpacked:
            yield io.BufferedReader(unpacked)
    else:
        with path.open("rb") as file:
            yield file


def _lines(file: BinaryIO, path: Path) -> Iterator[str]:
    """Lines of UTF-8 text, none longer than `MAX_LINE_BYTES`: a gzip of one endless line stays harmless."""
    number = 0
    try:
        while line := file.readline(MAX_LINE_BYTES + 1):
            number += 1
            if len(line) > MAX_LINE_BYTES:
                raise TooLarge(
                    f"{path.name}, line {number}: over {MAX_LINE_BYTES:,} bytes.", code="file.too_large"
                )
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise Invalid(
            f"{path.name}, line {number}: this is not UTF-8 ({error.reason}).", code="file.damaged"
        ) from error
    except (gzip.BadGzipFile, EOFError) as error:
        raise Invalid(f"{path.name} cannot be unpacked: {error}", code="file.damaged") from error
