"""From an error to `application/problem+json` (RFC 9457): one status for each class, a stable code, a request id."""

from __future__ import annotations

import logging
import traceback
from http import HTTPStatus
from typing import Any

import asyncpg
import orjson
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from starlette.exceptions import HTTPException

from layers import errors
from layers.model import Rejection

logger = logging.getLogger("cop.api")

PROBLEM = "application/problem+json"
STATUS: dict[type[errors.LayersError], int] = {
    errors.InvalidJson: 400,
    errors.InvalidFeature: 422,
    errors.InvalidGeometry: 422,
    errors.Invalid: 422,
    errors.TooLarge: 413,
    errors.PushRejected: 422,
    errors.NotFound: 404,
    errors.Forbidden: 403,
    errors.Unauthenticated: 401,
    errors.Conflict: 409,
    errors.LogTruncated: 410,
    errors.Unavailable: 503,
}
STATUS_OF_CODE = {"body.timeout": 408, "body.type": 415, "body.encoding": 415, "layer.busy": 429}
TOO_LARGE_CODES = frozenset({"geo.vertices", "h3.too_many_cells"})
RETRY_AFTER_S = 1
DATABASE_ERRORS = (
    ConnectionError,
    TimeoutError,
    PoolTimeout,
    DBAPIError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # What it makes of a server that is killed in the middle of a COMMIT.
)


class UnsupportedBody(errors.LayersError):
    """A body in a form that this address does not take (codes `body.*`)."""

    code = "body.type"


def status_of(error: errors.LayersError) -> int:
    """The HTTP status that stands for *error*."""
    if error.code in STATUS_OF_CODE:
        return STATUS_OF_CODE[error.code]
    if error.code.startswith(("query.", "path.")):
        return 400
    if isinstance(error, errors.PushRejected) and {r.code for r in error.rejections} <= TOO_LARGE_CODES:
        return 413
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), 500)


def rejection_body(rejection: Rejection) -> dict[str, Any]:
    """A refusal as the wire has it."""
    return {
        "pointer": rejection.pointer,
        "id": rejection.id,
        "code": rejection.code,
        "detail": rejection.detail,
    }


def problem(
    request: Request,
    status: int,
    code: str,
    detail: str,
    *,
    headers: dict[str, str] | None = None,
    **members: Any,
) -> Response:
    """A problem document; *members* that are None or empty are left out."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": code,
        "detail": detail,
        "request_id": request.scope.get("request_id", ""),
    } | {name: value for name, value in members.items() if value}
    return Response(orjson.dumps(body), status, headers, PROBLEM)


async def on_layers_error(request: Request, error: Exception) -> Response:
    """Every error of the domain."""
    assert isinstance(error, errors.LayersError)
    status = status_of(error)
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="cop"'
    if status in (429, 503):
        headers["Retry-After"] = str(RETRY_AFTER_S)
    code, pointer, listed = error.code, error.pointer, []
    if isinstance(error, errors.PushRejected):
        listed = [rejection_body(rejection) for rejection in error.rejections]
        if len(codes := {rejection.code for rejection in error.rejections}) == 1:
            code = codes.pop()
        if len(listed) == 1:
            pointer = error.rejections[0].pointer
    return problem(request, status, code, error.detail, headers=headers, pointer=pointer, errors=listed)


async def on_http_error(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such address, no such method."""
    assert isinstance(error, HTTPException)
    code = {404: "address.not_found", 405: "method.not_allowed"}.get(error.status_code, "request.invalid")
    return problem(request, error.status_code, code, str(error.detail), headers=dict(error.headers or {}))


async def on_invalid_request(request: Request, error: Exception) -> Response:
    """A body or parameter that does not fit the address's schema."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    where, *path = first["loc"]
    in_body = where == "body"
    pointer = "".join(f"/{part}" for part in path) if in_body else ""
    name = "body" if in_body else f"{where} parameter “{path[0]}”" if path else str(where)
    detail = f"{name}{' ' + pointer if pointer else ''}: {first['msg']}."
    code = "request.invalid" if in_body else f"query.{path[0]}" if path else "query.invalid"
    return problem(request, 422 if in_body else 400, code, detail, pointer=pointer)


async def on_database_error(request: Request, error: Exception) -> Response:
    """The database is away, restarting or too busy: nothing was acknowledged, the same request may come again."""
    if isinstance(error, DBAPIError) and isinstance(error.orig, Exception):
        cause = error.orig.__cause__
        if isinstance(cause, asyncpg.DataError):
            return await on_data_error(request, cause)
    logger.warning("%s %s: database: %s", request.method, request.url.path, type(error).__name__)
    detail = "The database cannot be reached now. Try again."
    if request.method not in ("GET", "HEAD", "OPTIONS"):
        detail = (
            "The database cannot be reached now, and it is not known whether this was stored. Send it again "
            "(with an Idempotency-Key it cannot count twice)."
        )
    return problem(request, 503, "database.unavailable", detail, headers={"Retry-After": str(RETRY_AFTER_S)})


async def on_data_error(request: Request, error: Exception) -> Response:
    """The net below our own checks: a value that the database has no place for, such as text with a NUL."""
    logger.warning("%s %s: unforeseen value: %s", request.method, request.url.path, error)
    return problem(request, 400, "request.data", "A value in this request is one that cannot be stored.")


async def on_os_error(request: Request, error: Exception) -> Response:
    """A connection of asyncpg that could not be opened (some such errors are bare `OSError`s), or a fault of ours."""
    frames = traceback.walk_tb(error.__traceback__)
    if any(str(frame.f_globals.get("__name__")).startswith("asyncpg.") for frame, _ in frames):
        return await on_database_error(request, error)
    return await on_unknown_error(request, error)


async def on_unknown_error(request: Request, error: Exception) -> Response:
    """A fault of ours: the log has it under the request id, the answer has only that id."""
    logger.error("request %s failed", request.scope.get("request_id", ""), exc_info=error)
    return problem(request, 500, "internal", "Something went wrong here; the request id names it in the log.")


async def answer_to(request: Request, error: Exception) -> Response:
    """What *error* is answered with, for work that goes on after its request has been answered."""
    handlers = request.app.exception_handlers
    handler = next(handlers[kind] for kind in type(error).__mro__ if kind in handlers)
    found: Response = await handler(request, error)
    return found


def install(app: FastAPI) -> None:
    """Give every error of *app* its answer."""
    app.add_exception_handler(errors.LayersError, on_layers_error)
    app.add_exception_handler(HTTPException, on_http_error)
    app.add_exception_handler(RequestValidationError, on_invalid_request)
    for kind in DATABASE_ERRORS:
        app.add_exception_handler(kind, on_database_error)
    app.add_exception_handler(asyncpg.DataError, on_data_error)
    app.add_exception_handler(OSError, on_os_error)
    app.add_exception_handler(Exception, on_unknown_error)
