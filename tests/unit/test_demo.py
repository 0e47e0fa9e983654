"""The exercise without its processes: ways on the streets, units that follow them, a plot that repeats."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from random import Random

import pytest
import shapely

import web
from cop.demo import plot, scenario, units
from cop.demo.agency import Fleet, unit_feature
from cop.demo.plot import Plot, incident_feature, zone_features
from cop.demo.roads import Ground, Network, Way, distance_m, heading_deg, load_ground, straight
from cop.demo.run import another_link
from cop.demo.streets import CLASSES, street_features
from cop.demo.units import Doing, Order, Unit, World
from layers.admission import admit
from layers.kinds import KINDS
from layers.model import AgencyId, JsonObject, Layer, LayerId, LayerName, Status

LAYERS = [publication.name for publication in scenario.PUBLICATIONS]
SEED = 7


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    return load_ground(web.ROOT / "basemap" / "chicago.pmtiles", tmp_path_factory.mktemp("ground"))


@pytest.fixture(scope="module")
def world(ground: Ground) -> World:
    return scenario.world_of(ground, SEED)


def streets(network: Network) -> shapely.STRtree:
    """Every edge as a line in degrees."""
    return shapely.STRtree([shapely.LineString(network.points[a:b]) for a, b in pairwise(network.offsets)])


def metres_off(tree: shapely.STRtree, position: tuple[float, float]) -> float:
    point = shapely.Point(position)
    line = tree.geometries[tree.nearest(point)]
    nearest = shapely.get_coordinates(shapely.shortest_line(point, line))
    return distance_m(tuple(nearest[0]), tuple(nearest[1]))


# Ways.


@pytest.mark.parametrize(
    ("url", "setting"),
    [
        ("http://127.0.0.1:8601", "COP_PORT=8601 "),
        ("http://127.0.0.1:8600", "COP_PORT=8600 "),
        ("https://demo.test", ""),
    ],
)
def test_the_hint_names_the_port_that_the_demo_found_free(url: str, setting: str) -> None:
    assert another_link(url) == f"{setting}.venv/bin/cop ticket --agency oem --scope plan"


def test_distance_and_heading_are_those_of_the_sphere() -> None:
    assert distance_m((-87.7, 41.87), (-87.7, 41.88)) == pytest.approx(1_112, abs=1)
    assert distance_m((-87.70, 41.87), (-87.69, 41.87)) == pytest.approx(828, abs=2)
    assert heading_deg((-87.7, 41.87), (-87.7, 41.88)) == pytest.approx(0)
    assert heading_deg((-87.70, 41.87), (-87.69, 41.87)) == pytest.approx(90)
    assert heading_deg((-87.69, 41.87), (-87.70, 41.87)) == pytest.approx(270)


def test_streets_of_the_basemap_hang_together(ground: Ground) -> None:
    corners = [(-87.79, 41.78), (-87.60, 41.79), (-87.79, 41.96), (-87.65, 41.96), (-87.63, 41.88)]
    nodes = [ground.roads.nearest(corner) for corner in corners]
    for start, goal in pairwise([*nodes, nodes[0]]):
        assert ground.roads.route(start, goal) is not None


def test_route_is_as_quick_as_the_quickest(ground: Ground) -> None:
    """Dijkstra without a heuristic is the oracle."""
    network = ground.roads
    start, goal = network.nearest((-87.66, 41.85)), network.nearest((-87.63, 41.87))
    quickest = {start: 0.0}
    changed = [start]
    while changed:
        node = changed.pop()
        for edge, other in network.around[node]:
            cost = quickest[node] + network.lengths_m[edge] / network.limits_mps[edge]
            if cost < min(quickest.get(other, 1e9), 600.0):
                quickest[other] = cost
                changed.insert(0, other)
    way = network.route(start, goal)
    assert way is not None
    takes_s = sum((b - a) / limit for (a, b), limit in zip(pairwise(way.metres), way.limits_mps, strict=True))
    assert takes_s == pytest.approx(quickest[goal], rel=1e-6)


def test_route_between_waters_that_do_not_meet_is_none(ground: Ground) -> None:
    lake, river = ground.water.nearest((-87.59, 41.90)), ground.water.nearest((-87.70, 41.83))
    assert ground.water.route(lake, river) is None


def test_wandering_turns_back_only_in_dead_ends(ground: Ground) -> None:
    start = ground.roads.nearest((-87.68, 41.88))
    way = ground.roads.wander(start, 20_000, Random(1))
    assert 20_000 <= way.length_m < 22_000
    for i in range(1, len(way.points) - 1):
        if way.points[i - 1] == way.points[i + 1]:
            assert len({other for _, other in ground.roads.around[way.nodes[i]]}) == 1


def test_what_is_ahead_begins_here_and_ends_at_a_node(ground: Ground) -> None:
    way = ground.roads.wander(ground.roads.nearest((-87.68, 41.88)), 2_000, Random(2))
    for along_m in (0.0, 17.0, way.length_m / 2, way.length_m):
        rest, node = way.ahead(along_m)
        assert rest.points[0] == pytest.approx(way.at(along_m)[0])
        assert rest.points[-1] == ground.roads.nodes[node]


def test_ground_is_the_same_from_the_cache(tmp_path: Path, ground: Ground) -> None:
    basemap = web.ROOT / "basemap" / "chicago.pmtiles"
    built, cached = load_ground(basemap, tmp_path), load_ground(basemap, tmp_path)
    assert built.roads.points == cached.roads.points == ground.roads.points
    assert len(list(tmp_path.iterdir())) == 1


# The layer of streets.


@pytest.fixture(scope="module")
def published(ground: Ground) -> list[JsonObject]:
    return street_features(ground.roads)


def test_streets_are_taken_as_a_layer_of_roads(published: list[JsonObject]) -> None:
    layer = Layer(LayerId(1), LayerName("oem.roads"), AgencyId(1), "roads", Status.EXERCISE)
    now = datetime(2026, 11, 22, tzinfo=UTC)
    ids = {admit(feature, layer, now, "").id for feature in published}
    assert len(ids) == len(published)


def test_streets_are_as_long_at_each_speed_as_the_network(
    ground: Ground, published: list[JsonObject]
) -> None:
    lengths = defaultdict[str, float](float)
    for feature in published:
        line = [tuple(point) for point in feature["geometry"]["coordinates"]]
        lengths[feature["properties"]["road_class"]] += sum(distance_m(a, b) for a, b in pairwise(line))
    wanted = defaultdict[str, float](float)
    for length, limit in zip(ground.roads.lengths_m, ground.roads.limits_mps, strict=True):
        wanted[CLASSES[limit]] += length
    assert dict(lengths) == pytest.approx(dict(wanted), rel=1e-4)


def test_streets_have_a_vertex_in_common_only_where_the_network_has_a_node(
    ground: Ground, published: list[JsonObject]
) -> None:
    seen = Counter(tuple(point) for feature in published for point in feature["geometry"]["coordinates"])
    shared = {point for point, count in seen.items() if count > 1}
    assert shared <= set(ground.roads.nodes)
    assert len(shared) > 10_000


def test_a_street_goes_on_straight_across_a_crossing(published: list[JsonObject]) -> None:
    assert len(published) < 6_000
    longest = max(published, key=lambda feature: shapely.geometry.shape(feature["geometry"]).length)
    line = [tuple(point) for point in longest["geometry"]["coordinates"]]
    assert distance_m(line[0], line[-1]) > 10_000


# Units.


def drive(unit: Unit, world: World, orders: dict[int, Order], seconds: int) -> list[units.State]:
    """States second by second; *orders* from each second on, None where the incident is over."""
    rng, order = Random(3), None
    states = [units.at_home(unit, 0.0, world, rng)]
    for now_s in range(1, seconds):
        order = orders.get(now_s, order)
        states.append(
            units.step(
                unit, states[-1], now_s, 1.0, order=order if order and order.incident else None,
                distress=False, world=world, rng=rng,
            )
        )  # fmt: skip
    return states


def medic(ground: Ground) -> Unit:
    home = ground.roads.nearest((-87.68, 41.88))
    return Unit("m", "M", "medic", "ems.units", "road", home, ground.roads.nodes[home], transports=True)


def test_called_unit_goes_through_the_whole_response(ground: Ground, world: World) -> None:
    there = Order("LS-1", ground.roads.nodes[ground.roads.nearest((-87.66, 41.88))])
    states = drive(medic(ground), world, {5: there, 900: Order("", there.position)}, 3_600)
    seen = list(dict.fromkeys(state.doing for state in states))
    assert seen[:4] == [Doing.AVAILABLE, Doing.DISPATCHED, Doing.EN_ROUTE, Doing.ON_SCENE]
    assert Doing.RETURNING in seen
    on_scene = next(state for state in states if state.doing is Doing.ON_SCENE)
    assert distance_m(on_scene.position, there.position) < 1.0
    assert distance_m(states[-1].position, medic(ground).position) < 1.0


def test_unit_in_distress_stands_still_and_says_so(ground: Ground, world: World) -> None:
    unit = medic(ground)
    way = ground.roads.wander(unit.home, 3_000, Random(4))
    moving = units.State(
        Doing.EN_ROUTE, way, along_m=500.0, speed_mps=12.0, order=Order("LS-1", way.points[-1])
    )
    state = units.step(unit, moving, 1.0, 1.0, order=None, distress=True, world=world, rng=Random(5))
    assert (state.position, state.speed_mps) == (moving.position, 0.0)
    assert units.properties(unit, state)["status"] == "distress"


def test_no_unit_outruns_its_speed_or_leaps(ground: Ground, world: World) -> None:
    there = Order("LS-1", ground.roads.nodes[ground.roads.nearest((-87.70, 41.91))])
    for before, after in pairwise(drive(medic(ground), world, {5: there}, 900)):
        assert (
            distance_m(before.position, after.position)
            <= max(before.speed_mps, after.speed_mps) + units.FASTER_MPS2
        )
        assert after.speed_mps <= 25.0 * units.URGENT


@pytest.fixture(scope="module")
def played(ground: Ground, world: World) -> list[tuple[int, dict[Unit, units.State]]]:
    """Ten minutes of a fleet of 300, sampled every half minute."""
    everyone = scenario.fleet_of(LAYERS, ground, SEED, 300)
    fleet = Fleet(everyone, Plot(ground, everyone, SEED), world, SEED)
    samples = []
    for now_s in range(-210, 390, 30):
        fleet.advance(now_s)
        samples.append((now_s, dict(fleet.states)))
    return samples


def test_road_units_stay_on_the_streets(
    ground: Ground, played: list[tuple[int, dict[Unit, units.State]]]
) -> None:
    tree = streets(ground.roads)
    off = [
        metres_off(tree, state.position)
        for _, states in played
        for unit, state in states.items()
        if unit.medium == "road"
    ]
    assert max(off) < 3.0


def test_boats_stay_on_the_water(ground: Ground, played: list[tuple[int, dict[Unit, units.State]]]) -> None:
    tree = streets(ground.water)
    boats = [state for _, states in played for unit, state in states.items() if unit.medium == "water"]
    assert max(metres_off(tree, state.position) for state in boats) < 3.0
    assert all(state.position[0] > scenario.shore_lng(state.position[1]) - 0.2 for state in boats)


def test_fleet_is_busy_in_every_way(played: list[tuple[int, dict[Unit, units.State]]]) -> None:
    doing = Counter(state.doing for _, states in played for state in states.values())
    assert {Doing.AVAILABLE, Doing.DISPATCHED, Doing.EN_ROUTE, Doing.ON_SCENE} <= set(doing)
    moving = [state.speed_mps for _, states in played[10:] for state in states.values() if state.speed_mps]
    assert len(moving) > 10 * 300 * 0.2
    assert any(state.silent_until_s > now_s for now_s, states in played for state in states.values())


def test_same_seed_plays_the_same_in_whatever_steps(ground: Ground, world: World) -> None:
    everyone = scenario.fleet_of(LAYERS, ground, SEED, 60)
    in_one, by_second = (Fleet(everyone, Plot(ground, everyone, SEED), world, SEED) for _ in range(2))
    in_one.advance(-100)
    for now_s in range(-239, -99):
        by_second.advance(now_s)
    assert {u: s.position for u, s in in_one.states.items()} == {
        u: s.position for u, s in by_second.states.items()
    }


def test_agencies_apart_see_the_same_orders_as_together(ground: Ground, world: World) -> None:
    everyone = scenario.fleet_of(LAYERS, ground, SEED, 60)
    fire = [unit for unit in everyone if unit.layer == "cfd.units"]
    apart = Fleet(fire, Plot(ground, everyone, SEED), world, SEED)
    together = Fleet(everyone, Plot(ground, everyone, SEED), world, SEED)
    apart.advance(0)
    together.advance(0)
    assert all(apart.states[unit].position == together.states[unit].position for unit in fire)


def test_silent_unit_reports_nothing(ground: Ground, world: World) -> None:
    everyone = scenario.fleet_of(["cfd.units"], ground, SEED, 200)
    fleet = Fleet(everyone, Plot(ground, everyone, SEED), world, SEED)
    for now_s in range(-239, 0):
        fleet.advance(now_s)
        due = fleet.reporting()
        assert not any(fleet.states[u].silent_until_s > now_s and not fleet.states[u].distress for u in due)


def test_every_unit_is_heard_within_five_seconds(ground: Ground, world: World) -> None:
    everyone = scenario.fleet_of(["ems.units"], ground, SEED, 200)
    fleet = Fleet(everyone, Plot(ground, everyone, SEED), world, SEED)
    heard = set()
    for now_s in range(-239, -234):
        fleet.advance(now_s)
        heard.update(fleet.reporting())
    assert heard == set(everyone)


# The scenario and the plot.


def test_nine_hundred_units_have_ids_of_their_own(ground: Ground) -> None:
    everyone = scenario.fleet_of(LAYERS, ground, SEED, scenario.ALL_UNITS)
    assert len(everyone) == scenario.ALL_UNITS == 900
    assert len({(unit.layer, unit.id) for unit in everyone}) == 900


def test_smaller_fleet_has_the_ids_of_the_larger_one(ground: Ground) -> None:
    few, many = (scenario.fleet_of(LAYERS, ground, SEED, count) for count in (30, 900))
    assert {unit.id for unit in few} < {unit.id for unit in many}


def test_west_side_is_left_uncovered(ground: Ground) -> None:
    west, south, east, north = scenario.GAP
    middle = ((west + east) / 2, (south + north) / 2)
    stations = scenario.standing("cfd.stations", ground, SEED)
    assert min(distance_m(tuple(s["geometry"]["coordinates"]), middle) for s in stations) > 1_700
    districts = [
        shapely.geometry.shape(d["geometry"]) for d in scenario.standing("ems.coverage", ground, SEED)
    ]
    assert not any(district.contains(shapely.Point(middle)) for district in districts)
    assert any(district.contains(shapely.Point(-87.65, 41.88)) for district in districts)
    homes = [unit.position for unit in scenario.fleet_of(["cfd.units", "ems.units"], ground, SEED, 900)]
    assert not any(west <= lng <= east and south <= lat <= north for lng, lat in homes)


def test_nobody_is_sent_to_two_incidents_at_once(ground: Ground) -> None:
    everyone = scenario.fleet_of(LAYERS, ground, SEED, 300)
    drawn = Plot(ground, everyone, SEED)
    for now_s in range(-300, 3_000, 60):
        still_open = [each for each in drawn.open_at(now_s) if each.closes_s > now_s]
        sent = Counter(who for incident in still_open for who in incident.units)
        assert not sent or max(sent.values()) == 1


def test_incidents_open_grow_and_close(ground: Ground) -> None:
    everyone = scenario.fleet_of(LAYERS, ground, SEED, 900)
    drawn = Plot(ground, everyone, SEED)
    stories: dict[str, list[str]] = {}
    sizes: dict[str, list[float]] = {}
    for now_s in range(0, 3_600, 20):
        for incident in drawn.open_at(now_s):
            feature = incident_feature(incident, now_s)
            stories.setdefault(incident.id, []).append(feature["properties"]["status"])
            sizes.setdefault(incident.id, []).append(shapely.geometry.shape(feature["geometry"]).area)
    whole = [story for story in stories.values() if story[-1] == "closed"]
    assert len(whole) > 30
    assert all(list(dict.fromkeys(story))[-3:] == ["open", "contained", "closed"] for story in whole[-5:])
    assert any(max(areas) > 4 * areas[0] > 0 for areas in sizes.values())


def test_zones_stand_only_while_it_floods_badly(ground: Ground) -> None:
    everyone = scenario.fleet_of(LAYERS, ground, SEED, 100)
    drawn = Plot(ground, everyone, SEED)
    counts = [
        len(zone_features("oem.zones", drawn.open_at(now_s), now_s))
        for now_s in range(0, int(plot.TIDE_S), 60)
    ]
    assert min(counts) < max(counts) <= len(plot.STRETCHES)


def test_only_surveillance_is_kept_from_the_host() -> None:
    kept = [each.name for each in scenario.PUBLICATIONS if not each.shared_with]
    assert kept == ["cpd.surveillance"]
    assert [each.name for each in scenario.PUBLICATIONS if each.shared_with == ("oem",)] == ["cpd.tactical"]


def test_every_layer_is_of_a_known_kind_and_an_agency_of_the_exercise() -> None:
    slugs = {party.slug for party in scenario.PARTIES}
    assert all(each.kind in KINDS and each.agency in slugs for each in scenario.PUBLICATIONS)


def test_reports_are_plain_json(ground: Ground, played: list[tuple[int, dict[Unit, units.State]]]) -> None:
    for unit, state in played[-1][1].items():
        feature = unit_feature(unit, state, "2026-11-22T08:00:00+00:00")
        assert 0 <= feature["properties"].get("heading_deg", 0) < 360
        assert json.loads(json.dumps(feature, allow_nan=False)) == feature


def test_straight_way_of_no_length_has_no_heading() -> None:
    here = (-87.6, 41.9)
    assert isinstance(way := straight(here, here, 50.0), Way)
    assert way.at(0.0) == (here, None, 0.0)
