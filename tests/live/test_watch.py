"""`Client.watch` against the real service, and against one that misbehaves on purpose."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.http11 import Request, Response

from cop import watch as watch_module
from cop.client import Client, ProblemError
from cop.watch import Watch
from cop.watching.changes import Kind
from layers.credentials import revoke
from tests.live.conftest import feature, zone
from tests.live.dialogue import truth
from tests.live.mirror import Mirror
from tests.live.test_watch_fold import frame, hello, put

PATIENCE_S = 20.0
CHICAGO = (-88.0, 41.6, -87.4, 42.1)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch_module, "pause_s", lambda attempt: 0.001 * attempt)


class Following:
    """A watch whose changes go into a mirror; `until` waits for what that is to hold."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch
        self.mirror = Mirror()
        self.waits: list[tuple[str, float]] = []
        self._changes = aiter(watch)

    async def until(self, holds: Callable[[Mirror], object]) -> Mirror:
        async with asyncio.timeout(PATIENCE_S):
            while not holds(self.mirror):
                self.mirror.fold([await anext(self._changes)])
        return self.mirror

    async def current(self, times: int = 1) -> Mirror:
        return await self.until(lambda mirror: mirror.kinds().count("current") == times)

    async def holding(self, *ids: str) -> Mirror:
        """Current, and with these: what was put just now, the service may still be about to read."""
        await self.current()
        return await self.until(lambda mirror: {id_ for _, id_ in mirror.features} >= set(ids))


@asynccontextmanager
async def following(url: str, key: str | None, *layers: str, **how: Any) -> AsyncIterator[Following]:
    waits: list[tuple[str, float]] = []
    with Client(url, key, patience_s=1.0, on_wait=lambda why, wait_s: waits.append((why, wait_s))) as client:
        follower = Following(client.watch(*layers, **how))
        follower.waits = waits
        async with aclosing(follower._changes):
            yield follower


async def refusal(url: str, key: str | None = None, *layers: str, **how: Any) -> ProblemError:
    with pytest.raises(ProblemError) as caught:
        async with following(url, key, *layers, **how) as follower:
            await follower.until(lambda mirror: False)
    return caught.value


def cut(server: Any, code: int = 1013) -> None:
    """Close every live socket of a process."""
    for session in list(server.app.state.hub.sessions):
        session.close(code, "for the test")


# Denials.


async def test_a_bad_key_ends_with_the_services_problem(server):
    problem = await refusal(server.url, "cop_view_" + "0" * 36)
    assert (problem.status, problem.code) == (401, "unauthenticated")


async def test_a_layer_that_cannot_be_seen_is_a_mistake_at_the_start(server, town):
    problem = await refusal(server.url, town.police_key, "fire.roads")
    assert (problem.status, problem.code) == (404, "live.layer")


async def test_so_is_an_operation(server, town):
    problem = await refusal(server.url, town.police_key, operation="drought")
    assert (problem.status, problem.code) == (404, "live.operation")


async def test_a_view_that_is_none_is_refused(server, town):
    problem = await refusal(server.url, town.police_key, view=(0.0, 9.0, 1.0, 8.0))
    assert problem.code == "live.view"


async def test_a_key_that_is_revoked_ends_the_watch(server, town):
    async with following(server.url, town.fire_key, "fire.units") as follower:
        await follower.current()
        async with town.db.begin() as connection:
            await revoke(connection, town.fire_prefix)
        with pytest.raises(ProblemError) as caught:
            await follower.until(lambda mirror: False)
    assert caught.value.status == 401
    assert follower.watch.link.state == "closed"


async def test_an_address_that_is_none_is_said_to_be_none():
    assert (await refusal("ftp://example.org")).code == "client.no_stream"


async def test_a_service_that_is_not_there_is_given_up_after_the_patience():
    problem = await refusal("http://127.0.0.1:9")
    assert problem.code == "client.no_answer"


# Bad luck.


