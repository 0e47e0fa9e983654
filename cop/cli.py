"""The command `cop`: serve, administer, push, watch, show the demo. What it does lives elsewhere; here are the words.

The administering commands talk to the database themselves, so they need no key: who may run them on this
machine may do everything. Elsewhere the HTTP API does the same with a key of scope `admin`.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer
from sqlalchemy.ext.asyncio import AsyncConnection

from cop.api.requests import parse_bbox
from cop.bench.command import app as bench_app
from cop.feeds_table import feeds
from cop.gaps.by_hour import gaps_by_hour
from cop.gaps.command import gaps
from cop.push import push
from cop.server import Result, check_port, database_at, in_transaction, run_server
from cop.settings import Settings
from cop.watching.command import watch
from layers import credentials, directory
from layers.database import migrate
from layers.errors import LayersError, NotFound
from layers.kinds import KINDS
from layers.model import Grade, Scope, Status, Stream

app = typer.Typer(
    help="A live map on which agencies see each other.", no_args_is_help=True, pretty_exceptions_enable=False
)
agency_app = typer.Typer(help="Agencies.", no_args_is_help=True)
operation_app = typer.Typer(
    help="Operations: named pictures that draw layers together.", no_args_is_help=True
)
layer_app = typer.Typer(help="Layers, and with whom they are shared.", no_args_is_help=True)
key_app = typer.Typer(help="Keys that agencies' systems and planners use.", no_args_is_help=True)
for name, sub in (
    ("agency", agency_app),
    ("operation", operation_app),
    ("layer", layer_app),
    ("key", key_app),
    ("bench", bench_app),
):
    app.add_typer(sub, name=name)
app.command("push")(push)
app.command("watch")(watch)
app.command("feeds")(feeds)
app.command("gaps")(gaps)
app.command("gaps-by-hour")(gaps_by_hour)

LayerArgument = Annotated[str, typer.Argument(metavar="AGENCY.SLUG", help="The layer's name.")]
AgencyOption = Annotated[str, typer.Option("--agency", help="The agency's slug.")]
StatusOption = Annotated[Status, typer.Option("--status", help="For life: actual, exercise or test.")]


def _administer(work: Callable[[AsyncConnection], Awaitable[Result]]) -> Result:
    """`in_transaction` on the database of the environment's settings."""
    with database_at(Settings.from_environment()) as url:
        return in_transaction(url, work)


@app.command()
def serve(
    host: Annotated[str | None, typer.Option(help="Address to listen on (COP_HOST).")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on (COP_PORT).")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that serve (COP_WORKERS).")] = None,
) -> None:
    """Serve the API, the live stream and the page until Ctrl-C."""
    settings = Settings.from_environment(host=host, port=port, workers=workers)
    check_port(settings)
    with database_at(settings) as url:
        asyncio.run(migrate(url))
        code = run_server(settings.model_copy(update={"database_url": url}))
    sys.exit(code)


@app.command("migrate")
def migrate_command() -> None:
    """Bring the database's schema up to date (serve does it by itself)."""
    with database_at(Settings.from_environment()) as url:
        asyncio.run(migrate(url))
    typer.echo("The schema is up to date.")


@app.command()
def ticket(
    agency: AgencyOption,
    scope: Annotated[list[Scope] | None, typer.Option(help="What the page may do; view unless told.")] = None,
    name: Annotated[str, typer.Option(help="Who it is for, in the audit.")] = "",
) -> None:
    """Print a link that opens the page once, within 15 minutes."""
    scopes = scope or [Scope.VIEW]
    made = _administer(lambda connection: credentials.create_ticket(connection, agency, scopes, name=name))
    typer.echo(f"{Settings.from_environment().origin}/enter?ticket={made}")


@app.command()
def demo(
    port: Annotated[
        int | None, typer.Option(help="Port to listen on (COP_PORT); the next free one if taken.")
    ] = None,
    units: Annotated[int, typer.Option(help="About how many units drive.", min=1)] = 900,
) -> None:
    """Exercise “Lakefront Surge”: seven agencies push 900 units, live, until Ctrl-C."""
    from cop.demo.run import run_demo  # the routing graph's libraries are of no use to the other commands

    sys.exit(run_demo(Settings.from_environment(port=port), units=units))


@agency_app.command("add")
def agency_add(
    slug: str,
    name: Annotated[str, typer.Option(help="Its full name.")] = "",
    color: Annotated[str, typer.Option(help="#rrggbb, as the map draws it.")] = "#4d4d4d",
    host: Annotated[bool, typer.Option(help="It runs this deployment and may add agencies.")] = False,
) -> None:
    """Add an agency. The first one runs the deployment."""
    _administer(lambda connection: directory.add_agency(connection, slug, name=name, color=color, host=host))
    typer.echo(f"Added the agency {slug}.")


@agency_app.command("list")
def agency_list() -> None:
    """List the agencies."""
    known = _administer(directory.read_directory)
    for agency in known.agencies.values():
        typer.echo(f"{agency.slug}  {agency.name}{'  (host)' if agency.host else ''}")


@operation_app.command("add")
def operation_add(
    slug: str, agency: AgencyOption, title: str = "", status: StatusOption = Status.ACTUAL
) -> None:
    """Add an operation, run by an agency."""
    _administer(
        lambda connection: directory.add_operation(
            connection, slug, agency=agency, title=title, status=status
        )
    )
    typer.echo(f"Added the operation {slug} ({status}).")


@operation_app.command("draw")
def operation_draw(operation: str, layers: Annotated[list[str], typer.Argument(metavar="LAYER…")]) -> None:
    """Draw layers into an operation: all of them, or none if one does not fit."""

    async def draw(connection: AsyncConnection) -> None:
        for layer in layers:
            await directory.draw(connection, operation, layer)

    _administer(draw)
    typer.echo(f"{operation} draws {', '.join(layers)}.")


