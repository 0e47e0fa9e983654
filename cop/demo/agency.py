"""One agency of the exercise as a process of its own: it moves its units and pushes what they report.

`run.py` starts it with instructions on standard input. It knows the service only through `cop.client`.
"""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import Random
from zlib import crc32

from cop.client import Client, ProblemError
from cop.demo.plot import Plot, incident_feature, zone_features
from cop.demo.roads import load_ground
from cop.demo.scenario import PUBLICATIONS, fleet_of, standing, world_of
from cop.demo.streets import street_features
from cop.demo.tether import instructions, on_release, say
from cop.demo.units import State, Unit, World, at_home, properties, step
from layers.model import JsonObject, Receipt

log = logging.getLogger(__name__)

TICK_S = 1.0
WARM_UP_S = 240
"""Exercise that is played before the first report, so that the map is busy from the start."""
STANDING_STILL_S = 5
"""A unit that stands still reports this often; one that moves, every one to three seconds."""
SCENE_S = 5
"""How often the host looks whether incidents and zones have changed."""
MOST_IN_ONE_SET = 1_000


@dataclass(frozen=True, slots=True)
class Assignment:
    """What the process is told first: who it is, and which exercise this is."""

    agency: str
    seed: int
    units: int
    """Of the whole exercise."""
    started_at_s: float
    """Unix time of second 0 of the exercise."""
    basemap: str
    cache: str


@dataclass(frozen=True, slots=True)
class Desk:
    """What it is told next, once the service listens: where that is, and the agency's key."""

    url: str
    key: str


class Fleet:
    """The units of one agency, stepped second by second, and which of them report."""

    def __init__(self, units: Sequence[Unit], plot: Plot, world: World, seed: int) -> None:
        self._units = units
        self._plot = plot
        self._world = world
        self._rng = {unit: Random(f"{seed} {unit.layer} {unit.id}") for unit in units}
        self.now_s = -WARM_UP_S
        self.states = {unit: at_home(unit, self.now_s, world, self._rng[unit]) for unit in units}
        self._told: dict[Unit, str] = {}

    def advance(self, to_s: int) -> None:
        """Step every unit to the second *to_s* of the exercise."""
        while self.now_s < to_s:
            self.now_s += 1
            distressed = self._plot.in_distress(self.now_s)
            for unit in self._units:
                self.states[unit] = step(
                    unit,
                    self.states[unit],
                    self.now_s,
                    TICK_S,
                    order=self._plot.order_for(unit, self.now_s),
                    distress=distressed == (unit.layer, unit.id),
                    world=self._world,
                    rng=self._rng[unit],
                )

    def reporting(self) -> list[Unit]:
        """The units whose turn it is, or whose status is new. The silent ones are not among them."""
        due = []
        for unit, state in self.states.items():
            word = "distress" if state.distress else state.doing.value
            number = crc32(unit.id.encode())
            every_s = 1 + number % 3 if state.speed_mps else STANDING_STILL_S
            if state.silent_until_s > self.now_s and not state.distress:
                continue
            if (self.now_s + number) % every_s == 0 or self._told.get(unit) != word:
                self._told[unit] = word
                due.append(unit)
        return due


def unit_feature(unit: Unit, state: State, observed_at: str) -> JsonObject:
    """What a unit reports, as a GeoJSON feature."""
    lng, lat = state.position
    return {
        "type": "Feature",
        "id": unit.id,
        "geometry": {"type": "Point", "coordinates": [round(lng, 6), round(lat, 6)]},
        "properties": {"observed_at": observed_at, **properties(unit, state)},
    }