async def test_a_watcher_that_was_cut_off_gets_exactly_what_it_missed(server, town):
    await town.put(town.units, feature("stays"), feature("goes"), feature("moves", callsign="M"))
    async with following(server.url, town.police_key, "fire.units") as follower:
        mirror = await follower.holding("stays", "goes", "moves")
        cut(server)
        await town.remove(town.units, "goes")
        await town.put(town.units, feature("comes"), feature("moves", -87.7, callsign="M"))
        mirror.log.clear()
        await follower.until(lambda mirror: len(mirror.log) == 6)
        assert mirror.kinds()[:2] == ["lost", "back"]
        assert {change.id for change in mirror.log[2:]} == {None, "goes", "comes", "moves"}
        assert mirror.layer("fire.units") == await truth(town.db, town.units)
        assert "1013" in follower.waits[0][0]


async def test_a_log_that_was_read_anew_tells_only_what_differs(server, town):
    await town.put(town.units, feature("stays"), feature("goes"))
    async with following(server.url, town.police_key, "fire.units") as follower:
        mirror = await follower.holding("stays", "goes")
        before = follower.watch.fold.layers["fire.units"].cursor
        follower.watch.fold.layers["fire.units"].revision = 0  # as if its log had been restarted
        cut(server)
        await town.remove(town.units, "goes")
        mirror.log.clear()
        await follower.until(lambda mirror: len(mirror.log) == 4)
        missed = {(change.kind, change.id) for change in mirror.log[2:]}
        assert missed == {("gone", "goes"), ("current", None)}
        assert follower.watch.fold.layers["fire.units"].cursor != before


async def test_a_share_taken_back_while_away_is_no_error_but_gone(server, town):
    await town.put(town.units, feature("e1"))
    async with following(server.url, town.police_key, "fire.units") as follower:
        mirror = await follower.holding("e1")
        await town.unshare(town.units, "all")
        cut(server)
        await follower.until(lambda mirror: "revoked" in mirror.kinds())
        assert mirror.features == {}
        await town.share(town.units, "all")
        await follower.until(lambda mirror: mirror.layer("fire.units"))


async def test_a_layer_that_is_shared_again_is_current_when_it_is_whole(server, town):
    await town.put(town.units, feature("e1"))
    async with following(server.url, town.police_key, "fire.units") as follower:
        await follower.holding("e1")
        await town.unshare(town.units, "all")
        mirror = await follower.until(lambda mirror: "revoked" in mirror.kinds())
        mirror.log.clear()
        await town.share(town.units, "all")
        await follower.until(lambda mirror: "current" in mirror.kinds())
        assert [(change.kind, change.id) for change in mirror.log] == [("put", "e1"), ("current", None)]
        assert (mirror.log[-1].layer, mirror.log[-1].status) == ("fire.units", "actual")


async def test_a_consumer_that_dawdles_gets_the_newest_state_and_loses_nothing(server, town):
    async with following(server.url, town.police_key, "fire.units") as follower:
        await follower.current()
        for n in range(40):
            await town.put(town.units, feature(f"e{n % 7}", -87.6 - n / 1e4, note="x" * 20_000))
        held = await truth(town.db, town.units)
        await follower.until(lambda mirror: mirror.layer("fire.units") == held)


# A service that does what it should not, or goes away.

Script = Callable[[ServerConnection, dict[str, Any]], Awaitable[None]]


@asynccontextmanager
async def service(*scripts: Script | HTTPStatus) -> AsyncIterator[tuple[str, list[dict[str, Any]]]]:
    """(url, subscriptions) of a service that plays a script for each connection; a status is a refusal."""
    waiting, subscriptions = list(scripts), []

    def admit(_: ServerConnection, __: Request) -> Response | None:
        if isinstance(waiting[0], HTTPStatus):
            status = waiting.pop(0)
            body = json.dumps({"code": "test.refused", "detail": "for the test"}).encode()
            headers = Headers(
                {"Content-Length": str(len(body)), "Location": "/elsewhere", "Retry-After": "0"}
            )
            return Response(status, status.phrase, headers, body)
        return None

    async def play(socket: ServerConnection) -> None:
        script = waiting.pop(0)
        assert not isinstance(script, HTTPStatus)
        await say(socket, hello("cfd.units"))
        subscriptions.append(json.loads(await socket.recv()))
        await script(socket, subscriptions[-1])

    async with serve(
        play, "127.0.0.1", 0, subprotocols=[watch_module.PROTOCOL], process_request=admit, compression=None
    ) as listening:
        host, port = listening.sockets[0].getsockname()
        yield f"http://{host}:{port}", subscriptions


