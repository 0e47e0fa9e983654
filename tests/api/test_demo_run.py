"""The exercise as it is run: real processes, a real database, seen over HTTP, and nothing left behind."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest


class Demo:
    """`cop demo` in a process group of its own, as a terminal would start it."""

    def __init__(self, folder: Path, port: int, units: int) -> None:
        environment = os.environ | {"COP_DATA_DIR": str(folder), "COP_PORT": str(port)}
        environment.pop("COP_DATABASE_URL", None)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "cop", "demo", "--units", str(units)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.said: list[str] = []

    def ticket(self) -> str:
        """The one address that it prints."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said.append(line)
            if found := re.search(r"http://\S+/enter\?ticket=\S+", line):
                return found[0]
        pytest.fail("".join(self.said))

    def family(self) -> list[psutil.Process]:
        """It and all that it started, the database among them."""
        parent = psutil.Process(self.process.pid)
        return [parent, *parent.children(recursive=True)]

    def end(self) -> None:
        """Whatever became of the test."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        self.process.kill()
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        free: int = listener.getsockname()[1]
    return free


@pytest.fixture
def start(open_folder: Path, port: int) -> Iterator[Callable[..., Demo]]:
    started: list[Demo] = []

    def start(units: int = 40) -> Demo:
        started.append(Demo(open_folder / "cop", port, units))
        return started[-1]

    yield start
    for demo in started:
        demo.end()


@contextmanager
def viewer(ticket: str) -> Iterator[httpx.Client]:
    """Who has opened the address."""
    service, _, _ = ticket.partition("/enter")
    with httpx.Client(base_url=service, timeout=10, trust_env=False) as client:
        assert client.get(ticket).status_code == 303
        yield client


def features(client: httpx.Client, layer: str) -> dict[str, Any]:
    answer = client.get(f"/collections/{layer}/items?limit=1000").raise_for_status()
    return {feature["id"]: feature for feature in answer.json()["features"]}


def await_all_gone(processes: list[psutil.Process], within_s: float) -> None:
    _, alive = psutil.wait_procs(processes, timeout=within_s)
    assert [process.name() for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []


@pytest.mark.timeout(240)
def test_demo_is_seen_moving_runs_again_and_leaves_nothing_running(start: Callable[..., Demo]) -> None:
    demo = start()
    with viewer(demo.ticket()) as page:
        family = demo.family()
        agencies = [p for p in family if "cop.demo.agency" in p.cmdline()]
        assert len(agencies) == 7
        assert not any("cop_pub_" in word for p in family for word in [*p.cmdline(), *p.environ().values()])

        session = page.get("/session").json()
        assert (session["viewer"]["agency"]["id"], session["viewer"]["scopes"]) == ("oem", ["plan", "view"])
        (operation,) = session["operations"]
        assert (operation["id"], operation["status"]) == ("lakefront-surge", "exercise")
        layers = {layer["id"]: layer for layer in page.get("/collections").json()["collections"]}
        assert {layer["status"] for layer in layers.values()} == {"exercise"}
        assert "cpd.tactical" in layers
        assert "cpd.surveillance" not in layers
        assert page.get("/collections/cpd.surveillance/items").status_code == 404

        before = features(page, "cpd.units")
        deadline = time.monotonic() + 20
        while not (moved := moved_since(before, features(page, "cpd.units"))):
            assert time.monotonic() < deadline
            time.sleep(0.5)
        assert moved <= before.keys()
        assert features(page, "oem.incidents")
        assert len(features(page, "cfd.stations")) == 44
        ids = set(features(page, "cfd.units"))

    os.killpg(demo.process.pid, signal.SIGINT)  # Ctrl-C, as a terminal sends it
    assert demo.process.wait(30) == 0
    await_all_gone(family, 1)

    again = start(units=20)
    with viewer(again.ticket()) as page:
        assert set(features(page, "cfd.units")) < ids  # of the first run's units, none lingers
        family = again.family()
    again.process.kill()
    await_all_gone(family, 30)


def moved_since(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {id for id, unit in after.items() if id in before and unit["geometry"] != before[id]["geometry"]}


@pytest.mark.timeout(120)
def test_second_demo_in_the_same_folder_says_so(start: Callable[..., Demo]) -> None:
    first = start()
    first.ticket()
    second = start()
    out, _ = second.process.communicate(timeout=30)
    assert "A demo runs already" in out
    assert second.process.returncode == 1
    assert first.process.poll() is None


@pytest.mark.timeout(120)
def test_agency_that_dies_is_started_again_and_a_taken_port_is_passed_over(
    start: Callable[..., Demo], port: int
) -> None:
    with socket.create_server(("127.0.0.1", port)):
        demo = start()
        address = demo.ticket()
    assert f":{port}/" not in address
    agency = next(p for p in demo.family() if "cop.demo.agency" in p.cmdline())
    agency.kill()
    deadline = time.monotonic() + 30
    while sum("cop.demo.agency" in p.cmdline() for p in demo.family() if p.pid != agency.pid) < 7:
        assert time.monotonic() < deadline
        time.sleep(0.2)
