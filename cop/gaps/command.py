"""`cop gaps`: asks the service where nobody is, shows the answer as tables, and writes it to files of any form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table as Grid

from cop.briefing.facts import Facts, Table, facts_of
from cop.client import Client, ProblemError
from cop.planning.question import AREAL, parse_question
from cop.watching.board import plain
from layers.errors import Invalid, LayersError
from layers.exchange import read_features
from layers.model import JsonObject

FORMS = {
    ".json": "json", ".geojson": "geojson", ".csv": "csv", ".gpkg": "gpkg", ".parquet": "parquet",
    ".html": "html", ".png": "png",
}  # fmt: skip
"""Which form of the answer a file's ending asks for."""
BRIEFINGS = frozenset({"html", "png"})
ANALYSIS = "/coverage/analysis"


def gaps(
    layers: Annotated[
        list[str] | None, typer.Argument(metavar="[LAYER]…", help="Those that count; all you see.")
    ] = None,
    area: Annotated[
        str, typer.Option(help="west,south,east,north, a file with a polygon, or LAYER/ID.")
    ] = "",
    at_least: Annotated[int, typer.Option(help="How many must cover a place.")] = 1,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE,…",
            help="Only with one of these values of the property; null: or with none. For another property, again.",
        ),
    ] = None,
    agency: Annotated[list[str] | None, typer.Option(help="Only of this agency; may be given again.")] = None,
    capability: Annotated[
        list[str] | None, typer.Option(help="Only with this capability; may be given again.")
    ] = None,
    reach_m: Annotated[
        float | None, typer.Option(help="Metres that each reaches, whatever it states.")
    ] = None,
    minutes: Annotated[float | None, typer.Option(help="Minutes that each reaches.")] = None,
    roads: Annotated[
        str | None, typer.Option(help="The layer along whose streets minutes are counted.")
    ] = None,
    resolution: Annotated[int, typer.Option(help="H3 resolution.")] = 9,
    at: Annotated[str | None, typer.Option(help="A moment, RFC 3339; now unless told.")] = None,
    weight: Annotated[
        str | None, typer.Option(help="The table of weights, such as people, by its name.")
    ] = None,
    out: Annotated[
        list[Path] | None, typer.Option(help=f"A file: {' '.join(FORMS)}; may be given again.")
    ] = None,
    title: Annotated[str, typer.Option(help="Of a briefing.")] = "",
    key: Annotated[str | None, typer.Option(envvar="COP_KEY", help="A key with the scope plan.")] = None,
    url: Annotated[str, typer.Option(envvar="COP_URL", help="The service.")] = "http://127.0.0.1:8600",
) -> None:
    """Show where nobody is, how large each gap is and why, and write it to files to take along."""
    try:
        forms = [(path, form_of(path)) for path in out or ()]
        question: JsonObject = {"area": area_of(area), "at_least": at_least, "resolution": resolution}
        optional = {
            "layers": layers,
            "where": where_of(where or []),
            "agencies": agency,
            "capabilities": capability,
            "reach": reach_of(reach_m, minutes, roads),
            "at": at,
            "weights": None if weight is None else {"table": weight},
        }
        question |= {name: value for name, value in optional.items() if value}
        rule = parse_question(question).rule
        with Client(url, key) as client, asking() as progress:
            answer = orjson.loads(client.ask(ANALYSIS, question, progress=progress))
            for path, form in forms:
                options = {"title": title} if title and form in BRIEFINGS else {}
                again = {"run": answer["run"]}
                path.write_bytes(client.ask(ANALYSIS, again, form=form, progress=progress, **options))
    except (ProblemError, LayersError, OSError) as error:
        typer.echo(f"cop: {error}", err=True)
        raise typer.Exit(2) from error
    show(facts_of(answer, rule, title=title))
    for path, _ in forms:
        typer.echo(f"Written: {path}")


def show(told: Facts) -> None:
    """An answer in a terminal: what it says first, then its tables, then what makes it repeatable.

    What is not for real says so before and after all that.
    """
    console = Console(highlight=False)
    mark = plain(told.mark, "bold white on red")
    if told.mark:
        console.print(mark)
    console.print(plain(told.headline, "bold"))
    console.print(plain(told.rule, "dim"))
    for note in told.notes:
        console.print(plain(f"! {note}", "yellow"))
    for table in told.tables:
        console.print(grid(table))
    for line in told.provenance:
        console.print(plain(line, "dim"))
    if told.mark:
        console.print(mark)


