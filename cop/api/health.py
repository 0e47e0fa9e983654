"""Whether the process answers (`/livez`), and whether it can do its work (`/readyz`)."""

from __future__ import annotations

import logging

from fastapi import APIRouter, Request, Response

from cop.api.shapes import json_answer
from layers.database import newest_schema, read_schema

logger = logging.getLogger("cop.health")
router = APIRouter(tags=["service"])


@router.get("/livez")
async def livez() -> Response:
    """The process answers."""
    return json_answer({"status": "ok"})


@router.get("/readyz", responses={503: {"description": "Not ready; the body says which part."}})
async def readyz(request: Request) -> Response:
    """The database can be reached, its schema is this code's, the log is being followed, and this goes on."""
    state = request.app.state
    parts = {
        "database": False,
        "schema": False,
        "log": state.pump.connected,
        "doorbell": state.pump.bell_connected,
    }
    try:
        async with state.database.connect() as connection:
            parts["schema"] = await read_schema(connection) == newest_schema()
            parts["database"] = True
    except Exception as error:  # noqa: BLE001 - whatever it is, the answer is "not ready"
        logger.warning("not ready: %s: %s", type(error).__name__, error)
    draining = state.drain.draining
    ready = all(parts.values()) and not draining
    status = "draining" if draining else "ready" if ready else "not ready"
    answer = {"status": status, "parts": parts | {"draining": draining}}
    return json_answer(answer, 200 if ready else 503)
