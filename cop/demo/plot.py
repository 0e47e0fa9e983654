"""What happens in “Lakefront Surge”, and who is sent: a pure function of the seed and the time.

Every agency's process reads the same plot, as every agency hears the same dispatcher; only the host
publishes the incidents and zones themselves.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import cos, pi, radians, sin
from random import Random

from cop.demo.roads import Ground, Position, distance_m
from cop.demo.scenario import shore_lng
from cop.demo.units import Order, Unit
from layers.model import JsonObject

TIDE_S = 2_700.0
"""From one surge to the next."""
STRETCHES = (
    ("Montrose", 41.944, 41.964),
    ("Oak Street", 41.893, 41.913),
    ("Burnham", 41.836, 41.860),
    ("Oakland", 41.806, 41.826),
)
"""Parts of the lakefront that flood, by southern and northern latitude."""


@dataclass(frozen=True, slots=True)
class Script:
    """A sort of incident: how often, how long, and who goes, by (layer, unit_type)."""

    incident_type: str
    title: str
    share: int
    lasts_s: tuple[float, float]
    radius_m: tuple[float, float]
    """Its extent at its worst; below 60 m it is drawn as a point."""
    wants: Mapping[tuple[str, str], int]


ENGINE, TRUCK, SQUAD = ("cfd.units", "engine"), ("cfd.units", "truck"), ("cfd.units", "usar")
MEDIC, BEAT, TACTICAL = ("ems.units", "medic"), ("cpd.units", "police"), ("cpd.tactical", "police")
CREW, LOADER, TOW = ("streets.units", "utility"), ("streets.units", "dozer"), ("streets.units", "tow")
LAKE_ENGINE, LAKE_SHERIFF = ("lakeco.units", "engine"), ("lakeco.units", "police")

SCRIPTS = (
    Script("medical", "Person down", 30, (360, 900), (0, 0), {MEDIC: 1, ENGINE: 1}),
    Script("crash", "Crash, injuries", 20, (480, 1_200), (0, 0), {MEDIC: 2, ENGINE: 1, BEAT: 2, TOW: 1}),
    Script(
        "fire",
        "Structure fire",
        18,
        (900, 1_800),
        (40, 220),
        {ENGINE: 5, TRUCK: 3, MEDIC: 1, BEAT: 2, LAKE_ENGINE: 1},
    ),
    Script("outage", "Power outage", 12, (900, 2_400), (300, 700), {CREW: 3, BEAT: 1}),
    Script(
        "hazmat",
        "Gas leak",
        8,
        (900, 1_500),
        (150, 450),
        {ENGINE: 3, SQUAD: 1, MEDIC: 1, BEAT: 3, TACTICAL: 1},
    ),
    Script("other", "Tree across the road", 12, (480, 1_200), (0, 0), {LOADER: 1, CREW: 1}),
)
FLOOD_WANTS: Mapping[tuple[str, str], int] = {
    CREW: 4,
    ("streets.units", "bus"): 5,
    ("cfd.units", "boat"): 1,
    ("cfd.units", "drone"): 1,
    ("uscg.units", "boat"): 3,
    ("uscg.units", "helicopter"): 1,
    BEAT: 6,
    LAKE_SHERIFF: 3,
    ("oem.units", "guard"): 2,
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One incident, from when it opens to when it is closed (seconds of the exercise), and who is sent."""

    id: str
    title: str
    incident_type: str
    position: Position
    opens_s: float
    closes_s: float
    radius_m: float
    units: tuple[tuple[str, str], ...]
    """(layer, unit id)."""
    callsigns: tuple[str, ...]
    stretch: int | None = None
    """Index into `STRETCHES`, for a flood."""


