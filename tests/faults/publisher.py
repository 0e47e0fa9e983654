"""A process that pushes positions without a pause, and keeps an account of what was acknowledged.

Each batch is observed at a moment of its own, and a feature's longitude follows from that moment, so whoever
sees a position can tell whether it is one that was pushed. Run by `scene.py`, which tells it what to do in one
line of JSON; it ends when its standard input does.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cop.client import Client


def lng_at(observed_ms: int) -> float:
    """Where every unit is at that moment."""
    return round(-88.0 + observed_ms % 500_000 * 1e-6, 6)


def ids_of(prefix: str, number: int, batch: int, units: int) -> list[str]:
    """The units that batch *number* is about: all of them in turn."""
    return [f"{prefix}{(number * batch + place) % units}" for place in range(batch)]


def features_of(ids: list[str], observed_ms: int) -> list[dict[str, Any]]:
    """The batch as GeoJSON."""
    observed_at = datetime.fromtimestamp(observed_ms / 1000, UTC).isoformat(timespec="milliseconds")
    geometry = {"type": "Point", "coordinates": [lng_at(observed_ms), 41.9]}
    properties = {"observed_at": observed_at, "status": "en_route"}
    return [{"type": "Feature", "id": id, "geometry": geometry, "properties": properties} for id in ids]


def _await_release(released: threading.Event) -> None:
    sys.stdin.read()
    released.set()


def main() -> None:
    """Push as told; one line `number observed_ms first last milliseconds` for each batch acknowledged."""
    told = json.loads(sys.stdin.readline())
    batch, units, prefix = told["batch"], told["units"], told["prefix"]
    released = threading.Event()
    threading.Thread(target=_await_release, args=(released,), daemon=True).start()
    waits: deque[str] = deque(maxlen=5)
    number, observed_ms, began = 0, 0, time.monotonic()
    with (
        Path(told["account"]).open("a") as account,
        Client(told["url"], told["key"], patience_s=90, on_wait=lambda why, _: waits.append(why)) as client,
    ):
        while not released.is_set():
            observed_ms = max(time.time_ns() // 1_000_000 + told["clock_ms"], observed_ms + 1)
            sent_at = time.monotonic()
            receipt = client.push(
                told["layer"], features_of(ids_of(prefix, number, batch, units), observed_ms)
            )
            took_ms = round((time.monotonic() - sent_at) * 1000)
            account.write(
                f"{number} {observed_ms} {receipt.first_revision} {receipt.last_revision} {took_ms}\n"
            )
            account.flush()
            number += 1
            # What could not be sent in time is not made up for: a feed has nothing but the present to tell.
            began = max(began + batch / told["rate"], time.monotonic() - 1)
            released.wait(max(0.0, began - time.monotonic()))


if __name__ == "__main__":
    main()
