"""What a watcher makes of messages: nothing twice, nothing missed, a reset as differences."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from cop.live import session as session_module
from cop.live import wire
from cop.live.hub import Hub
from cop.live.session import Pass
from cop.watch import PROTOCOL
from cop.watching.changes import Kind
from cop.watching.fold import LIMIT, Fold, Wanted
from layers.model import LayerId, Sharing, Why
from layers.sharing import visible
from tests.live.client_model import state_of
from tests.live.mirror import Mirror
from tests.live.world import NOBODY, OTHER, OWN, World, point

EPOCH = "6f1e2a34-0000-4000-8000-000000000001"
UNITS = "cfd.units"


def hello(*names: str, operations: dict[str, list[str]] | None = None) -> dict[str, Any]:
    layers = [{"id": name, "kind": "units", "status": "exercise", "stream": "live"} for name in names]
    drawn = [{"id": slug, "layers": layers} for slug, layers in (operations or {}).items()]
    return {"type": "hello", "server_time": 0, "layers": layers, "operations": drawn}


def put(id_: str, lng: float = 1.0, observed_at: int = 5, **properties: Any) -> dict[str, Any]:
    at = {"observed_at": observed_at, "expires_at": None}
    return {"id": id_, "geometry": point(lng, 2.0), "properties": properties, **at}


def frame(from_: int, to: int, view: int | None = None, **lists: Any) -> dict[str, Any]:
    part = {"epoch": EPOCH, "from": from_, "to": to, **lists}
    return {"type": "frame", "time": 9, "layers": {UNITS: part}} | ({} if view is None else {"view": view})


@pytest.fixture
def fold() -> Fold:
    """A watcher that holds `a` and `b` at revision 7."""
    made = Fold(Wanted((UNITS,)))
    made.subscription()
    made.apply(hello(UNITS))
    made.apply(frame(0, 7, 1, reset=True, put=[put("a"), put("b", status="on_scene")]))
    return made


def told(fold: Fold, message: dict[str, Any]) -> list[tuple[str, str | None, str | None]]:
    return [(change.kind.value, change.id, change.why) for change in fold.apply(message)]


def test_a_frame_that_does_not_follow_breaks_the_connection_and_changes_nothing(fold):
    assert told(fold, frame(8, 9, put=[put("c")])) == []
    assert fold.broken == UNITS
    assert fold.subscription()["since"] == {}


def test_a_frame_of_another_epoch_does_not_follow(fold):
    message = frame(7, 8, put=[put("c")])
    message["layers"][UNITS]["epoch"] = EPOCH.replace("1", "2")
    assert told(fold, message) == []
    assert fold.broken == UNITS


def test_a_move_of_what_is_not_held_breaks_the_connection(fold):
    fold.apply(frame(7, 8, move=[["nobody", 1.0, 2.0, 6, None, None]]))
    assert fold.broken == UNITS


def test_a_frame_of_a_layer_that_was_never_begun_is_no_picture():
    fold = Fold(Wanted())
    fold.subscription()
    assert told(fold, frame(0, 3, put=[put("a")])) == []
    assert fold.broken == UNITS


def test_messages_of_a_later_version_are_passed_over(fold):
    assert fold.apply({"type": "weather", "outlook": "grim"}) == []


def test_what_is_told_again_is_not_told_again(fold):
    assert told(fold, frame(7, 8, put=[put("a")], gone=[["nobody", "deleted"]])) == []


def test_true_and_one_are_not_the_same(fold):
    fold.apply(frame(7, 8, put=[put("a", siren=1)]))
    assert told(fold, frame(8, 9, put=[put("a", siren=True)])) == [("put", "a", None)]


def test_a_move_carries_the_whole_feature_with_aware_times(fold):
    (change,) = fold.apply(frame(7, 8, move=[["b", 3.0, 4.0, 1_000, 90, None]]))
    assert change.kind is Kind.MOVED
    assert change.feature["geometry"] == point(3.0, 4.0)
    assert change.feature["properties"]["observed_at"].isoformat() == "1970-01-01T00:00:01+00:00"
    assert change.feature["properties"]["status"] == "on_scene"
    assert (change.feature["status"], change.cursor) == ("exercise", f"{EPOCH}:8")


def test_a_lifetime_that_counts_from_the_observation_moves_along(fold):
    fold.apply(frame(7, 8, put=[put("a") | {"expires_at": 105}]))
    fold.apply(frame(8, 9, move=[["a", 3.0, 4.0, 25, None, None]]))
    assert fold.layers[UNITS].features["a"].expires_ms == 125


def test_gone_says_why_and_where_it_was_last(fold):
    (change,) = fold.apply(frame(7, 8, gone=[["a", "filter"]]))
    assert (change.kind, change.why, change.feature["geometry"]) == (Kind.GONE, "filter", point(1.0, 2.0))


def test_a_reset_is_told_as_differences(fold):
    fold.subscription()
    again = frame(0, 9, 2, reset=True, put=[put("a"), put("c")])
    assert told(fold, again) == [("put", "c", None), ("gone", "b", "unknown"), ("current", None, None)]


def test_nothing_is_gone_until_the_reset_is_whole(fold):
    assert told(fold, frame(0, 0, reset=True, put=[put("c")])) == [("put", "c", None)]
    assert told(fold, frame(0, 9, put=[put("b", status="on_scene")])) == [("gone", "a", "unknown")]


def test_a_reset_that_is_cut_off_begins_again_and_still_tells_only_differences(fold):
    fold.apply(frame(0, 0, reset=True, put=[put("c")]))
    assert fold.subscription()["since"] == {}
    again = frame(0, 9, reset=True, put=[put("a")])
    assert told(fold, again) == [("gone", "b", "unknown"), ("gone", "c", "unknown")]


@pytest.mark.parametrize("end", [frame(0, 0, 2), {"type": "frame", "time": 9, "layers": {}}])
def test_a_reset_to_nothing_ends_with_the_view_or_when_nothing_is_owed(fold, end):
    fold.subscription()
    assert told(fold, frame(0, 0, reset=True)) == []
    fold.apply(end)
    assert fold.layers[UNITS].features == {}


def test_cursors_of_whole_layers_go_along_and_none_else(fold):
    assert fold.subscription()["since"] == {UNITS: f"{EPOCH}:7"}
    fold.apply(frame(0, 0, reset=True))
    assert fold.subscription()["since"] == {}


def test_current_is_told_once_a_connection(fold):
    fold.subscription()
    assert told(fold, frame(7, 7, 2)) == [("current", None, None)]
    assert told(fold, frame(7, 7, 2)) == []


def test_a_revoked_layer_takes_its_features_along(fold):
    assert told(fold, {"type": "revoked", "layer": UNITS}) == [
        ("gone", "a", "revoked"),
        ("gone", "b", "revoked"),
        ("revoked", None, None),
    ]
    assert told(fold, {"type": "revoked", "layer": UNITS}) == []


def test_a_layer_that_comes_into_sight_later_is_current_by_itself_once_it_is_whole(fold):
    fold.apply({"type": "revoked", "layer": UNITS})
    assert told(fold, frame(0, 0, reset=True, put=[put("a")])) == [("put", "a", None)]
    change = fold.apply(frame(0, 9, put=[put("b")]))[-1]
    assert (change.kind, change.layer, change.cursor) == (Kind.CURRENT, UNITS, f"{EPOCH}:9")
    assert told(fold, frame(9, 10, put=[put("c")])) == [("put", "c", None)]


def test_so_is_one_without_features(fold):
    fold.apply({"type": "revoked", "layer": UNITS})
    assert told(fold, frame(0, 0, reset=True)) == []
    nothing_owed = {"type": "frame", "time": 9, "layers": {}}
    assert told(fold, nothing_owed) == [("current", None, None)]
    assert told(fold, nothing_owed) == []


def test_a_log_that_begins_anew_is_no_new_layer(fold):
    assert told(fold, frame(0, 9, reset=True, put=[put("a")])) == [("gone", "b", "unknown")]


def test_a_layer_that_hello_no_longer_names_is_revoked(fold):
    fold.subscription()
    assert told(fold, hello("cfd.other"))[-1] == ("revoked", None, None)


def test_a_layer_that_left_the_operation_meanwhile_is_revoked():
    fold = Fold(Wanted(operation="flood"))
    fold.subscription()
    fold.apply(hello(UNITS, operations={"flood": [UNITS]}))
    fold.apply(frame(0, 7, 1, reset=True, put=[put("a")]))
    fold.subscription()
    assert told(fold, hello(UNITS, operations={"flood": []}))[-1] == ("revoked", None, None)


def test_a_layer_too_full_is_summed_and_comes_back_whole(fold):
    cells = [["872664c1effffff", 30_000, "distress", 5], ["872664c1affffff", 2, None, 5]]
    changes = fold.apply(frame(0, 0, reset=True, cells=cells))
    assert [(each.kind.value, each.why) for each in changes[:2]] == [("gone", "summed")] * 2
    assert (changes[2].kind, changes[2].count) == (Kind.SUMMED, 30_002)
    (change,) = fold.apply(frame(0, 0, cells=[["872664c1affffff", 0, None, 0]]))
    assert change.count == 30_000
    assert fold.subscription()["since"] == {}
    assert told(fold, frame(0, 9, reset=True, put=[put("a")])) == [("put", "a", None)]
    assert fold.layers[UNITS].cells is None


def test_a_tiled_layer_only_says_that_it_has_changed():
    fold = Fold(Wanted())
    fold.subscription()
    message = hello(UNITS)
    message["layers"][0]["stream"] = "tiled"
    fold.apply(message)
    assert told(fold, frame(7, 7, reset=True)) == [("advanced", None, None)]
    assert fold.subscription()["since"] == {UNITS: f"{EPOCH}:7"}
    assert told(fold, frame(7, 7, reset=True)) == []


def test_silence_is_told_once_and_so_is_its_end(fold):
    silent = {"type": "stale", "layer": UNITS, "since": 1_000}
    assert told(fold, silent) == [("silent", None, None)]
    assert told(fold, silent) == []
    assert told(fold, silent | {"since": None}) == [("heard", None, None)]


def test_silence_that_ended_while_away_has_ended(fold):
    fold.apply({"type": "stale", "layer": UNITS, "since": 1_000})
    fold.subscription()
    assert told(fold, frame(7, 7, 2)) == [("heard", None, None), ("current", None, None)]


def test_what_the_service_misses_is_told_and_when_it_is_whole_again(fold):
    assert told(fold, {"type": "missing", "since": 1_000}) == [("missing", None, None)]
    assert told(fold, {"type": "missing", "since": None}) == [("complete", None, None)]


def test_what_a_watcher_asks_for_is_what_the_service_grants():
    assert (PROTOCOL, LIMIT) == (wire.PROTOCOL, wire.MAX_LIMIT)


def test_the_subscription_says_all_that_was_asked_for():
    wanted = Wanted(("a.b",), "flood", (-88.0, 41.0, -87.0, 42.0), {"status": ["on_scene", None]})
    message = Fold(wanted).subscription()
    assert (message["layers"], message["operation"]) == (["a.b"], "flood")
    assert message["view"] == {"bbox": [-88.0, 41.0, -87.0, 42.0]}
    assert message["where"] == {"status": ["on_scene", None]}


# At random: what the changes alone add up to is what the log holds, whatever is cut off, reset or taken back.

IDS = st.sampled_from(["a", "b", "c", "d"])
LIVE = st.sampled_from([LayerId(1), LayerId(2)])
WHO = st.integers(0, 2)


class Watcher:
    """A session of a hub, read as a socket would be, into a fold and from there into a mirror."""

    def __init__(self, hub: Hub, viewer: Any, limit: int) -> None:
        self.viewer = viewer
        self.limit = limit
        self.fold = Fold(Wanted())
        self.mirror = Mirror()
        self.connect(hub)

    def connect(self, hub: Hub) -> None:
        self.hub, self.session = hub, hub.join(Pass(self.viewer))
        self.session.receive(orjson.dumps(self.fold.subscription() | {"limit": self.limit}).decode())

    def read(self, at_most: int = 1_000_000) -> int:
        read = 0
        while read < at_most and (message := self.session.take()) is not None:
            self.mirror.fold(self.fold.apply(orjson.loads(wire.whole(message))))
            assert self.fold.broken is None
            read += 1
        return read


class Watching(RuleBasedStateMachine):
    """Two processes that lag behind, three watchers that read as they please and are cut off at any moment."""

    @initialize(room=st.sampled_from([150, 1_000_000]))
    def begin(self, room: int) -> None:
        session_module.FRAME_BYTES = room
        self.world = World(processes=2)
        self.seconds = 0
        hubs = [*self.world.hubs, self.world.hubs[0]]
        whose = zip(hubs, (OWN, OTHER, NOBODY), (LIMIT, 2, LIMIT), strict=True)
        self.watchers = [Watcher(*each) for each in whose]

    def teardown(self) -> None:
        session_module.FRAME_BYTES = 1_000_000

    @rule(layer=LIVE, id_=IDS, lng=st.floats(-8, 8), sign=st.sampled_from(["E1", "É1"]))
    def put(self, layer, id_, lng, sign) -> None:
        self.seconds += 1
        self.world.logs[layer].put(id_, point(lng, 1.0), seconds=self.seconds, callsign=sign)

    @rule(layer=LIVE, id_=IDS, why=st.sampled_from(list(Why)))
    def gone(self, layer, id_, why) -> None:
        if id_ in self.world.logs[layer].features:
            self.world.logs[layer].gone(id_, why)

    @rule(layer=LIVE, sharing=st.sampled_from([Sharing(), Sharing(public=True), Sharing(everyone=True)]))
    def share(self, layer, sharing) -> None:
        self.world.share(layer, sharing)
        for hub in self.world.hubs:
            hub.judge(self.world.directory)

    @rule(process=st.integers(0, 1), layer=LIVE, steps=st.integers(1, 4))
    def follow(self, process, layer, steps) -> None:
        self.world.follow(self.world.hubs[process], layer, steps)

    @rule(process=st.integers(0, 1), layer=LIVE)
    def load(self, process, layer) -> None:
        self.world.load(self.world.hubs[process], layer)

    @rule(process=st.integers(0, 1))
    def tick(self, process) -> None:
        self.world.tick(self.world.hubs[process])

    @rule(who=WHO, at_most=st.integers(1, 3))
    def read(self, who, at_most) -> None:
        self.watchers[who].read(at_most)

    @rule(who=WHO, process=st.integers(0, 1), first=st.integers(0, 4))
    def come_back(self, who, process, first) -> None:
        watcher = self.watchers[who]
        for _ in range(first):  # cut off with some of what is owed told
            self.world.tick(watcher.hub)
            watcher.read(1)
        watcher.hub.leave(watcher.session)
        watcher.connect(self.world.hubs[process])

    @rule()
    def settle(self) -> None:
        for watcher in self.watchers:
            for wait_ms in (10_000, 5_000):  # a cursor may be ahead so long; an empty frame comes after that
                self.world.now += wait_ms
                self.world.catch_up(watcher.hub)
                self.world.tick(watcher.hub)
                while watcher.read():
                    self.world.tick(watcher.hub)
            assert watcher.fold.current
            seen = {layer.name for layer in visible(watcher.viewer, self.world.directory.layers.values())}
            for layer in (LayerId(1), LayerId(2)):
                name = self.world.directory.layers[layer].name
                truth = self.truth(layer) if name in seen else {}
                held = watcher.fold.layers.get(name)
                if held is not None and held.cells is not None:
                    assert sum(count for count, _, _ in held.cells.values()) == len(truth)
                    truth = {}
                assert watcher.mirror.layer(name) == truth

    def truth(self, layer: LayerId) -> dict[str, Any]:
        features = self.world.logs[layer].features.values()
        return {
            each.id: state_of(
                {
                    "geometry": orjson.loads(each.geometry or "null"),
                    "properties": orjson.loads(each.properties),
                    "observed_at": int(each.observed_at.timestamp() * 1000),
                    "expires_at": None,
                }
            )
            for each in features
        }


Watching.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWatching = Watching.TestCase