@operation_app.command("list")
def operation_list() -> None:
    """List the operations, and the layers that each draws."""
    known = _administer(directory.read_directory)
    for operation in known.operations.values():
        drawn = ", ".join(known.layers[id].name for id in operation.layers)
        typer.echo(f"{operation.slug}  {operation.status}  {operation.title}: {drawn}")


@layer_app.command("list")
def layer_list() -> None:
    """List the layers, and with whom each is shared."""
    known = _administer(directory.read_directory)
    for layer in sorted(known.layers.values(), key=lambda layer: layer.name):
        audience = [
            share.audience + " (generalized)" * (share.grade is Grade.GENERALIZED)
            for share in known.shares_of(layer)
        ]
        shared = f"shared with {', '.join(audience)}" if audience else "not shared"
        typer.echo(f"{layer.name}  {layer.kind}  {layer.status}  {shared}")


@layer_app.command("add")
def layer_add(
    layer: LayerArgument,
    kind: Annotated[str, typer.Option(help=f"One of {', '.join(KINDS)}.")],
    status: StatusOption = Status.ACTUAL,
    title: str = "",
    stream: Annotated[
        Stream | None, typer.Option(help="live, or tiled for more than 100,000 features.")
    ] = None,
    repair: Annotated[bool, typer.Option(help="Mend invalid polygons instead of refusing them.")] = False,
    area: Annotated[str, typer.Option(help="west,south,east,north: refuse features outside.")] = "",
    null_island: Annotated[str, typer.Option(help="flag or refuse a point at 0, 0.")] = "flag",
    reach_m: Annotated[float | None, typer.Option(help="Reach of a unit or asset that states none.")] = None,
    stale_after_s: Annotated[
        int | None, typer.Option(help="Seconds until a feature counts as stale.")
    ] = None,
    expire_after_s: Annotated[
        int | None, typer.Option(help="Seconds until a feature leaves by itself.")
    ] = None,
    resolution: Annotated[int, typer.Option(help="H3 resolution of its coverage.")] = 9,
) -> None:
    """Add a layer, shared with nobody."""
    asked = {"reach_m": reach_m, "stale_after_s": stale_after_s, "expire_after_s": expire_after_s}

    async def add(connection: AsyncConnection) -> None:
        rules = directory.rules_of(
            kind,
            repair=repair,
            area=parse_bbox(area or None),
            null_island=null_island,
            resolution=resolution,
            **asked,
        )
        await directory.add_layer(
            connection, layer, kind=kind, status=status, title=title, stream=stream, rules=rules
        )

    _administer(add)
    typer.echo(f"Added the layer {layer} ({kind}, {status}).")


@layer_app.command("share")
def layer_share(
    layer: LayerArgument,
    audience: Annotated[list[str], typer.Option("--with", help="An agency's slug, “all” or “public”.")],
    generalized: Annotated[
        bool, typer.Option(help="Only for planners' analyses: by cells of a kilometre, without names.")
    ] = False,
) -> None:
    """Share a layer. The grade given last holds."""
    grade = Grade.GENERALIZED if generalized else Grade.FULL

    async def share(connection: AsyncConnection) -> None:
        for each in audience:
            await directory.share(connection, layer, each, grade)

    _administer(share)
    given = "generalized: counted in their analyses, and not seen" if generalized else "in full"
    typer.echo(f"{layer} is shared with {', '.join(audience)}, {given}.")


@layer_app.command("unshare")
def layer_unshare(
    layer: LayerArgument,
    audience: Annotated[list[str], typer.Option("--with", help="An agency's slug, “all” or “public”.")],
) -> None:
    """Take a share back; open pages lose the layer at once."""

    async def unshare(connection: AsyncConnection) -> None:
        for each in audience:
            await directory.unshare(connection, layer, each)

    _administer(unshare)
    typer.echo(f"{layer} is no longer shared with {', '.join(audience)}.")


@key_app.command("create")
def key_create(
    agency: AgencyOption,
    scope: Annotated[list[Scope], typer.Option(help="May be given several times.")],
    days: Annotated[int, typer.Option(help="Days until it expires.", min=1, max=3650)] = 365,
    name: Annotated[str, typer.Option(help="What it is for.")] = "",
) -> None:
    """Make a key and show it: this once."""
    expires_at = datetime.now(UTC) + timedelta(days=days)
    key = _administer(
        lambda connection: credentials.create_key(connection, agency, scope, expires_at=expires_at, name=name)
    )
    typer.echo(key)


@key_app.command("revoke")
def key_revoke(
    prefix: Annotated[str, typer.Argument(help="The key's beginning, such as cop_pub_Ab3dE6.")],
) -> None:
    """Revoke a key. It stops working at once."""
    _administer(lambda connection: credentials.revoke(connection, prefix))
    typer.echo(f"Revoked {prefix}.")


@key_app.command("list")
def key_list(agency: AgencyOption) -> None:
    """List an agency's keys, by what may be shown of them."""
    for key in _administer(lambda connection: credentials.list_keys(connection, agency)):
        state = "revoked" if key.revoked_at else f"expires {key.expires_at:%Y-%m-%d}"
        typer.echo(f"{key.prefix}…  {' '.join(key.scopes)}  {state}  {key.name}")


def main() -> None:
    """Run the command line; an error of the domain is one line on standard error and exit code 1."""
    try:
        app()
    except NotFound as error:  # on this machine nothing is hidden
        typer.echo(f"cop: There is no {error.what} “{error.name}”.", err=True)
        sys.exit(1)
    except LayersError as error:
        typer.echo(f"cop: {error}", err=True)
        sys.exit(1)
