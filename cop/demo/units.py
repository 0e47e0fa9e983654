"""How a simulated unit behaves: waits, patrols, responds, works, returns, and is now and then silent.

Pure: `step` takes a state and gives the next one. `agency.py` steps its units and reports what they say.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from math import sqrt
from random import Random
from typing import Any, assert_never

from cop.demo.roads import Ground, Network, Position, Way, distance_m, straight, way_of

AIR_MPS = 55.0
FASTER_MPS2 = 1.8
SLOWER_MPS2 = 2.5
URGENT, CALM = 1.3, 0.75
"""Of the limit: with lights on, and on patrol."""
ROAM_M = 2_500.0
"""How far a patrol strays before it heads home."""

SILENCES_AN_HOUR = 0.25
SILENCE_S = (240.0, 900.0)
BREAKS_AN_HOUR = 0.2
BREAK_S = (300.0, 900.0)


class Doing(StrEnum):
    """What a unit is about; in the words of the `units` kind."""

    AVAILABLE = "available"
    DISPATCHED = "dispatched"
    EN_ROUTE = "en_route"
    ON_SCENE = "on_scene"
    TRANSPORTING = "transporting"
    RETURNING = "returning"
    OUT_OF_SERVICE = "out_of_service"


@dataclass(frozen=True, slots=True)
class Unit:
    """What of a unit never changes. `home` is a node of the network of its *medium*."""

    id: str
    callsign: str
    unit_type: str
    layer: str
    medium: str
    home: int
    position: Position
    patrols: bool = False
    transports: bool = False
    """Takes patients to hospital after some calls."""


@dataclass(frozen=True, slots=True)
class Order:
    """Go to an incident and work there until it ends."""

    incident: str
    position: Position


@dataclass(frozen=True, slots=True)
class State:
    """Where a unit is and what it is about. `along_m` counts on `way`; times are seconds of the exercise."""

    doing: Doing
    way: Way
    along_m: float = 0.0
    speed_mps: float = 0.0
    until_s: float = 0.0
    """When what it waits for is over: the turnout, the pause at a light, the break, the hand-over."""
    order: Order | None = None
    silent_until_s: float = 0.0
    distress: bool = False

    @property
    def position(self) -> Position:
        """Where it is."""
        return self.way.at(self.along_m)[0]

    @property
    def arrived(self) -> bool:
        """Whether its way ends here."""
        return self.along_m >= self.way.length_m


@dataclass(frozen=True, slots=True)
class World:
    """What units move in: the ground, and where the hospitals are."""

    ground: Ground
    hospitals: tuple[Position, ...]


def at_home(unit: Unit, now_s: float, world: World, rng: Random) -> State:
    """A unit as its shift begins."""
    way = _network(unit, world).here(unit.home) if unit.medium != "air" else _hovering(unit.position)
    return State(Doing.AVAILABLE, way, until_s=now_s + rng.uniform(0.0, 60.0), silent_until_s=now_s)


def step(
    unit: Unit,
    state: State,
    now_s: float,
    dt_s: float,
    *,
    order: Order | None,
    distress: bool,
    world: World,
    rng: Random,
) -> State:
    """The state *dt_s* later. *order* is where the unit is wanted now, if anywhere.

    A unit in distress stands still. A silent one goes on; its agency merely hears nothing from it.
    """
    if distress:
        return replace(state, distress=True, speed_mps=0.0)
    state = _moved(replace(state, distress=False) if state.distress else state, now_s, dt_s)
    if state.silent_until_s <= now_s and rng.random() < SILENCES_AN_HOUR / 3600.0 * dt_s:
        state = replace(state, silent_until_s=now_s + rng.uniform(*SILENCE_S))
    return _decided(unit, state, now_s, dt_s, order, world, rng)


def properties(unit: Unit, state: State) -> dict[str, Any]:
    """What the unit says of itself, as the `units` kind names it."""
    _, heading, _ = state.way.at(state.along_m)
    said: dict[str, Any] = {
        "callsign": unit.callsign,
        "unit_type": unit.unit_type,
        "status": "distress" if state.distress else state.doing.value,
        "speed_mps": round(state.speed_mps, 1),
    }
    if heading is not None:
        said["heading_deg"] = round(heading, 1) % 360.0
    if state.order is not None:
        said["incident"] = state.order.incident
    return said


def _moved(state: State, now_s: float, dt_s: float) -> State:
    """On along the way, no faster than the road and the stop ahead allow."""
    waits = state.doing is Doing.DISPATCHED or (state.doing is Doing.AVAILABLE and state.until_s > now_s)
    rest_m = state.way.length_m - state.along_m
    if rest_m <= 0.0:
        return replace(state, speed_mps=0.0) if state.speed_mps else state
    _, _, limit_mps = state.way.at(state.along_m)
    wanted = limit_mps * (URGENT if state.doing in {Doing.EN_ROUTE, Doing.TRANSPORTING} else CALM)
    wanted = 0.0 if waits else max(1.0, min(wanted, sqrt(2.0 * SLOWER_MPS2 * rest_m)))
    change = min(FASTER_MPS2 * dt_s, max(-SLOWER_MPS2 * dt_s, wanted - state.speed_mps))
    speed = max(0.0, state.speed_mps + change)
    along = state.along_m + min(rest_m, speed * dt_s)
    return replace(state, along_m=along, speed_mps=0.0 if along >= state.way.length_m else speed)


def _decided(
    unit: Unit, state: State, now_s: float, dt_s: float, order: Order | None, world: World, rng: Random
) -> State:
    """What the unit turns to next, given where it has got to."""
    match state.doing:
        case Doing.AVAILABLE | Doing.RETURNING if order is not None:
            turnout_s = rng.uniform(4.0, 25.0)
            return replace(state, doing=Doing.DISPATCHED, order=order, until_s=now_s + turnout_s)
        case Doing.AVAILABLE:
            return _idle(unit, state, now_s, dt_s, world, rng)
        case Doing.DISPATCHED | Doing.EN_ROUTE | Doing.ON_SCENE:
            return _called(unit, state, now_s, order, world, rng)
        case Doing.TRANSPORTING if state.arrived and state.until_s == 0.0:
            return replace(state, until_s=now_s + rng.uniform(60.0, 180.0))
        case Doing.TRANSPORTING:
            handed_over = state.arrived and state.until_s <= now_s
            return _homeward(unit, state, world) if handed_over else state
        case Doing.RETURNING | Doing.OUT_OF_SERVICE:
            over = state.arrived if state.doing is Doing.RETURNING else state.until_s <= now_s
            wait_s = rng.uniform(5.0, 60.0) if over else 0.0
            return replace(state, doing=Doing.AVAILABLE, until_s=now_s + wait_s) if over else state
        case doing:
            assert_never(doing)


def _called(unit: Unit, state: State, now_s: float, order: Order | None, world: World, rng: Random) -> State:
    """From the call to the end of the work; called off, it goes home."""
    if order is not None:
        if state.doing is Doing.DISPATCHED and state.until_s <= now_s and state.speed_mps == 0.0:
            return _sent(unit, state, Doing.EN_ROUTE, order.position, world)
        arrives = state.doing is Doing.EN_ROUTE and state.arrived
        return replace(state, doing=Doing.ON_SCENE) if arrives else state
    if state.doing is Doing.ON_SCENE and unit.transports and world.hospitals and rng.random() < 0.6:
        hospital = min(world.hospitals, key=lambda place: distance_m(place, state.position))
        return _sent(unit, replace(state, until_s=0.0), Doing.TRANSPORTING, hospital, world)
    return _homeward(unit, state, world)


def _idle(unit: Unit, state: State, now_s: float, dt_s: float, world: World, rng: Random) -> State:
    """Between calls: those who patrol roam about home and stop at lights, the others wait there."""
    if state.until_s > now_s:
        return state
    if state.arrived and rng.random() < BREAKS_AN_HOUR / 3600.0 * dt_s:
        return replace(state, doing=Doing.OUT_OF_SERVICE, until_s=now_s + rng.uniform(*BREAK_S))
    if not unit.patrols:
        return state
    if not state.arrived:
        stops = rng.random() < dt_s / 90.0
        return replace(state, until_s=now_s + rng.uniform(8.0, 25.0)) if stops else state
    return replace(state, way=_patrol(unit, state, world, rng), along_m=0.0)


def _patrol(unit: Unit, state: State, world: World, rng: Random) -> Way:
    if unit.medium == "air":
        reach = 0.03
        lng, lat = unit.position
        goal = (lng + rng.uniform(-reach, reach * 0.3), lat + rng.uniform(-reach, reach))
        return straight(state.position, goal, AIR_MPS)
    network = _network(unit, world)
    here, node = state.way.ahead(state.along_m)
    if node < 0:
        return state.way
    strayed = distance_m(state.position, unit.position) > ROAM_M
    if strayed and (home := network.route(node, unit.home)) is not None:
        return here.then(home)
    if unit.medium == "water":  # a grid: wandering on it would zigzag
        lng, lat = unit.position
        buoy = network.nearest((lng + rng.uniform(-0.02, 0.02), lat + rng.uniform(-0.02, 0.02)))
        return here.then(network.route(node, buoy) or network.here(node))
    return here.then(network.wander(node, rng.uniform(1_000.0, 3_000.0), rng))


def _homeward(unit: Unit, state: State, world: World) -> State:
    return _sent(unit, replace(state, order=None), Doing.RETURNING, unit.position, world)


def _sent(unit: Unit, state: State, doing: Doing, goal: Position, world: World) -> State:
    """Under way to the node nearest *goal*; one that cannot get there stays where it is, as if arrived."""
    if unit.medium == "air":
        return replace(state, doing=doing, way=straight(state.position, goal, AIR_MPS), along_m=0.0)
    network = _network(unit, world)
    here, node = state.way.ahead(state.along_m)
    route = network.route(node, network.nearest(goal)) if node >= 0 else None
    return replace(state, doing=doing, way=here.then(route) if route else here, along_m=0.0)


def _network(unit: Unit, world: World) -> Network:
    return world.ground.water if unit.medium == "water" else world.ground.roads


def _hovering(position: Position) -> Way:
    return way_of((position,), (), (-1,))