class Plot:
    """The incidents of a seed, drawn up as far as somebody has asked.

    Whoever asks, in whatever steps, gets the same. Units go to one incident at a time: the nearest by home
    of those free when it opens.
    """

    def __init__(self, ground: Ground, units: Sequence[Unit], seed: int) -> None:
        self._roads = ground.roads
        self._units = units
        self._seed = seed
        self._incidents: list[Incident] = []
        self._orders: dict[tuple[str, str], list[tuple[float, float, Order]]] = {}
        slots = max(3, len(units) // 32)
        self._openings = [(Random(f"{seed} {slot}").uniform(-400.0, 60.0), slot, 0) for slot in range(slots)]
        self._openings += [(flood_times(i, 0)[0], slots + i, 0) for i in range(len(STRETCHES))]
        self._slots = slots
        heapq.heapify(self._openings)
        self._numbers = count(1)

    def open_at(self, now_s: float) -> list[Incident]:
        """The incidents that are open, or closed within the last minute."""
        self._draw_up(now_s)
        self._incidents = [each for each in self._incidents if each.closes_s + 60.0 > now_s]
        return [each for each in self._incidents if each.opens_s <= now_s]

    def order_for(self, unit: Unit, now_s: float) -> Order | None:
        """Where *unit* is wanted now."""
        self._draw_up(now_s)
        orders = self._orders.get((unit.layer, unit.id), [])
        while orders and orders[0][1] <= now_s:
            del orders[0]
        return orders[0][2] if orders and orders[0][0] <= now_s else None

    def in_distress(self, now_s: float) -> tuple[str, str] | None:
        """(layer, id) of the one unit that calls for help: for 75 s in every seven minutes, once the first
        three are over."""
        turn, since_s = divmod(now_s, 420.0)
        if not 180.0 <= since_s < 255.0:
            return None
        able = [unit for unit in self._units if unit.layer in {"cfd.units", "cpd.units", "ems.units"}]
        unit = Random(f"{self._seed} distress {turn}").choice(able)
        return unit.layer, unit.id

    def _draw_up(self, until_s: float) -> None:
        while self._openings[0][0] <= until_s:
            opens_s, slot, turn = heapq.heappop(self._openings)
            incident, next_s = self._incident(opens_s, slot, turn)
            self._incidents.append(incident)
            for who in incident.units:
                order = Order(incident.id, incident.position)
                self._orders.setdefault(who, []).append((opens_s, incident.closes_s, order))
            heapq.heappush(self._openings, (next_s, slot, turn + 1))

    def _incident(self, opens_s: float, slot: int, turn: int) -> tuple[Incident, float]:
        """The incident that opens in *slot* for the *turn*th time, and when the slot opens next."""
        rng = Random(f"{self._seed} {slot} {turn}")
        number = next(self._numbers)
        if slot >= self._slots:
            stretch = slot - self._slots
            name, south, north = STRETCHES[stretch]
            lat = (south + north) / 2
            _, closes_s = flood_times(stretch, turn)
            position = self._roads.nodes[self._roads.nearest((shore_lng(lat) - 0.002, lat))]
            sent = self._sent(FLOOD_WANTS, position, opens_s, closes_s)
            flood = Incident(
                id=f"LS-{number:04}",
                title=f"Lake flooding, {name}",
                incident_type="flood",
                position=position,
                opens_s=opens_s,
                closes_s=closes_s,
                radius_m=0.0,
                units=tuple((unit.layer, unit.id) for unit in sent),
                callsigns=tuple(unit.callsign for unit in sent),
                stretch=stretch,
            )
            return flood, flood_times(stretch, turn + 1)[0]
        (script,) = rng.choices(SCRIPTS, [script.share for script in SCRIPTS])
        position = rng.choice(self._roads.nodes)
        closes_s = opens_s + rng.uniform(*script.lasts_s)
        sent = self._sent(script.wants, position, opens_s, closes_s)
        incident = Incident(
            id=f"LS-{number:04}",
            title=script.title,
            incident_type=script.incident_type,
            position=position,
            opens_s=opens_s,
            closes_s=closes_s,
            radius_m=rng.uniform(*script.radius_m),
            units=tuple((unit.layer, unit.id) for unit in sent),
            callsigns=tuple(unit.callsign for unit in sent),
        )
        return incident, closes_s + rng.uniform(60.0, 240.0)

    def _sent(
        self, wants: Mapping[tuple[str, str], int], position: Position, opens_s: float, closes_s: float
    ) -> list[Unit]:
        sent: list[Unit] = []
        for (layer, unit_type), wanted in wants.items():
            free = [
                unit
                for unit in self._units
                if (unit.layer, unit.unit_type) == (layer, unit_type) and self._free(unit, opens_s)
            ]
            sent += sorted(free, key=lambda unit: distance_m(unit.position, position))[:wanted]
        return sent

    def _free(self, unit: Unit, at_s: float) -> bool:
        return all(end_s <= at_s for _, end_s, _ in self._orders.get((unit.layer, unit.id), ()))


def flood_times(stretch: int, turn: int) -> tuple[float, float]:
    """When the *turn*th flood of a stretch of lakefront opens and closes; each stretch a little later."""
    opens_s = -700.0 + stretch * 240.0 + turn * TIDE_S
    return opens_s, opens_s + TIDE_S - 480.0


def worst(incident: Incident, now_s: float) -> float:
    """How bad it is now, from 0 as it opens over 1 at its worst to 0 as it closes."""
    part = (now_s - incident.opens_s) / (incident.closes_s - incident.opens_s)
    return sin(pi * min(1.0, max(0.0, part)))


def incident_feature(incident: Incident, now_s: float) -> JsonObject:
    """The incident as the host publishes it; a larger one as the ground it covers, growing and shrinking."""
    bad = worst(incident, now_s)
    part = (now_s - incident.opens_s) / (incident.closes_s - incident.opens_s)
    severe = bad * (1.0 + min(1.0, len(incident.units) / 12))
    levels = ("minor", "moderate", "severe", "extreme")
    return {
        "type": "Feature",
        "id": incident.id,
        "geometry": _extent(incident, bad),
        "properties": {
            "title": incident.title,
            "incident_type": incident.incident_type,
            "severity": levels[min(3, int(severe * 2))],
            "status": "closed" if part >= 1.0 else "contained" if part > 0.75 else "open",
            "units": list(incident.callsigns),
        },
    }


def zone_features(layer: str, open_incidents: Sequence[Incident], now_s: float) -> list[JsonObject]:
    """The zones that *layer* draws about the incidents that are open now."""
    zones = []
    for incident in open_incidents:
        if incident.stretch is None or (bad := worst(incident, now_s)) < 0.35:
            continue
        name, south, north = STRETCHES[incident.stretch]
        key = incident.stretch
        match layer:
            case "oem.zones":
                status = "ordered" if bad > 0.7 else "advised"
                strip = _strip(south - 0.003, north + 0.003, -0.0125, 0.0)
                zones.append(_zone("evacuation", key, f"Evacuation, {name}", status, strip))
            case "uscg.zones":
                strip = _strip(south, north, 0.001, 0.014)
                zones.append(_zone("safety", key, f"Safety zone, {name}", "in force", strip))
            case "streets.closures":
                line = [[round(shore_lng(lat) - 0.004, 6), round(lat, 6)] for lat in _latitudes(south, north)]
                road = {"type": "LineString", "coordinates": line}
                zones.append(_zone("closure", key, f"Lakefront road, {name}", "closed", road))
            case _:
                pass
    return zones


def _zone(zone_type: str, key: int, name: str, status: str, geometry: JsonObject) -> JsonObject:
    properties = {"name": name, "zone_type": zone_type, "status": status}
    return {"type": "Feature", "id": f"{zone_type}-{key}", "geometry": geometry, "properties": properties}


def _extent(incident: Incident, bad: float) -> JsonObject:
    if incident.stretch is not None:
        _, south, north = STRETCHES[incident.stretch]
        middle, half = (south + north) / 2, (north - south) / 2 * (0.4 + 0.6 * bad)
        return _strip(middle - half, middle + half, -0.001 - 0.007 * bad, 0.0005)
    radius_m = incident.radius_m * bad
    if radius_m < 60.0:
        return {"type": "Point", "coordinates": list(incident.position)}
    lng, lat = incident.position
    step_lat = radius_m / 111_195.0
    step_lng = step_lat / cos(radians(lat))
    ring = [
        [round(lng + step_lng * cos(2 * pi * i / 24), 6), round(lat + step_lat * sin(2 * pi * i / 24), 6)]
        for i in range(24)
    ]
    return {"type": "Polygon", "coordinates": [[*ring, ring[0]]]}


def _strip(south: float, north: float, west_of_shore: float, east_of_shore: float) -> JsonObject:
    """A strip along the lake's edge, from and to so many degrees of longitude off it."""
    latitudes = _latitudes(south, north)
    east = [[round(shore_lng(lat) + east_of_shore, 6), round(lat, 6)] for lat in latitudes]
    west = [[round(shore_lng(lat) + west_of_shore, 6), round(lat, 6)] for lat in reversed(latitudes)]
    return {"type": "Polygon", "coordinates": [[*east, *west, east[0]]]}


def _latitudes(south: float, north: float) -> list[float]:
    return [south + (north - south) * i / 12 for i in range(13)]
