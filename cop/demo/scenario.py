"""Who takes part in “Lakefront Surge”, what they publish, with whom they share it, and what stands where.

Data and pure functions of a seed: `run.py` sets the agencies up by it, `agency.py` gets its units from it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any

import numpy as np

from cop.demo.roads import Ground, Position, distance_m
from cop.demo.units import Unit, World
from layers.model import JsonObject

OPERATION = "lakefront-surge"
TITLE = "Lakefront Surge"
HOST = "oem"


@dataclass(frozen=True, slots=True)
class Party:
    """An agency of the exercise. The colours are Okabe and Ito's, darkened where white glyphs need it."""

    slug: str
    name: str
    color: str


PARTIES = (
    Party("oem", "Office of Emergency Management", "#2F4858"),
    Party("cfd", "Fire Department", "#D55E00"),
    Party("ems", "Emergency Medical Services", "#0072B2"),
    Party("cpd", "Police Department", "#3B3B98"),
    Party("uscg", "Coast Guard", "#4D4D4D"),
    Party("streets", "Streets and Sanitation", "#8A6D00"),
    Party("lakeco", "Lake County, mutual aid", "#009E73"),
)


@dataclass(frozen=True, slots=True)
class Publication:
    """A layer and with whom it is shared: `all`, or agencies by slug; none at all keeps it to its owner."""

    name: str
    kind: str
    title: str
    shared_with: tuple[str, ...] = ("all",)
    rules: JsonObject = field(default_factory=dict)

    @property
    def agency(self) -> str:
        """The slug of its owner."""
        return self.name.split(".")[0]


MOVING: JsonObject = {"stale_after_s": 60}
"""The slowest unit reports every five seconds, so a minute of silence is worth showing."""
STANDING: JsonObject = {"stale_after_s": 86_400}

PUBLICATIONS = (
    Publication("oem.incidents", "incidents", "Incidents", rules={"stale_after_s": 3_600}),
    Publication("oem.zones", "zones", "Evacuation and operations zones", rules={"stale_after_s": 3_600}),
    Publication("oem.shelters", "assets", "Shelters and command posts", rules=STANDING),
    Publication("oem.units", "units", "Liaison and drones", rules=MOVING),
    Publication("oem.roads", "roads", "Streets"),
    Publication("cfd.units", "units", "Engines and trucks", rules=MOVING),
    Publication("cfd.stations", "assets", "Fire stations", rules=STANDING | {"reach_m": 1_700}),
    Publication("ems.units", "units", "Ambulances", rules=MOVING),
    Publication("ems.hospitals", "assets", "Hospitals", rules=STANDING),
    Publication("ems.coverage", "coverage", "Advanced life support districts", rules=STANDING),
    Publication("cpd.units", "units", "Patrol", rules=MOVING),
    Publication("cpd.stations", "assets", "Police stations", rules=STANDING),
    Publication("cpd.tactical", "units", "Tactical teams", ("oem",), MOVING),
    Publication("cpd.surveillance", "units", "Surveillance", (), MOVING),
    Publication("uscg.units", "units", "Boats and aircraft", rules=MOVING),
    Publication("uscg.zones", "zones", "Safety zones on the water", rules={"stale_after_s": 3_600}),
    Publication("streets.units", "units", "Trucks, ploughs and buses", rules=MOVING),
    Publication("streets.closures", "zones", "Street closures", rules={"stale_after_s": 3_600}),
    Publication("streets.depots", "assets", "Depots", rules=STANDING),
    Publication(
        "lakeco.units",
        "units",
        "Mutual aid",
        tuple(party.slug for party in PARTIES if party.slug != "lakeco"),
        MOVING,
    ),
    Publication("lakeco.coverage", "coverage", "Mutual aid districts", rules=STANDING),
)

