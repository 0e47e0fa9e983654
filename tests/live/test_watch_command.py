"""`cop watch`: lines for programs, a table for people, and how it ends."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import sys
import termios
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner

from cop.cli import app
from cop.watch import Watch
from cop.watching.board import Board, age_of
from cop.watching.changes import Change, Kind
from cop.watching.command import Troubles, line_of
from cop.watching.doubts import doubt_of_view, doubts_of_statuses
from cop.watching.fold import Wanted
from tests.live.conftest import feature
from tests.live.test_watch_fold import UNITS, frame, hello, put

HIDE_CURSOR, SHOW_CURSOR, UP_A_LINE = "\x1b[?25l", "\x1b[?25h", "\x1b[1A"


async def command(*words: str, key: str | None = None) -> Any:
    environment = {"COP_KEY": key, "COP_URL": None}
    return await asyncio.to_thread(CliRunner().invoke, app, ["watch", *words], env=environment)


def started(server: Any, key: str, *words: str) -> Any:
    program = [sys.executable, "-m", "cop", "watch", "--url", server.url, *words]
    pipe = asyncio.subprocess.PIPE
    return asyncio.create_subprocess_exec(
        *program, stdout=pipe, stderr=pipe, env=os.environ | {"COP_KEY": key}
    )


class Screen:
    """A terminal of 120 by 30: everything that a program has written to it."""

    def __init__(self) -> None:
        self.master, self.slave = os.openpty()
        termios.tcsetwinsize(self.slave, (30, 120))
        os.set_blocking(self.master, False)
        self.written = ""
        self._more = asyncio.Event()
        asyncio.get_running_loop().add_reader(self.master, self._read)

    def _read(self) -> None:
        try:
            self.written += os.read(self.master, 65_536).decode(errors="replace")
        except OSError:  # Nobody has it open any more.
            asyncio.get_running_loop().remove_reader(self.master)
        self._more.set()

    async def until(self, *words: str) -> str:
        """All of it, once it holds the words; what comes after that is for the next call."""
        async with asyncio.timeout(30):
            while not all(word in self.written for word in words):
                self._more.clear()
                await self._more.wait()
        written, self.written = self.written, ""
        return written

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self.master)
        os.close(self.master)


@pytest.fixture
async def screen() -> AsyncIterator[Screen]:
    screen = Screen()
    yield screen
    screen.close()


def board_of(*messages: dict[str, Any]) -> tuple[Board, Watch]:
    watch = Watch("http://x", None, Wanted(), patience_s=1.0, on_wait=lambda why, wait_s: None)
    watch.fold.subscription()
    board = Board(watch)
    for message in (hello(UNITS), *messages):
        for change in watch.fold.apply(message):
            board.take(change)
    return board, watch


def drawn(board: Board, height: int = 30) -> str:
    out = io.StringIO()
    Console(file=out, width=140, height=height).print(board.draw(height=height))
    return out.getvalue()


async def test_what_cannot_be_seen_ends_with_two(server, town):
    ended = await command("fire.roads", "--url", server.url, key=town.police_key)
    assert ended.exit_code == 2
    assert "live.layer" in ended.output


async def test_a_status_that_no_layer_can_have_ends_with_two_and_the_known_ones(server, town):
    await town.put(town.units, feature("e1", status="on_scene"))
    words = ("fire.units", "--once", "--url", server.url, "--status", "onscene")
    ended = await command(*words, key=town.police_key)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert "“onscene” is no known status (of units: available, dispatched, en_route" in ended.stderr


async def test_where_other_statuses_may_stand_an_unknown_one_is_a_warning(server, town):
    ended = await command("--once", "--url", server.url, "--status", "onscene", key=town.police_key)
    assert (ended.exit_code, ended.stdout) == (0, '{"kind":"current"}\n')
    assert "onscene" in ended.stderr
    assert "only zones may have it" in ended.stderr


async def test_an_empty_box_is_told_as_it_was_understood(server, town):
    await town.put(town.units, feature("e1"))
    words = ("fire.units", "--once", "--url", server.url, "--bbox=41.85,-87.75,41.92,-87.62")
    ended = await command(*words, key=town.police_key)
    assert (ended.exit_code, ended.stdout) == (0, '{"kind":"current"}\n')
    assert "longitude 41.85 to 41.92" in ended.stderr
    assert "swapped?" in ended.stderr


async def test_a_box_that_is_none_ends_before_it_begins():
    assert (await command("--bbox", "1,2")).exit_code == 2


async def test_control_c_ends_it_without_a_trace(server, town):
    await town.put(town.units, feature("e1"))
    running = await started(server, town.police_key)
    await running.stdout.readline()
    running.send_signal(signal.SIGINT)
    _, errors = await running.communicate()
    assert (running.returncode, errors) == (130, b"")


async def test_on_a_terminal_the_table_is_drawn_over_and_control_c_gives_the_terminal_back(
    server, town, screen
):
    await town.put(town.units, feature("e1"))
    running = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "cop", "watch", "fire.units", "--url", server.url],
        stdin=asyncio.subprocess.DEVNULL,
        stdout=screen.slave,
        stderr=screen.slave,
        env=os.environ | {"COP_KEY": town.police_key, "TERM": "xterm"},
    )
    os.close(screen.slave)
    try:
        assert HIDE_CURSOR in await screen.until("e1")
        await town.put(town.units, feature("e2"))
        assert UP_A_LINE in await screen.until("e1", "e2")
        running.send_signal(signal.SIGINT)
        await screen.until(SHOW_CURSOR)
        assert await running.wait() == 130
    finally:
        if running.returncode is None:
            running.kill()
            await running.wait()


async def test_a_reader_who_leaves_ends_it_without_a_trace(server, town):
    await town.put(town.units, feature("e1"))
    running = await started(server, town.police_key)
    await running.stdout.readline()
    running._transport.get_pipe_transport(1).close()
    while running.returncode is None:
        await town.put(town.units, feature("e1"))
        await asyncio.wait({asyncio.ensure_future(running.wait())}, timeout=0.2)
    assert (running.returncode, await running.stderr.read()) == (0, b"")


async def test_once_prints_what_is_there_a_line_each_and_ends(server, town):
    await town.put(town.units, feature("e1", callsign="É1"), feature("far", 10.0, 50.0))
    words = ("fire.units", "--once", "--url", server.url, "--bbox=-88,41,-87,42")
    ended = await command(*words, key=town.police_key)
    assert ended.exit_code == 0, ended.output
    assert ended.stderr == ""
    first, last = map(json.loads, ended.stdout.splitlines())
    assert (first["kind"], first["id"], first["status"]) == ("put", "e1", "actual")
    assert first["feature"]["properties"]["observed_at"].endswith("Z")
    assert last == {"kind": "current"}


async def test_a_program_that_reads_the_lines_is_told_of_a_loss_and_of_the_return(server, town):
    running = await started(server, town.police_key, "fire.units")
    async with asyncio.timeout(30):
        assert json.loads(await running.stdout.readline()) == {"kind": "current"}
        for session in list(server.app.state.hub.sessions):
            session.close(1013, "for the test")
        told = [json.loads(await running.stdout.readline()) for _ in range(3)]
        running.send_signal(signal.SIGINT)
        _, errors = await running.communicate()
    assert [each["kind"] for each in told] == ["lost", "back", "current"]
    assert told[0]["since"].endswith("Z")
    assert b"is back after" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("statuses", "kinds"),
    [
        (["on_scene", None], {"units"}),
        (["open"], {"units", "incidents", "zones"}),
        (["razed"], {"assets"}),
        (["x"], set()),
    ],
)
def test_what_may_be_there_is_not_doubted(statuses: list[Any], kinds: set[str]) -> None:
    assert doubts_of_statuses(statuses, kinds) == []


@pytest.mark.parametrize(("kinds", "certain"), [({"units"}, True), ({"units", "of a later version"}, False)])
def test_a_slip_is_certain_only_where_every_kind_has_a_list(kinds: set[str], certain: bool) -> None:
    (doubt,) = doubts_of_statuses(["on_scene", "onscene"], kinds)
    assert doubt.certain is certain


def test_a_view_is_doubted_only_when_nothing_is_held_in_it() -> None:
    _, watch = board_of(frame(0, 7, 1, reset=True, put=[put("a")]))
    assert doubt_of_view((0.0, 0.0, 1.0, 1.0), watch.fold) is None
    watch.fold.apply(frame(7, 8, gone=[["a", "expired"]]))
    assert doubt_of_view((0.0, 0.0, 1.0, 1.0), watch.fold)
    assert doubt_of_view(None, watch.fold) is None


def test_a_line_leaves_out_what_says_nothing() -> None:
    since = datetime(2026, 11, 22, 8, tzinfo=UTC)
    line = line_of(Change(Kind.SILENT, "cfd.units", since=since))
    assert line == b'{"kind":"silent","layer":"cfd.units","since":"2026-11-22T08:00:00Z"}\n'


def test_the_table_shows_the_newest_that_fit() -> None:
    rows = [put(f"unit-{n}", observed_at=n) for n in range(50)]
    board, _ = board_of(frame(0, 7, 1, reset=True, put=rows))
    text = drawn(board, height=12)
    assert "unit-49" in text
    assert "unit-0 " not in text
    assert text.count("\n") <= 12
    assert f"the newest {text.count('unit-')} of 50" in text


def test_a_table_that_shows_all_does_not_count_it() -> None:
    board, _ = board_of(frame(0, 7, 1, reset=True, put=[put("a")]))
    assert "the newest" not in drawn(board)


def test_the_table_says_why_a_feature_is_gone() -> None:
    start = frame(0, 7, 1, reset=True, put=[put("a")])
    board, _ = board_of(start, frame(7, 8, gone=[["a", "expired"]]))
    assert "gone: expired" in drawn(board)


def test_the_head_says_what_is_silent_lost_and_an_exercise() -> None:
    start = frame(0, 7, 1, reset=True, put=[put("a")])
    board, watch = board_of(start, {"type": "stale", "layer": UNITS, "since": 1_000})
    watch.link.state, watch.link.why = "lost", "no answer"
    text = drawn(board)
    assert "lost since" in text
    assert "EXERCISE" in text
    assert "silent for" in text


def test_what_a_terminal_would_obey_is_shown_as_a_dot() -> None:
    board, _ = board_of(frame(0, 7, 1, reset=True, put=[put("a\x1b[2J", status="[red]on\nscene")]))
    text = drawn(board)
    assert "\x1b" not in text
    assert "a·[2J" in text
    assert "[red]on·scene" in text


@pytest.mark.parametrize(
    ("seconds", "said"), [(-5, "0 s"), (119, "119 s"), (120, "2 min"), (7_200, "2 h"), (200_000, "2 d")]
)
def test_ages_are_never_from_the_future(seconds: int, said: str) -> None:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    assert age_of(now - timedelta(seconds=seconds), now) == said


def test_troubles_are_said_once_with_since_when_and_so_is_their_end(capsys) -> None:
    troubles = Troubles()
    for _ in range(3):
        troubles.tell("no answer", 0.1)
    troubles.over()
    troubles.over()
    first, last = capsys.readouterr().err.splitlines()
    assert first.startswith("no answer; without the stream since ")
    assert last.startswith("The stream is back after ")
