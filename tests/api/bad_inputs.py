"""Bad input as data, one case a row: the bytes, where they go, and what must be answered.

`row` is the number in the catalogue of bad inputs that the service promises to survive; `test_bad_inputs.py`
sends every case over HTTP.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

GEOJSON = {"Content-Type": "application/geo+json"}


@dataclass(frozen=True, slots=True)
class BadBody:
    """A body refused as a whole, whatever the handling."""

    row: int
    name: str
    body: bytes | Callable[[], bytes]
    code: str
    status: int = 400
    headers: dict[str, str] = field(default_factory=lambda: GEOJSON)
    limit_s: float = 0.25

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"

    def content(self) -> bytes:
        """The bytes to send; large ones are made when they are needed."""
        return self.body if isinstance(self.body, bytes) else self.body()


@dataclass(frozen=True, slots=True)
class BadFeature:
    """A feature refused alone; in lenient handling, the good one beside it is stored.

    `text` is the feature as JSON, with `@ID` where its id goes; `at` is the pointer within it.
    """

    row: int
    name: str
    text: str | Callable[[], str]
    code: str
    at: str
    layer: str = "cfd.units"
    status: int = 422
    limit_s: float = 0.25

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"

    def content(self) -> str:
        """The feature's JSON text."""
        return self.text if isinstance(self.text, str) else self.text()


@dataclass(frozen=True, slots=True)
class Odd:
    """A feature that looks bad and is taken: what is served afterwards must hold `geometry` and `properties`."""

    row: int
    name: str
    text: str
    layer: str = "cfd.units"
    geometry: Any = None
    properties: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return f"{self.row}-{self.name}"


def feature(geometry: object = None, properties: object = None, **members: Any) -> str:
    """A feature of that geometry (a Point in Chicago if none is given) as JSON text."""
    point = {"type": "Point", "coordinates": [-87.63, 41.88]}
    own = {"type": "Feature", "id": "@ID", "geometry": geometry or point, "properties": properties or {}}
    return json.dumps(own | members)


def point(coordinates: str) -> str:
    """A feature whose coordinates are that text, as it stands."""
    return feature({"type": "Point", "coordinates": "@"}).replace('"@"', coordinates)


def prop(text: str) -> str:
    """A feature whose properties are that text, as it stands."""
    return feature(properties={"@": 0}).replace('{"@": 0}', text)


def shape(kind: str, coordinates: object, **members: Any) -> str:
    """A feature of any other geometry."""
    return feature({"type": kind, "coordinates": coordinates} | members)


def box(west: float, south: float, east: float, north: float) -> list[list[float]]:
    """A counterclockwise ring."""
    return [[west, south], [east, south], [east, north], [west, north], [west, south]]


