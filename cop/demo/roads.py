"""The ways of the exercise: streets and open water as graphs, read from the basemap, and routes over them.

`units.py` asks for routes; the graphs are built once and kept as arrays in a file, for a quick second start.
"""

from __future__ import annotations

import gzip
import heapq
import tempfile
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from itertools import accumulate, pairwise
from math import atan2, cos, degrees, hypot, radians
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import numpy.typing as npt

Position = tuple[float, float]
"""lng, lat in degrees."""

ZOOM = 13
EXTENT = 4096
"""Steps across one tile: 0.9 m each at Chicago's latitude and zoom 13."""
LIMITS_MPS = {
    "motorway": 25.0,
    "motorway_link": 14.0,
    "trunk": 18.0,
    "primary": 13.5,
    "secondary": 12.5,
    "tertiary": 11.0,
    "link": 10.0,
    "street": 9.0,
    "street_limited": 6.0,
}
"""Classes of road that units drive on, and how fast traffic flows there."""
WATER_MPS = 10.0
LAKE_STEP = 350
"""Tile steps between the nodes laid over open water: about 300 m."""
FORMAT = 4
"""Part of the cached file's name: raise it when the way of building changes."""

_METRES_A_DEGREE = 111_195.0
_COS_LAT = cos(radians(41.87))
"""All ways lie within 0.1° of this latitude; the error in a length stays below 0.2 %."""


def distance_m(a: Position, b: Position) -> float:
    """Metres between two positions near Chicago, on a plane."""
    return hypot((b[0] - a[0]) * _COS_LAT, b[1] - a[1]) * _METRES_A_DEGREE


def heading_deg(a: Position, b: Position) -> float:
    """The course from *a* to *b*, clockwise from north, in [0, 360)."""
    return degrees(atan2((b[0] - a[0]) * _COS_LAT, b[1] - a[1])) % 360.0 % 360.0


@dataclass(frozen=True, slots=True, eq=False)
class Way:
    """A line to follow: its points, the metres from its start to each, and the speed limit of each segment.

    `nodes` has, point by point, the node of the network that lies there, or -1.
    """

    points: tuple[Position, ...]
    metres: tuple[float, ...]
    limits_mps: tuple[float, ...]
    nodes: tuple[int, ...]

    @property
    def length_m(self) -> float:
        """Metres from its first point to its last."""
        return self.metres[-1]

    def at(self, along_m: float) -> tuple[Position, float | None, float]:
        """Position, course (None if it has no length) and speed limit, *along_m* metres from the start."""
        if len(self.points) == 1:
            return self.points[0], None, 0.0
        i = min(bisect_right(self.metres, along_m), len(self.points) - 1)
        a, b = self.points[i - 1], self.points[i]
        whole = self.metres[i] - self.metres[i - 1]
        part = min(1.0, max(0.0, (along_m - self.metres[i - 1]) / whole)) if whole else 1.0
        here = (a[0] + (b[0] - a[0]) * part, a[1] + (b[1] - a[1]) * part)
        return here, heading_deg(a, b), self.limits_mps[i - 1]

    def ahead(self, along_m: float) -> tuple[Way, int]:
        """The rest of the path up to the next node of the network, and that node; -1 if none lies ahead."""
        here, _, _ = self.at(along_m)
        first = bisect_left(self.metres, along_m)
        for i in range(first, len(self.points)):
            if self.nodes[i] >= 0:
                start = (here, *self.points[first : i + 1])
                limits = self.limits_mps[max(0, first - 1) : i] or (1.0,)
                return way_of(start, limits, (-1,) * (len(start) - 1) + (self.nodes[i],)), self.nodes[i]
        return way_of((here,), (), (-1,)), -1

    def then(self, other: Way) -> Way:
        """This path and, from where it ends, *other*."""
        offset = self.length_m
        return Way(
            self.points + other.points[1:],
            self.metres + tuple(offset + metre for metre in other.metres[1:]),
            self.limits_mps + other.limits_mps,
            self.nodes + other.nodes[1:],
        )


def way_of(points: Sequence[Position], limits_mps: Sequence[float], nodes: Sequence[int]) -> Way:
    """A path through *points*, with its lengths measured; points that repeat the one before are dropped."""
    kept = [0] + [i for i in range(1, len(points)) if points[i] != points[i - 1]]
    if nodes[-1] >= 0 and kept[-1] != len(points) - 1:  # the node stays, whichever of the two points goes
        nodes = (*nodes[: kept[-1]], nodes[-1], *nodes[kept[-1] + 1 :])
    line = tuple(points[i] for i in kept)
    metres = tuple(accumulate((distance_m(a, b) for a, b in pairwise(line)), initial=0.0))
    return Way(line, metres, tuple(limits_mps[i - 1] for i in kept[1:]), tuple(nodes[i] for i in kept))


