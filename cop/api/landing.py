"""The front door: the page for a browser, the OGC landing page for everybody else, conformance, OpenAPI."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, HTMLResponse

import web
from cop.api.requests import check_query
from cop.api.shapes import json_answer, link
from cop.asyncapi.document import MEDIA_TYPE

router = APIRouter(tags=["service"])

CONFORMANCE = [
    "http://www.opengis.net/spec/ogcapi-common-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-common-2/1.0/conf/collections",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-features-1/1.0/conf/geojson",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/create-replace-delete",
    "http://www.opengis.net/spec/ogcapi-features-4/1.0/conf/update",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/core",
    "http://www.opengis.net/spec/ogcapi-tiles-1/1.0/conf/mvt",
]
PAGE_HEADERS = {
    "Cache-Control": "no-cache",
    "Content-Security-Policy": (
        "default-src 'self'; img-src 'self' data: blob:; style-src 'self' 'unsafe-inline'; "
        "worker-src 'self' blob:; connect-src 'self'; object-src 'none'; base-uri 'none'; "
        "frame-ancestors 'none'; form-action 'self'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


@router.get("/", responses={200: {"description": "The page, or the OGC landing page."}})
def landing(request: Request) -> Response:
    """The live map for a browser; for a program, where everything is."""
    check_query(request)
    if "text/html" in request.headers.get("accept", ""):
        return page()
    return json_answer(
        {
            "title": "Common operating picture",
            "description": "Layers of many agencies on one live map.",
            "links": [
                link(request, "/", "self"),
                link(request, "/api", "service-desc", type="application/vnd.oai.openapi+json;version=3.1"),
                link(request, "/asyncapi", "service-desc", type=MEDIA_TYPE, title="The live stream"),
                link(request, "/conformance", "conformance"),
                link(request, "/collections", "data"),
            ],
        }
    )


def page() -> Response:
    """The built page; where it was never built, a page that says so."""
    built = web.assets()
    if built is None:
        return HTMLResponse(web.missing_page(), 503, PAGE_HEADERS)
    return FileResponse(built / "index.html", headers=PAGE_HEADERS, media_type="text/html")


@router.get("/conformance")
def conformance(request: Request) -> Response:
    """The conformance classes of OGC API that this service keeps."""
    check_query(request)
    return json_answer({"conformsTo": CONFORMANCE})
