"""Decides what of a parsed body may become a feature of a layer, and gives the exact spot of what may not.

`layers.publish` hands it bodies as `strictjson` read them and takes its Edits; nothing here knows the database.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from typing import Any

from layers.errors import InvalidFeature, InvalidGeometry, TooLarge
from layers.geometry import Placed, check_bbox, check_crs, contains, place
from layers.kinds import KINDS, check_properties, properties_text
from layers.model import BBox, Edit, FeatureId, Layer
from layers.times import parse_time

MAX_FEATURES = 1_000
"""Features in one collection; larger sets go as NDJSON, line by line."""
MAX_ID_LENGTH = 128
MAX_SKEW_S = 60
"""How far a publisher's clock may be ahead of ours."""

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]")
_SKEW = timedelta(seconds=MAX_SKEW_S)


def features_of(body: object) -> list[tuple[str, object]]:
    """The features of *body*, a Feature or a FeatureCollection, each with its JSON pointer; none is checked yet.

    Raises InvalidFeature (`feature.type`, `geo.crs`, `geo.bbox`) or TooLarge (`batch.too_many`).
    """
    if type(body) is not dict:
        raise _not_a("Feature or FeatureCollection", "")
    match body.get("type"):
        case "Feature":
            return [("", body)]
        case "FeatureCollection":
            features = body.get("features")
        case _:
            raise _not_a("Feature or FeatureCollection", "/type" if "type" in body else "")
    if type(features) is not list:
        detail = "A FeatureCollection has an array “features”."
        raise InvalidFeature(detail, pointer="/features" if "features" in body else "", code="feature.type")
    if len(features) > MAX_FEATURES:
        detail = f"{len(features)} features are more than the {MAX_FEATURES} of one collection; send NDJSON."
        raise TooLarge(detail, pointer="/features", code="batch.too_many")
    check_crs(body, "")
    check_bbox(body, None, "")
    return [(f"/features/{i}", feature) for i, feature in enumerate(features)]


def admit(feature: object, layer: Layer, now: datetime, pointer: str, *, id: str | None = None) -> Edit:
    """The Edit that writes *feature*, which stands at *pointer*, into *layer*.

    *id* is the one in the address, if there is one: it stands in for a missing id and refuses another.
    *now* (aware) bounds the times, and stands in for a missing `observed_at` where expiry is counted from it.
    Raises InvalidFeature, InvalidGeometry or TooLarge (`geo.vertices`), all about this one feature.
    """
    if type(feature) is not dict:
        raise _not_a("Feature", pointer)
    if feature.get("type") != "Feature":
        raise _not_a("Feature", f"{pointer}/type" if "type" in feature else pointer)
    kind = KINDS[layer.kind]
    own_id = _own_id(feature, pointer, id)
    placed = _placed(feature, layer, pointer)
    properties = feature.get("properties")
    at = f"{pointer}/properties"
    if properties is None:
        properties = {}
    elif type(properties) is not dict:
        raise InvalidFeature("Expected an object or null.", pointer=at, code="prop.type")
    observed_at, expires_at = _times(properties, layer, now, at)
    kept = check_properties(kind, properties, at)
    if placed is not None and (flags := _flags(placed, layer, pointer)):
        kept["quality"] = flags
    text = properties_text(kept, at)
    ewkb, cell = (None, None) if placed is None else (placed.ewkb, placed.cell)
    return Edit(own_id, ewkb, cell, text, observed_at, expires_at, None, pointer)


def feature_id(value: object, pointer: str) -> FeatureId:
    """*value*, the `id` at *pointer*, as the layer names its features: text in NFC, integers as their decimals."""
    if type(value) is int and abs(value) <= 2**53:
        return FeatureId(str(value))
    if type(value) is not str:
        detail = "A feature's id is a string, or an integer of at most 2^53."
        raise InvalidFeature(detail, pointer=pointer, code="feature.id")
    if not value.isascii():
        value = unicodedata.normalize("NFC", value)
    if not 1 <= len(value) <= MAX_ID_LENGTH:
        detail = f"A feature's id has 1 to {MAX_ID_LENGTH} characters, this one {len(value)}."
        raise InvalidFeature(detail, pointer=pointer, code="feature.id")
    if _CONTROLS.search(value):
        detail = "A feature's id has no control characters."
        raise InvalidFeature(detail, pointer=pointer, code="feature.id")
    return FeatureId(value)