def straight(a: Position, b: Position, limit_mps: float) -> Way:
    """As the crow flies."""
    return way_of((a, b), (limit_mps,), (-1, -1))


@dataclass(frozen=True, slots=True, eq=False)
class Network:
    """An undirected graph whose edges are lines on the ground.

    Edge *e* joins `ends[e]` and is drawn by `points[offsets[e] : offsets[e + 1]]`, from the first to the
    second; `around[n]` lists the (edge, other node) pairs at node *n*.
    """

    nodes: list[Position]
    ends: list[tuple[int, int]]
    lengths_m: list[float]
    limits_mps: list[float]
    offsets: list[int]
    points: list[Position]
    around: list[list[tuple[int, int]]]
    places: npt.NDArray[np.float64]
    """The nodes as an array, for `nearest`."""

    def nearest(self, position: Position) -> int:
        """The node closest to *position*."""
        away = (self.places - position) * (_COS_LAT, 1.0)
        return int((away**2).sum(axis=1).argmin())

    def here(self, node: int) -> Way:
        """The path of one that stands at *node*."""
        return Way((self.nodes[node],), (0.0,), (), (node,))

    def route(self, start: int, goal: int) -> Way | None:
        """The quickest path between two nodes (A*), or None if the network does not join them."""
        target = self.nodes[goal]
        top = max(self.limits_mps)
        best = {start: 0.0}
        came: dict[int, tuple[int, int]] = {}
        queue = [(distance_m(self.nodes[start], target) / top, start)]
        done: set[int] = set()
        while queue:
            _, node = heapq.heappop(queue)
            if node == goal:
                return self._path(start, _unwound(came, goal))
            if node in done:
                continue
            done.add(node)
            for edge, other in self.around[node]:
                cost = best[node] + self.lengths_m[edge] / self.limits_mps[edge]
                if cost < best.get(other, float("inf")):
                    best[other] = cost
                    came[other] = (node, edge)
                    heapq.heappush(queue, (cost + distance_m(self.nodes[other], target) / top, other))
        return None

    def wander(self, start: int, length_m: float, rng: Random) -> Way:
        """A drive of about *length_m* that mostly goes straight on and turns back only in dead ends."""
        node, came_by, walked, edges = start, -1, 0.0, list[int]()
        while walked < length_m and (choices := self.around[node]):
            onward = [choice for choice in choices if choice[0] != came_by] or choices
            weights = [self._straightness(came_by, edge, node) for edge, _ in onward]
            ((came_by, node),) = rng.choices(onward, weights)
            edges.append(came_by)
            walked += self.lengths_m[came_by]
        return self._path(start, edges)

    def _straightness(self, came_by: int, edge: int, node: int) -> float:
        """How likely one goes on by *edge*: five times likelier straight on than round a corner."""
        if came_by < 0:
            return 1.0
        arrival, departure = self._line(came_by, node)[1], self._line(edge, node)[1]
        here = self.nodes[node]
        turn = abs((heading_deg(arrival, here) - heading_deg(here, departure) + 180.0) % 360.0 - 180.0)
        return 5.0 if turn < 30.0 else 1.0

    def _line(self, edge: int, start: int) -> list[Position]:
        line = self.points[self.offsets[edge] : self.offsets[edge + 1]]
        return line if self.ends[edge][0] == start else line[::-1]

    def _path(self, start: int, edges: Iterable[int]) -> Way:
        node = start
        points, limits, nodes = [self.nodes[start]], list[float](), [start]
        for edge in edges:
            line = self._line(edge, node)
            node = self.ends[edge][1] if self.ends[edge][0] == node else self.ends[edge][0]
            points += line[1:]
            limits += [self.limits_mps[edge]] * (len(line) - 1)
            nodes += [-1] * (len(line) - 2) + [node]
        return way_of(points, limits, nodes)


def _unwound(came: dict[int, tuple[int, int]], goal: int) -> list[int]:
    edges = []
    while goal in came:
        goal, edge = came[goal]
        edges.append(edge)
    return edges[::-1]


@dataclass(frozen=True, slots=True)
class Ground:
    """Where units can be: the streets, and the lake with the river."""

    roads: Network
    water: Network


