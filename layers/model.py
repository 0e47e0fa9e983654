"""The words of the domain as types: agency, layer, operation, feature, change, viewer, grade, receipt.

Every other module of `layers` takes and returns these; none of them holds behaviour beyond a name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from enum import IntEnum, StrEnum
from typing import Any, NamedTuple, NewType
from uuid import UUID

AgencyId = NewType("AgencyId", int)
LayerId = NewType("LayerId", int)
OperationId = NewType("OperationId", int)
LayerName = NewType("LayerName", str)
"""A layer's id in the API: `agency.slug`."""
FeatureId = NewType("FeatureId", str)
"""A feature's id, unique within its layer, 1 to 128 characters."""

BBox = tuple[float, float, float, float]
"""west, south, east, north in degrees; west > east crosses the antimeridian."""


class Status(StrEnum):
    """Whether a layer or an operation is for real; given at birth and never changed."""

    ACTUAL = "actual"
    EXERCISE = "exercise"
    TEST = "test"


class Stream(StrEnum):
    """How a layer reaches the map: each feature on the websocket, or as vector tiles."""

    LIVE = "live"
    TILED = "tiled"


class Scope(StrEnum):
    """What a credential may do. `admin` implies the other three, `plan` implies `view`."""

    PUBLISH = "publish"
    VIEW = "view"
    PLAN = "plan"
    ADMIN = "admin"


class Grade(IntEnum):
    """How much of a layer a viewer gets; ordered, so grades can be compared."""

    NONE = 0
    GENERALIZED = 1
    """It is counted in analyses, by cells of a kilometre, and is not seen otherwise."""
    FULL = 2


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks. `agency` is None for the anonymous public, who holds no scope."""

    agency: AgencyId | None = None
    scopes: frozenset[Scope] = frozenset()
    name: str = "public"
    host: bool = False
    """True for the agency that runs this deployment: with `admin`, it may add agencies."""


PUBLIC = Viewer()


@dataclass(frozen=True, slots=True)
class Agency:
    """An organisation that publishes layers. `color` is `#rrggbb`, as the map draws it."""

    id: AgencyId
    slug: str
    name: str
    color: str
    host: bool = False


@dataclass(frozen=True, slots=True)
class Sharing:
    """With whom a layer is shared, apart from the agency that owns it."""

    agencies: frozenset[AgencyId] = frozenset()
    everyone: bool = False
    """Every agency of this deployment."""
    public: bool = False
    generalized: frozenset[AgencyId] = frozenset()
    """Who may only have it counted in analyses, …"""
    generalized_for_everyone: bool = False
    """… and whether every agency may."""


@dataclass(frozen=True, slots=True)
class LayerRules:
    """What a layer demands of its features and says of them where they are silent."""

    repair: bool = False
    """Mend an invalid polygon instead of refusing it."""
    area: BBox | None = None
    """Where the publisher works; a feature outside is refused as `geo.outside_area`."""
    null_island: str = "flag"
    """`flag` or `refuse` a point at exactly 0, 0."""
    reach_m: float | None = None
    stale_after_s: int = 300
    expire_after_s: int | None = None
    """Seconds from `observed_at` until a feature leaves by itself; None: never."""
    resolution: int = 9
    """H3 resolution at which the coverage of its features is kept."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as the policy and the door see it. What moves (revision, features, last heard) is read with `query`."""

    id: LayerId
    name: LayerName
    agency: AgencyId
    kind: str
    status: Status
    title: str = ""
    stream: Stream = Stream.LIVE
    rules: LayerRules = field(default_factory=LayerRules)
    sharing: Sharing = field(default_factory=Sharing)


@dataclass(frozen=True, slots=True)
class Operation:
    """A named picture that draws layers together."""

    id: OperationId
    slug: str
    title: str
    status: Status
    agency: AgencyId
    layers: tuple[LayerId, ...] = ()


class Feature(NamedTuple):
    """A feature as it stands. `geometry` and `properties` are JSON text; times are aware UTC."""

    id: FeatureId
    geometry: str | None
    bbox: BBox | None
    properties: str
    observed_at: datetime
    received_at: datetime
    expires_at: datetime | None
    revision: int


class Op(StrEnum):
    """What a change does: set a feature, take it away, or only log an observation that came too late."""

    PUT = "put"
    GONE = "gone"
    LATE = "late"


class Why(StrEnum):
    """Why a feature is gone."""

    DELETED = "deleted"
    EXPIRED = "expired"
    REPLACED = "replaced"
    """A replacement of the whole set did not name it."""


class Change(NamedTuple):
    """One revision of one layer, as the log holds it. For `gone`, the state is the last one known."""

    revision: int
    feature_id: FeatureId
    op: Op
    why: Why | None
    geometry: str | None
    bbox: BBox | None
    properties: str
    observed_at: datetime
    received_at: datetime
    expires_at: datetime | None


class Edit(NamedTuple):
    """A feature that passed the door's checks and is ready to be written.

    `geometry` is EWKB with SRID 4326, `properties` JSON text without the reserved names, `cell` the
    coarse H3 cell of a point (None for everything else), `coverage` packed ranges (see `hexes`).
    """

    id: FeatureId
    geometry: bytes | None
    cell: int | None
    properties: str
    observed_at: datetime | None
    """None: the publisher did not say; the time of receipt stands in."""
    expires_at: datetime | None
    coverage: bytes | None = None
    pointer: str = ""


@dataclass(frozen=True, slots=True)
class Rejection:
    """One feature of a push that was not taken, and why."""

    pointer: str
    """JSON pointer (RFC 6901) to the spot in the body as it was sent."""
    code: str
    detail: str
    id: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer to a push: what became of each feature, once it is committed.

    `first_revision` and `last_revision` are None when nothing took a revision. `accepted` counts features
    that changed the picture, `unchanged` those that said what was known, `late` those older than what is known.
    """

    layer: LayerName
    epoch: UUID
    first_revision: int | None = None
    last_revision: int | None = None
    accepted: int = 0
    created: int = 0
    unchanged: int = 0
    late: int = 0
    gone: int = 0
    rejected: tuple[Rejection, ...] = ()


JsonObject = dict[str, Any]
