"""What comes in besides features: bodies under a cap and a deadline, and query parameters, strictly."""

from __future__ import annotations

import asyncio
import hashlib
import math
import unicodedata
from collections.abc import AsyncIterator, Iterable
from datetime import datetime
from typing import Annotated, Any, TypeVar

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from pydantic import AfterValidator, BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from cop.api.errors import UnsupportedBody
from layers import strictjson
from layers.directory import SLUG
from layers.errors import Invalid, InvalidFeature, InvalidJson, LayersError, TooLarge
from layers.model import BBox
from layers.times import parse_time

JSON_TYPES = frozenset({"application/json", "application/geo+json", "application/merge-patch+json"})
LINES = "application/x-ndjson"
SEQUENCE = "application/geo+json-seq"
MAX_FORM_BYTES = 64_000
"""A form (a new key, layer, ticket) is far smaller than a push."""
BATCH_BYTES = 1_000_000
"""Of a stream's lines, what is handed on together: as much as one transaction writes without holding others up."""
STREAM_TYPES = frozenset({LINES, "application/ndjson", "application/geo+json-lines", SEQUENCE})


def media_type(request: Request) -> str:
    """The body's media type, without parameters. Raises `UnsupportedBody` for a compressed body."""
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise UnsupportedBody(
            f"Content-Encoding “{encoding[:40]}” is not taken; send it plain.", code="body.encoding"
        )
    return request.headers.get("content-type", "").split(";")[0].strip().lower()


def unsupported(request: Request, taken: Iterable[str]) -> UnsupportedBody:
    """The refusal of a body that is of none of the types *taken*."""
    *others, last = sorted(taken)
    got = media_type(request)
    return UnsupportedBody(
        f"Expected a body of type {', '.join(others)} or {last}; got {f'“{got[:80]}”' if got else 'none'}."
    )


async def read_json(
    request: Request, *, most: int | None = None, besides: frozenset[str] = frozenset()
) -> tuple[object, bytes]:
    """The body as a JSON value, and the body itself. Raises for its type, size, pace and syntax.

    It may have *most* bytes, or as many as the settings allow a push. *besides* are types that this address takes
    in another way: the refusal of a type names them, too.
    """
    if media_type(request) not in JSON_TYPES:
        raise unsupported(request, JSON_TYPES | besides)
    settings = request.app.state.settings
    most = min(most or settings.max_body_bytes, settings.max_body_bytes)
    _refuse_length(request, most)
    body = bytearray()
    try:
        async with asyncio.timeout(settings.body_timeout_s):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise _too_large(most)
    except TimeoutError:
        raise _too_slow(settings.body_timeout_s) from None
    except ClientDisconnect:
        raise _cut_short() from None
    return await _loads(bytes(body)), bytes(body)


Form = TypeVar("Form", bound=BaseModel)


async def read_form(request: Request, form: type[Form]) -> Form:
    """The body as *form*; read only once the route has found that the viewer may ask at all."""
    body, _ = await read_json(request, most=MAX_FORM_BYTES)
    try:
        return form.model_validate(body)
    except ValidationError as error:
        located = [each | {"loc": ("body", *each["loc"])} for each in error.errors()]
        raise RequestValidationError(located) from None


def form_body(form: type[BaseModel]) -> dict[str, Any]:
    """What the OpenAPI document says of a body that `read_form` reads."""
    schema = form.model_json_schema()
    content = {"application/json": {"schema": _inlined(schema, schema.pop("$defs", {}))}}
    return {"requestBody": {"required": True, "content": content}}


def _inlined(schema: Any, named: dict[str, Any]) -> Any:
    # A `$ref` of a schema that stands alone leads nowhere in the whole document.
    if isinstance(schema, list):
        return [_inlined(each, named) for each in schema]
    if not isinstance(schema, dict):
        return schema
    schema = named.get(schema.get("$ref", "").rpartition("/")[2], {}) | schema
    return {name: _inlined(each, named) for name, each in schema.items() if name != "$ref"}


def _without_controls(text: str) -> str:
    if any(unicodedata.category(character) == "Cc" for character in text):
        raise ValueError("control characters are not taken")
    return text


Text = Annotated[str, AfterValidator(_without_controls)]
"""A line of text in a form."""


async def _loads(body: bytes, *, first_line: int = 1) -> object:
    # Half a megabyte takes some ten milliseconds: beyond that, not on the loop that streams.
    if len(body) < 500_000:
        return strictjson.loads(body, first_line=first_line)
    return await asyncio.to_thread(strictjson.loads, body, first_line=first_line)


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
        """Lines of NDJSON, or records of a sequence, before the one that is read: its place in the stream."""
        self._rows = 0
        """Lines of text before it, as an editor counts them."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the bytes read so far."""
        return self._hash.digest()

    async def batches(self, size: int) -> AsyncIterator[list[tuple[str, object]]]:
        """Up to *size* values at a time, each with the pointer `/<line>`, counted from 0; blank lines are skipped.

        A batch ends with the line that makes it `BATCH_BYTES` long, whatever its number.
        """
        batch: list[tuple[str, object]] = []
        weight = 0
        async for line in self._lines():
            text = line.rstrip()  # What stands before it counts as columns.
            if text:
                batch.append((f"/{self._line}", await self._parse(text)))
                weight += len(text)
            if text or self._separator == b"\n":
                self._line += 1
            self._rows += line.count(b"\n") + (self._separator == b"\n")
            if len(batch) >= size or weight >= BATCH_BYTES:
                yield batch
                batch, weight = [], 0
        if batch:
            yield batch

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body as it stands, in pieces of whole lines, a megabyte or more each but for the last."""
        rest = bytearray()
        async for chunk in self._chunks():
            rest += chunk
            if len(rest) >= BATCH_BYTES and (end := rest.rfind(self._separator)) >= 0:
                yield bytes(rest[:end])
                del rest[: end + 1]
            self._check(rest)
        if rest:
            yield bytes(rest)

    async def _parse(self, text: bytes) -> object:
        try:
            return await _loads(text, first_line=self._rows + 1)
        except InvalidJson as error:
            raise InvalidJson(error.detail, code=error.code, pointer=f"/{self._line}") from None

    async def _lines(self) -> AsyncIterator[bytes]:
        rest = bytearray()
        async for chunk in self._chunks():
            rest += chunk
            if self._separator in chunk:  # A long line is not searched anew for every piece of it.
                *whole, rest = rest.split(self._separator)
                for line in whole:
                    self._check(line)
                    yield bytes(line)
            self._check(rest)
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


def check_name(name: str) -> None:
    """Refuse a name in an address that is not one that may be given to a thing of one's own."""
    if not SLUG.fullmatch(name):
        detail = (
            f"“{name[:40]}” is no name: a letter, then up to 31 letters, digits and hyphens, all lower case."
        )
        raise Invalid(detail, code="path.name")


def names_etag(if_none_match: str, etag: str) -> bool:
    """Whether the header names *etag*; a proxy may have weakened it (RFC 9110, 13.1.2)."""
    named = {part.strip().removeprefix("W/") for part in if_none_match.split(",")}
    return etag.removeprefix("W/") in named or "*" in named


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
