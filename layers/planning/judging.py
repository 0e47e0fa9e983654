"""Whether a feature counts as cover: the rule of a question against the feature's properties, age and shift.

The one place where a `where` is understood. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from layers.planning.model import Rule, Scalar, Source, Standing, Where

NAMES = ("callsign", "name", "title")
CAPABILITIES = ("capability", "capabilities", "unit_type", "asset_type")
"""Properties that say what a feature is good for: text, or a list of text."""


def standing_of(
    properties: Mapping[str, Any], observed_at: datetime, source: Source, rule: Rule, at: datetime
) -> Standing:
    """How a feature of *source* with these *properties* stands at the moment *at*."""
    if not _is_meant(properties, source.agency, rule):
        return Standing.EXCLUDED
    if not is_valid(properties, at):
        return Standing.OFF_SHIFT
    if not _has_one(properties.get("status"), rule.where.get("status", (properties.get("status"),))):
        if properties.get("status") == "out_of_service":
            return Standing.OUT_OF_SERVICE
        return Standing.BUSY if source.kind == "units" else Standing.OTHER_STATUS
    # Of a moment to come nobody has heard yet: a unit heard of just now is not stale because tomorrow is asked about.
    age = (at if source.as_of is None else min(at, source.as_of)) - observed_at
    stale = source.kind == "units" and age > timedelta(seconds=source.stale_after_s)
    return Standing.STALE if stale and not rule.stale_counts else Standing.COUNTS


def counts_during(
    properties: Mapping[str, Any], observed_at: datetime, source: Source, rule: Rule
) -> tuple[datetime | None, datetime | None] | None:
    """From when, which counts, until when, which does not, `standing_of` says that a feature as it is counts.

    None for an end that is open; None at all if it never counts.
    """
    status = rule.where.get("status")
    if not _is_meant(properties, source.agency, rule):
        return None
    if status is not None and not _has_one(properties.get("status"), status):
        return None
    begin, end = (moment(properties.get(name)) for name in ("valid_from", "valid_to"))
    # At the very moment it is not stale yet, and no moment lies between two microseconds.
    stale_at = observed_at + timedelta(seconds=source.stale_after_s, microseconds=1)
    grows_stale = source.kind == "units" and (source.as_of is None or stale_at <= source.as_of)
    if grows_stale and not rule.stale_counts:
        end = stale_at if end is None else min(end, stale_at)
    return begin, end


def meets(properties: Mapping[str, Any], where: Where) -> bool:
    """Whether each property named in *where* has one of its values."""
    return all(_has_one(properties.get(name), allowed) for name, allowed in where.items())


def capabilities_of(properties: Mapping[str, Any]) -> frozenset[str]:
    """What a feature says that it is good for."""
    stated = (properties.get(name) for name in CAPABILITIES)
    return frozenset(
        word
        for value in stated
        for word in (value if isinstance(value, list) else [value])
        if isinstance(word, str)
    )


def name_of(properties: Mapping[str, Any], id: str) -> str:
    """What people call a feature."""
    return next((properties[name] for name in NAMES if isinstance(properties.get(name), str)), id)


def is_valid(properties: Mapping[str, Any], at: datetime) -> bool:
    """Whether *at* lies within the feature's shift: from `valid_from`, which counts, to `valid_to`, which does not."""
    begin, end = (moment(properties.get(name)) for name in ("valid_from", "valid_to"))
    return (begin is None or begin <= at) and (end is None or at < end)


def moment(value: object) -> datetime | None:
    """A stored time, which the door has checked; None for what is none."""
    if not isinstance(value, str):
        return None
    try:
        found = datetime.fromisoformat(value.upper())  # “z” is a zone as well
    except ValueError:
        return None
    return found if found.tzinfo else None


def _is_meant(properties: Mapping[str, Any], agency: str, rule: Rule) -> bool:
    if rule.agencies is not None and agency not in rule.agencies:
        return False
    if rule.capabilities is not None and not rule.capabilities & capabilities_of(properties):
        return False
    return meets(properties, {name: allowed for name, allowed in rule.where.items() if name != "status"})


def _has_one(value: Any, allowed: Sequence[Scalar]) -> bool:
    if isinstance(value, list):
        return any(_is_one(item, allowed) for item in value)
    return _is_one(value, allowed)


def _is_one(value: Any, allowed: Sequence[Scalar]) -> bool:
    # In Python True == 1; in JSON it is not.
    return any(value == each and isinstance(value, bool) == isinstance(each, bool) for each in allowed)