async def say(socket: ServerConnection, *messages: dict[str, Any]) -> None:
    for message in messages:
        await socket.send(json.dumps(message))


async def snapshot(socket: ServerConnection, subscription: dict[str, Any]) -> None:
    await say(socket, frame(0, 7, subscription["n"], reset=True, put=[put("a")]))


async def resumed(socket: ServerConnection, subscription: dict[str, Any]) -> None:
    await say(socket, frame(7, 8, subscription["n"], put=[put("b")]))
    await socket.wait_closed()


async def test_a_drain_is_followed_when_it_says_and_goes_on_from_the_cursor():
    async def drained(socket, subscription):
        await snapshot(socket, subscription)
        await say(socket, {"type": "drain", "retry_ms": 20})
        await socket.wait_closed()

    async with service(drained, resumed) as (url, subscriptions), following(url, None) as follower:
        await follower.current(2)
        assert follower.mirror.kinds() == ["put", "current", "lost", "back", "put", "current"]
        assert follower.waits[0][1] == 0.02
        assert subscriptions[1]["since"] == {"cfd.units": frame(0, 0)["layers"]["cfd.units"]["epoch"] + ":7"}


async def test_a_service_that_falls_silent_is_left(monkeypatch):
    async def silent(socket, subscription):
        await snapshot(socket, subscription)
        await socket.wait_closed()

    monkeypatch.setattr(watch_module, "SILENCE_S", 0.05)
    async with service(silent, resumed) as (url, _), following(url, None) as follower:
        await follower.until(lambda mirror: len(mirror.features) == 2)
        assert "silent" in follower.waits[0][0]


async def test_a_loss_is_a_change_told_once_since_when_and_so_is_the_return():
    """However often it is tried again: the second connection is refused, the third falls silent at once."""

    async def dying(socket, subscription):
        await snapshot(socket, subscription)
        await socket.close(1011, "for the test")

    full = HTTPStatus.SERVICE_UNAVAILABLE
    before = datetime.now(UTC)
    async with service(dying, full, full, resumed) as (url, _), following(url, None) as follower:
        mirror = await follower.current(2)
        assert mirror.kinds() == ["put", "current", "lost", "back", "put", "current"]
        lost = mirror.log[2]
        assert lost.why is not None
        assert "1011" in lost.why
        assert lost.since is not None
        assert lost.since <= before + timedelta(seconds=PATIENCE_S)
        assert len(follower.waits) == 3


async def test_until_the_service_is_heard_a_loss_is_the_last_word():
    async def dying(socket, subscription):
        await snapshot(socket, subscription)

    async with service(dying) as (url, _), following(url, None) as follower:
        await follower.until(lambda mirror: "lost" in mirror.kinds())
        assert follower.mirror.kinds()[-1] == "lost"
        assert follower.watch.link.state == "lost"


async def test_a_service_that_was_never_heard_is_not_lost():
    full = HTTPStatus.SERVICE_UNAVAILABLE
    async with service(full, resumed_from_nothing) as (url, _), following(url, None) as follower:
        await follower.current()
        assert follower.mirror.kinds() == ["put", "current"]


async def test_a_gap_is_mended_by_a_new_beginning():
    async def skipping(socket, subscription):
        await snapshot(socket, subscription)
        await say(socket, frame(9, 10, put=[put("c")]))
        await socket.wait_closed()

    async def whole(socket, subscription):
        await say(socket, frame(0, 10, subscription["n"], reset=True, put=[put("a"), put("c")]))
        await socket.wait_closed()

    async with service(skipping, whole) as (url, subscriptions), following(url, None) as follower:
        mirror = await follower.until(lambda mirror: len(mirror.features) == 2)
        assert subscriptions[1]["since"] == {}
        assert [change.id for change in mirror.log if change.kind is Kind.PUT] == ["a", "c"]


async def test_a_service_that_is_full_is_asked_again():
    full = HTTPStatus.SERVICE_UNAVAILABLE
    async with service(full, full, resumed_from_nothing) as (url, _), following(url, None) as follower:
        await follower.current()
        assert len(follower.waits) == 2


