"""Times along streets are those of the street graph; what the cells add is measured with the streets of Chicago."""

from __future__ import annotations

import json
import pickle
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from h3.api import numpy_int as h3
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import dijkstra

import web
from cop.demo.roads import Network, load_ground
from cop.demo.streets import street_features
from layers.errors import Invalid, LayersError, TooLarge
from layers.hexes import disk
from layers.model import FeatureId
from layers.planning import street_parts
from layers.planning.model import Row
from layers.planning.street_parts import Lines
from layers.planning.streets import DEFAULT_SPEED_KMH, Streets, read_lines

Position = tuple[float, float]
WEST, SOUTH = -87.65, 41.85
METRES = 111_194.93
"""Of a degree of latitude on H3's sphere."""
COS = np.cos(np.radians(SOUTH))


def at(east_m: float, north_m: float) -> Position:
    """So many metres from a corner in Chicago."""
    return WEST + east_m / METRES / COS, SOUTH + north_m / METRES


def lines(*streets: Sequence[Position], kmh: float | Sequence[float] = 36.0, oneway: Any = False) -> Lines:
    """Streets of 10 m/s unless said otherwise."""
    offsets = np.cumsum([0, *map(len, streets)])
    points = np.array([point for street in streets for point in street]).reshape(-1, 2)
    count = len(streets)
    return Lines(points, offsets, np.full(count, kmh, float), np.full(count, oneway, bool))


def seconds(streets: Streets, start: Position, goal: Position, minutes: float = 240.0) -> float:
    """From *start* to the cell of *goal*."""
    return float(streets.times([start], minutes)[0][place(streets, goal)])


def place(streets: Streets, goal: Position) -> int:
    cell = h3.latlng_to_cell(goal[1], goal[0], streets.field.area.resolution)
    return int(streets.field.places(np.array([cell], np.uint64))[0])


def row(geometry: dict[str, Any], **properties: Any) -> Row:
    now = datetime(2026, 11, 22, tzinfo=UTC)
    return Row(FeatureId("s"), json.dumps(properties), now, None, None, json.dumps(geometry))


def refusal(error: type[LayersError], make: Any) -> str:
    with pytest.raises(error) as refused:
        make()
    return refused.value.code


EAST = [at(0, 0), at(3_000, 0)]


# What is refused.


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        (lambda: lines(EAST, kmh=0), "streets.speed"),
        (lambda: lines(EAST, kmh=float("nan")), "streets.speed"),
        (lambda: lines([at(0, 0)]), "streets.line"),
        (lambda: lines([(0, 0), (181, 0)]), "streets.line"),
        (lambda: lines([(0, 0), (float("inf"), 0)]), "streets.line"),
        (lambda: Streets.build(lines(EAST), off_street_kmh=0), "streets.speed"),
        (lambda: Streets.build(lines(EAST), off_street_kmh=float("nan")), "streets.speed"),
        (lambda: Streets.build(lines(EAST)).reach([EAST[0]], -1), "streets.minutes"),
        (lambda: Streets.build(lines(EAST)).reach([EAST[0]], 241), "streets.minutes"),
        (lambda: Streets.build(lines(EAST)).quickest([EAST[0]], float("nan")), "streets.minutes"),
        (lambda: Streets.build(lines(EAST)).reach([(0, 91)], 5), "streets.place"),
        (lambda: Streets.build(lines(EAST)).times([(float("nan"), 0)], 5), "streets.place"),
    ],
)
def test_what_is_no_street_speed_time_or_place_is_refused(wrong: Any, code: str) -> None:
    assert refusal(Invalid, wrong) == code


def test_more_than_the_limits_is_refused_before_the_work() -> None:
    streets = Streets.build(lines(EAST))
    assert refusal(TooLarge, lambda: streets.reach([EAST[0]] * 5_001, 5)) == "streets.too_many_places"
    assert refusal(TooLarge, lambda: Streets.build(lines([(0, 0), (0, 10)]), 15)) == "streets.too_long"
    many = [(i / 1e5, 0.0) for i in range(2_000_001)]
    assert refusal(TooLarge, lambda: lines(many)) == "streets.too_many_vertices"


