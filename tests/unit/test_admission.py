"""What may become a feature is taken as it was meant, and what may not is refused with the exact spot."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from layers.admission import admit, feature_id, features_of, merge_patch
from layers.errors import InvalidFeature, LayersError, TooLarge
from layers.model import AgencyId, Edit, Layer, LayerId, LayerName, LayerRules, Status
from layers.times import parse_time

NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def layer(kind: str = "units", **rules: Any) -> Layer:
    name = LayerName(f"cfd.{kind}")
    return Layer(LayerId(1), name, AgencyId(1), kind, Status.TEST, rules=LayerRules(**rules))


def feature(**members: Any) -> dict[str, Any]:
    point = {"type": "Point", "coordinates": [-87.6, 41.9]}
    return {"type": "Feature", "id": "e1", "geometry": point, "properties": {}} | members


def admitted(sent: object, into: Layer | None = None, **options: Any) -> Edit:
    return admit(sent, into or layer(), NOW, "/features/3", **options)


def outcome(check: Callable[[], Any]) -> Any:
    """What *check* returns, or the refusal it raises; any other error fails the test."""
    try:
        return check()
    except LayersError as refusal:
        return refusal


def refused(sent: object, into: Layer | None = None, **options: Any) -> tuple[str, str]:
    with pytest.raises(InvalidFeature) as refusal:
        admitted(sent, into, **options)
    assert refusal.value.pointer.startswith("/features/3")
    return refusal.value.code, refusal.value.pointer.removeprefix("/features/3")


@pytest.mark.parametrize(
    ("sent", "code", "pointer"),
    [
        (None, "feature.type", ""),
        ([], "feature.type", ""),
        ({}, "feature.type", ""),
        (feature(type="feature"), "feature.type", "/type"),
        (feature(id=None), "feature.id", "/id"),
        (feature(id=""), "feature.id", "/id"),
        (feature(id="x" * 129), "feature.id", "/id"),
        (feature(id="a\nb"), "feature.id", "/id"),
        (feature(id="\ud800"), "feature.id", "/id"),
        (feature(id=2**64), "feature.id", "/id"),
        (feature(id=1.5), "feature.id", "/id"),
        (feature(id=True), "feature.id", "/id"),
        (feature(geometry=None), "geo.null", "/geometry"),
        (feature(geometry={"type": "Point", "coordinates": [0, 91]}), "geo.range", "/geometry/coordinates/1"),
        (feature(geometry={"type": "Polygon", "coordinates": []}), "geo.kind", "/geometry/type"),
        (feature(bbox=[0, 0, 1, 1]), "geo.bbox", "/bbox"),
        (feature(bbox=["0", 0, 1, 1]), "geo.bbox", "/bbox"),
        (feature(crs={"type": "name"}), "geo.crs", "/crs"),
        (feature(properties=[]), "prop.type", "/properties"),
        (feature(properties={"status": "lost"}), "prop.value", "/properties/status"),
    ],
)
def test_refuses(sent: object, code: str, pointer: str) -> None:
    assert refused(sent) == (code, pointer)


@pytest.mark.parametrize("name", ["observed_at", "expires_at"])
@pytest.mark.parametrize(
    ("time", "code"),
    [
        (1_795_348_800, "time.format"),
        (1_795_348_800_000, "time.format"),
        ("1795348800", "time.format"),
        ("infinity", "time.format"),
        ("now", "time.format"),
        ("", "time.format"),
        (True, "time.format"),
        ({}, "time.format"),
        ("2026-11-22", "time.format"),
        ("20261122T120000Z", "time.format"),
        ("2026-11-22T12:00Z", "time.format"),
        ("2026-W47-7T12:00:00Z", "time.format"),
        ("2026-11-22T12:00:00,5Z", "time.format"),
        ("２０26-11-22T12:00:00Z", "time.format"),
        ("2026-11-22T12:00:00Z\n", "time.format"),
        ("2026-11-22T12:00:00", "time.zone"),
        ("2026-11-22T24:00:00Z", "time.range"),
        ("2026-06-30T23:59:60Z", "time.range"),
        ("2026-13-01T00:00:00Z", "time.range"),
        ("2026-02-30T00:00:00Z", "time.range"),
        ("2026-11-22T12:00:00+99:99", "time.range"),
        ("0001-01-01T00:00:00+01:00", "time.range"),
        ("0001-01-01T00:00:00Z", "time.range"),
        ("1969-12-31T23:59:59Z", "time.range"),
        ("9999-12-31T23:59:59-01:00", "time.range"),
        ("10000-01-01T00:00:00Z", "time.range"),
    ],
)
def test_refuses_times_that_are_none_or_ambiguous(name: str, time: object, code: str) -> None:
    assert refused(feature(properties={name: time})) == (code, f"/properties/{name}")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-11-22T12:00:00Z", NOW),
        ("2026-11-22t06:00:00.000-06:00", NOW),
        ("2026-11-22 12:00:00.1234567z", NOW + timedelta(microseconds=123456)),
        ("2026-11-22T12:00:00-00:00", NOW),
    ],
)
def test_reads_times_as_rfc_3339_has_them(text: str, expected: datetime) -> None:
    assert parse_time(text, "") == expected


def test_a_clock_may_be_a_minute_ahead_but_no_more() -> None:
    assert admitted(feature(properties={"observed_at": "2026-11-22T12:01:00Z"}))
    late = feature(properties={"observed_at": "2026-11-22T12:01:01Z"})
    assert refused(late) == ("time.future", "/properties/observed_at")


def test_what_expires_before_it_was_observed_is_refused() -> None:
    times = {"observed_at": "2026-11-22T11:00:00Z", "expires_at": "2026-11-22T11:00:00Z"}
    assert refused(feature(properties=times)) == ("time.order", "/properties/expires_at")
    assert refused(feature(properties={"expires_at": "2026-11-22T12:00:00Z"}))[0] == "time.order"


def test_expiry_counts_from_the_observation_or_else_from_now() -> None:
    ten_minutes = layer(expire_after_s=600)
    stated = admitted(feature(properties={"observed_at": "2026-11-22T11:00:00Z"}), ten_minutes)
    assert stated.expires_at == datetime(2026, 11, 22, 11, 10, tzinfo=UTC)
    silent = admitted(feature(), ten_minutes)
    assert (silent.observed_at, silent.expires_at) == (None, NOW + timedelta(minutes=10))
    assert admitted(feature()).expires_at is None


def test_a_point_outside_the_layers_area_is_refused() -> None:
    chicago = layer(area=(-88.5, 41.2, -87, 42.5))
    assert admitted(feature(), chicago)
    swapped = feature(geometry={"type": "Point", "coordinates": [41.9, -87.6]})
    assert refused(swapped, chicago) == ("geo.outside_area", "/geometry")


def test_null_island_is_flagged_or_refused() -> None:
    sent = feature(geometry={"type": "Point", "coordinates": [0, 0]}, properties={"quality": ["mine"]})
    assert json.loads(admitted(sent).properties) == {"quality": ["null_island"]}
    assert refused(sent, layer(null_island="refuse")) == ("geo.null_island", "/geometry/coordinates")


def test_a_mended_polygon_says_so() -> None:
    bow_tie = [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]
    sent = feature(geometry={"type": "Polygon", "coordinates": bow_tie})
    assert json.loads(admitted(sent, layer("zones", repair=True)).properties) == {"quality": ["repaired"]}
    assert refused(sent, layer("zones")) == ("geo.invalid", "/geometry/coordinates")


def test_a_vertex_too_many_is_too_large() -> None:
    sent = feature(geometry={"type": "LineString", "coordinates": [[0, 0]] * 10_001})
    with pytest.raises(TooLarge) as refusal:
        admitted(sent, layer("zones"))
    assert refusal.value.code == "geo.vertices"


def test_ids_are_text_and_integers_become_text() -> None:
    assert feature_id(-(2**53), "") == "-9007199254740992"
    assert feature_id("e\u0301/\u202e 1", "") == "\u00e9/\u202e 1"
    assert admitted(feature(id=7)).id == "7"


def test_the_id_in_the_address_stands_in_for_a_missing_one_and_refuses_another() -> None:
    sent = feature()
    assert admitted(sent, id="e1").id == "e1"
    assert refused(sent, id="e2") == ("feature.id", "/id")
    del sent["id"]
    assert admitted(sent, id="e2").id == "e2"
    assert refused(sent) == ("feature.id", "/id")


def test_what_was_read_can_be_pushed_back() -> None:
    served = {"received_at": "2026-11-22T11:59:59Z", "revision": 7, "observed_at": "2026-11-22T11:59:58Z"}
    edit = admitted(feature(properties={"callsign": "E1", **served, "expires_at": None}))
    assert edit.properties == '{"callsign":"E1"}'
    assert shapely.from_wkb(edit.geometry).wkt == "POINT (-87.6 41.9)"


def test_properties_may_be_null_or_missing() -> None:
    sent = feature(properties=None)
    assert admitted(sent).properties == "{}"
    del sent["properties"]
    assert admitted(sent).properties == "{}"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ("Feature", ""),
        ({}, ""),
        ({"type": "Point"}, "/type"),
        ({"type": ["Feature"]}, "/type"),
        ({"type": "FeatureCollection"}, ""),
        ({"type": "FeatureCollection", "features": {}}, "/features"),
    ],
)
def test_bodies_that_hold_no_features_are_refused(body: object, pointer: str) -> None:
    with pytest.raises(InvalidFeature) as refusal:
        features_of(body)
    assert (refusal.value.code, refusal.value.pointer) == ("feature.type", pointer)


def test_a_collection_holds_at_most_a_thousand() -> None:
    body = {"type": "FeatureCollection", "features": [{}] * 1_000}
    assert features_of(body)[999] == ("/features/999", {})
    body["features"] = [{}] * 1_001
    with pytest.raises(TooLarge) as refusal:
        features_of(body)
    assert refusal.value.code == "batch.too_many"


def test_a_collection_in_another_crs_is_refused_whole() -> None:
    crs = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
    with pytest.raises(InvalidFeature) as refusal:
        features_of({"type": "FeatureCollection", "crs": crs, "features": []})
    assert (refusal.value.code, refusal.value.pointer) == ("geo.crs", "/crs")


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_merges_as_rfc_7396_has_it(target: Any, patch: Any, result: Any) -> None:
    before = json.dumps([target, patch])
    assert merge_patch(target, patch) == result
    assert json.dumps([target, patch]) == before


NAMES = st.sampled_from(["type", "id", "geometry", "properties", "bbox", "crs", "coordinates", "observed_at"])
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["Point", "Polygon"]),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(max_size=3), inner, max_size=5)
    ),
    max_leaves=25,
)
MEMBERS = st.fixed_dictionaries(
    {}, optional=dict.fromkeys(("id", "geometry", "properties", "bbox", "crs"), JSON)
)


@given(JSON, MEMBERS, st.sampled_from(["units", "assets", "incidents", "zones", "coverage", "roads"]))
def test_any_json_is_admitted_or_refused_with_its_spot(
    value: object, members: dict[str, Any], kind: str
) -> None:
    for sent in (value, feature(**members)):
        result = outcome(lambda: admit(sent, layer(kind, repair=True), NOW, "/features/3"))  # noqa: B023
        if isinstance(result, LayersError):
            assert result.pointer.startswith("/features/3")
            assert result.code.partition(".")[0] in ("feature", "geo", "prop", "time")
        else:
            assert isinstance(json.loads(result.properties), dict)


@given(JSON)
def test_any_body_has_features_or_is_refused(value: object) -> None:
    for body in (value, {"type": "FeatureCollection", "features": value}):
        result = outcome(lambda: features_of(body))  # noqa: B023
        if isinstance(result, LayersError):
            assert result.code in ("feature.type", "geo.crs", "geo.bbox")


@given(st.text(min_size=1), st.floats(-180, 180), st.floats(-90, 90), st.dictionaries(st.text(), st.text()))
def test_valid_features_round_trip(name: str, lng: float, lat: float, properties: dict[str, str]) -> None:
    sent = feature(id="x", geometry={"type": "Point", "coordinates": [lng, lat]}, properties={"note": name})
    edit = outcome(lambda: admitted(sent))
    if isinstance(edit, LayersError):
        assert edit.code in ("prop.nul", "prop.unicode")
        return
    point = shapely.from_wkb(edit.geometry)
    again = feature(
        id=edit.id, geometry=json.loads(shapely.to_geojson(point)), properties=json.loads(edit.properties)
    )
    assert admitted(again) == edit
