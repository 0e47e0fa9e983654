"""A layer as vector tiles, for maps that cannot hold all its features; an unchanged tile is answered without any."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from cop.api.requests import check_query, names_etag
from cop.api.shapes import address, json_answer
from cop.auth import Accessed, Databased
from layers.model import Layer
from layers.query import LayerHead, read_head
from layers.sharing import grade
from tiles.grid import tile_of
from tiles.mvt import read_tile
from tiles.tileset import tilejson

router = APIRouter(tags=["tiles"])

MVT = "application/vnd.mapbox-vector-tile"
GRID = "WebMercatorQuad"


@router.get(f"/collections/{{layer}}/tiles/{GRID}")
async def get_tileset(layer: str, request: Request, access: Accessed) -> Response:
    """What describes the layer's tiles (TileJSON 3.0)."""
    check_query(request)
    seen = access.layer(layer)
    tiles = address(request, f"/collections/{layer}/tiles/{GRID}/{{z}}/{{y}}/{{x}}")
    return json_answer(tilejson(seen, access.directory.agencies[seen.agency], tiles))


@router.get(
    f"/collections/{{layer}}/tiles/{GRID}/{{z}}/{{y}}/{{x}}",
    responses={
        200: {"content": {MVT: {}}, "description": "The tile; its one layer is “features”."},
        204: {"description": "Nothing is there."},
        304: {"description": "Nothing has changed in the layer since the tile of that ETag."},
    },
    response_class=Response,
)
async def get_tile(
    layer: str, z: str, y: str, x: str, request: Request, access: Accessed, database: Databased
) -> Response:
    """One tile. `revision` is ignored: a client may put it in the address to tell versions apart."""
    check_query(request, "revision")
    seen = access.layer(layer)
    tile = tile_of(z, x, y)
    async with database.connect() as connection:
        # The head is read before the features: a tile may be newer than its ETag says, never older.
        head = await read_head(connection, seen.id)
        headers = _headers(access, seen, head)
        if names_etag(request.headers.get("if-none-match", ""), headers["ETag"]):
            return Response(status_code=304, headers=headers)
        encoded = await read_tile(connection, seen.id, tile)
    if not encoded:
        return Response(status_code=204, headers=headers)
    return Response(encoded, media_type=MVT, headers=headers)


def _headers(access: Accessed, layer: Layer, head: LayerHead) -> dict[str, str]:
    public = layer.sharing.public
    return {
        "ETag": f'"{head.epoch}-{head.revision}-{grade(access.viewer, layer).name.lower()}"',
        "Cache-Control": "public, no-cache" if public else "private, no-cache",
        "Vary": "Authorization, Cookie",
        "Cop-Status": layer.status,
    }
