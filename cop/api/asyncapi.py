"""`GET /asyncapi`: the live stream described for machines, as `/api` describes HTTP."""

from __future__ import annotations

from urllib.parse import urlsplit

import orjson
from fastapi import APIRouter, Request, Response

from cop.api.requests import check_query
from cop.api.shapes import address
from cop.asyncapi.document import MEDIA_TYPE, document

router = APIRouter(tags=["service"])


@router.get("/asyncapi")
def asyncapi(request: Request) -> Response:
    """The AsyncAPI document of the live stream: every message with its schema and examples."""
    check_query(request)
    here = urlsplit(address(request, ""))
    made = document(
        host=here.netloc,
        secure=here.scheme == "https",
        version=request.app.version,
        api_url=address(request, "/api"),
    )
    return Response(orjson.dumps(made), media_type=MEDIA_TYPE, headers={"Cache-Control": "no-cache"})
