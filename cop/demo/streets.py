"""The streets of the exercise as features of a `roads` layer: what planners work out reach in minutes with."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from cop.demo.roads import LIMITS_MPS, Network, Position, heading_deg
from layers.model import JsonObject

CLASSES = {limit: name for name, limit in LIMITS_MPS.items()}
"""The class of a road by its speed limit: no two have the same."""
STRAIGHT_DEG = 35.0
"""A street goes on beyond a crossing where it turns by less."""

_End = tuple[int, int]
"""An edge, and 0 for its first node or 1 for its second."""


def street_features(network: Network) -> list[JsonObject]:
    """The streets of *network*, each from where it begins to where it ends, as GeoJSON features.

    They have a vertex in common where they join, and only there: so a layer of them makes the same network again.
    """
    lines = _lines(network)
    return [
        {
            "type": "Feature",
            "id": f"street-{number}",
            "geometry": {"type": "LineString", "coordinates": [list(point) for point in line]},
            "properties": {
                "road_class": CLASSES[limit],
                "speed_kmh": round(limit * 3.6, 1),
                "oneway": False,
            },
        }
        for number, (line, limit) in enumerate(lines, start=1)
    ]


def _lines(network: Network) -> list[tuple[list[Position], float]]:
    shapes = _shapes(network)
    found = []
    for chain in _chains(network):
        line: list[Position] = []
        for edge, begin in chain:
            line += (shapes[edge] if begin == 0 else shapes[edge][::-1])[1 if line else 0 :]
        found.append((line, network.limits_mps[chain[0][0]]))
    return found


def _shapes(network: Network) -> list[list[Position]]:
    """The points of each edge; those between its ends at which another has one too are moved 8 cm aside.

    Rounded to the steps of a tile, a motorway has a few points right on the streets that it passes over.
    """
    edges = [network.points[first:end] for first, end in pairwise(network.offsets)]
    seen = Counter(point for edge in edges for point in edge[1:-1])
    seen.update(network.nodes)
    return [
        [edge[0], *(point if seen[point] == 1 else _aside(point) for point in edge[1:-1]), edge[-1]]
        for edge in edges
    ]


def _aside(point: Position) -> Position:
    return round(point[0] + 1e-6, 7), point[1]


def _chains(network: Network) -> list[list[_End]]:
    """The edges of each street in order, each with the end at which one comes to it."""
    onward = _onward(network)
    everywhere = [(edge, end) for edge in range(len(network.ends)) for end in (0, 1)]
    # Whole streets from their ends; what is left after them runs in a ring and may begin anywhere.
    begins = [end for end in everywhere if end not in onward] + everywhere
    done: set[int] = set()
    chains = []
    for begin in begins:
        chain: list[_End] = []
        at: _End | None = begin
        while at is not None and at[0] not in done:
            done.add(at[0])
            chain.append(at)
            at = onward.get((at[0], 1 - at[1]))
        if chain:
            chains.append(chain)
    return chains


def _onward(network: Network) -> dict[_End, _End]:
    """At each crossing, which end of an edge goes on as which other: of one speed, and the straightest first."""
    ends_at: list[list[_End]] = [[] for _ in network.nodes]
    for edge, (first, second) in enumerate(network.ends):
        ends_at[first].append((edge, 0))
        ends_at[second].append((edge, 1))
    onward: dict[_End, _End] = {}
    for ends in ends_at:
        leaving = [(end, network.limits_mps[end[0]], _heading(network, end)) for end in ends]
        turns = sorted(
            (abs(abs(one[2] - other[2]) - 180.0), one[0], other[0])
            for number, one in enumerate(leaving)
            for other in leaving[:number]
            if one[1] == other[1]
        )
        for turn, one, other in turns:
            if turn < STRAIGHT_DEG and one not in onward and other not in onward:
                onward[one], onward[other] = other, one
    return onward


def _heading(network: Network, end: _End) -> float:
    """The course in which *end* leads away from its node."""
    first, last = network.offsets[end[0]], network.offsets[end[0] + 1] - 1
    if end[1] == 0:
        return heading_deg(network.points[first], network.points[first + 1])
    return heading_deg(network.points[last], network.points[last - 1])
