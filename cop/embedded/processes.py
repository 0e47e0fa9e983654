"""Programs called, processes looked at and waited for, signals that unwind: what the cluster asks of POSIX."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any


@contextmanager
def ended_by_exception(*signals: signal.Signals) -> Iterator[None]:
    """Let *signals* unwind the stack, unless somebody handles them already."""
    main = threading.current_thread() is threading.main_thread()
    ours = [each for each in signals if main and signal.getsignal(each) is signal.SIG_DFL]

    def unwind(number: int, _frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    for each in ours:
        signal.signal(each, unwind)
    try:
        yield
    finally:
        for each in ours:
            signal.signal(each, signal.SIG_DFL)


def environment() -> dict[str, str]:
    """Ours without PGDATA, PGPORT and the like, which were meant for another server."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_"))} | {
        "LC_ALL": "C"
    }


def call(command: list[str], **run_as: Any) -> subprocess.CompletedProcess[str]:
    """Run *command* to its end and keep what it says; *run_as* is what an `Account` gives to subprocess."""
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        cwd="/",
        env=environment(),
        check=False,
        **run_as,
    )


def alive(pid: int) -> bool:
    """Whether there is a process *pid*, whoever it belongs to."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return pid > 0


def serves(pid: int, data: Path) -> bool:
    """Whether process *pid* is the server of *data*: a server's working directory is its data directory."""
    if not alive(pid):
        return False
    if Path("/proc/self/cwd").exists():
        try:
            return Path(f"/proc/{pid}/cwd").samefile(data)
        except OSError:
            return False
    return str(data) in call(["ps", "-ww", "-o", "args=", "-p", str(pid)]).stdout


def wait_until(condition: Callable[[], bool], deadline_s: float, pause_s: float = 0.01) -> bool:
    """Whether *condition* was met before *deadline_s* were over; it is asked at least once."""
    deadline = time.monotonic() + deadline_s
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(pause_s)
    return met


def reason(said: str) -> str:
    """The line that says why, out of what a program of PostgreSQL printed: the first complaint caused the others."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    telling = [line for line in lines if re.search(r"FATAL|PANIC|[Ee]rror|ERROR", line)]
    return (telling or lines[-1:] or ["it said nothing"])[0].rstrip(".")