def spiky(count: int) -> list[list[float]]:
    """A ring of spikes that all lie beside one another, which a validity check is slow over."""
    teeth = [[[i * 4e-5, 0.0], [1 + i * 4e-5 + 2e-5, 1.0]] for i in range(count // 2)]
    points = [place for tooth in teeth for place in tooth]
    return [*points, [2.0, -0.5], [-1.0, -0.5], points[0]]


BOW_TIE = [[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]
SQUARE = box(-87.7, 41.8, -87.6, 41.9)
ACROSS = {"type": "MultiPolygon", "coordinates": [[box(170, 0, 180, 10)], [box(-180, 0, -170, 10)]]}
RLO = "\u202eE1\u200b"
MERCATOR = {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::3857"}}
CRS84 = {"type": "name", "properties": {"name": "urn:ogc:def:crs:OGC:1.3:CRS84"}}
COLLECTION = '{"type":"FeatureCollection","features":[%s]}'


def collection(text: str) -> bytes:
    """A FeatureCollection of that one feature."""
    return (COLLECTION % text).encode()


BAD_BODIES = [
    BadBody(1, "nan", collection(point("[NaN, 41.9]")), "json.non_finite"),
    BadBody(1, "infinity", collection(prop('{"x": Infinity}')), "json.non_finite"),
    BadBody(1, "minus infinity", collection(prop('{"x": -Infinity}')), "json.non_finite"),
    BadBody(5, "lone surrogate in a value", collection(prop(r'{"x": "\ud800"}')), "json.unicode"),
    BadBody(5, "lone surrogate in a key", collection(prop(r'{"\udfff": 1}')), "json.unicode"),
    BadBody(5, "surrogates in the wrong order", collection(prop(r'{"x": "\udc00\ud800"}')), "json.unicode"),
    BadBody(8, "100,000 arrays deep", b"[" * 100_000 + b"]" * 100_000, "json.depth"),
    BadBody(8, "100,000 arrays unclosed", b"[" * 100_000, "json.depth"),
    BadBody(8, "properties 900 deep", collection(prop('{"a":' * 900 + "1" + "}" * 900)), "json.depth"),
    BadBody(8, "33 deep behind brackets in text", b'["]]]]",' + b"[" * 33 + b"]" * 34, "json.depth"),
    BadBody(9, "id twice", b'{"type":"Feature","id":"a","id":"b"}', "json.duplicate_key"),
    BadBody(9, "a property twice", collection(prop(r'{"a": 1, "\u0061": 2}')), "json.duplicate_key"),
    BadBody(11, "byte order mark", b"\xef\xbb\xbf" + collection(feature()), "json.encoding"),
    BadBody(11, "utf-16", collection(feature()).decode().encode("utf-16"), "json.encoding"),
    BadBody(11, "utf-16 without a mark", collection(feature()).decode().encode("utf-16-le"), "json.encoding"),
    BadBody(11, "latin-1", collection('{"id": "\xe9"}').decode().encode("latin-1"), "json.encoding"),
    BadBody(11, "surrogates as bytes", b'{"id": "\xed\xa0\x80"}', "json.encoding"),
    BadBody(12, "truncated", collection(feature())[:-1], "json.syntax"),
    BadBody(12, "cut within text", collection(feature())[:60], "json.syntax"),
    BadBody(12, "trailing garbage", collection(feature()) + b"x", "json.syntax"),
    BadBody(12, "two values", collection(feature()) * 2, "json.syntax"),
    BadBody(12, "empty", b"", "json.empty"),
    BadBody(12, "white space", b" \r\n", "json.empty"),
    BadBody(13, "wrong type", collection(feature()), "body.type", 415, {"Content-Type": "text/plain"}),
    BadBody(13, "form", collection(feature()), "body.type", 415, {"Content-Type": "multipart/form-data"}),
    BadBody(13, "no type", collection(feature()), "body.type", 415, {}),
    BadBody(14, "more than the cap", lambda: b" " * 5_000_001, "body.too_large", 413, limit_s=1),
    BadBody(16, "brotli", b"\x1b", "body.encoding", 415, GEOJSON | {"Content-Encoding": "br"}),
    BadBody(16, "zstd", b"\x28", "body.encoding", 415, GEOJSON | {"Content-Encoding": "zstd"}),
    BadBody(20, "1,001 features", collection("{}," * 1_000 + "{}"), "batch.too_many", 413),
    BadBody(
        20, "a million features", lambda: collection("{}," * 999_999 + "{}"), "batch.too_many", 413, limit_s=1
    ),
    BadBody(25, "no GeoJSON", b"[]", "feature.type", 422),
    BadBody(25, "a geometry", b'{"type":"Point","coordinates":[0,0]}', "feature.type", 422),
    BadBody(25, "features is an object", b'{"type":"FeatureCollection","features":{}}', "feature.type", 422),
    BadBody(
        33,
        "crs of the collection",
        json.dumps({"type": "FeatureCollection", "crs": MERCATOR, "features": []}).encode(),
        "geo.crs",
        422,
    ),
    BadBody(
        48,
        "bbox of the collection",
        b'{"type":"FeatureCollection","bbox":[1],"features":[]}',
        "geo.bbox",
        422,
    ),
]
"""Rows 14 (300 MB) and 15 (a byte a second) need a socket of their own, see the test."""

AT = "/geometry/coordinates"
BAD_FEATURES = [
    BadFeature(2, "1e400", point("[1e400, 41.9]"), "geo.non_finite", f"{AT}/0"),
    BadFeature(2, "-1e400 as latitude", point("[-87.6, -1e400]"), "geo.non_finite", f"{AT}/1"),
    BadFeature(2, "1e400 as height", point("[-87.6, 41.9, 1e400]"), "geo.non_finite", f"{AT}/2"),
    BadFeature(
        2, "1e400 as property", prop('{"speed_mps": 1e400}'), "prop.non_finite", "/properties/speed_mps"
    ),
    BadFeature(3, "null latitude", point("[-87.6, null]"), "geo.number", f"{AT}/1"),
    BadFeature(3, "null longitude", point("[null, 41.9]"), "geo.number", f"{AT}/0"),
    BadFeature(3, "null coordinates", point("null"), "geo.position", AT),
    BadFeature(4, "text", point('["12.5", 41.9]'), "geo.number", f"{AT}/0"),
    BadFeature(4, "text inf", point('["inf", 41.9]'), "geo.number", f"{AT}/0"),
    BadFeature(4, "true", point("[true, 41.9]"), "geo.number", f"{AT}/0"),
    BadFeature(4, "nested", point("[[1]]"), "geo.number", f"{AT}/0"),
    BadFeature(4, "object", point("[{}, 1]"), "geo.number", f"{AT}/0"),
    BadFeature(6, "nul in a value", prop(r'{"callsign": "E\u0000"}'), "prop.nul", "/properties/callsign"),
    BadFeature(6, "nul deep inside", prop(r'{"a": [{"b": "\u0000"}]}'), "prop.nul", "/properties/a/0/b"),
    BadFeature(6, "nul in a key", prop(r'{"a\u0000": 1}'), "prop.nul", "/properties/a\N{SYMBOL FOR NULL}"),
    BadFeature(6, "nul in the id", feature(id="a\0"), "feature.id", "/id"),
    BadFeature(10, "5,000 digits as longitude", point(f"[{'9' * 5_000}, 0]"), "geo.non_finite", f"{AT}/0"),
    BadFeature(10, "4,000 digits as longitude", point(f"[{'9' * 4_000}, 0]"), "geo.range", f"{AT}/0"),
    BadFeature(10, "5,000 digits", prop(f'{{"x": {"9" * 5_000}}}'), "prop.non_finite", "/properties/x"),
    BadFeature(10, "4,000 digits", prop(f'{{"x": {"9" * 4_000}}}'), "prop.number", "/properties/x"),
    BadFeature(10, "2^64", prop(f'{{"x": {2**64}}}'), "prop.number", "/properties/x"),
    BadFeature(10, "2^64 as id", feature(id=2**64), "feature.id", "/id"),
    BadFeature(10, "5,000 digits as id", feature(id="@@").replace('"@@"', "9" * 5_000), "feature.id", "/id"),
    BadFeature(10, "id of 129 characters", feature(id="x" * 129), "feature.id", "/id"),
    BadFeature(10, "empty id", feature(id=""), "feature.id", "/id"),
    BadFeature(10, "no id", feature(id=None), "feature.id", "/id"),
    BadFeature(10, "fraction as id", feature(id=1.5), "feature.id", "/id"),
    BadFeature(10, "control character in the id", feature(id="a\x1b"), "feature.id", "/id"),
    BadFeature(
        21,
        "250,000 properties",
        lambda: prop(json.dumps({str(i): i for i in range(250_000)})),
        "prop.size",
        "/properties",
        limit_s=1,
    ),
    BadFeature(
        21, "1 MB of text", lambda: prop(json.dumps({"x": "x" * 1_000_000})), "prop.size", "/properties"
    ),
    BadFeature(
        21,
        "a key of 4 MB",
        lambda: prop(json.dumps({"x" * 4_000_000: 1})),
        "prop.size",
        "/properties",
        limit_s=1,
    ),
    BadFeature(25, "unknown type", shape("Circle", [0, 0]), "geo.type", "/geometry/type"),
    BadFeature(25, "type in lower case", shape("point", [0, 0]), "geo.type", "/geometry/type"),
    BadFeature(25, "no type", feature({"coordinates": [0, 0]}), "geo.type", "/geometry/type"),
    BadFeature(
        25, "a type of another kind", shape("LineString", [[0, 0], [1, 1]]), "geo.kind", "/geometry/type"
    ),
    BadFeature(25, "geometry is an array", feature([0, 0]), "geo.type", "/geometry"),
    BadFeature(25, "no coordinates", feature({"type": "Point"}), "geo.empty", "/geometry"),
    BadFeature(25, "feature in lower case", feature(type="feature"), "feature.type", "/type"),
    BadFeature(25, "feature is null", "null", "feature.type", ""),
    BadFeature(25, "properties are an array", feature(properties=[1]), "prop.type", "/properties"),
    BadFeature(26, "null geometry", feature(geometry="@").replace('"@"', "null"), "geo.null", "/geometry"),
    BadFeature(
        26,
        "null geometry of a zone",
        feature("@").replace('"@"', "null"),
        "geo.null",
        "/geometry",
        "cfd.zones",
    ),
    BadFeature(27, "no ordinates", point("[]"), "geo.position", AT),
    BadFeature(27, "one ordinate", point("[1]"), "geo.position", AT),
    BadFeature(27, "five ordinates", point("[1, 2, 3, 4, 5]"), "geo.position", AT),
    BadFeature(28, "a measure", point("[1, 2, 3, 4]"), "geo.position", AT),
    BadFeature(29, "latitude 91", point("[0, 91]"), "geo.range", f"{AT}/1"),
    BadFeature(29, "longitude 181", point("[181, 0]"), "geo.range", f"{AT}/0"),
    BadFeature(29, "latitude 500", point("[0, 500]"), "geo.range", f"{AT}/1"),
    BadFeature(30, "swapped", point("[41.88, -87.63]"), "geo.outside_area", "/geometry", "cfd.chicago"),
    BadFeature(31, "null island refused", point("[0, 0]"), "geo.null_island", AT, "cfd.nowhere"),
    BadFeature(32, "projected metres", point("[-9754830.0, 5142730.0]"), "geo.range", f"{AT}/0"),
    BadFeature(
        32,
        "a zone in metres",
        shape("Polygon", [box(-9754000, 5142000, -9753000, 5143000)]),
        "geo.range",
        f"{AT}/0/0/0",
        "cfd.zones",
    ),
    BadFeature(33, "crs of the feature", feature(crs=MERCATOR), "geo.crs", "/crs"),
    BadFeature(33, "crs of the geometry", shape("Point", [0, 1], crs=MERCATOR), "geo.crs", "/geometry/crs"),
    BadFeature(33, "crs null", shape("Point", [0, 1], crs=None), "geo.crs", "/geometry/crs"),
    BadFeature(
        34, "unclosed", shape("Polygon", [box(0, 0, 1, 1)[:-1]]), "geo.ring", f"{AT}/0/3", "cfd.zones"
    ),
    BadFeature(
        34,
        "three positions",
        shape("Polygon", [[[0, 0], [1, 1], [0, 0]]]),
        "geo.ring",
        f"{AT}/0",
        "cfd.zones",
    ),
    BadFeature(
        34,
        "no area",
        shape("Polygon", [[[0, 0], [1, 1], [2, 2], [0, 0]]]),
        "geo.zero_area",
        f"{AT}/0",
        "cfd.zones",
    ),
    BadFeature(34, "one place", shape("Polygon", [[[1, 1]] * 5]), "geo.zero_area", f"{AT}/0", "cfd.zones"),
    BadFeature(34, "no rings", shape("Polygon", []), "geo.empty", AT, "cfd.zones"),
    BadFeature(35, "bow-tie", shape("Polygon", [BOW_TIE]), "geo.invalid", AT, "cfd.zones"),
    BadFeature(
        36,
        "hole outside",
        shape("Polygon", [box(0, 0, 1, 1), box(5, 5, 6, 6)]),
        "geo.invalid",
        AT,
        "cfd.zones",
    ),
    BadFeature(
        36, "same ring twice", shape("Polygon", [box(0, 0, 1, 1)] * 2), "geo.invalid", AT, "cfd.zones"
    ),
    BadFeature(
        36,
        "spike",
        shape("Polygon", [[[0, 0], [1, 0], [1, 1], [1, 5], [1, 1], [0, 1], [0, 0]]]),
        "geo.invalid",
        AT,
        "cfd.zones",
    ),
    BadFeature(
        36,
        "parts overlap",
        shape("MultiPolygon", [[box(0, 0, 2, 2)], [box(1, 1, 3, 3)]]),
        "geo.invalid",
        AT,
        "cfd.zones",
    ),
    BadFeature(
        40,
        "around a pole",
        shape("Polygon", [[[-150, 80], [-30, 80], [90, 80], [-150, 80]]]),
        "geo.polar",
        f"{AT}/0",
        "cfd.zones",
    ),
    BadFeature(
        41, "whole world", shape("Polygon", [box(-180, -90, 180, 90)]), "geo.area", f"{AT}/0", "cfd.zones"
    ),
    BadFeature(41, "half the world", shape("Polygon", [box(-80, -60, 80, 60)]), "geo.area", AT, "cfd.zones"),
    BadFeature(
        42,
        "100,000 spikes",
        lambda: shape("Polygon", [spiky(100_000)]),
        "geo.vertices",
        AT,
        "cfd.zones",
        413,
        limit_s=1,
    ),
    BadFeature(
        43,
        "10,000 spikes",
        lambda: shape("Polygon", [spiky(9_990)]),
        "geo.timeout",
        AT,
        "cfd.zones",
        limit_s=1,
    ),
    BadFeature(
        44,
        "geometry collection",
        feature({"type": "GeometryCollection", "geometries": []}),
        "geo.kind",
        "/geometry/type",
        "cfd.zones",
    ),
    BadFeature(
        45,
        "60,000 parts",
        lambda: shape("MultiPolygon", [[box(0, 0, 1, 1)]] * 60_000),
        "geo.vertices",
        AT,
        "cfd.zones",
        413,
        limit_s=1,
    ),
    BadFeature(48, "bbox contradicts", feature(bbox=[0, 0, 1, 1]), "geo.bbox", "/bbox"),
    BadFeature(48, "bbox of three", feature(bbox=[0, 0, 1]), "geo.bbox", "/bbox"),
    BadFeature(48, "bbox of five", feature(bbox=[0, 0, 1, 1, 1]), "geo.bbox", "/bbox"),
    BadFeature(48, "bbox of text", feature(bbox=["0", 0, 1, 1]), "geo.bbox", "/bbox"),
    BadFeature(
        48, "bbox of the geometry", shape("Point", [5, 5], bbox=[0, 0, 1, 1]), "geo.bbox", "/geometry/bbox"
    ),
    *(
        BadFeature(53, f"{name} {time}", prop(json.dumps({name: time})), code, f"/properties/{name}")
        for name in ("observed_at", "expires_at")
        for time, code in [
            (1_795_348_800, "time.format"),
            (1_795_348_800_000, "time.format"),
            ("1795348800", "time.format"),
            ("infinity", "time.format"),
            ("2026-01-01", "time.format"),
            ("2026-01-01T12:00:00", "time.zone"),
            ("2026-01-01T24:00:00Z", "time.range"),
            ("2016-12-31T23:59:60Z", "time.range"),
            ("0001-01-01T00:00:00Z", "time.range"),
            ("10000-01-01T00:00:00Z", "time.range"),
            ("2026-02-30T00:00:00Z", "time.range"),
        ]
    ),
    BadFeature(
        53,
        "the future",
        prop('{"observed_at": "2150-01-01T00:00:00Z"}'),
        "time.future",
        "/properties/observed_at",
    ),
    BadFeature(
        53,
        "expires before it was observed",
        prop('{"observed_at": "2026-01-01T00:00:01Z", "expires_at": "2026-01-01T00:00:00Z"}'),
        "time.order",
        "/properties/expires_at",
    ),
    BadFeature(
        0, "status unknown to the kind", prop('{"status": "lost"}'), "prop.value", "/properties/status"
    ),
    BadFeature(0, "speed is text", prop('{"speed_mps": "fast"}'), "prop.type", "/properties/speed_mps"),
]

ODD_FEATURES = [
    Odd(
        7,
        "bidi kept, control characters gone",
        prop(json.dumps({"callsign": f"{RLO}\x07\n"})),
        properties={"callsign": RLO},
    ),
    Odd(7, "composed", prop(json.dumps({"callsign": "E\u0301"})), properties={"callsign": "\u00c9"}),
    *(
        Odd(22, name, prop(json.dumps({name: name})), properties={name: name})
        for name in ("__proto__", "constructor", "$where", "'; DROP TABLE feature; --", "{{7*7}}", "%s", "\\")
    ),
    *(
        Odd(23, text, prop(json.dumps({"callsign": text})), properties={"callsign": text})
        for text in (
            "<img src=x onerror=alert(1)>",
            "javascript:alert(1)",
            "</script><script>alert(1)</script>",
        )
    ),
    Odd(24, "formula", prop('{"callsign": "=cmd()|A1"}'), properties={"callsign": "=cmd()|A1"}),
    Odd(
        28,
        "height dropped",
        point("[-87.63, 41.88, 200]"),
        geometry={"type": "Point", "coordinates": [-87.63, 41.88]},
    ),
    Odd(31, "null island flagged", point("[0, 0]"), properties={"quality": ["null_island"]}),
    Odd(33, "crs84", feature(crs=CRS84)),
    Odd(
        35,
        "bow-tie mended",
        shape("Polygon", [BOW_TIE]),
        "cfd.mended",
        {
            "type": "MultiPolygon",
            "coordinates": [
                [[[0.5, 0.5], [1, 0], [1, 1], [0.5, 0.5]]],
                [[[0, 0], [0.5, 0.5], [0, 1], [0, 0]]],
            ],
        },
        {"quality": ["repaired"]},
    ),
    Odd(
        37,
        "rewound",
        shape("Polygon", [SQUARE[::-1]]),
        "cfd.zones",
        {"type": "Polygon", "coordinates": [SQUARE]},
    ),
    Odd(
        38,
        "170 to -170",
        shape("Polygon", [[[170, 0], [-170, 0], [-170, 10], [170, 10], [170, 0]]]),
        "cfd.zones",
        ACROSS,
    ),
    Odd(39, "170 to 190", shape("Polygon", [box(170, 0, 190, 10)]), "cfd.zones", ACROSS),
    Odd(38, "split", json.dumps(json.loads(feature()) | {"geometry": ACROSS}), "cfd.zones", ACROSS),
    Odd(
        46,
        "40 decimals",
        point(f"[-87.{'6' * 40}, 41.{'8' * 40}]"),
        geometry={"type": "Point", "coordinates": [-87.6666667, 41.8888889]},
    ),
    Odd(
        47,
        "the same place twice",
        shape("LineString", [[0, 0], [0, 0], [1, 1], [1, 1]]),
        "cfd.zones",
        {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
    ),
    Odd(
        47,
        "a line of no length",
        shape("LineString", [[1, 1], [1, 1]]),
        "cfd.zones",
        {"type": "LineString", "coordinates": [[1, 1], [1, 1]]},
    ),
    Odd(48, "bbox that fits", feature(bbox=[-87.63, 41.88, -87.63, 41.88])),
]