def test_a_graph_has_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(street_parts, "MAX_NODES", 100)
    assert refusal(TooLarge, lambda: Streets.build(lines(EAST))) == "streets.too_many_nodes"


def test_seconds_for_too_many_places_at_once_are_refused() -> None:
    streets = Streets.build(lines([at(0, 0), at(300_000, 0)]))
    places = [at(0, 0)] * (64_000_000 // 8 // streets.field.size + 1)
    assert refusal(TooLarge, lambda: streets.times(places, 5)) == "streets.too_many_places"


# Edges.


def test_without_streets_one_reaches_ones_own_cell() -> None:
    streets = Streets.build(lines())
    assert streets.reach([at(0, 0), (0, 90)], 60) == [disk(*at(0, 0), 0, 10), disk(0, 90, 0, 10)]
    assert streets.quickest([at(0, 0)]).shape == (0,)


def test_without_places_there_is_nothing() -> None:
    streets = Streets.build(lines(EAST))
    assert streets.reach([], 5) == []
    assert streets.times([], 5).shape == (0, streets.field.size)
    assert np.isinf(streets.quickest([], 5)).all()


def test_far_from_any_street_one_reaches_ones_own_cell() -> None:
    far = at(0, 50_000)
    assert Streets.build(lines(EAST)).reach([far], 30) == [disk(*far, 0, 10)]


def test_streets_go_on_across_the_antimeridian() -> None:
    streets = Streets.build(lines([(179.98, 0), (180.0, 0)], [(-180.0, 0), (-179.98, 0)]))
    assert seconds(streets, (179.98, 0), (-179.98, 0)) == pytest.approx(0.04 * METRES / 10, rel=1e-5)


@pytest.mark.parametrize("resolution", [7, 9, 11])
def test_at_every_resolution_it_takes_as_long(resolution: int) -> None:
    streets = Streets.build(lines([at(0, 0), at(20_000, 0)]), resolution)
    assert seconds(streets, at(0, 0), at(20_000, 0)) == pytest.approx(2_000, rel=1e-4)


# Streets.


@given(st.lists(st.floats(1, 4_999), max_size=30, unique=True))
@settings(max_examples=30, deadline=None)
def test_times_along_a_street_add_up_however_it_is_cut(cuts: list[float]) -> None:
    corners = [at(east_m, 0) for east_m in sorted([0, *cuts, 5_000])]
    whole, cut = Streets.build(lines(corners)), Streets.build(lines(*map(list, pairwise(corners))))
    assert seconds(whole, corners[0], corners[-1]) == pytest.approx(500, rel=1e-4)
    assert seconds(cut, corners[0], corners[-1]) <= 500.05
    assert (
        seconds(cut, corners[0], corners[-1]) >= 500 - 2 * 76 / 10
    )  # another cut in the last cell may be its stop


def test_a_one_way_street_is_driven_one_way() -> None:
    streets = Streets.build(lines(EAST, oneway=True))
    assert seconds(streets, at(1_000, 0), at(2_500, 0)) == pytest.approx(150, abs=8)
    assert seconds(streets, at(1_000, 0), at(200, 0)) > 550  # on foot


def test_the_quickest_of_several_streets_between_the_same_corners_counts() -> None:
    detour = [at(0, 0), at(1_500, 100), at(3_000, 0)]
    streets = Streets.build(lines(EAST, detour, EAST, kmh=[36, 72, 18]))
    length_m = 2 * np.hypot(1_500, 100)
    assert seconds(streets, *EAST) == pytest.approx(length_m / 20, rel=1e-4)


def test_a_bridge_does_not_join_the_street_below() -> None:
    bridge = [at(1_500, -1_500), at(1_500, 1_500)]
    apart, joined = Streets.build(lines(EAST, bridge)), Streets.build(
        lines([EAST[0], at(1_500, 0), EAST[1]], [bridge[0], at(1_500, 0), bridge[1]])
    )  # fmt: skip
    assert np.isinf(seconds(apart, at(200, 0), at(1_500, 1_200)))
    assert seconds(joined, at(200, 0), at(1_500, 1_200)) == pytest.approx(250, abs=10)


def test_a_river_is_crossed_by_its_bridge() -> None:
    """Two banks 500 m apart and one bridge 4 km to the east: a disk would reach straight across."""
    north, south = [at(0, 500), at(4_000, 500)], [at(0, 0), at(4_000, 0)]
    streets = Streets.build(lines(north, south, [south[1], north[1]]))
    across = seconds(streets, south[0], north[0])
    assert across == pytest.approx(850, rel=1e-3)
    (reached,) = streets.reach([south[0]], 10)
    assert int(h3.latlng_to_cell(*south[1][::-1], 10)) in reached
    assert int(h3.latlng_to_cell(*north[0][::-1], 10)) not in reached


def test_parts_of_a_feature_are_streets_of_its_speed() -> None:
    both = {"type": "MultiLineString", "coordinates": [EAST, [EAST[1], at(3_000, 3_000)]]}
    found = read_lines(
        [row(both, speed_kmh=50, oneway=True), row({"type": "LineString", "coordinates": EAST})]
    )
    assert found.offsets.tolist() == [0, 2, 4, 6]
    assert found.speed_kmh.tolist() == [50, 50, DEFAULT_SPEED_KMH]
    assert found.oneway.tolist() == [True, True, False]


def test_no_features_are_no_streets() -> None:
    assert len(read_lines([]).lng_lat) == 0
    assert Streets.build(read_lines([])).field.size == 0


# Off the streets.


def test_one_walks_straight_to_the_street() -> None:
    """100 m at 5 km/h."""
    streets = Streets.build(lines(EAST))
    driven = seconds(streets, at(1_000, 0), EAST[1])
    assert seconds(streets, at(1_000, 100), EAST[1]) == pytest.approx(driven + 72, abs=0.5)


def test_ground_beside_a_street_is_walked_and_ground_beyond_is_not_reached() -> None:
    (reached,) = Streets.build(lines(EAST)).reach([at(1_500, 0)], 60)
    beside, beyond = (int(h3.latlng_to_cell(*at(1_500, north_m)[::-1], 10)) for north_m in (200, 600))
    assert beside in reached
    assert beyond not in reached
    (soon,) = Streets.build(lines(EAST)).reach([at(1_500, 0)], 1)
    assert beside not in soon


def test_nobody_walks_from_one_street_to_drive_on_by_another() -> None:
    streets = Streets.build(lines(EAST, [at(0, 150), at(3_000, 150)], kmh=[5, 100]))
    assert seconds(streets, at(100, 0), at(2_900, 0)) == pytest.approx(2_800 / 5 * 3.6, rel=0.05)


def test_who_stands_beside_a_drive_that_leads_nowhere_walks_to_the_streets() -> None:
    drive = [at(1_000, 60), at(1_040, 60)]
    streets = Streets.build(lines(EAST, drive))
    assert seconds(streets, at(1_010, 60), EAST[1]) == pytest.approx(60 / 5 * 3.6 + 199, abs=1)


def test_the_streets_of_two_islands_are_both_driven() -> None:
    island = [at(20_000, 0), at(22_000, 0)]
    streets = Streets.build(lines(EAST, island, island[::-1]))
    assert seconds(streets, island[0], island[1]) == pytest.approx(200, rel=1e-4)
    assert streets.pieces.main.all()


def test_a_graph_may_be_handed_to_another_process() -> None:
    streets = Streets.build(lines(EAST))
    (there,) = pickle.loads(pickle.dumps(streets)).reach([EAST[0]], 2)
    assert there == streets.reach([EAST[0]], 2)[0]


# What the questions have to do with each other.

NORTHWARD = [[at(east_m, 0), at(east_m, 500), at(east_m, 1_000)] for east_m in (0, 500, 1_000)]
EASTWARD = [[at(0, north_m), at(500, north_m), at(1_000, north_m)] for north_m in (0, 500, 1_000)]
PLACES = st.lists(st.tuples(st.floats(-100, 1_100), st.floats(-100, 1_100)), min_size=1, max_size=6)


@given(PLACES, st.floats(0, 5))
@settings(max_examples=40, deadline=None)
def test_reach_and_quickest_say_what_times_say(metres: list[tuple[float, float]], minutes: float) -> None:
    streets = Streets.build(lines(*NORTHWARD, *EASTWARD, kmh=[20, 30, 40, 50, 60, 70]))
    places = [at(*each) for each in metres]
    times = streets.times(places, minutes)
    assert (streets.quickest(places, minutes) == times.min(axis=0)).all()
    for reached, own, each in zip(streets.reach(places, minutes), places, times, strict=True):
        assert reached == streets.field.hexes(each <= minutes * 60) | disk(*own, 0, 10)


@given(st.lists(st.tuples(st.sampled_from([20.0, 50.0, 90.0]), st.integers(0, 3)), min_size=24, max_size=24))
@settings(max_examples=60, deadline=None)
def test_times_from_corner_to_corner_are_those_of_the_street_graph(edges: list[tuple[float, int]]) -> None:
    """A grid of blocks larger than a cell, with streets missing and one-way: brute force over its corners."""
    corners = [at(500 * (n % 4), 500 * (n // 4)) for n in range(16)]
    pairs = [(n, n + 1) for n in range(16) if n % 4 < 3] + [(n, n + 4) for n in range(12)]
    drawn = [(pair, kmh, way) for pair, (kmh, way) in zip(pairs, edges, strict=True) if way]
    costs = np.full((16, 16), np.inf)
    for (a, b), kmh, way in drawn:
        costs[a, b] = angle_m(corners[a], corners[b]) * 3.6 / kmh
        costs[b, a] = np.inf if way == 1 else costs[a, b]
    np.fill_diagonal(costs, 0)
    for via in range(16):
        costs = np.minimum(costs, costs[:, via, None] + costs[None, via])
    streets = Streets.build(
        lines(
            *[[corners[a], corners[b]] for (a, b), _, _ in drawn],
            kmh=[kmh for _, kmh, _ in drawn],
            oneway=[way == 1 for _, _, way in drawn],
        )
    )
    ends = np.unique(streets.pieces.ends[streets.pieces.main])
    main = [corners.index(min(corners, key=lambda each: abs(np.subtract(each, [lng, lat])).sum()))
            for lat, lng in streets.pieces.nodes_deg[ends]]  # fmt: skip
    if main:
        times = streets.times([corners[n] for n in main])
        found = times[:, [place(streets, corners[n]) for n in main]]
        assert found == pytest.approx(costs[np.ix_(main, main)], rel=1e-6, abs=1e-6)


def angle_m(a: Position, b: Position) -> float:
    return float(h3.great_circle_distance(a[::-1], b[::-1], "m"))


# The streets of Chicago.


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Network:
    return load_ground(web.ROOT / "basemap" / "chicago.pmtiles", tmp_path_factory.mktemp("ground")).roads


@pytest.fixture(scope="module")
def chicago(network: Network) -> Lines:
    return read_lines([row(each["geometry"], **each["properties"]) for each in street_features(network)])


def shortest(network: Network, starts: Sequence[int], limit_s: float) -> NDArray[np.float64]:
    """Seconds from each of *starts* to every node of the demo's own graph, with its own lengths: the oracle."""
    tail, head = np.array(network.ends).T
    costs = np.array(network.lengths_m) / np.array(network.limits_mps)
    order = np.argsort(-costs)  # of several edges between two nodes the quickest is written last
    graph = {(a, b): cost for a, b, cost in zip(tail[order], head[order], costs[order], strict=True)}
    rows, columns = np.array(list(graph)).T
    arcs = csr_array((list(graph.values()), (rows, columns)), shape=(len(network.nodes),) * 2)
    found: NDArray[np.float64] = dijkstra(arcs, directed=False, indices=starts, limit=limit_s)
    return found


def agreement(left: NDArray[np.bool_], right: NDArray[np.bool_]) -> float:
    """The share of those in either that are in both."""
    return float((left & right).sum() / (left | right).sum())


@pytest.fixture(scope="module")
def oracle(network: Network) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """A hundred junctions, and the seconds from each to all others."""
    starts = np.random.default_rng(1).choice(len(network.nodes), 100, replace=False)
    return starts, shortest(network, starts.tolist(), 700)


def test_from_junction_to_junction_it_takes_what_the_street_graph_says(
    network: Network, chicago: Lines, oracle: tuple[NDArray[np.int64], NDArray[np.float64]]
) -> None:
    """Within 0.2 %: that is how far the exercise's lengths, on a plane, are off those on the sphere."""
    streets = Streets.build(chicago)
    nodes = {node: number for number, node in enumerate(network.nodes)}
    number = np.array([nodes[round(lng, 7), round(lat, 7)] for lat, lng in streets.pieces.nodes_deg.tolist()])
    own = np.full(len(nodes), -1)
    own[number] = np.arange(len(number))
    starts = own[oracle[0]] >= 0  # where a street merely bends or ends at another's begin, it is not cut
    between = streets.arcs[streets.field.size :, streets.field.size :]
    found = dijkstra(between, indices=own[oracle[0][starts]], limit=600)
    wanted = oracle[1][starts][:, number]
    near = wanted <= 590
    assert near.sum() > 500_000
    assert np.allclose(found[near], wanted[near], rtol=2e-3, atol=0.01)


@pytest.mark.parametrize(
    ("resolution", "mean", "p95", "bias", "cells", "worst"),
    # measured: 2.0 % (5.7 s), 10.3 %, -0.8 %, 98.4 %, 91.4 % and 5.0 % (13.9 s), 16.4 %, -0.2 %, 96.3 %, 89.9 %
    [(10, 0.025, 0.125, 0.015, 0.975, 0.88), (9, 0.06, 0.19, 0.015, 0.95, 0.87)],
)
def test_what_the_cells_add_to_times_in_chicago_is_bounded(
    resolution: int,
    mean: float,
    p95: float,
    bias: float,
    cells: float,
    worst: float,
    network: Network,
    chicago: Lines,
    oracle: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> None:
    """Relative error of times over all junctions one to eight minutes away; and of the cells with junctions, those
    that are reached in eight minutes against those of which half the junctions are: the share in common.
    """
    streets = Streets.build(chicago, resolution)
    starts, wanted = oracle
    times = streets.times(network.places[starts], 12)
    home = np.array([place(streets, node) for node in network.nodes])
    within = (wanted >= 60) & (wanted <= 480)
    error = times[:, home][within] / wanted[within] - 1
    assert abs(error).mean() < mean
    assert np.quantile(abs(error), 0.95) < p95
    assert abs(error.mean()) < bias
    held = np.bincount(home, minlength=streets.field.size)
    reached = np.array([np.bincount(home, each <= 480, streets.field.size) for each in wanted])
    shares = [
        agreement((half * 2 >= held)[held > 0], (each <= 480)[held > 0])
        for half, each in zip(reached, times, strict=True)
    ]
    assert np.mean(shares) > cells
    assert min(shares) > worst


def test_reach_in_chicago_is_less_than_a_straight_line_at_the_speed_of_its_fastest_road(
    network: Network, chicago: Lines
) -> None:
    streets = Streets.build(chicago, 9)
    for lng, lat in network.nodes[::4_000]:
        (reached,) = streets.reach([(lng, lat)], 5)
        around = disk(lng, lat, 5 * 60 * 25 + 500, 9)
        assert not reached - around
        assert 0.03 < reached.area_km2 / around.area_km2 < 0.5