FLEETS = (
    # layer, unit_type, callsign, of 900, medium, patrols
    ("cfd.units", "engine", "Engine {}", 110, "road", False),
    ("cfd.units", "truck", "Truck {}", 55, "road", False),
    ("cfd.units", "usar", "Squad {}", 4, "road", False),
    ("cfd.units", "drone", "CFD Drone {}", 3, "air", False),
    ("cfd.units", "boat", "Fireboat {}", 3, "water", False),
    ("cfd.units", "helicopter", "Helo 68{}", 1, "air", True),
    ("ems.units", "medic", "Ambulance {}", 170, "road", False),
    ("cpd.units", "police", "Beat {}", 290, "road", True),
    ("cpd.units", "k9", "K9 {}", 8, "road", True),
    ("cpd.units", "boat", "Marine {}", 6, "water", True),
    ("cpd.units", "helicopter", "Air {}", 2, "air", True),
    ("cpd.tactical", "police", "Tactical {}", 12, "road", True),
    ("cpd.surveillance", "police", "Surveillance {}", 8, "road", True),
    ("uscg.units", "boat", "CG 45{:03}", 22, "water", True),
    ("uscg.units", "helicopter", "CG 65{:02}", 2, "air", True),
    ("streets.units", "utility", "Crew {}", 60, "road", True),
    ("streets.units", "bus", "Evac Bus {}", 30, "road", False),
    ("streets.units", "tow", "Tow {}", 24, "road", True),
    ("streets.units", "dozer", "Loader {}", 14, "road", False),
    ("lakeco.units", "engine", "Lake Engine {}", 22, "road", False),
    ("lakeco.units", "police", "Lake Sheriff {}", 20, "road", True),
    ("lakeco.units", "medic", "Lake Medic {}", 18, "road", False),
    ("oem.units", "guard", "OEM Liaison {}", 12, "road", True),
    ("oem.units", "drone", "OEM Drone {}", 4, "air", True),
)
ALL_UNITS = sum(fleet[3] for fleet in FLEETS)

SHORE = (
    (-87.5780, 41.7713),
    (-87.5800, 41.8000),
    (-87.5868, 41.8100),
    (-87.5949, 41.8200),
    (-87.6017, 41.8300),
    (-87.6071, 41.8400),
    (-87.6093, 41.8500),
    (-87.6125, 41.8600),
    (-87.6162, 41.8700),
    (-87.6165, 41.8800),
    (-87.6126, 41.8900),
    (-87.6185, 41.9000),
    (-87.6251, 41.9100),
    (-87.6282, 41.9200),
    (-87.6310, 41.9300),
    (-87.6337, 41.9400),
    (-87.6380, 41.9500),
    (-87.6390, 41.9677),
)
"""The lake's edge from south to north, as the basemap draws it, one point a hundredth of a degree."""
CITY = (-87.8000, 41.7740, -87.5830, 41.9650)
GAP = (-87.7900, 41.8520, -87.7300, 41.9050)
"""The west side, where no station stands and no district reaches: what a planner should find."""


def shore_lng(lat: float) -> float:
    """Where the lake begins at *lat*."""
    return float(np.interp(lat, [at for _, at in SHORE], [lng for lng, _ in SHORE]))


def world_of(ground: Ground, seed: int) -> World:
    """The ground with the hospitals that stand on it."""
    return World(ground, tuple(_spread(ground, 9, Random(f"{seed} hospitals"))))


def fleet_of(layers: Sequence[str], ground: Ground, seed: int, count: int) -> list[Unit]:
    """The units of *layers* when the whole exercise has about *count*; at least one of each sort.

    The same seed and count give the same units, whoever asks. Ids never depend on the count, so a later
    run takes over the units of an earlier one.
    """
    return [
        _unit(fleet, number, ground, seed)
        for fleet in FLEETS
        if fleet[0] in layers
        for number in range(1, max(1, round(fleet[3] * count / ALL_UNITS)) + 1)
    ]


def _unit(fleet: tuple[str, str, str, int, str, bool], number: int, ground: Ground, seed: int) -> Unit:
    layer, unit_type, pattern, _, medium, patrols = fleet
    callsign = pattern.format(number)
    identity = callsign.lower().replace(" ", "-")
    network = ground.water if medium == "water" else ground.roads
    rng = Random(f"{seed} {layer} {identity}")
    home = rng.randrange(len(network.nodes))
    if layer == "lakeco.units":  # staged in the north-west, where they came in
        home = network.nearest((rng.uniform(-87.80, -87.70), rng.uniform(41.92, 41.965)))
    while layer in {"cfd.units", "ems.units"} and _near_gap(network.nodes[home], 0.0):
        home = rng.randrange(len(network.nodes))
    return Unit(
        id=identity,
        callsign=callsign,
        unit_type=unit_type,
        layer=layer,
        medium=medium,
        home=home,
        position=network.nodes[home],
        patrols=patrols,
        transports=unit_type == "medic",
    )


