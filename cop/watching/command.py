"""`cop watch`: layers as they change, as a table that refreshes or as lines of JSON for another program."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import fields
from datetime import UTC, datetime
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console
from rich.live import Live

from cop.api.requests import parse_bbox
from cop.client import Client, ProblemError
from cop.watch import Watch
from cop.watching.board import Board, age_of, clock_of, plain
from cop.watching.changes import Change, Kind
from cop.watching.doubts import Doubt, doubt_of_view, doubts_of_statuses
from layers.errors import Invalid

REDRAW_S = 0.5
NAMES = [each.name for each in fields(Change)]


def watch(
    layers: Annotated[
        list[str] | None,
        typer.Argument(metavar="LAYER…", help="AGENCY.SLUG; all that may be seen unless told."),
    ] = None,
    key: Annotated[str | None, typer.Option(envvar="COP_KEY", help="A key with the scope view.")] = None,
    url: Annotated[str, typer.Option(envvar="COP_URL", help="The service.")] = "http://127.0.0.1:8600",
    operation: Annotated[str | None, typer.Option(help="Only what this operation draws.")] = None,
    bbox: Annotated[
        str | None, typer.Option(help="west,south,east,north: only what is there, or near.")
    ] = None,
    status: Annotated[
        list[str] | None, typer.Option(help="Only features of this status. Repeatable.")
    ] = None,
    ndjson: Annotated[
        bool, typer.Option("--ndjson", help="A change a line; also when the output is no terminal.")
    ] = False,
    once: Annotated[bool, typer.Option("--once", help="Show what is there, and end.")] = False,
) -> None:
    """Follow layers as they change, until Ctrl-C. A connection that is lost is mended, and nothing is missed.

    Exit code 0: --once was done, or the reader of the lines has left; 2: it could not be done, or no layer that is
    followed can have such a status; 130: Ctrl-C.
    """
    try:
        view = parse_bbox(bbox)
    except Invalid as error:
        raise typer.BadParameter(error.detail) from error
    troubles = Troubles()
    with Client(url, key, on_wait=troubles.tell) as client:
        where = {"status": status} if status else None
        following = client.watch(*layers or (), view=view, where=where, operation=operation)
        try:
            asyncio.run(_follow(following, troubles, once=once, ndjson=ndjson or not sys.stdout.isatty()))
        except ProblemError as problem:
            troubles.say(f"{problem.code}: {problem.detail}", "red")
            raise typer.Exit(2) from problem
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python complains as it leaves


class Troubles:
    """Says on standard error that the connection is lost, since when, and when it is back."""

    def __init__(self) -> None:
        self._since: datetime | None = None
        self._told: set[str] = set()

    def tell(self, why: str, _wait_s: float) -> None:
        """There is no connection: said once for each reason, or a service that is away would fill the screen."""
        self._since = self._since or datetime.now(UTC)
        if why not in self._told:
            self._told.add(why)
            self.say(f"{why}; without the stream since {clock_of(self._since)}, trying again …", "yellow")

    def over(self) -> None:
        """Something has been heard again."""
        if self._since is not None:
            self.say(f"The stream is back after {age_of(self._since, datetime.now(UTC))}.", "green")
            self._since = None
            self._told.clear()

    def say(self, text: str, style: str) -> None:
        """One line, as it stands."""
        Console(stderr=True, soft_wrap=True).print(plain(text, style))


async def _follow(watch: Watch, troubles: Troubles, *, once: bool, ndjson: bool) -> None:
    if ndjson:
        await _print_lines(watch, troubles, once=once)
    elif once:
        await _print_table(watch, troubles)
    else:
        await _show_table(watch, troubles)


async def _changes(watch: Watch, troubles: Troubles) -> AsyncGenerator[Change, None]:
    """The changes of *watch*; on the way, what there is to say of them beside them.

    Raises `ProblemError` when nothing can ever come of what is asked for.
    """
    fold, wanted, doubted = watch.fold, watch.fold.wanted, False
    async with aclosing(aiter(watch)) as changes:
        async for change in changes:
            troubles.over()
            if not doubted:
                doubted = True
                _say(doubts_of_statuses(wanted.where.get("status", ()), fold.kinds), troubles)
            if change.kind is Kind.CURRENT and (doubt := doubt_of_view(wanted.view, fold)):
                _say([doubt], troubles)
            yield change


def _say(doubts: list[Doubt], troubles: Troubles) -> None:
    for doubt in doubts:
        if doubt.certain:
            raise ProblemError(0, "client.status", doubt.text)
        troubles.say(doubt.text, "yellow")


async def _print_lines(watch: Watch, troubles: Troubles, *, once: bool) -> None:
    async with aclosing(_changes(watch, troubles)) as changes:
        async for change in changes:
            sys.stdout.buffer.write(line_of(change))
            sys.stdout.buffer.flush()
            if once and change.kind is Kind.CURRENT:
                return


def line_of(change: Change) -> bytes:
    """A change as a line of JSON, without what says nothing about its kind."""
    said: dict[str, Any] = {name: value for name in NAMES if (value := getattr(change, name)) is not None}
    return orjson.dumps(said, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE)


async def _print_table(watch: Watch, troubles: Troubles) -> None:
    board, console = Board(watch), Console()
    async with aclosing(_changes(watch, troubles)) as changes:
        async for change in changes:
            board.take(change)
            if change.kind is Kind.CURRENT:
                console.print(board.draw(height=console.height))
                return


async def _show_table(watch: Watch, troubles: Troubles) -> None:
    board = Board(watch)
    with Live(auto_refresh=False) as live:
        following = asyncio.create_task(_take(watch, board, troubles))
        try:
            while not following.done():
                live.update(board.draw(height=live.console.height), refresh=True)
                await asyncio.wait({following}, timeout=REDRAW_S)
            await following
        finally:
            following.cancel()
            await asyncio.wait({following})


async def _take(watch: Watch, board: Board, troubles: Troubles) -> None:
    async with aclosing(_changes(watch, troubles)) as changes:
        async for change in changes:
            board.take(change)
