"""Runs the exercise: the service and one process for each agency, started together and stopped together."""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from types import FrameType
from typing import IO, Any
from urllib.parse import urlsplit

import typer

import web
from cop.client import Client
from cop.demo.agency import Assignment, Desk
from cop.demo.roads import build_ground
from cop.demo.scenario import ALL_UNITS, PARTIES
from cop.settings import Settings
from layers.errors import Unavailable

SERVICE_START_S = 180.0
"""A first start makes a database cluster; a start after a crash recovers one."""
AGENCY_START_S = 60.0
LOOK_EVERY_S = 0.5
PAUSE_BEFORE_RESTART_S = 3.0


class Child:
    """A process of ours that lives as long as we hold its standard input; see `tether`."""

    def __init__(self, module: str, log: Path) -> None:
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", module],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,  # Ctrl-C is for us; we then stop our children in order
            )
        self.module = module
        self.log = log

    @staticmethod
    def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
        assert pipe is not None, "Popen was asked for a pipe"
        return pipe

    @property
    def pid(self) -> int:
        """Its process id, which is its group's too."""
        return self._process.pid

    def tell(self, instructions: dict[str, Any]) -> None:
        """Give it its next instructions."""
        stdin = self._pipe(self._process.stdin)
        with suppress(BrokenPipeError):  # it is gone already: `hear` and `ended` say so
            stdin.write(json.dumps(instructions).encode() + b"\n")
            stdin.flush()

    def hear(self, within_s: float) -> str:
        """The one line that it says when it is ready. Raises `Unavailable` if it ends or takes too long."""
        stdout = self._pipe(self._process.stdout)
        ready, _, _ = select.select([stdout], [], [], within_s)
        line = stdout.readline().decode() if ready else ""
        if not line:
            raise Unavailable(f"{self.module} did not start; {self.log} may say why.")
        return line

    def ended(self) -> bool:
        """Whether it has ended by itself."""
        return self._process.poll() is not None

    def release(self) -> None:
        """Let go of it: it begins to stop."""
        with suppress(BrokenPipeError):
            self._pipe(self._process.stdin).close()

    def stop(self, within_s: float) -> None:
        """Let go, wait, and after *within_s* end it and all that it started by force."""
        self.release()
        try:
            self._process.wait(within_s)
        except subprocess.TimeoutExpired:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._pipe(self._process.stdout).close()


def run_demo(
    settings: Settings,
    *,
    units: int = ALL_UNITS,
    seed: int = 1,
    say: Callable[[str], None] = typer.echo,
) -> int:
    """Run the exercise with about *units* units until Ctrl-C or SIGTERM; the exit code.

    *say* gets each line for the person at the terminal, among them the one address to open. What runs is
    ours and stops with us, even when we are killed; the data in `settings.data_dir` stay for the next run.
    Raises `Unavailable` with one sentence where it cannot start.
    """
    folder = settings.data_dir / "demo"
    folder.mkdir(parents=True, exist_ok=True)
    with _only_one(folder / "lock"), _stoppable():
        children: list[Child] = []
        try:
            return _run(settings, folder, units, seed, say, children)
        except _Stop:
            say("Stopping.")
            return 0
        finally:
            for child in children[1:]:
                child.release()
            for child in children[1:]:
                child.stop(10.0)
            for service in children[:1]:
                service.stop(100.0)


def _run(
    settings: Settings, folder: Path, units: int, seed: int, say: Callable[[str], None], children: list[Child]
) -> int:
    say("Starting …")
    service = Child("cop.demo.service", _log(folder, "service"))
    children.append(service)
    service.tell(settings.model_dump(mode="json") | {"data_dir": str(settings.data_dir.absolute())})
    basemap = _basemap()
    build_ground(basemap, folder)  # once, before all the agencies want it
    started_at_s = float(int(time.time()))
    slugs = [party.slug for party in PARTIES]

    def start(slug: str) -> Child:
        child = Child("cop.demo.agency", _log(folder, slug))
        child.tell(asdict(Assignment(slug, seed, units, started_at_s, str(basemap), str(folder.absolute()))))
        return child

    children += [start(slug) for slug in slugs]
    answer = json.loads(service.hear(SERVICE_START_S))
    if "error" in answer:
        raise Unavailable(answer["error"])
    desks = {slug: asdict(Desk(answer["url"], key)) for slug, key in answer["keys"].items()}
    with Client(**desks["viewer"]) as viewer:
        _await_ready(viewer, service)
        for slug, child in zip(slugs, children[1:], strict=True):
            child.tell(desks[slug])
        for child in children[1:]:
            child.hear(AGENCY_START_S)
        say(
            f"Lakefront Surge: {len(slugs)} agencies, {units} units. Open this address, once, within 15 minutes:"
        )
        say(viewer.ticket(scopes=["view", "plan"], name="dispatcher"))
        say(f"Ctrl-C stops everything. Another link: {another_link(answer['url'])}")
    while True:
        time.sleep(LOOK_EVERY_S)
        if service.ended():
            say(f"The service has ended; {service.log} may say why.")
            return 1
        for place, slug in enumerate(slugs, start=1):
            if children[place].ended():
                say(f"{slug} has ended ({children[place].log} may say why) and is started again.")
                children[place].stop(0.0)
                time.sleep(PAUSE_BEFORE_RESTART_S)
                children[place] = start(slug)
                children[place].tell(desks[slug])


def another_link(url: str) -> str:
    """What prints another link to the demo at *url*: it may listen on another port than the settings of a shell say."""
    port = urlsplit(url).port
    setting = "" if port is None else f"COP_PORT={port} "
    return f"{setting}.venv/bin/cop ticket --agency oem --scope plan"


def _await_ready(viewer: Client, service: Child) -> None:
    deadline = time.monotonic() + SERVICE_START_S
    while not viewer.ready():
        if service.ended() or time.monotonic() > deadline:
            raise Unavailable(f"The service did not become ready; {service.log} may say why.")
        time.sleep(0.05)


def _log(folder: Path, name: str) -> Path:
    path = folder / f"{name}.log"
    path.write_bytes(b"")
    return path


def _basemap() -> Path:
    built = web.assets()
    return (built or web.ROOT) / "basemap" / "chicago.pmtiles"


@contextmanager
def _only_one(path: Path) -> Iterator[None]:
    """Hold the lock at *path*, which the kernel gives back if we are killed."""
    with path.open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unavailable(
                f"A demo runs already in {path.parent.parent}; stop it, or set COP_DATA_DIR."
            ) from None
        yield


class _Stop(BaseException):
    """Ctrl-C or SIGTERM."""


@contextmanager
def _stoppable() -> Iterator[None]:
    """Turn SIGINT and SIGTERM into `_Stop`; while that is dealt with, further ones are ignored."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in (signal.SIGINT, signal.SIGTERM):
            signal.signal(each, signal.SIG_IGN)
        raise _Stop

    before = {each: signal.signal(each, stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
