"""Times as publishers and planners write them: RFC 3339 with a zone, and nothing that has to be guessed at. Pure."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from layers.errors import InvalidFeature

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
LATEST = datetime(2200, 1, 1, tzinfo=UTC)

_RFC3339 = re.compile(r"(\d{4,})-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?([Zz]|[+-]\d\d:\d\d)?", flags=re.ASCII)


def parse_time(value: object, pointer: str) -> datetime:
    """The moment, in UTC, of an RFC 3339 date and time with a zone; to the microsecond.

    Numbers are refused: whether they mean seconds or milliseconds would be a guess. Raises `InvalidFeature` (`time.*`).
    """
    if type(value) is not str or (found := _RFC3339.fullmatch(value)) is None:
        detail = "Expected a time as in RFC 3339 with a zone, such as 2026-01-31T12:00:00Z."
        raise InvalidFeature(detail, pointer=pointer, code="time.format")
    year, zone = found.groups()
    if zone is None:
        detail = "The time has no zone; end it with Z or an offset such as -06:00."
        raise InvalidFeature(detail, pointer=pointer, code="time.zone")
    try:
        moment = datetime.fromisoformat(value.upper()).astimezone(UTC) if len(year) == 4 else None
    except (ValueError, OverflowError):  # month 13, 24:00, a leap second, an offset of 99 hours
        moment = None
    if moment is None or not EARLIEST <= moment <= LATEST:
        detail = f"There is no such time, or it is not between {EARLIEST.year} and {LATEST.year}."
        raise InvalidFeature(detail, pointer=pointer, code="time.range")
    return moment