def grid(table: Table) -> Grid:
    """A table of a briefing for a terminal."""
    made = Grid(*table.columns, title=table.title, caption=table.more or None, box=None, header_style="bold")
    made.title_justify = made.caption_justify = "left"
    for row in table.rows:
        cells = [plain(text) for text in row]
        for cell in cells:
            cell.no_wrap = False
        made.add_row(*cells)
    return made


@contextmanager
def asking() -> Iterator[Callable[[float], None]]:
    """A bar that shows how far the answer is, for as long as it takes; none where nobody watches."""
    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("Working it out", total=1.0)
        yield lambda share: bar.update(task, completed=share)


def form_of(path: Path) -> str:
    """The form that the name of *path* asks for; `Invalid` (`gaps.form`) for one that there is none of."""
    form = FORMS.get(path.suffix.lower())
    if form is None:
        detail = f"{path.name} says no form that there is: {' '.join(FORMS)}."
        raise Invalid(detail, code="gaps.form")
    return form


def area_of(text: str) -> JsonObject:
    """An area as the API takes it, from a box, a file's polygons, or the name of a feature.

    Raises `Invalid` (`gaps.area`), and what reading a file raises.
    """
    box = parse_bbox_or_none(text)
    if box is not None:
        west, south, east, north = box
        ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
        return {"type": "Polygon", "coordinates": [ring]}
    path = Path(text)
    if text and path.is_file():
        return _polygons(path)
    layer, slash, id = text.partition("/")
    if slash and "." in layer:
        return {"layer": layer, "id": id}
    detail = "The area is west,south,east,north, a file with polygons, or LAYER/ID of a feature."
    raise Invalid(detail, code="gaps.area")


def parse_bbox_or_none(text: str) -> tuple[float, float, float, float] | None:
    """Four numbers between commas; None for anything else."""
    try:
        west, south, east, north = (float(part) for part in text.split(","))
    except ValueError:
        return None
    return west, south, east, north


def _polygons(path: Path) -> JsonObject:
    parts: list[Any] = []
    for feature in read_features(path):
        geometry = feature if feature.get("type") in AREAL else feature.get("geometry") or {}
        if geometry.get("type") == "Polygon":
            parts.append(geometry["coordinates"])
        elif geometry.get("type") == "MultiPolygon":
            parts += geometry["coordinates"]
    if not parts:
        raise Invalid(f"{path} holds no polygon.", code="gaps.area")
    return {"type": "MultiPolygon", "coordinates": parts}


def where_of(pairs: Sequence[str]) -> JsonObject:
    """The filter of `NAME=VALUE,…` pairs: of one name any of its values, wherever they stand.

    A value that is JSON is one, `null` is “has none”, and else it is text; one with a comma stands in quotes.
    """
    found: dict[str, list[Any]] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise Invalid(f"“{pair}” is no NAME=VALUE.", code="gaps.where")
        found.setdefault(name, []).extend(_scalars(value))
    return found


def _scalars(text: str) -> list[Any]:
    whole = _scalar(text)
    return (
        [_scalar(part) for part in text.split(",")]
        if whole == text and not text.startswith(("[", "{"))
        else [whole]
    )


def _scalar(text: str) -> Any:
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
    return text if isinstance(value, list | dict) else value


def reach_of(reach_m: float | None, minutes: float | None, roads: str | None) -> JsonObject | None:
    """The reach that the options ask for; None: what each states. `Invalid` (`gaps.reach`) for both at once."""
    if reach_m is not None and (minutes is not None or roads is not None):
        raise Invalid("A reach is in metres or in minutes, not both.", code="gaps.reach")
    if reach_m is not None:
        return {"metres": reach_m}
    if minutes is None:
        if roads is not None:
            raise Invalid("Along roads one reaches as far as --minutes say.", code="gaps.reach")
        return None
    return {"minutes": minutes} | ({} if roads is None else {"roads": roads})
