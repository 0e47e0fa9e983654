"""What a load is to be: how many units and viewers, where, for how long; checked once, handed to every process."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass
from math import cos, radians
from typing import Any, Literal
from urllib.parse import urlsplit

from cop.live.wire import PACKED_PROTOCOL, PROTOCOL
from layers.model import BBox

CITY: BBox = (-87.80, 41.774, -87.583, 41.965)
"""Where the demo's agencies drive."""
WORLD: BBox = (-180.0, -85.0, 180.0, 85.0)
SCREEN = (1280, 800)
TILE = 512
"""Pixels of the world at zoom 0, as MapLibre counts zooms."""
MOST_LIMIT = 50_000
"""Features of one layer that a viewer may ask for one by one: the service's own bound."""

Form = Literal["json", "bin"]
Look = Literal["city", "world", "mixed"]
SUBPROTOCOLS: dict[Form, str] = {"json": PROTOCOL, "bin": PACKED_PROTOCOL}


class LoadFailed(Exception):
    """The load could not be put on, or broke off: a sentence for whoever started it."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a service listens."""

    host: str
    port: int
    tls: bool = False
    path: str = ""

    @classmethod
    def of(cls, url: str) -> Address:
        """From `http(s)://host[:port][/path]`. Raises `LoadFailed`."""
        parts = urlsplit(url)
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise LoadFailed(f"“{url}” is no address: expected http://host:port or https://…")
        tls = parts.scheme == "https"
        try:
            port = parts.port or (443 if tls else 80)
        except ValueError as error:
            raise LoadFailed(f"“{url}” has no valid port.") from error
        return cls(parts.hostname, port, tls, parts.path.rstrip("/"))

    @property
    def near(self) -> bool:
        """Whether it is this machine, and its clock ours."""
        return self.host in {"127.0.0.1", "::1", "localhost"}


@dataclass(frozen=True, slots=True)
class Plan:
    """One load. `every_s` is how often each unit reports; `seconds` is what is measured, after `warm_s`."""

    address: Address
    key: str
    layer: str
    viewers: int
    units: int
    every_s: float = 1.0
    seconds: float = 30.0
    warm_s: float = 5.0
    form: Form = "json"
    look: Look = "city"
    bbox: BBox = CITY
    seed: int = 1
    processes: int = 1
    public: bool = False
    """The viewers come without the key: the layer must be shared with the public."""
    keys: tuple[str, ...] = ()
    """The viewers' own keys, in turn; without any they all come with `key`."""
    away_s: float | None = None
    """Halfway, all viewers leave for so long and come back at once with their cursors."""
    keep_bytes: int = 1 << 30
    """Frames that are kept for judging, all processes together."""

    @property
    def rate(self) -> float:
        """Observations a second, if the service keeps up."""
        return self.units / self.every_s

    def key_of(self, viewer: int) -> str | None:
        """What the viewer of that number comes with."""
        if self.public:
            return None
        return self.keys[viewer % len(self.keys)] if self.keys else self.key


def views(plan: Plan) -> Iterator[dict[str, Any]]:
    """The views of the plan's viewers: different places at zoom 11 to 13, the world, or one in ten of that."""
    random_ = random.Random(plan.seed + 7)  # noqa: S311 - no secret
    for number in range(plan.viewers):
        if plan.look == "world" or (plan.look == "mixed" and number % 10 == 0):
            yield {"bbox": list(WORLD), "zoom": 1}
        else:
            yield _screen(random_, plan.bbox)


def _screen(random_: random.Random, bbox: BBox) -> dict[str, Any]:
    """What a window of 1280 by 800 shows, with its middle somewhere in *bbox*."""
    west, south, east, north = bbox
    zoom = random_.choice((11, 12, 13))
    lng, lat = random_.uniform(west, east), random_.uniform(south, north)
    degrees = 360.0 / (TILE * 2**zoom)
    half_width, half_height = SCREEN[0] * degrees / 2, SCREEN[1] * degrees * cos(radians(lat)) / 2
    edges = (
        max(lng - half_width, -180.0),
        max(lat - half_height, -85.0),
        min(lng + half_width, 180.0),
        min(lat + half_height, 85.0),
    )
    return {"bbox": [round(edge, 6) for edge in edges], "zoom": zoom}
