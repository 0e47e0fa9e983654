"""`cop feeds`: how the feeds do that a key may see, as a table for people or as lines of JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Annotated

import orjson
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from cop.client import Client, ProblemError
from cop.watching.board import age_of, plain
from layers.model import JsonObject

HEADINGS = ("layer", "status", "heard", "changes/s", "lag", "features", "refused", "viewers")


def feeds(
    key: Annotated[str | None, typer.Option(envvar="COP_KEY", help="A key with the scope view.")] = None,
    url: Annotated[str, typer.Option(envvar="COP_URL", help="The service.")] = "http://127.0.0.1:8600",
    ndjson: Annotated[
        bool, typer.Option("--ndjson", help="A feed a line; also when the output is no terminal.")
    ] = False,
) -> None:
    """Show when each feed was last heard, its pace and its lag; of your own, what was refused and who follows."""
    with Client(url, key) as client:
        try:
            found = client.feeds()
        except ProblemError as problem:
            typer.echo(f"cop: {problem.code}: {problem.detail}", err=True)
            raise typer.Exit(2) from problem
    if ndjson or not sys.stdout.isatty():
        for feed in found:
            typer.echo(orjson.dumps(feed).decode())
    else:
        Console().print(table_of(found, datetime.now(UTC)))


def table_of(found: Iterable[JsonObject], now: datetime) -> Table:
    """A row a feed; what is wrong with one is red, and says so in words."""
    table = Table(*HEADINGS, box=None, header_style="bold")
    for feed in found:
        table.add_row(*row_of(feed, now))
    return table


def row_of(feed: JsonObject, now: datetime) -> list[Text]:
    """The cells of one feed."""
    heard = "never" if feed["last_heard"] is None else f"{_age(feed['last_heard'], now)} ago"
    silent, lag, rejects = feed["silent_since"] is not None, feed["lag"], feed.get("rejects")
    refused = f"{rejects['count']}: {rejects['last']['code']}" if rejects else ""
    return [
        plain(feed["layer"]),
        plain(feed["status"]),
        plain(f"silent, {heard}" if silent else heard, "red" if silent else ""),
        plain("" if feed["rate"] is None else f"{feed['rate']:g}"),
        plain(f"{lag['median_s']:.1f} s, p95 {lag['p95_s']:.1f} s" if lag else ""),
        plain(f"{feed['features']:,}"),
        plain(refused, "red" if refused else ""),
        plain(" ".join(f"{agency} {count}" for agency, count in feed.get("subscribers", {}).items())),
    ]


def _age(moment: str, now: datetime) -> str:
    return age_of(datetime.fromisoformat(moment), now)
