"""Design rule 4, at random: snapshot + frames = a fresh snapshot, for several viewers of two processes."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path

import h3
import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from cop.live import follow as follow_module
from cop.live import picture as picture_module
from cop.live import session as session_module
from cop.live.held import Held
from cop.live.interest import Sight, View, view_from
from cop.live.wire import milliseconds
from layers.model import AgencyId, Feature, LayerId, Sharing, Why
from layers.sharing import visible
from tests.live.client_model import State, canonical
from tests.live.world import NOBODY, OTHER, OWN, Viewing, World, point

VIEWS = [
    None,
    {"bbox": [-10, -10, 10, 10], "zoom": 3},
    {"bbox": [0, 0, 4, 4], "zoom": 6},
    {"bbox": [2, 1, 6, 5], "zoom": 6},
    {"bbox": [170, -20, -170, 20], "zoom": 3},
    {"bbox": [3, 3, 3, 3]},
]
# The last two have one CRC-32.
IDS = st.sampled_from(["a", "b", "c", "plumless", "buckeroo"])
LIVE = st.sampled_from([LayerId(1), LayerId(2)])
# As the door rounds them, and without a negative zero.
DEGREES = st.floats(-8, 8).map(lambda degrees: round(degrees, 7) + 0.0)
LNGS = st.one_of(st.sampled_from([-180.0, -175.0, 0.0, 3.0, 179.9, 180.0]), DEGREES)
PARKED = {"a": (1.0, 1.0), "b": (3.0, 3.0), "c": (-6.0, 2.0), "plumless": (5.0, 4.0), "buckeroo": (5.5, 2.0)}
PLACES = st.builds(point, LNGS, DEGREES)
LINES = st.lists(st.tuples(LNGS, DEGREES), min_size=2, max_size=3).map(
    lambda positions: {"type": "LineString", "coordinates": [list(each) for each in positions]}
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        "callsign": st.sampled_from(["E1", "É1"]),
        "status": st.sampled_from(["available", "distress"]),
        "heading_deg": st.sampled_from([0, 90, 12.5, 12.123]),
        "speed_mps": st.sampled_from([0, 7.25]),
    },
)
SHARINGS = st.sampled_from(
    [Sharing(), Sharing(public=True), Sharing(everyone=True), Sharing(frozenset({AgencyId(2)}))]
)
WHO = st.integers(0, 3)
REMEMBERED = st.sampled_from([1, 3, 1_000])
"""How many departures a process reads when it starts."""
WHERES = st.sampled_from(
    [{}, {"status": ["available"]}, {"status": ["distress", None]}, {"kind": ["units"]}, {"agency": ["two"]}]
)


PANNED = st.builds(
    lambda west, south: {"bbox": [west, south, west + 4, south + 4], "zoom": 6},
    st.floats(0, 1.5),
    st.floats(0, 1.5),
)


def in_view(feature: Feature, view: View | None) -> bool:
    """Whether it stands in the view itself, whatever is seen around that."""
    if view is None or feature.bbox is None:
        return True
    (west, south, east, north), bbox = view.bbox, feature.bbox
    if south > bbox[3] or north < bbox[1]:
        return False
    return any(
        west <= bbox[2] + turn and (east if west <= east else east + 360) >= bbox[0] + turn
        for turn in (0, 360)
    )


def states(features: list[Feature]) -> dict[str, State]:
    """The features as a client holds them."""
    return {
        feature.id: (
            canonical(json.loads(feature.geometry or "null")),
            canonical(json.loads(feature.properties)),
            milliseconds(feature.observed_at),
            None if feature.expires_at is None else milliseconds(feature.expires_at),
        )
        for feature in features
    }


class Streams(RuleBasedStateMachine):
    """Two processes that lag behind the logs as they please, and four viewers who read as they please."""

    @initialize(room=st.sampled_from([150, 1_000_000]))
    def begin(self, room: int) -> None:
        session_module.FRAME_BYTES = room
        picture_module.CHUNK_BYTES = room // 10
        self.world = World(processes=2)
        self.seconds = 0
        hubs = self.world.hubs * 2
        self.viewings = [
            Viewing(self.world, hub, who, packing=packing)
            for hub, who, packing in zip(
                hubs, [OWN, OTHER, OTHER, NOBODY], [True, False, True, False], strict=True
            )
        ]
        self.views: list[list[object]] = [[None] for _ in range(4)]
        """All that each has looked at, by the number under which it said so."""
        self.wanted: list[dict[str, object]] = [{}] * 4
        for layer in (LayerId(1), LayerId(2)):
            for id_, (lng, lat) in PARKED.items():
                self.world.logs[layer].put(id_, point(lng, lat), callsign="E1", status="available")
            for hub in self.world.hubs:
                self.world.load(hub, layer)
        for number in range(4):
            self.subscribe(number, VIEWS[number], None, {}, None)

    def teardown(self) -> None:
        """Whatever was done, in the end everybody holds what is so."""
        try:
            self.settle()
            self.keep_scripts()
        finally:
            session_module.FRAME_BYTES, picture_module.CHUNK_BYTES = 1_000_000, 100_000

    def keep_scripts(self) -> None:
        """For the page, in a subclass."""

    @rule(layer=LIVE, id_=IDS, place=st.one_of(PLACES, LINES, st.none()), properties=PROPERTIES)
    def put(self, layer, id_, place, properties) -> None:
        self.seconds += 1
        self.world.logs[layer].put(id_, place, seconds=self.seconds, **properties)

    @rule(
        layer=LIVE,
        id_=IDS,
        place=PLACES,
        heading=st.sampled_from([None, 0, 271.5]),
        ttl=st.sampled_from([None, 60]),
    )
    def move(self, layer, id_, place, heading, ttl) -> None:
        self.seconds += 1
        course = {} if heading is None else {"heading_deg": heading}
        self.world.logs[layer].put(
            id_, place, seconds=self.seconds / 8, expires_s=ttl, callsign="E1", **course
        )

    @rule(layer=LIVE, id_=IDS, why=st.sampled_from(list(Why)))
    def gone(self, layer, id_, why) -> None:
        if id_ in self.world.logs[layer].features:
            self.world.logs[layer].gone(id_, why)

    @rule(layer=LIVE, id_=IDS)
    def late(self, layer, id_) -> None:
        if id_ in self.world.logs[layer].features:
            self.world.logs[layer].late(id_)

    @rule(layer=LIVE, sharing=SHARINGS)
    def share(self, layer, sharing) -> None:
        self.world.share(layer, sharing)

    @rule(process=st.integers(0, 1))
    def hear_of_policy(self, process) -> None:
        self.world.hubs[process].judge(self.world.directory)

    @rule(process=st.integers(0, 1), layer=LIVE, steps=st.integers(1, 4))
    def follow(self, process, layer, steps) -> None:
        self.world.follow(self.world.hubs[process], layer, steps)

    @rule(process=st.integers(0, 1), layer=LIVE, remembered=st.one_of(st.none(), REMEMBERED))
    def load(self, process, layer, remembered) -> None:
        self.world.load(self.world.hubs[process], layer, remembered=remembered)

    @rule(process=st.integers(0, 1))
    def tick(self, process) -> None:
        self.world.tick(self.world.hubs[process])

    @rule(process=st.integers(0, 1))
    def tick_in_a_hurry(self, process) -> None:
        hub = self.world.hubs[process]
        hub.clock = self.world.pass_the_time
        self.world.tick(hub)
        hub.clock = lambda: self.world.now

    @rule(who=WHO, at_most=st.integers(1, 3))
    def read(self, who, at_most) -> None:
        self.viewings[who].read(at_most)

    @rule(who=WHO, view=st.one_of(st.sampled_from(VIEWS), PANNED), settled=st.booleans())
    def look(self, who, view, settled) -> None:
        if settled:
            self.settle()
        self.viewings[who].say("view", view=view, n=self.number(who, view))

    def number(self, who: int, view: object) -> int:
        self.views[who].append(view)
        return len(self.views[who]) - 1

    @rule(
        who=WHO,
        view=st.sampled_from(VIEWS),
        layers=st.sampled_from([None, ["one.units"], ["one.units", "one.zones"]]),
        where=WHERES,
        limit=st.sampled_from([None, 1, 3]),
    )
    def subscribe(self, who, view, layers, where, limit) -> None:
        asked = {"layers": layers, "where": where, "limit": limit}
        self.wanted[who] = {name: value for name, value in asked.items() if value is not None}
        self.viewings[who].say("subscribe", view=view, n=self.number(who, view), **self.wanted[who])

    @rule(who=WHO, process=st.integers(0, 1), settled=st.booleans())
    def come_back(self, who, process, settled) -> None:
        if settled:
            self.settle()
        self.connect_anew(who, process)

    @rule(process=st.integers(0, 1), settled=st.booleans(), remembered=REMEMBERED)
    def restart(self, process, settled, remembered) -> None:
        """A process dies with all that it had in memory; its viewers come to the one that takes its place."""
        if settled:
            self.settle()
        died = self.world.hubs[process]
        self.world.restart(process, remembered=remembered)
        for who, viewing in enumerate(self.viewings):
            if viewing.hub is died:
                self.connect_anew(who, process)

    def connect_anew(self, who: int, process: int) -> None:
        """The connection is lost; the viewer comes back with what it holds."""
        viewing, model, views = self.viewings[who], self.viewings[who].model, self.views[who]
        viewing.leave()
        held = {}
        viewing.script.append({"reconnect": True})
        if model.view != len(views) - 1:
            # What it holds is neither of the old view nor of the new one: it starts with nothing.
            viewing.script[-1] = {"forget": True}
            model.forget()
        elif model.anchor != model.view:
            held = {"held": views[model.anchor]}
        viewing.connect(self.world.hubs[process])
        view, since = views[-1], model.cursors
        viewing.say("subscribe", view=view, n=self.number(who, view), since=since, **held, **self.wanted[who])

    @rule()
    def settle(self) -> None:
        """Let everything arrive: then each viewer holds what a fresh subscription would give it, and no more."""
        for viewing, views in zip(self.viewings, self.views, strict=True):
            viewing.ticked()
            self.world.now += follow_module.AHEAD_MS
            model, session = viewing.ticked(), viewing.session
            assert model.view == len(views) - 1
            followed = {layer: self.world.directory.layers[layer].name for layer in session._follows}
            allowed = {layer.id for layer in visible(viewing.viewer, self.world.directory.layers.values())}
            assert set(followed) <= allowed
            for layer, name in followed.items():
                if layer != 3:
                    seen = self.seen(layer, view_from(views[-1]), session._sight)
                    summed = session._follows[layer].sums is not None
                    assert model.layers[name] == ({} if summed else states(seen))
                    assert model.cells[name] == (self.sums(layer, session._sight) if summed else {})
            viewing.script.append({"expect": model.held()})

    def seen(self, layer: LayerId, view: View | None, sight: Sight) -> list[Feature]:
        """What is in sight, straight from the layer; all that is in view is."""
        features = self.world.logs[layer].features.values()
        seen = [feature for feature in features if Held(feature, feature.id).seen_by(sight)]
        for feature in features:
            status = json.loads(feature.properties).get("status")
            wanted = sight.statuses is None or status in sight.statuses
            must = wanted and (in_view(feature, view) or status == "distress")
            assert (feature in seen) if must else (wanted or feature not in seen)
        return seen

    def sums(self, layer: LayerId, sight: Sight) -> dict[str, tuple[int, str | None, int]]:
        """Counts, worst statuses and oldest observations by cell, in the plainest way; a shape counts in its middle."""
        resolution = 1 if sight.resolution is None else sight.resolution + 1
        cells: dict[str, list[tuple[str | None, int]]] = {}
        for feature in self.world.logs[layer].features.values():
            status = json.loads(feature.properties).get("status")
            if feature.bbox is not None and (sight.statuses is None or status in sight.statuses):
                west, south, east, north = feature.bbox
                finest = h3.latlng_to_cell((south + north) / 2, (west + east) / 2, 12)
                inside = cells.setdefault(h3.cell_to_parent(finest, resolution), [])
                inside.append((status, milliseconds(feature.observed_at)))
        worst_first = ["distress", "available", None]
        return {
            cell: (
                len(inside),
                min((status for status, _ in inside), key=worst_first.index),
                min(observed_ms for _, observed_ms in inside),
            )
            for cell, inside in cells.items()
            if "distress" in dict(inside) or sight.holds(h3.str_to_int(h3.cell_to_center_child(cell, 12)))
        }

    @invariant()
    def nobody_holds_a_layer_that_its_process_knows_to_be_hidden(self) -> None:
        for viewing in getattr(self, "viewings", ()):
            viewing_of = {layer.name for layer in viewing.hub.visible_to(viewing.viewer)}
            session = viewing.session
            told_all = not (session._notices or session._frame or session._asked)
            assert not told_all or viewing.model.layers.keys() <= viewing_of


Streams.TestCase.settings = settings(
    max_examples=300, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestStreams = Streams.TestCase


@pytest.mark.slow
def test_the_page_folds_the_same_messages_to_the_same_picture(tmp_path):
    """What the viewers of some random sequences were sent, played to the page's own code."""
    count = itertools.count()

    class Recorded(Streams):
        def keep_scripts(self) -> None:
            for viewing in self.viewings:
                lines = "\n".join(map(json.dumps, viewing.script))
                (tmp_path / f"{next(count)}.jsonl").write_text(lines, encoding="utf-8")

    run_state_machine_as_test(Recorded, settings=settings(Streams.TestCase.settings, max_examples=60))
    done = subprocess.run(  # noqa: PLW1510 - the words are wanted with the failure
        [sys.executable, "hatch_build.py", "replay"],
        cwd=Path(__file__).parents[2],
        env=os.environ | {"COP_REPLAYS": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert next(count) >= 4 * 50