def standing(layer: str, ground: Ground, seed: int) -> list[JsonObject]:
    """The features of a layer on which nothing moves: stations, hospitals, shelters, depots, districts."""
    rng = Random(f"{seed} {layer}")
    match layer:
        case "cfd.stations":
            return _assets("fire_station", "Firehouse {}", _spread(ground, 44, rng, avoiding_m=1_700.0))
        case "ems.hospitals":
            hospitals = _assets("hospital", "Hospital {}", world_of(ground, seed).hospitals)
            return [_with(hospital, capacity=rng.randrange(80, 400, 10)) for hospital in hospitals]
        case "cpd.stations":
            return _assets("police_station", "District {}", _spread(ground, 16, rng))
        case "oem.shelters":
            spots = _spread(ground, 12, rng)
            shelters = _assets("shelter", "Shelter {}", spots[2:])
            rooms = [_with(shelter, capacity=rng.randrange(100, 600, 50)) for shelter in shelters]
            return rooms + _assets("icp", "Command post {}", spots[:2])
        case "streets.depots":
            return _assets("depot", "Yard {}", _spread(ground, 6, rng))
        case "ems.coverage":
            return _districts("als", "ALS", CITY, 0.0301, 0.0240)
        case "lakeco.coverage":
            return _districts("mutual-aid", "Mutual aid", (-87.80, 41.905, -87.71, 41.965), 0.045, 0.03)
        case _:
            return []


def _assets(asset_type: str, name: str, spots: Sequence[Position]) -> list[JsonObject]:
    return [
        {
            "type": "Feature",
            "id": f"{asset_type.replace('_', '-')}-{number}",
            "geometry": {"type": "Point", "coordinates": list(spot)},
            "properties": {"name": name.format(number), "asset_type": asset_type, "status": "open"},
        }
        for number, spot in enumerate(spots, start=1)
    ]


def _with(feature: JsonObject, **more: Any) -> JsonObject:
    return {**feature, "properties": {**feature["properties"], **more}}


def _spread(ground: Ground, count: int, rng: Random, avoiding_m: float | None = None) -> list[Position]:
    """*count* street corners far from each other: each the farthest from those before, of 40 drawn by lot.

    None lies within *avoiding_m* metres of the gap.
    """
    chosen: list[Position] = []
    while len(chosen) < count:
        drawn = [place for place in rng.sample(ground.roads.nodes, 40) if not _near_gap(place, avoiding_m)]
        chosen.append(
            max(drawn, key=lambda place: min((distance_m(place, other) for other in chosen), default=0.0))
        )
    return chosen


def _near_gap(place: Position, within_m: float | None) -> bool:
    if within_m is None:
        return False
    west, south, east, north = GAP
    nearest = (min(max(place[0], west), east), min(max(place[1], south), north))
    return distance_m(place, nearest) <= within_m


def _districts(
    slug: str, name: str, bounds: tuple[float, float, float, float], wide: float, high: float
) -> list[JsonObject]:
    """Districts in rows between *bounds* and the shore, leaving out whatever lies in the gap."""
    west, south, east, north = bounds
    found = []
    for row in range(max(1, round((north - south) / high))):
        low, top = south + row * high, south + (row + 1) * high
        shore = min(shore_lng(low), shore_lng(top))
        for column in range(max(1, round((east - west) / wide))):
            left, right = west + column * wide, min(west + (column + 1) * wide, shore)
            middle = ((left + right) / 2, (low + top) / 2)
            if right - left < wide / 8 or (GAP[0] < middle[0] < GAP[2] and GAP[1] < middle[1] < GAP[3]):
                continue
            ring = [[left, low], [right, low], [right, top], [left, top], [left, low]]
            rounded = [[round(lng, 6), round(lat, 6)] for lng, lat in ring]
            found.append(
                {
                    "type": "Feature",
                    "id": f"{slug}-{row + 1}-{column + 1}",
                    "geometry": {"type": "Polygon", "coordinates": [rounded]},
                    "properties": {"name": f"{name} {row + 1}{'ABCDEFGH'[column]}", "capability": slug},
                }
            )
    return found
