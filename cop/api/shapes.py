"""What goes out: features, collections, receipts and links, as the wire has them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import orjson
from fastapi import Request, Response

from cop.api.errors import rejection_body
from layers.directory import Directory
from layers.model import Feature, Layer, Receipt
from layers.query import LayerHead

GEOJSON = "application/geo+json"
JSON = "application/json"


def address(request: Request, path: str) -> str:
    """The absolute address of *path*: where browsers reach us by the settings, else as the request came.

    A request's Host is anybody's to choose, so a service that others can reach states COP_PUBLIC_URL.
    """
    public_url: str = request.app.state.settings.public_url
    return (public_url or str(request.base_url).rstrip("/")) + path


def link(request: Request, path: str, rel: str, *, type: str = JSON, title: str = "") -> dict[str, str]:
    """A link with an absolute address."""
    found = {"href": address(request, path), "rel": rel, "type": type}
    return found | ({"title": title} if title else {})


def rfc3339(moment: datetime) -> str:
    """*moment* in UTC with microseconds only where there are any."""
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def feature_json(feature: Feature, layer: Layer) -> bytes:
    """The feature as GeoJSON, marked with its layer and that layer's status: an exercise cannot pass for real.

    Geometry and properties are JSON text already, so they are joined, not parsed.
    """
    times: dict[str, Any] = {
        "observed_at": rfc3339(feature.observed_at),
        "received_at": rfc3339(feature.received_at),
        "expires_at": rfc3339(feature.expires_at) if feature.expires_at else None,
        "revision": feature.revision,
    }
    own = feature.properties[1:-1].strip()
    properties = b"%b%b%b}" % (orjson.dumps(times)[:-1], b"," if own else b"", own.encode())
    geometry = (feature.geometry or "null").encode()
    mark = orjson.dumps({"layer": layer.name, "status": layer.status})[1:]
    head = b'{"type":"Feature","id":%b,"geometry":%b,"properties":%b,%b'
    return head % (orjson.dumps(feature.id), geometry, properties, mark)


def collection_json(features: Iterable[bytes], members: dict[str, Any]) -> bytes:
    """A FeatureCollection of encoded *features* and further *members*."""
    tail = orjson.dumps(members)[1:]
    return b'{"type":"FeatureCollection","features":[%b],%b' % (b",".join(features), tail)


def geojson(body: bytes, **headers: str) -> Response:
    """An answer of GeoJSON; what a viewer may see is nobody else's to cache."""
    return Response(body, media_type=GEOJSON, headers={"Cache-Control": "private, no-cache"} | headers)


def json_answer(body: object, status: int = 200, **headers: str) -> Response:
    """An answer of JSON."""
    kept = {"Cache-Control": "private, no-cache"} | headers
    return Response(orjson.dumps(body), status, kept, JSON)


def receipt_body(receipt: Receipt) -> dict[str, Any]:
    """The receipt as the wire has it."""
    return {
        "layer": receipt.layer,
        "epoch": str(receipt.epoch),
        "first_revision": receipt.first_revision,
        "last_revision": receipt.last_revision,
        "accepted": receipt.accepted,
        "created": receipt.created,
        "unchanged": receipt.unchanged,
        "late": receipt.late,
        "gone": receipt.gone,
        "rejected": [rejection_body(rejection) for rejection in receipt.rejected],
    }


def collection_body(request: Request, layer: Layer, head: LayerHead, directory: Directory) -> dict[str, Any]:
    """A layer as OGC API Features describes a collection, with what is ours beside it."""
    path = f"/collections/{layer.name}"
    return {
        "id": layer.name,
        "title": layer.title,
        "itemType": "feature",
        "crs": ["http://www.opengis.net/def/crs/OGC/1.3/CRS84"],
        "agency": directory.agencies[layer.agency].slug,
        "kind": layer.kind,
        "status": layer.status,
        "stream": layer.stream,
        "epoch": str(head.epoch),
        "revision": head.revision,
        "features": head.features,
        "heard_at": rfc3339(head.heard_at) if head.heard_at else None,
        "stale_after_s": layer.rules.stale_after_s,
        "expire_after_s": layer.rules.expire_after_s,
        "reach_m": layer.rules.reach_m,
        "resolution": layer.rules.resolution,
        "repair": layer.rules.repair,
        "area": layer.rules.area,
        "links": [
            link(request, path, "self"),
            link(request, f"{path}/items", "items", type=GEOJSON),
            link(
                request,
                f"{path}/tiles/WebMercatorQuad",
                "http://www.opengis.net/def/rel/ogc/1.0/tilesets-vector",
            ),
        ],
    }
