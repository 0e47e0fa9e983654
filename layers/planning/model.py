"""The words of planning as types: a rule, the features that were read, a case, and the covers that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

from layers.hexes.ranges import Ranges
from layers.model import FeatureId, LayerName

Geometry = Mapping[str, Any]
"""GeoJSON, as it is placed: in range, valid, split at the antimeridian."""
MAX_REACH_M = 100_000.0
"""The farthest that anything reaches; so far beyond an area features are looked for."""
Scalar = str | float | bool | None
Where = Mapping[str, Sequence[Scalar]]
"""By name of a property the values allowed; None stands for “has none”. A list has a value if one item is it."""


class Standing(StrEnum):
    """Whether a feature counts as cover, and if not, why not."""

    COUNTS = "counts"
    STALE = "stale"
    """A unit that was last seen longer ago than its layer allows."""
    BUSY = "busy"
    """It has a status, and not one of those asked for."""
    OUT_OF_SERVICE = "out_of_service"
    OFF_SHIFT = "off_shift"
    """Its `valid_from` or `valid_to` says that it is not there at that time."""
    EXCLUDED = "excluded"
    """The question is not about such: its agency, its capability or another property."""
    REMOVED = "removed"
    """Taken away in a what-if."""


@dataclass(frozen=True, slots=True)
class Straight:
    """As the crow flies: every feature reaches *metres* from where it is."""

    metres: float


@dataclass(frozen=True, slots=True)
class Along:
    """As far as one gets in *minutes*: along the streets of the case, at their speeds; without streets in a straight
    line at *speed_kmh*.
    """

    minutes: float
    speed_kmh: float = 40.0


Reach = Straight | Along


@dataclass(frozen=True, slots=True)
class Rule:
    """What counts as cover, and how many of it there must be."""

    at_least: int = 1
    where: Where = field(default_factory=dict)
    agencies: frozenset[str] | None = None
    capabilities: frozenset[str] | None = None
    """A feature counts if it has one of these; None: whatever it has."""
    stale_counts: bool = False
    reach: Reach | None = None
    """Instead of what features and layers state."""


class Row(NamedTuple):
    """A feature as it was read. A point has `lng` and `lat`, anything else `shape`, a GeoJSON geometry as text."""

    id: FeatureId
    properties: str
    observed_at: datetime
    lng: float | None
    lat: float | None
    shape: str | None
    stored: bytes | None = None
    """Its packed hexes, if it has such of the resolution asked for."""


@dataclass(frozen=True, slots=True)
class Source:
    """What one layer brings to a case, as it was read: nothing of it is worked out yet."""

    layer: LayerName
    agency: str
    kind: str
    epoch: UUID
    revision: int
    rows: tuple[Row, ...]
    """Those near the area and not expired."""
    reach_m: float | None = None
    stale_after_s: int = 300
    held: int = 0
    """Features of the layer, wherever they are."""


@dataclass(frozen=True, slots=True)
class Case:
    """One question with all that its answer rests on, ready to be worked out in another process."""

    area: Geometry
    resolution: int
    rule: Rule
    sources: tuple[Source, ...]
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)
    """The moment that is asked about."""
    unshared: tuple[str, ...] = ()
    """Agencies of which the viewer sees nothing that could cover; whether they have anything is not said."""


@dataclass(frozen=True, slots=True, eq=False)
class Cover:
    """One feature that covers ground, or would if it counted."""

    layer: LayerName
    id: FeatureId
    agency: str
    kind: str
    name: str
    capabilities: frozenset[str]
    standing: Standing
    place: tuple[float, float]
    """Longitude and latitude: where it is, or the middle of what it covers."""
    reach_m: float | None
    """None where its ground is no disk."""
    observed_at: datetime
    spans: Ranges
    """What it covers of the area, as places of the field."""

    @property
    def counts(self) -> bool:
        """Whether it is cover."""
        return self.standing is Standing.COUNTS


class Input(NamedTuple):
    """A layer that an answer rests on, as of which revision, and what became of its features near the area."""

    layer: LayerName
    epoch: UUID
    revision: int
    held: int
    """Features of the layer, wherever they are."""
    meant: int
    """Those near the area that the rule is about, whether or not they count now."""
    reachless: int
    """Those of them that cover nothing, for neither they nor their layer state `reach_m`."""
    features: int
    """Those that count and cover any of the area."""
