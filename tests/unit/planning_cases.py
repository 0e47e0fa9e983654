"""Layers and features for the tests of planning, as they would be read."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from layers.model import FeatureId, LayerName
from layers.planning.model import Row, Source

AT = datetime(2026, 1, 31, 12, tzinfo=UTC)
"""The moment that is asked about, unless a test says otherwise."""


def row(
    id: str = "a",
    *,
    lng: float | None = None,
    lat: float | None = None,
    shape: str | None = None,
    stored: bytes | None = None,
    observed_at: datetime = AT,
    **properties: Any,
) -> Row:
    """A feature; a point if it has *lng* and *lat*."""
    return Row(FeatureId(id), json.dumps(properties), observed_at, lng, lat, shape, stored)


def source(kind: str, *rows: Row, layer: str = "cfd.x", held: int | None = None, **rules: Any) -> Source:
    """What a layer of an agency brings."""
    return Source(
        LayerName(layer),
        layer.partition(".")[0],
        kind,
        UUID(int=1),
        7,
        rows,
        held=len(rows) if held is None else held,
        **rules,
    )
