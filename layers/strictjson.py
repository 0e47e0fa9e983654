"""Reads a body as JSON, strictly: what another reader could take differently is refused, with the spot.

The door (`layers.publish` and the HTTP API above it) hands it bytes; nothing else in the service parses a body.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NoReturn

import numpy as np

from layers.errors import InvalidJson

MAX_DEPTH = 32
"""Arrays and objects within one another; a GeoJSON MultiPolygon in a collection needs 8."""

_BRACKETS = b"[]{}"
_NOT_STRUCTURE = bytes(byte for byte in range(256) if byte not in b'"' + _BRACKETS)
_STEP = bytes({ord("["): 1, ord("{"): 1}.get(byte, 255) for byte in range(256))
_QUOTED = re.compile(rb'"[^"]*"?')
# A high surrogate that no low one follows, or a low one that follows no high one.
_LONE = re.compile(rb"\\u[dD][89abAB]..(?!\\u[dD][c-fC-F])|(?<!\\u[dD][89abAB]..)\\u[dD][c-fC-F]", re.DOTALL)
_MAX_DIGITS = 4_000
"""Below the interpreter's own bound on the digits of an integer (4,300)."""


def loads(body: bytes, *, first_line: int = 1) -> object:
    """The value that *body* holds: UTF-8 without a byte order mark, and JSON as RFC 8259 has it.

    Refused on top of bad syntax: `NaN` and `Infinity`, a member named twice, a lone surrogate, nesting beyond
    MAX_DEPTH. A number too large for a float becomes an infinity, so that the feature it belongs to can
    be refused alone. Raises InvalidJson, whose text names the line and column or the byte; *first_line* is the
    number of the line that *body* begins with, where it is part of a stream.
    """
    text = _decode(body)
    if not text or text.isspace():
        raise InvalidJson("The body is empty; expected a JSON value.", code="json.empty")
    _check_depth(body)
    if b"\\u" in body:
        _check_surrogates(body)
    try:
        return _parse(text)
    except json.JSONDecodeError as error:
        said = error.msg.removesuffix(" at")  # as some of the parser's texts end
        detail = f"{said} at line {first_line + error.lineno - 1}, column {error.colno}."
        raise InvalidJson(detail, code="json.syntax") from None
    except RecursionError:  # unbalanced brackets that the depth check could not pair
        raise _too_deep() from None


def _decode(body: bytes) -> str:
    if body.startswith(b"\xef\xbb\xbf"):
        raise InvalidJson("The body starts with a byte order mark; send plain UTF-8.", code="json.encoding")
    if b"\0" in body[:4]:
        raise InvalidJson("The body looks like UTF-16 or UTF-32; send UTF-8.", code="json.encoding")
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        detail = f"The body is not UTF-8: byte {error.start} is 0x{body[error.start]:02x}."
        raise InvalidJson(detail, code="json.encoding") from None


def _check_depth(body: bytes) -> None:
    """Refuse deep nesting before any parser recurses, at the price of a few passes in C.

    Only brackets outside strings count. Without escapes, a bracket stands in a string exactly if an odd number
    of quotes precedes it, so when pairs of adjacent quotes leave none over, no string holds a bracket.
    """
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    structure = body.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
    if b'"' in structure:
        structure = _QUOTED.sub(b"", body.translate(None, _NOT_STRUCTURE))
    if len(structure) <= MAX_DEPTH:
        return
    steps = np.frombuffer(structure.translate(_STEP), dtype=np.int8)
    if int(steps.cumsum(dtype=np.int64).max()) > MAX_DEPTH:
        raise _too_deep()


def _too_deep() -> InvalidJson:
    return InvalidJson(f"The body nests deeper than {MAX_DEPTH} levels.", code="json.depth")


def _check_surrogates(body: bytes) -> None:
    # Escaped backslashes are blanked in place, so what still looks like an escape is one and offsets hold.
    if found := _LONE.search(body.replace(b"\\\\", b"  ")):
        detail = f"A lone surrogate stands at byte {found.start()}; it is not a character."
        raise InvalidJson(detail, code="json.unicode")


def _parse(text: str) -> object:
    try:
        return _decoder.decode(text)
    except json.JSONDecodeError:
        raise
    except ValueError:  # an integer of more digits than int() takes
        return _patient_decoder.decode(text)


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        twice = Counter(name for name, _ in pairs).most_common(1)[0][0]
        detail = f"The member “{twice[:80]}” stands twice in one object."
        raise InvalidJson(detail, code="json.duplicate_key")
    return members


def _refuse_constant(literal: str) -> NoReturn:
    raise InvalidJson(f"{literal} is not a JSON number.", code="json.non_finite")


def _integer(digits: str) -> int | float:
    if len(digits) <= _MAX_DIGITS:
        return int(digits)
    return -math.inf if digits.startswith("-") else math.inf


_decoder = json.JSONDecoder(object_pairs_hook=_members, parse_constant=_refuse_constant)
_patient_decoder = json.JSONDecoder(
    object_pairs_hook=_members, parse_constant=_refuse_constant, parse_int=_integer
)