class Reporter:
    """Sends an agency's layers, and remembers of those drawn as a whole what the service knows already."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._known: dict[str, dict[str, JsonObject]] = {}

    def begin(self, layer: str, features: list[JsonObject], observed_at: str) -> None:
        """Make *features* all that *layer* holds: what an earlier run left behind is gone."""
        stamped = [_stamped(feature, observed_at) for feature in features]
        if len(features) <= MOST_IN_ONE_SET:
            _warn_of(self._client.replace(layer, stamped, lenient=True, allow_empty=True))
        else:
            _warn_of(self._client.push(layer, stamped, lenient=True))
        self._known[layer] = {feature["id"]: feature for feature in features}

    def report(self, layer: str, features: list[JsonObject]) -> None:
        """Push what units have just said."""
        if features:
            _warn_of(self._client.push(layer, features, lenient=True))

    def redraw(self, layer: str, features: list[JsonObject], observed_at: str) -> None:
        """Push what has changed of *features* since the last time, and remove what is no longer among them."""
        known = self._known[layer]
        wanted = {feature["id"]: feature for feature in features}
        changed = [feature for id, feature in wanted.items() if known.get(id) != feature]
        self.report(layer, [_stamped(feature, observed_at) for feature in changed])
        self._client.remove(layer, [id for id in known if id not in wanted])
        self._known[layer] = wanted


def _stamped(feature: JsonObject, observed_at: str) -> JsonObject:
    return {**feature, "properties": {"observed_at": observed_at, **feature["properties"]}}


def _warn_of(receipt: Receipt) -> None:
    for rejection in receipt.rejected:
        log.warning("%s refused %s: %s %s", receipt.layer, rejection.id, rejection.code, rejection.detail)


class Agency:
    """One agency at work: what it knows of the exercise, and the layers that it publishes."""

    def __init__(self, assignment: Assignment) -> None:
        ground = load_ground(Path(assignment.basemap), Path(assignment.cache))
        world = world_of(ground, assignment.seed)
        everyone = fleet_of([each.name for each in PUBLICATIONS], ground, assignment.seed, assignment.units)
        mine = [unit for unit in everyone if unit.layer.split(".")[0] == assignment.agency]
        self._assignment = assignment
        self._plot = Plot(ground, everyone, assignment.seed)
        self._fleet = Fleet(mine, self._plot, world, assignment.seed)
        layers = [each for each in PUBLICATIONS if each.agency == assignment.agency]
        self._unit_layers = [each.name for each in layers if each.kind == "units"]
        self._scenes = [each.name for each in layers if each.kind in {"incidents", "zones"}]
        self._standing = {
            each.name: standing(each.name, ground, assignment.seed)
            for each in layers
            if each.kind in {"assets", "coverage"}
        }
        self._streets = {each.name: street_features(ground.roads) for each in layers if each.kind == "roads"}

    def advance(self) -> None:
        """Play on to the present second."""
        self._fleet.advance(int(time.time() - self._assignment.started_at_s))

    def begin(self, reporter: Reporter) -> None:
        """Put every layer on the picture, whole."""
        self.advance()
        now = self._moment()
        for layer, features in self._standing.items():
            reporter.begin(layer, features, now)
        for layer in self._scenes:
            reporter.begin(layer, self._scene(layer), now)
        for layer in self._unit_layers:
            units = [unit for unit in self._fleet.states if unit.layer == layer]
            reporter.begin(layer, [unit_feature(u, self._fleet.states[u], now) for u in units], now)

    def survey(self, reporter: Reporter) -> None:
        """Publish the streets. Those that the service knows already, from an earlier run, take no revision."""
        for layer, features in self._streets.items():
            reporter.report(layer, features)

    def tick(self, reporter: Reporter) -> None:
        """Play on to the present second, and tell what is new."""
        self.advance()
        now, due = self._moment(), self._fleet.reporting()
        for layer in self._unit_layers:
            features = [
                unit_feature(unit, self._fleet.states[unit], now) for unit in due if unit.layer == layer
            ]
            reporter.report(layer, features)
        if self._fleet.now_s % SCENE_S == 0:
            for layer in self._scenes:
                reporter.redraw(layer, self._scene(layer), now)

    def _scene(self, layer: str) -> list[JsonObject]:
        incidents = self._plot.open_at(self._fleet.now_s)
        if layer == "oem.incidents":
            return [incident_feature(incident, self._fleet.now_s) for incident in incidents]
        return zone_features(layer, incidents, self._fleet.now_s)

    def _moment(self) -> str:
        at = datetime.fromtimestamp(self._assignment.started_at_s + self._fleet.now_s, UTC)
        return at.isoformat(timespec="milliseconds")


def run(agency: Agency, desk: Desk, stop: threading.Event) -> None:
    """Play until *stop* is set. A refusal is logged, and the next second tried anew."""
    with Client(desk.url, desk.key) as client:
        reporter = Reporter(client)
        agency.begin(reporter)
        say("on the picture")
        agency.survey(reporter)  # some 5,000 features that nobody waits for
        while not stop.wait(TICK_S - time.time() % TICK_S):
            try:
                agency.tick(reporter)
            except ProblemError as problem:
                if problem.status in {401, 403}:
                    raise  # nothing that waiting mends
                log.warning("not taken: %s", problem)


def main() -> None:
    """The process. What takes time, it does while the service is still starting."""
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s")
    agency = Agency(Assignment(**instructions()))
    agency.advance()
    desk = Desk(**instructions())
    stop = threading.Event()
    on_release(stop.set)
    signal.signal(signal.SIGTERM, lambda number, frame: stop.set())
    run(agency, desk, stop)


if __name__ == "__main__":
    main()
