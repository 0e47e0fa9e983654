"""The line between the demo and its child processes: when the parent is gone, however it went, they go too.

The parent holds the other end of the child's standard input. The lines on it are the child's instructions,
secrets among them; the end of it, which the kernel sees to even after `kill -9`, means stop.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

_stdin = open(0, "rb", buffering=0, closefd=False)  # noqa: SIM115 - no buffer, so no lock at shutdown


def instructions() -> dict[str, Any]:
    """The next line that the parent wrote. Ends the process if the parent is gone before it has."""
    line = _stdin.readline()
    if not line:
        raise SystemExit(0)
    told: dict[str, Any] = json.loads(line)
    return told


def say(line: str) -> None:
    """Tell the parent, on standard output."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def on_release(stop: Callable[[], None], *, grace_s: float = 5.0) -> None:
    """Call *stop* once the parent lets go or is gone; *grace_s* later, end the process by force."""

    def watch() -> None:
        while _stdin.read(4096):
            pass
        stop()
        time.sleep(grace_s)
        os._exit(1)

    threading.Thread(target=watch, name="tether", daemon=True).start()