def merge_patch(target: object, patch: object) -> object:
    """*target* with the JSON merge patch *patch* applied (RFC 7396); neither is changed."""
    if not isinstance(patch, dict):
        return patch
    merged: dict[str, Any] = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def _not_a(wanted: str, pointer: str) -> InvalidFeature:
    return InvalidFeature(f"Expected a GeoJSON {wanted}.", pointer=pointer, code="feature.type")


def _own_id(feature: dict[str, Any], pointer: str, addressed: str | None) -> FeatureId:
    value = feature.get("id")
    at = f"{pointer}/id"
    if value is None and addressed is not None:
        return feature_id(addressed, "")
    if value is None:
        detail = "A feature needs an id, so that it can be updated later."
        raise InvalidFeature(detail, pointer=at, code="feature.id")
    own = feature_id(value, at)
    if addressed is not None and own != feature_id(addressed, ""):
        detail = "The id in the feature is not the one in the address."
        raise InvalidFeature(detail, pointer=at, code="feature.id")
    return own


def _placed(feature: dict[str, Any], layer: Layer, pointer: str) -> Placed | None:
    kind = KINDS[layer.kind]
    geometry = feature.get("geometry")
    at = f"{pointer}/geometry"
    if "crs" in feature:
        check_crs(feature, pointer)
    if geometry is None:
        if kind.null_geometry:
            return None
        detail = f"Features of {kind.name} have a place; the geometry is missing or null."
        raise InvalidGeometry(detail, pointer=at if "geometry" in feature else pointer, code="geo.null")
    placed = place(geometry, pointer=at, allowed=kind.geometries, repair=layer.rules.repair)
    if "bbox" in feature:
        check_bbox(feature, placed.bounds, pointer)
    if layer.rules.area is not None and not contains(layer.rules.area, placed.bounds):
        raise InvalidGeometry(_outside(layer.rules.area), pointer=at, code="geo.outside_area")
    return placed


def _outside(area: BBox) -> str:
    west, south, east, north = area
    return (
        f"It lies outside the layer's area (longitude {west} to {east}, latitude {south} to {north}); "
        "are longitude and latitude swapped?"
    )


def _flags(placed: Placed, layer: Layer, pointer: str) -> list[str]:
    flags = ["repaired"] if placed.repaired else []
    if placed.bounds == (0.0, 0.0, 0.0, 0.0) and placed.type == "Point":
        if layer.rules.null_island == "refuse":
            detail = "0, 0 is where a position goes that was never set; this layer refuses it."
            raise InvalidGeometry(detail, pointer=f"{pointer}/geometry/coordinates", code="geo.null_island")
        flags.append("null_island")
    return flags


def _times(
    properties: dict[str, Any], layer: Layer, now: datetime, pointer: str
) -> tuple[datetime | None, datetime | None]:
    """observed_at and expires_at, as stated or as the layer's rules have it; null means not stated."""
    observed = properties.get("observed_at")
    observed_at = None if observed is None else parse_time(observed, f"{pointer}/observed_at")
    if observed_at is not None and observed_at > now + _SKEW:
        detail = f"The time is more than {MAX_SKEW_S} s ahead of ours, {now:%Y-%m-%dT%H:%M:%SZ}; is the clock right?"
        raise InvalidFeature(detail, pointer=f"{pointer}/observed_at", code="time.future")
    expires = properties.get("expires_at")
    if expires is None:
        after_s = layer.rules.expire_after_s
        return observed_at, None if after_s is None else (observed_at or now) + timedelta(seconds=after_s)
    expires_at = parse_time(expires, f"{pointer}/expires_at")
    if expires_at <= (observed_at or now):
        detail = "It expires before it was observed, or at once."
        raise InvalidFeature(detail, pointer=f"{pointer}/expires_at", code="time.order")
    return observed_at, expires_at
