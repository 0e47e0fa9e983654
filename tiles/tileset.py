"""What a client has to know of a layer's tiles before it asks for one, as TileJSON 3.0."""

from __future__ import annotations

from typing import Any

from layers.kinds import KINDS
from layers.model import Agency, Layer
from tiles.grid import MAX_LAT
from tiles.mvt import NAME

MAX_ZOOM = 16
"""Beyond it a client magnifies: at this zoom a tile's unit is 15 cm."""


def tilejson(layer: Layer, agency: Agency, address: str) -> dict[str, Any]:
    """TileJSON of *layer*, whose tiles are at *address*, with `{z}`, `{y}` and `{x}` in it.

    `status` is ours: an exercise says so wherever it is shown.
    """
    west, south, east, north = layer.rules.area or (-180.0, -MAX_LAT, 180.0, MAX_LAT)
    fields = {"id": "String", "observed_at": "Number, milliseconds since 1970"}
    return {
        "tilejson": "3.0.0",
        "name": layer.title or layer.name,
        "attribution": agency.name,
        "scheme": "xyz",
        "tiles": [address],
        "minzoom": 0,
        "maxzoom": MAX_ZOOM,
        # TileJSON knows no box across the antimeridian: such an area is given all around.
        "bounds": [west, south, east, north] if west <= east else [-180.0, south, 180.0, north],
        "vector_layers": [
            {"id": NAME, "fields": fields | dict.fromkeys(KINDS[layer.kind].properties, "as pushed")}
        ],
        "status": layer.status,
    }
