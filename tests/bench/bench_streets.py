"""Reach along the streets of Chicago: the graph, a hundred stations, and how far off cells alone would be."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import dijkstra

import web
from cop.demo.roads import Network, load_ground
from cop.demo.streets import street_features
from layers.hexes import disks
from layers.model import FeatureId
from layers.planning.model import Row
from layers.planning.street_parts import Arcs, cells_at, firsts, graph_of
from layers.planning.streets import Streets, read_lines
from tests.bench import Bench, Figure, percentile, timed

MINUTES = 8.0


def chicago() -> tuple[Network, list[Row]]:
    """The exercise's streets, and as the features that its host publishes."""
    with tempfile.TemporaryDirectory(prefix="cop-bench-") as folder:
        network = load_ground(web.ROOT / "basemap" / "chicago.pmtiles", Path(folder)).roads
    now = datetime(2026, 11, 22, tzinfo=UTC)
    return network, [
        Row(
            FeatureId(each["id"]),
            json.dumps(each["properties"]),
            now,
            None,
            None,
            json.dumps(each["geometry"]),
        )
        for each in street_features(network)
    ]


def stations(network: Network, count: int = 100) -> NDArray[np.float64]:
    """Places a few metres off a street."""
    random = np.random.default_rng(20261122)
    chosen = network.places[random.choice(len(network.places), count, replace=False)]
    return chosen + random.uniform(-2e-4, 2e-4, chosen.shape)


def bench_build(bench: Bench) -> Iterator[Figure]:
    """From the rows of a layer to the graph: 4,480 km of streets."""
    _, rows = chicago()
    lines = read_lines(rows)
    yield Figure("streets_read_lines", min(timed(lambda: read_lines(rows), repeats=5)), "ms", "lower")
    for resolution, target in ((10, 1_000), (9, None)):
        taken = min(timed(lambda at=resolution: Streets.build(lines, at), repeats=7, warmups=1))  # type: ignore[misc]
        yield Figure(f"streets_build_resolution_{resolution}", taken, "ms", "lower", target)


def bench_reach(bench: Bench) -> Iterator[Figure]:
    """A hundred stations at eight minutes, apart and whichever is there first; beside as many straight disks."""
    network, rows = chicago()
    lines, places = read_lines(rows), stations(network)
    for resolution, target in ((10, 300), (9, None)):
        streets = Streets.build(lines, resolution)
        found = streets.reach(places, MINUTES)
        bench.say(
            f"{streets.arcs.shape[0]:,} nodes, {streets.arcs.nnz:,} arcs; {sum(each.count for each in found):,} cells "
            f"of resolution {resolution} reached from {len(places)} places"
        )
        taken = min(timed(lambda of=streets: of.reach(places, MINUTES), repeats=10, warmups=1))  # type: ignore[misc]
        yield Figure(f"streets_100_reaches_resolution_{resolution}", taken, "ms", "lower", target)
        taken = min(timed(lambda of=streets: of.quickest(places, MINUTES), repeats=10, warmups=1))  # type: ignore[misc]
        yield Figure(f"streets_quickest_of_100_resolution_{resolution}", taken, "ms", "lower")
    straight = min(timed(lambda: disks(places, np.full(len(places), MINUTES * 667), 9), repeats=10))
    yield Figure("streets_100_straight_disks_resolution_9", straight, "ms", "lower")


def bench_error(bench: Bench) -> Iterator[Figure]:
    """Seconds to all junctions one to eight minutes away against the shortest paths of the street graph; and those
    over a graph whose only nodes are cells, where whatever runs through one cell is joined.
    """
    _, rows = chicago()
    streets = Streets.build(read_lines(rows))
    size, pieces = streets.field.size, streets.pieces
    starts = np.random.default_rng(1).choice(len(pieces.nodes_deg), 100, replace=False)
    wanted = dijkstra(streets.arcs[size:, size:], indices=starts, limit=700)
    within = (wanted >= 60) & (wanted <= 480)
    home = streets.stays.junction_cell
    ours = streets.times(pieces.nodes_deg[starts][:, ::-1], 12)[:, home]
    theirs = dijkstra(cells_alone(streets), indices=home[starts], limit=700)[:, home]
    for name, found in (("", ours), ("_of_cells_alone", theirs)):
        error = np.minimum(abs(found[within] / wanted[within] - 1), 1.0)
        yield Figure(f"streets_relative_error{name}_mean", float(error.mean()), "", "lower")
        yield Figure(f"streets_relative_error{name}_p95", percentile(error, 95), "", "lower")


def cells_alone(streets: Streets) -> object:
    """The cells that a street runs through joined by the seconds on it from middle to middle; where it begins or ends
    in one, from there.
    """
    stretches, field = streets.stretches, streets.field
    cell = field.places(cells_at(stretches.middle_deg, field.area.resolution))
    first = firsts(stretches.piece, cell)
    last = np.concatenate((first[1:], [len(cell)])) - 1
    begin, end = stretches.begin_s[first], (stretches.begin_s + stretches.seconds)[last]
    piece = stretches.piece[first]
    ends_here = np.concatenate((piece[1:] != piece[:-1], [True]))
    middle = np.where(begin == 0, 0.0, np.where(ends_here, end, (begin + end) / 2))
    on = np.flatnonzero(~ends_here)
    tail, head, seconds = cell[first[on]], cell[first[on + 1]], middle[on + 1] - middle[on]
    return graph_of([Arcs(tail, head, seconds), Arcs(head, tail, seconds)], field.size)
