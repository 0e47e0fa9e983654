"""The shape of every message of the live stream, as types: the document's schemas are made from them.

The stream itself is read and written by `cop/live/wire.py`, by hand, as it must be fast; the tests hold the two
together. Members that are not named here may come in later versions and are to be passed over.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cop.live.wire import MAX_LAYERS, MAX_LIMIT, MAX_WHOLE

Cursor = Annotated[
    str, Field(pattern=r"^[0-9a-f-]{36}:[0-9]{1,16}$", description="`epoch:revision` of a layer.")
]
LayerId = Annotated[str, Field(description="`agency.slug`.")]
Milliseconds = Annotated[int, Field(description="Milliseconds since 1970-01-01T00:00:00Z.")]
Number = Annotated[
    int, Field(ge=0, le=MAX_WHOLE, description="Counts your views; a frame's `view` returns it.")
]
Status = Literal["actual", "exercise", "test"]
Why = Literal["deleted", "expired", "replaced", "view", "revoked", "filter"]
BBox = Annotated[
    tuple[float, float, float, float],
    Field(description="west, south, east, north in degrees; west > east crosses the antimeridian."),
]
Move = Annotated[
    tuple[str, float, float, int, float | None, float | None],
    Field(description="id, longitude, latitude, observed_at in ms, heading in degrees, speed in m/s."),
]
Gone = Annotated[
    tuple[str, Why], Field(description="id, and why it has left sight; pass over one that you do not hold.")
]
Cell = Annotated[
    tuple[str, int, str | None, int],
    Field(
        description="H3 cell, how many features, the worst status, the oldest observed_at; 0 features: no more."
    ),
]


class Shape(BaseModel):
    """What all have in common: values are of the type that is named, and no other."""

    model_config = ConfigDict(strict=True)


class View(Shape):
    """What the map shows."""

    bbox: BBox
    zoom: float | None = None


class Where(Shape):
    """What is let through; a member that is absent lets all through."""

    kind: list[str] | None = Field(None, max_length=MAX_LAYERS, description="Kinds of layers.")
    agency: list[str] | None = Field(None, max_length=MAX_LAYERS, description="Slugs of agencies.")
    status: list[str | None] | None = Field(
        None, max_length=MAX_LAYERS, description="Statuses of features; null: those without one."
    )


class Subscribe(Shape):
    """Follow layers, or those of an operation, or (with neither) all that you may see; in place of what was before."""

    type: Literal["subscribe"]
    operation: str | None = Field(None, description="The slug of an operation.")
    layers: list[LayerId] | None = Field(None, max_length=MAX_LAYERS)
    view: View | None = Field(
        None, description="Only what is in view, and units in distress wherever they are; null: everywhere."
    )
    n: Number | None = None
    since: dict[LayerId, Cursor] | None = Field(
        None,
        max_length=MAX_LAYERS,
        description="How far you hold each layer. The answer is exactly what is missing, or a `reset`.",
    )
    held: View | None = Field(
        None,
        description="The view under which the cursors were told, if it is not `view`: that of the last anchor.",
    )
    where: Where | None = None
    limit: int | None = Field(
        None, ge=1, le=MAX_LIMIT, description="A layer of points with more features in sight comes summed."
    )


class Look(Shape):
    """The map now shows another view."""

    type: Literal["view"]
    view: View | None
    n: Number | None = None


class Unsubscribe(Shape):
    """Follow nothing."""

    type: Literal["unsubscribe"]


class Ping(Shape):
    """Answer with the same number."""

    type: Literal["ping"]
    sent: float


class Viewer(Shape):
    """Who you are taken for."""

    agency: str | None
    name: str
    scopes: list[str]


class Agency(Shape):
    """An agency that you see something of."""

    id: str
    name: str
    color: str = Field(pattern="^#[0-9a-fA-F]{6}$")


class Layer(Shape):
    """A layer that you may see."""

    id: LayerId
    title: str
    agency: str
    kind: str
    status: Status
    stream: Literal["live", "tiled"] = Field(description="tiled: its features come as vector tiles.")
    stale_after_s: int
    epoch: str | None


class Operation(Shape):
    """A named picture that draws layers together."""

    id: str
    title: str
    status: Status
    layers: list[LayerId]


class Hello(Shape):
    """What you may see. Sent first, and again whenever it changes; drop what it no longer names."""

    type: Literal["hello"]
    protocol: str
    server_time: Milliseconds
    tick_ms: int = Field(description="How often a frame comes at most.")
    viewer: Viewer
    agencies: list[Agency]
    layers: list[Layer]
    operations: list[Operation]


class Geometry(Shape):
    """GeoJSON (RFC 7946), WGS 84, longitude first."""

    type: Literal["Point", "MultiPoint", "LineString", "MultiLineString", "Polygon", "MultiPolygon"]
    coordinates: list[Any]


class Put(Shape):
    """A feature as it stands."""

    id: str
    geometry: Geometry | None
    properties: dict[str, Any]
    observed_at: Milliseconds
    expires_at: Milliseconds | None


class Part(Shape):
    """What changed in one layer. Apply reset, gone, put, move, packed, in this order."""

    epoch: str
    from_: int = Field(
        alias="from", ge=0, description="The revision that this builds on; yours, or you have a gap."
    )
    to: int = Field(
        ge=0, description="The revision that you hold then; 0 while the layer is not whole, or summed."
    )
    reset: bool = Field(
        False, description="Drop what you have of the layer, features and cells: this is the start."
    )
    put: list[Put] = Field(default_factory=list)
    move: list[Move] = Field(default_factory=list)
    gone: list[Gone] = Field(default_factory=list)
    cells: list[Cell] | None = Field(
        None, description="The layer is summed; later parts carry changed cells only."
    )
    packed: int | None = Field(
        None, ge=1, description="How many packed moves follow the JSON in a binary message."
    )


class Frame(Shape):
    """All that changed since the last frame, the newest state of each feature."""

    type: Literal["frame"]
    time: Milliseconds
    view: Number | None = Field(
        None, description="From this frame on you hold all of the view of this number."
    )
    anchor: Number | None = Field(
        None,
        description="The number of the view whose surroundings the server goes on with; `view` itself if absent.",
    )
    layers: dict[LayerId, Part]


class Stale(Shape):
    """A layer's feed has been silent for longer than its `stale_after_s`; since null: it is heard again.

    Only said of layers of the kinds units and incidents: the others are not reported all the time.
    """

    type: Literal["stale"]
    layer: LayerId
    since: Milliseconds | None


class Missing(Shape):
    """The service itself cannot read what is published: the picture may be incomplete. since null: whole again."""

    type: Literal["missing"]
    since: Milliseconds | None


class Drain(Shape):
    """This process is about to stop: leave now, and come back after `retry_ms`, with your cursors."""

    type: Literal["drain"]
    retry_ms: int = Field(ge=0)


class Revoked(Shape):
    """You may no longer see this layer: drop it whole."""

    type: Literal["revoked"]
    layer: LayerId


class Error(Shape):
    """A message of yours that was not understood, or asked for what you cannot see. The socket goes on."""

    type: Literal["error"]
    code: str = Field(pattern=r"^live\.", description="Stable, for programs.")
    detail: str


class Pong(Shape):
    """The answer to a ping."""

    type: Literal["pong"]
    sent: float
    server_time: Milliseconds


FROM_CLIENT: dict[str, type[Shape]] = {
    "subscribe": Subscribe,
    "view": Look,
    "unsubscribe": Unsubscribe,
    "ping": Ping,
}
FROM_SERVER: dict[str, type[Shape]] = {
    "hello": Hello,
    "frame": Frame,
    "stale": Stale,
    "missing": Missing,
    "drain": Drain,
    "revoked": Revoked,
    "error": Error,
    "pong": Pong,
}
