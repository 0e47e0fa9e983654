"""The forms in which an analysis leaves the service: which one is asked for, and the files, made in an analyst."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

import web
from cop.planning import answers
from cop.planning.desk import Loaded
from layers.errors import Invalid
from layers.hexes.field import Mask
from layers.model import Status
from layers.planning.ground import MAX_AREA_CELLS

if TYPE_CHECKING:
    from geopandas import GeoDataFrame

MAX_DRAWN_CELLS = 250_000
"""Cells of an area that is answered in polygons: dissolving takes some 3 µs for each, of gap, overlap and covered."""
MAX_LISTED_CELLS = 1_000_000
"""Cells of an area that is answered cell by cell: some 60 MB of text."""
CSV_HEADER = "cell,depth,km2,weight,agencies,only"

OF_GAPS: Mapping[str, Any] = {"weight": None, "reasons": None, "nearest": None, "nearest_m": None}
"""Columns that only gaps have a value in."""
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


class Form(StrEnum):
    """A form of an answer, as `?f=` names it."""

    JSON = "json"
    GEOJSON = "geojson"
    CSV = "csv"
    GPKG = "gpkg"
    PARQUET = "parquet"
    HTML = "html"
    PNG = "png"


MEDIA_TYPES: Mapping[Form, str] = {
    Form.JSON: "application/json",
    Form.GEOJSON: "application/geo+json",
    Form.CSV: "text/csv",
    Form.GPKG: "application/geopackage+sqlite3",
    Form.PARQUET: "application/vnd.apache.parquet",
    Form.HTML: "text/html",
    Form.PNG: "image/png",
}
FILES = frozenset(Form) - {Form.JSON, Form.GEOJSON}
"""Those that come as a file with a name."""
BRIEFINGS = frozenset({Form.HTML, Form.PNG})
"""Those that have a title."""
MOST_CELLS: Mapping[Form, int] = {
    Form.JSON: MAX_AREA_CELLS,
    Form.GEOJSON: MAX_DRAWN_CELLS,
    Form.CSV: MAX_LISTED_CELLS,
    Form.GPKG: MAX_DRAWN_CELLS,
    Form.PARQUET: MAX_DRAWN_CELLS,
    Form.HTML: MAX_DRAWN_CELLS,
    Form.PNG: MAX_DRAWN_CELLS,
}


def form_of(f: str | None, accept: str, among: Collection[Form]) -> Form:
    """The form *among* those there are that `?f=` names, else the one that Accept would rather have, else JSON.

    Raises `Invalid` (`query.f`).
    """
    if f is not None:
        if f not in tuple(among):
            raise Invalid(f"f is one of {', '.join(among)}.", code="query.f")
        return Form(f)
    named = {MEDIA_TYPES[form]: form for form in among}
    asked = [_preference(part) for part in accept.split(",")]
    wanted = [
        (quality, named[media_type]) for media_type, quality in asked if media_type in named and quality > 0
    ]
    return max(wanted, key=lambda each: each[0], default=(0.0, Form.JSON))[1]


def _preference(part: str) -> tuple[str, float]:
    """A part of an Accept header as media type and quality (RFC 9110, 12.5.1)."""
    media_type, *parameters = (each.strip().lower() for each in part.split(";"))
    quality = next((each[2:] for each in parameters if each.startswith("q=")), "1")
    try:
        return media_type, float(quality)
    except ValueError:
        return media_type, 0.0


@dataclass(frozen=True, slots=True)
class Mark:
    """What every answer carries, in whatever form: which run it is, of which moment, and whether it is for real."""

    run: UUID
    at: datetime
    status: Status

    def file_name(self, what: str, form: Form) -> str:
        """`coverage-20261122T140211Z-<run>.csv`; what is not actual begins with its status, in capitals."""
        known = "" if self.status is Status.ACTUAL else f"{self.status.upper()}-"
        return f"{known}{what}-{self.at:%Y%m%dT%H%M%SZ}-{self.run}.{form}"

    @property
    def columns(self) -> dict[str, str]:
        """As columns of a table."""
        return {
            "run": str(self.run),
            "at": self.at.isoformat().replace("+00:00", "Z"),
            "status": str(self.status),
        }


def as_csv(loaded: Loaded, stated: Mapping[str, Any]) -> bytes:
    """A row for each cell of the area, in order of rank: `cell,depth,km2,weight,agencies,only`.

    `weight` is empty where nothing was weighed, `agencies` is separated by spaces, and `only` is the one cover that
    reaches the cell, `layer/id`. What is not actual has its status in a last column of each row.
    """
    found = loaded.coverage
    combined, names = _combinations(found.by_agency, found.field.size)
    only = [*(csv_text(f"{cover.layer}/{cover.id}") for cover in found.covers), ""]  # -1 is the last: none
    columns = [
        (f"{cell:x}" for cell in found.field.cells.tolist()),
        found.depth.tolist(),
        (f"{km2:.6f}" for km2 in found.field.km2.tolist()),
        _weights_as_text(loaded),
        (names[at] for at in combined.tolist()),
        (only[at] for at in found.sole.tolist()),
    ]
    header, tail = CSV_HEADER, "\r\n"
    if stated["status"] is not Status.ACTUAL:
        header, tail = f"{CSV_HEADER},status", f",{stated['status']}\r\n"
    rows = (f"{c},{d},{k},{w},{a},{o}{tail}" for c, d, k, w, a, o in zip(*columns, strict=True))
    return f"{header}\r\n{''.join(rows)}".encode()


def csv_text(value: str) -> str:
    """*value* as a cell of CSV: quoted where need be, and never a formula to whoever opens it in a spreadsheet."""
    if value.startswith(_FORMULA):
        value = f"'{value}"
    return f'"{value.replace(chr(34), chr(34) * 2)}"' if any(each in value for each in ',"\r\n') else value


def as_gpkg(loaded: Loaded, stated: Mapping[str, Any]) -> bytes:
    """A GeoPackage with a layer `coverage`: each piece of gap, overlap and covered ground, and why a gap is one."""
    return gpkg_of(_frame(loaded, stated), "coverage", mark_of(loaded, stated))


def as_parquet(loaded: Loaded, stated: Mapping[str, Any]) -> bytes:
    """The same as GeoParquet."""
    return parquet_of(_frame(loaded, stated))


def mark_of(loaded: Loaded, stated: Mapping[str, Any]) -> Mark:
    """What the files of this answer carry."""
    return Mark(loaded.run, loaded.case.at, Status(stated["status"]))


def as_html(loaded: Loaded, stated: dict[str, Any]) -> bytes:
    """The briefing as a page that opens without a network; `title` may be stated."""
    from cop.briefing.form import as_html

    return as_html(loaded, stated, web.assets(), title=stated.get("title", ""))


def as_png(loaded: Loaded, stated: dict[str, Any]) -> bytes:
    """The briefing as a picture."""
    from cop.briefing.form import as_png

    return as_png(loaded, stated, web.assets(), title=stated.get("title", ""))


Writer = Callable[[Loaded, dict[str, Any]], bytes]
ANALYSIS: Mapping[Form, Writer] = {
    Form.JSON: answers.as_json,
    Form.GEOJSON: answers.as_geojson,
    Form.CSV: as_csv,
    Form.GPKG: as_gpkg,
    Form.PARQUET: as_parquet,
    Form.HTML: as_html,
    Form.PNG: as_png,
}
"""What makes each form of an analysis."""


def frame_of(features: Sequence[Mapping[str, Any]], mark: Mark) -> GeoDataFrame:
    """GeoJSON *features* as a table in longitude and latitude; each row carries *mark*."""
    from geopandas import GeoDataFrame

    frame = GeoDataFrame.from_features(features, crs="EPSG:4326")
    return frame.assign(**mark.columns)


def gpkg_of(frame: GeoDataFrame, layer: str, mark: Mark) -> bytes:
    """*frame* as a GeoPackage, whose layer says in its metadata what each row says too."""
    import pyogrio

    file = io.BytesIO()
    pyogrio.write_dataframe(
        frame, file, layer=layer, driver="GPKG", promote_to_multi=True, layer_metadata=mark.columns
    )
    return file.getvalue()


def parquet_of(frame: GeoDataFrame) -> bytes:
    """*frame* as GeoParquet."""
    file = io.BytesIO()
    frame.to_parquet(file)
    return file.getvalue()


def _frame(loaded: Loaded, stated: Mapping[str, Any]) -> GeoDataFrame:
    features = answers.features_of(loaded)
    for feature in features:
        feature["properties"] = OF_GAPS | feature["properties"]
    return frame_of(features, mark_of(loaded, stated))


def _weights_as_text(loaded: Loaded) -> Iterable[str]:
    demand = loaded.demand
    if demand is None:
        return itertools.repeat("", loaded.coverage.field.size)
    return (f"{answers.weight(value):.15g}" for value in demand.values.tolist())


def _combinations(masks: Mapping[str, Mask], size: int) -> tuple[NDArray[np.int64], list[str]]:
    """For each cell a number, and for each number the names of the masks that are true there, between spaces."""
    combined, names = np.zeros(size, np.int64), [""]
    for name, mask in masks.items():
        kinds, combined = np.unique(combined * 2 + mask, return_inverse=True)
        names = [
            f"{names[kind // 2]} {name}".strip() if kind % 2 else names[kind // 2] for kind in kinds.tolist()
        ]
    return combined, names