def build_ground(basemap: Path, cache: Path) -> Path:
    """The file in the folder *cache* that holds the networks of *basemap*; built if it is not there (3 s)."""
    stamp = sha256(basemap.read_bytes()).hexdigest()[:16]
    path = cache / f"ground-{FORMAT}-{stamp}.npz"
    if not path.exists():
        arrays: dict[str, Any] = {}
        tiles = _decode(basemap)
        for name, lines in (("roads", _road_lines(tiles)), ("water", _water_lines(tiles))):
            arrays.update({f"{name}_{part}": array for part, array in _arrays(lines).items()})
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=cache, suffix=".npz", delete=False) as file:
            np.savez(file, **arrays)
        Path(file.name).replace(path)  # whole or not at all: several processes may build at once
    return path


def load_ground(basemap: Path, cache: Path) -> Ground:
    """The networks of *basemap*, by way of *cache*."""
    with np.load(build_ground(basemap, cache)) as arrays:
        return Ground(_network(arrays, "roads"), _network(arrays, "water"))


def _network(arrays: Any, name: str) -> Network:
    nodes, ends = arrays[f"{name}_nodes"], arrays[f"{name}_ends"].tolist()
    around: list[list[tuple[int, int]]] = [[] for _ in nodes]
    for edge, (a, b) in enumerate(ends):
        around[a].append((edge, b))
        if a != b:
            around[b].append((edge, a))
    return Network(
        nodes=list(map(tuple, nodes.tolist())),
        ends=list(map(tuple, ends)),
        lengths_m=arrays[f"{name}_lengths"].tolist(),
        limits_mps=arrays[f"{name}_limits"].tolist(),
        offsets=arrays[f"{name}_offsets"].tolist(),
        points=list(map(tuple, arrays[f"{name}_points"].tolist())),
        around=around,
        places=nodes,
    )


# Building: tiles → lines that meet only at their ends → nodes and edges.

_Lines = list[tuple[npt.NDArray[np.float64], float]]
"""Points in tile steps of the whole world at `ZOOM`, and the speed limit."""


def _decode(basemap: Path) -> list[tuple[str, str, Any]]:
    """(layer, class, shape) of the tiles at `ZOOM`, in tile steps of the whole world, each cut to its tile.

    Tiles repeat a border of their neighbours; cut at the edge and rounded to whole steps, what crosses an
    edge ends on both sides at the same point, and so stays connected.
    """
    import mapbox_vector_tile
    import shapely
    from pmtiles.reader import MmapSource, all_tiles

    found = []
    tile_box = shapely.box(0, 0, EXTENT, EXTENT)
    with basemap.open("rb") as file:
        for (zoom, x, y), packed in all_tiles(MmapSource(file)):  # type: ignore[no-untyped-call]  # pmtiles has no types
            if zoom != ZOOM:
                continue
            layers = mapbox_vector_tile.decode(
                gzip.decompress(packed), default_options={"y_coord_down": True}
            )
            for layer in ("road", "water", "waterway"):
                for feature in layers.get(layer, {}).get("features", ()):
                    shape = shapely.make_valid(shapely.geometry.shape(feature["geometry"]))
                    cut = shapely.set_precision(shapely.intersection(shape, tile_box), 1.0)
                    moved = shapely.transform(cut, partial(np.add, np.array((x * EXTENT, y * EXTENT))))
                    found.append((layer, str(feature["properties"].get("class", "")), moved))
    return found


def _road_lines(tiles: list[tuple[str, str, Any]]) -> _Lines:
    """Streets cut at every crossing. Motorways pass over and under: they join others only by their ramps."""
    import shapely

    by_class: dict[str, list[Any]] = defaultdict(list)
    for layer, kind, shape in tiles:
        if layer == "road" and kind in LIMITS_MPS:
            by_class[kind] += _linestrings(shape)
    on_the_level = [line for kind, lines in by_class.items() if kind != "motorway" for line in lines]
    highways = by_class["motorway"] + by_class["motorway_link"]
    pieces = _classed(_cut_at_crossings(on_the_level), by_class)
    # The ramps are among the streets already; here they only cut the motorways where they leave them.
    pieces += [each for each in _classed(_cut_at_crossings(highways), by_class) if each[1] == "motorway"]
    return [(shapely.get_coordinates(piece), LIMITS_MPS[kind]) for piece, kind in pieces]


def _classed(pieces: list[Any], by_class: dict[str, list[Any]]) -> list[tuple[Any, str]]:
    """Each piece with the class of the road that it was cut from: the one nearest its middle."""
    import shapely

    sources = [(line, kind) for kind, lines in by_class.items() for line in lines]
    tree = shapely.STRtree([line for line, _ in sources])
    middles = [shapely.line_interpolate_point(piece, 0.5, normalized=True) for piece in pieces]
    return [(piece, sources[i][1]) for piece, i in zip(pieces, tree.nearest(middles), strict=True)]


