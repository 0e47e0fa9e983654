"""The line between the demo and its child processes: when the parent is gone, however it went, they go too.

The parent holds the other end of the child's standard input. The first line on it is the child's
instructions, secrets among them; the end of it, which the kernel sees to even after `kill -9`, means stop.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any

GRACE_S = 5.0
"""From being told to stop until it is done by force."""


def instructions() -> dict[str, Any]:
    """What the parent wrote first. Ends the process if the parent died before it had."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise SystemExit(0)
    told: dict[str, Any] = json.loads(line)
    return told


def on_release(stop: Callable[[], None]) -> None:
    """Call *stop* once the parent lets go or is gone, or on SIGTERM; and end by force `GRACE_S` later."""

    def watch() -> None:
        while sys.stdin.buffer.read(4096):
            pass
        stop()
        time.sleep(GRACE_S)
        os._exit(1)

    def terminate(number: int, frame: FrameType | None) -> None:
        stop()

    signal.signal(signal.SIGTERM, terminate)
    threading.Thread(target=watch, name="tether", daemon=True).start()
