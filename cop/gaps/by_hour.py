"""`cop gaps-by-hour`: zones and positions from files, gaps by zone and hour as tables, files and a picture.

It asks no service: what it is told in the command line is all that it goes by.
"""

from __future__ import annotations

from datetime import datetime, timedelta, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import web
from cop.gaps.command import asking, show
from cop.push import zone_named
from layers.errors import Invalid, LayersError
from layers.exchange import Columns, parsed_time

if TYPE_CHECKING:
    from cop.gaps.hours import Asked, ByHour

MAX_TITLE_LENGTH = 200
DAYS = 400
"""No window is longer, so nothing need count for longer."""


FORMS = (".csv", ".geojson", ".png")
"""The endings of the files that it writes."""


def gaps_by_hour(
    zones: Annotated[Path, typer.Argument(help="Areas: GeoJSON, GeoPackage, GeoParquet, Shapefile.")],
    positions: Annotated[
        Path, typer.Argument(help="Who was where and when: CSV (also .gz), GeoJSON, NDJSON, GeoPackage, ….")
    ],
    reach_m: Annotated[float, typer.Option(min=0, help="Metres that each reaches.")],
    step_minutes: Annotated[int, typer.Option(min=1, max=DAYS * 1_440, help="How long each step is.")] = 60,
    stale_after_s: Annotated[
        float, typer.Option(min=0, max=DAYS * 86_400, help="Seconds that a position counts for.")
    ] = 300,
    at_least: Annotated[int, typer.Option(min=1, help="How many must cover a place.")] = 1,
    resolution: Annotated[int, typer.Option(min=0, max=15, help="H3 resolution.")] = 9,
    name_property: Annotated[str, typer.Option(help="What the zones are called by.")] = "name",
    id_column: Annotated[str | None, typer.Option(help="The column that tells units apart.")] = None,
    time_column: Annotated[str | None, typer.Option(help="When it was so.")] = None,
    lng_column: Annotated[str | None, typer.Option(help="Longitude, degrees.")] = None,
    lat_column: Annotated[str | None, typer.Option(help="Latitude, degrees.")] = None,
    time_zone: Annotated[
        str | None, typer.Option(help="Of times that name none, and of those shown, such as America/Chicago.")
    ] = None,
    begin: Annotated[
        str | None, typer.Option("--from", help="ISO 8601; the first whole step unless told.")
    ] = None,
    end: Annotated[
        str | None, typer.Option("--to", help="ISO 8601; after the last position unless told.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of the picture.")] = "",
    out: Annotated[
        list[Path] | None, typer.Option(help=f"A file: {' '.join(FORMS)}; may be given again.")
    ] = None,
) -> None:
    """Show how much of each zone was covered, hour by hour, from files alone; and draw it.

    Each position counts from its time until the next of the same unit, or until it is stale.
    """
    # scipy takes a third of a second, which the other commands shall not wait for.
    from cop.gaps.hours import Asked, facts_of

    zone = zone_named(time_zone)
    try:
        files = [(path, form_of(path)) for path in out or ()]
        asked = Asked(
            reach_m=reach_m,
            stale_after_s=stale_after_s,
            at_least=at_least,
            step=timedelta(minutes=step_minutes),
            resolution=resolution,
            begin=moment_of(begin, zone, "--from"),
            end=moment_of(end, zone, "--to"),
            title=title_of(title),
        )
        columns = columns_of(id_column, time_column, lng_column, lat_column, zone)
        told = _found(zones, name_property, positions, columns, asked)
        for path, form in files:
            path.write_bytes(_file(told, form))
    except (LayersError, OSError) as error:
        typer.echo(f"cop: {error}", err=True)
        raise typer.Exit(2) from error
    show(facts_of(told))
    for path, _ in files:
        typer.echo(f"Written: {path}")


def columns_of(
    id: str | None, time: str | None, lng: str | None, lat: str | None, zone: tzinfo | None
) -> Columns:
    """What is read of the positions, and nothing else: a time that no column is named for may be in `observed_at`."""
    return Columns(id=id, time=time, lng=lng, lat=lat, zone=zone, others=time is None)


def _found(zones: Path, name_property: str, positions: Path, columns: Columns, asked: Asked) -> ByHour:
    from cop.gaps.hours import by_hour
    from cop.gaps.observed import read_positions, read_zones

    with asking() as progress:
        areas = read_zones(zones, name_property, asked.resolution)
        return by_hour(areas, read_positions(positions, columns), asked, progress)


def _file(told: ByHour, form: str) -> bytes:
    from cop.gaps.hours import as_csv, as_geojson

    if form == ".csv":
        return as_csv(told)
    if form == ".geojson":
        return as_geojson(told)
    from cop.gaps.hours_picture import as_png

    return as_png(told, web.assets())


def form_of(path: Path) -> str:
    """The form that *path* names; `Invalid` (`gaps.form`) for an ending that there is none for."""
    form = path.suffix.lower()
    if form not in FORMS:
        raise Invalid(f"{path.name} says no form that there is: {' '.join(FORMS)}.", code="gaps.form")
    return form


def moment_of(text: str | None, zone: tzinfo | None, option: str) -> datetime | None:
    """The moment that an *option* names, if any; `Invalid` (`gaps.time`) for what names none."""
    at = None if text is None else parsed_time(text, zone)
    if at is None and text is not None:
        detail = (
            f"{option} {text}: expected a time with its zone, such as 2017-04-18T18:00-05:00, or --time-zone."
        )
        raise Invalid(detail, code="gaps.time")
    return at


def title_of(text: str) -> str:
    """A title as given; `Invalid` (`gaps.title`) for one that is no line, or a long one."""
    if len(text) > MAX_TITLE_LENGTH or not text.isprintable():
        raise Invalid(f"A title is a line of up to {MAX_TITLE_LENGTH} characters.", code="gaps.title")
    return text