def _water_lines(tiles: list[tuple[str, str, Any]]) -> _Lines:
    """A grid over open water, eight ways from each node, and the river's own line."""
    import shapely

    water = shapely.union_all([shape for layer, _, shape in tiles if layer == "water"])
    lake = shapely.buffer(max(shapely.get_parts(water), key=shapely.area), -60)  # 50 m off the shore
    shapely.prepare(lake)
    west, south, east, north = lake.bounds
    grid = {
        (i, j): (west + i * LAKE_STEP, south + j * LAKE_STEP)
        for i in range(int((east - west) / LAKE_STEP) + 1)
        for j in range(int((north - south) / LAKE_STEP) + 1)
    }
    ways = [
        shapely.LineString([at, grid[i + di, j + dj]])
        for (i, j), at in grid.items()
        for di, dj in ((1, 0), (0, 1), (1, 1), (1, -1))
        if (i + di, j + dj) in grid
    ]
    open_water = [way for way in ways if shapely.contains(lake, way)]
    rivers = [
        line for layer, kind, shape in tiles if (layer, kind) == ("waterway", "river")
        for line in _linestrings(shape)
    ]  # fmt: skip
    lines = open_water + _cut_at_crossings(rivers)
    return [(shapely.get_coordinates(line), WATER_MPS) for line in lines]


def _linestrings(shape: Any) -> list[Any]:
    import shapely

    parts = shapely.get_parts(shapely.get_parts(shape))
    return [part for part in parts if part.geom_type == "LineString" and part.length > 0]


def _cut_at_crossings(lines: list[Any]) -> list[Any]:
    import shapely

    return _linestrings(shapely.line_merge(shapely.union_all(lines, grid_size=1.0)))


def _arrays(lines: _Lines) -> dict[str, npt.NDArray[Any]]:
    """The graph of *lines*, without the pieces that hang together with less than 2 km of others."""
    index: dict[tuple[float, ...], int] = {}
    ends = [
        tuple(index.setdefault(tuple(end), len(index)) for end in (line[0], line[-1])) for line, _ in lines
    ]
    shapes = [_degrees(line) for line, _ in lines]
    lengths = [sum(distance_m(a, b) for a, b in pairwise(map(tuple, shape))) for shape in shapes]
    kept = _without_stubs(_in_large_components(ends, lengths, len(index)), ends, lengths)
    used = sorted({end for edge in kept for end in ends[edge]})
    renumbered = {node: number for number, node in enumerate(used)}
    places = _degrees(np.array(list(index)))
    return {
        "nodes": places[used],
        "ends": np.array([[renumbered[end] for end in ends[edge]] for edge in kept]),
        "lengths": np.array([lengths[edge] for edge in kept]),
        "limits": np.array([lines[edge][1] for edge in kept]),
        "offsets": np.array([0, *accumulate(len(shapes[edge]) for edge in kept)]),
        "points": np.concatenate([shapes[edge] for edge in kept]),
    }


def _without_stubs(
    edges: list[int], ends: list[tuple[int, ...]], lengths_m: list[float], below_m: float = 12.0
) -> list[int]:
    """*edges* without dead ends of a few metres: lines that overshoot a crossing, where nobody would turn."""
    degrees_of = Counter(end for edge in edges for end in ends[edge])
    return [
        edge for edge in edges if lengths_m[edge] >= below_m or all(degrees_of[end] > 1 for end in ends[edge])
    ]


def _in_large_components(
    ends: list[tuple[int, ...]], lengths_m: list[float], nodes: int, at_least_m: float = 2_000.0
) -> list[int]:
    roots = list(range(nodes))

    def root(node: int) -> int:
        while roots[node] != node:
            roots[node] = node = roots[roots[node]]
        return node

    for a, b in ends:
        roots[root(a)] = root(b)
    total_m: dict[int, float] = defaultdict(float)
    for (a, _), length in zip(ends, lengths_m, strict=True):
        total_m[root(a)] += length
    return [edge for edge, (a, _) in enumerate(ends) if total_m[root(a)] >= at_least_m]


def _degrees(steps: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Tile steps of the whole world to longitude and latitude (inverse Web Mercator), to 1e-7°."""
    across = steps / (EXTENT * 2**ZOOM)
    lng = across[:, 0] * 360.0 - 180.0
    lat = np.degrees(np.arctan(np.sinh(np.pi * (1.0 - 2.0 * across[:, 1]))))
    return np.round(np.stack([lng, lat], axis=1), 7)
