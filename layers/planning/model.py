"""The words of planning as types: a rule, the features that were read, a case, and the covers that come of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
from numpy.typing import NDArray

from layers.hexes.ranges import Ranges
from layers.model import FeatureId, LayerName

Geometry = Mapping[str, Any]
"""GeoJSON, as it is placed: in range, valid, split at the antimeridian."""
MAX_REACH_M = 100_000.0
"""The farthest that anything reaches; so far beyond an area features are looked for."""
MAX_VALUE = 1e15
"""The most that a cell or a feature may weigh: beyond, whole numbers are no longer added up exactly."""
Scalar = str | float | bool | None
Where = Mapping[str, Sequence[Scalar]]
"""By name of a property the values allowed; None stands for “has none”. A list has a value if one item is it."""


class Standing(StrEnum):
    """Whether a feature counts as cover, and if not, why not."""

    COUNTS = "counts"
    STALE = "stale"
    """A unit that was last seen longer ago than its layer allows."""
    BUSY = "busy"
    """A unit whose status is not one of those asked for."""
    OTHER_STATUS = "other_status"
    """The same of what is no unit: a station whose status is “open” is not busy."""
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
    generalized: bool = False
    """Whether its rows are not the features but only how coarsely they may be counted."""
    as_of: datetime | None = None
    """The moment up to which it was heard, if that is not the one that is asked about: age counts from there."""
    heard_since: datetime | None = None
    """When it was first heard of, if that was looked up; None too where it never was, and its revision is 0."""

    def known_at(self, at: datetime) -> bool:
        """Whether anything had been heard of the layer by *at*: if not, that nobody is there is no news of anybody."""
        return self.revision > 0 if self.heard_since is None else self.heard_since <= at


@dataclass(frozen=True, slots=True)
class Roads:
    """The streets near an area, as they were read. Two of one revision and box are the same, whatever they hold."""

    layer: LayerName
    epoch: UUID
    revision: int
    box: tuple[float, ...]
    """Of all that was read."""
    rows: tuple[Row, ...] = field(compare=False)


@dataclass(frozen=True, slots=True, eq=False)
class CellValues:
    """Values by cell of one resolution."""

    resolution: int
    ranks: NDArray[np.int64]
    """Dense ranks, ascending, each once."""
    values: NDArray[np.float64]
    """0 to MAX_VALUE."""


@dataclass(frozen=True, slots=True, eq=False)
class FeatureValues:
    """Values of features: those of points where they lie, those of polygons all over them."""

    lng_lat: NDArray[np.float64]
    """(n, 2): where the points are."""
    at_points: NDArray[np.float64]
    shapes: tuple[str, ...]
    """Polygons and multipolygons, GeoJSON as text."""
    at_shapes: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class Weights:
    """What ground weighs besides its km², such as the people on it."""

    unit: str
    """What is counted: “people”. For reading only."""
    given: CellValues | FeatureValues
    """Near the area of the case; cells no finer than its own."""
    elsewhere: float = 0.0
    """The sum of what lies so far off that it was left out of `given`."""
    origin: Mapping[str, Any] = field(default_factory=dict)
    """Where they are from, as an answer says it."""


@dataclass(frozen=True, slots=True, eq=False)
class Zone:
    """One of several areas that are told apart in one answer."""

    id: str
    name: str
    geometry: Geometry


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
    roads: Roads | None = None
    """The streets along which minutes are counted."""
    notes: tuple[str, ...] = ()
    """What there was to say of the reading."""
    weights: Weights | None = None
    zones: tuple[Zone, ...] = ()
    """If there are any, the area is all of them together, and its cells are theirs."""

    @property
    def generalized(self) -> frozenset[LayerName]:
        """The layers of which it has no more than what may be counted."""
        return frozenset(source.layer for source in self.sources if source.generalized)


OF_ANOTHER_STATUS = frozenset({Standing.BUSY, Standing.OTHER_STATUS})
"""Standings of which it helps to know what the status is."""


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
    status: str | None = None
    """What it says of itself, as text; None if nothing."""

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
