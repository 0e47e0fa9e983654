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
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cop.client import Client

BATCH = 500
"""Features in one push."""


def lng_at(observed_ms: int) -> float:
    """Where every unit is at that moment."""
    return round(-88.0 + observed_ms % 500_000 * 1e-6, 6)


@dataclass(frozen=True, slots=True)
class Batch:
    """`BATCH` of a publisher's units at one moment."""

    prefix: str
    observed_ms: int
    number: int = 0
    units: int = BATCH
    """How many units the publisher has; its batches are about all of them in turn."""

    @property
    def ids(self) -> list[str]:
        """The units that it is about."""
        return [f"{self.prefix}{(self.number * BATCH + place) % self.units}" for place in range(BATCH)]

    def features(self, **properties: Any) -> list[dict[str, Any]]:
        """As GeoJSON, each with *properties* besides its own."""
        observed_at = datetime.fromtimestamp(self.observed_ms / 1000, UTC).isoformat(timespec="milliseconds")
        geometry = {"type": "Point", "coordinates": [lng_at(self.observed_ms), 41.9]}
        properties |= {"observed_at": observed_at, "status": "en_route"}
        return [
            {"type": "Feature", "id": id, "geometry": geometry, "properties": properties} for id in self.ids
        ]


def _await_release(released: threading.Event) -> None:
    sys.stdin.read()
    released.set()


def main() -> None:
    """Push as told; one line `number observed_ms first last milliseconds` for each batch acknowledged."""
    told = json.loads(sys.stdin.readline())
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
            batch = Batch(told["prefix"], observed_ms, number, told["units"])
            receipt = client.push(told["layer"], batch.features())
            took_ms = round((time.monotonic() - sent_at) * 1000)
            account.write(
                f"{number} {observed_ms} {receipt.first_revision} {receipt.last_revision} {took_ms}\n"
            )
            account.flush()
            number += 1
            # What could not be sent in time is not made up for: a feed has nothing but the present to tell.
            began = max(began + BATCH / told["rate"], time.monotonic() - 1)
            released.wait(max(0.0, began - time.monotonic()))


if __name__ == "__main__":
    main()
