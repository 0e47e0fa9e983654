"""What comes in besides features: bodies under a cap and a deadline, and query parameters, strictly."""

from __future__ import annotations

import asyncio
import hashlib
import math
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

from fastapi import Request
from starlette.requests import ClientDisconnect

from cop.api.errors import UnsupportedBody
from layers import strictjson
from layers.admission import parse_time
from layers.errors import Invalid, InvalidFeature, InvalidJson, LayersError, TooLarge
from layers.model import BBox

JSON_TYPES = frozenset({"application/json", "application/geo+json", "application/merge-patch+json"})
LINES = "application/x-ndjson"
SEQUENCE = "application/geo+json-seq"
STREAM_TYPES = frozenset({LINES, "application/ndjson", "application/geo+json-lines", SEQUENCE})


def media_type(request: Request) -> str:
    """The body's media type, without parameters. Raises `UnsupportedBody` for a compressed body."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody(
            f"Content-Encoding “{encoding[:40]}” is not taken; send it plain.", code="body.encoding"
        )
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


async def read_json(request: Request) -> tuple[object, bytes]:
    """The body as a JSON value, and the body itself. Raises for its type, size, pace and syntax."""
    if media_type(request) not in JSON_TYPES:
        raise UnsupportedBody("Expected a body of type application/geo+json or application/json.")
    settings = request.app.state.settings
    _refuse_length(request, settings.max_body_bytes)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > settings.max_body_bytes:
                    raise _too_large(settings.max_body_bytes)
    except TimeoutError:
        raise _too_slow(settings.body_timeout_s) from None
    except ClientDisconnect:
        raise _cut_short() from None
    return await _loads(bytes(body)), bytes(body)


async def _loads(body: bytes) -> object:
    # Half a megabyte takes some ten milliseconds: beyond that, not on the loop that streams.
    return strictjson.loads(body) if len(body) < 500_000 else await asyncio.to_thread(strictjson.loads, body)


def _refuse_length(request: Request, limit: int) -> None:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > limit:
        raise _too_large(limit)


def _too_large(limit: int) -> TooLarge:
    return TooLarge(
        f"The body is larger than {limit:,} bytes. Send several, or NDJSON.", code="body.too_large"
    )


def _too_slow(seconds: float) -> LayersError:
    return Invalid(f"Nothing more came for {seconds:g} s.", code="body.timeout")


def _cut_short() -> LayersError:
    return InvalidJson("The body ended before its time.", code="json.syntax")


class Lines:
    """The body as JSON values, a line each (NDJSON) or a record each (GeoJSON text sequence, RFC 8142).

    `digest` is the SHA-256 of what has been read so far.
    """

    def __init__(self, request: Request) -> None:
        self._request = request
        self._settings = request.app.state.settings
        self._hash = hashlib.sha256()
        self._separator = b"\x1e" if media_type(request) == SEQUENCE else b"\n"
        self._line = 0

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes read so far."""
        return self._hash.digest()

    async def batches(self, size: int) -> AsyncIterator[list[tuple[str, object]]]:
        """Up to *size* values at a time, each with the pointer `/<line>`, counted from 0; blank lines are skipped."""
        batch: list[tuple[str, object]] = []
        async for line in self._lines():
            text = line.strip()
            if text:
                batch.append((f"/{self._line}", self._parse(text)))
            if text or self._separator == b"\n":
                self._line += 1
            if len(batch) >= size:
                yield batch
                batch = []
        if batch:
            yield batch

    def _parse(self, text: bytes) -> object:
        try:
            return strictjson.loads(text)
        except InvalidJson as error:
            raise InvalidJson(error.detail, code=error.code, pointer=f"/{self._line}") from None

    async def _lines(self) -> AsyncIterator[bytes]:
        rest = bytearray()
        async for chunk in self._chunks():
            rest += chunk
            *whole, last = rest.split(self._separator)
            for line in whole:
                self._check(line)
                yield bytes(line)
            self._check(last)
            rest = last
        if rest:
            yield bytes(rest)

    def _check(self, line: bytearray) -> None:
        limit = self._settings.max_body_bytes
        if len(line) > limit:
            raise TooLarge(
                f"The line is longer than {limit:,} bytes.", pointer=f"/{self._line}", code="body.too_large"
            )

    async def _chunks(self) -> AsyncIterator[bytes]:
        taken = 0
        stream = aiter(self._request.stream())
        while True:
            try:
                async with asyncio.timeout(self._settings.body_timeout_s):
                    chunk = await anext(stream)
            except StopAsyncIteration:
                return
            except TimeoutError:
                raise _too_slow(self._settings.body_timeout_s) from None
            except ClientDisconnect:
                raise _cut_short() from None
            taken += len(chunk)
            if taken > self._settings.max_stream_bytes:
                raise _too_large(self._settings.max_stream_bytes)
            self._hash.update(chunk)
            yield chunk


def check_query(request: Request, *known: str) -> None:
    """Refuse a query parameter that this address does not know, or that comes twice."""
    names = [name for name, _ in request.query_params.multi_items()]
    for name in names:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise Invalid(f"There is no parameter “{name[:40]}” here; {takes}.", code="query.unknown")
        if names.count(name) > 1:
            raise Invalid(f"The parameter “{name}” comes twice.", code=f"query.{name}")


def parse_bbox(text: str | None) -> BBox | None:
    """`west,south,east,north` in degrees; west > east crosses the antimeridian; six numbers drop the heights."""
    if text is None:
        return None
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) == 6:
        numbers = [*numbers[:2], *numbers[3:5]]
    if len(numbers) != 4 or not all(map(math.isfinite, numbers)):
        raise Invalid("Expected bbox=west,south,east,north, four numbers in degrees.", code="query.bbox")
    west, south, east, north = numbers
    if not (-180 <= west <= 180 and -180 <= east <= 180 and -90 <= south <= north <= 90):
        raise Invalid(
            "bbox: longitudes lie between -180 and 180, latitudes between -90 and 90, south below north.",
            code="query.bbox",
        )
    return (west, south, east, north)


def parse_datetime(text: str | None) -> tuple[datetime | None, datetime | None]:
    """A moment or an interval `from/to` (RFC 3339; `..` or nothing for an open end)."""
    if text is None:
        return None, None
    first, slash, last = text.partition("/")
    try:
        ends = [None if part in ("", "..") else parse_time(part, "") for part in (first, last)]
    except InvalidFeature as error:
        raise Invalid(f"datetime: {error.detail}", code="query.datetime") from None
    if not slash:
        ends[1] = ends[0]
    start, end = ends
    if (start is None and end is None) or (start and end and start > end):
        raise Invalid(
            "datetime: expected a moment, or from/to with at least one end, in order.", code="query.datetime"
        )
    return start, end


def parse_limit(text: str | None, *, default: int = 100, most: int = 10_000) -> int:
    """A whole number from 1; more than *most* is taken as *most*, as OGC API Features has it."""
    if text is None:
        return default
    if not text.isascii() or not text.isdigit() or len(text) > 18 or int(text) < 1:
        raise Invalid("limit: expected a whole number from 1.", code="query.limit")
    return min(int(text), most)


def json_object(value: object) -> dict[str, Any]:
    """*value* if it is a JSON object."""
    if not isinstance(value, dict):
        raise Invalid("Expected a JSON object.", code="request.invalid")
    return value