async def resumed_from_nothing(socket: ServerConnection, subscription: dict[str, Any]) -> None:
    await snapshot(socket, subscription)
    await socket.wait_closed()


async def test_a_service_that_dies_while_it_answers_is_asked_again():
    async def cut(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    dying = await asyncio.start_server(cut, "127.0.0.1", 0)
    host, port = dying.sockets[0].getsockname()
    problem = await refusal(f"http://{host}:{port}")
    dying.close()
    await dying.wait_closed()
    assert problem.code == "client.no_answer"


@pytest.mark.parametrize("status", [HTTPStatus.FORBIDDEN, HTTPStatus.TEMPORARY_REDIRECT])
async def test_a_refusal_ends_the_watch_and_no_redirect_is_followed(status):
    async with service(status) as (url, _):
        problem = await refusal(url, "cop_view_secret")
    assert (problem.status, problem.code) == (status, "test.refused")


async def test_being_shut_out_for_good_ends_the_watch():
    async def strict(socket, subscription):
        await socket.close(1008, "too many messages")

    async with service(strict) as (url, _):
        problem = await refusal(url)
    assert (problem.code, "1008" in problem.detail) == ("live.closed", True)


# The normal case.


async def test_a_unit_appears_moves_and_goes(server, town):
    async with following(server.url, town.police_key, "fire.units") as follower:
        mirror = await follower.current()
        await town.put(town.units, feature("e1", callsign="E1"))
        await follower.until(lambda mirror: mirror.log[-1].kind == "put")
        await town.put(town.units, feature("e1", -87.7, callsign="E1"))
        await follower.until(lambda mirror: mirror.log[-1].kind == "moved")
        assert mirror.log[-1].feature["geometry"]["coordinates"] == [-87.7, 41.9]
        await town.remove(town.units, "e1")
        await follower.until(lambda mirror: mirror.log[-1].why == "deleted")
        assert (mirror.log[-1].layer, mirror.log[-1].status) == ("fire.units", "actual")


async def test_an_operation_in_a_view_is_followed(server, town):
    await town.put(town.units, feature("here"), feature("there", 10.0, 50.0))
    await town.put(town.zones, zone("z", -87.7, 41.8))
    async with following(server.url, town.police_key, operation="flood", view=CHICAGO) as follower:
        here = {("fire.units", "here"), ("fire.zones", "z")}
        mirror = await follower.until(lambda mirror: mirror.features.keys() >= here)
        assert mirror.features.keys() == here


async def test_what_no_longer_passes_the_filter_is_gone(server, town):
    await town.put(town.units, feature("e1", status="on_scene"), feature("e2", status="available"))
    async with following(server.url, town.police_key, where={"status": ["on_scene"]}) as follower:
        mirror = await follower.until(lambda mirror: mirror.features)
        assert mirror.features.keys() == {("fire.units", "e1")}
        await town.put(town.units, feature("e1", status="available"))
        await follower.until(lambda mirror: mirror.log[-1].why == "filter")


async def test_a_process_that_ends_hands_its_watchers_to_another(server, second_server, town):
    await town.put(town.units, feature("e1"))
    async with following(server.url, town.police_key, "fire.units") as follower:
        await follower.holding("e1")
        follower.watch._address = f"{second_server.ws_url}/live"  # where a balancer would send it next
        server.app.state.hub.drain(50)
        await town.put(town.units, feature("e2"))
        await follower.current(2)
        assert follower.mirror.kinds().count("put") == 2
        assert "about to stop" in follower.waits[0][0]


async def test_a_feature_of_a_change_can_be_pushed_again(server, town):
    observed_at = datetime.now(UTC).isoformat(timespec="milliseconds")  # as fine as the stream tells it
    await town.put(town.units, feature("e1", callsign="E1", observed_at=observed_at))
    async with following(server.url, town.fire_key, "fire.units") as follower:
        mirror = await follower.holding("e1")

    def push() -> int:
        with Client(server.url, town.fire_key) as client:
            return client.push(
                "fire.units", [change.feature for change in mirror.log if change.feature]
            ).unchanged

    assert await asyncio.to_thread(push) == 1
