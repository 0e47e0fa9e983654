"""The client against a service that fails on purpose: what it tries again, what it does not, how it splits."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest

from cop import client
from cop.client import Client, ProblemError, split
from layers.model import JsonObject

RECEIPT: dict[str, Any] = {"layer": "cfd.units", "epoch": str(uuid4()), "accepted": 1}
ITEMS = "/collections/a.b/items"
ENGINE: JsonObject = {"type": "Feature", "id": "e1", "geometry": None, "properties": {}}


@dataclass
class Desk:
    """A service that gives the answers it was told, one a request, and keeps what it was sent."""

    url: str
    answers: list[tuple[int, dict[str, str], bytes]] = field(default_factory=list)
    seen: list[tuple[str, str, dict[str, str], bytes]] = field(default_factory=list)

    def say(self, status: int, body: object = "", **headers: str) -> None:
        self.answers.append((status, headers, json.dumps(body).encode()))


@pytest.fixture
def desk() -> Iterator[Desk]:
    class Answering(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            here.seen.append((self.command, self.path, dict(self.headers), body))
            status, headers, content = here.answers.pop(0)
            if status == 0:  # cut the line
                self.close_connection = True
                return
            self.send_response(status)
            for name, value in {"Content-Length": str(len(content)), **headers}.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            self.wfile.write(content)

        def __getattr__(self, name: str) -> Callable[[], None]:
            if name.startswith("do_"):
                return self.answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:
            pass

    service = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    here = Desk(f"http://127.0.0.1:{service.server_address[1]}")
    thread = threading.Thread(target=service.serve_forever, args=(0.01,))
    thread.start()
    yield here
    service.shutdown()
    thread.join()
    service.server_close()


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Pauses are noted, not waited for."""
    paused: list[float] = []
    monkeypatch.setattr("cop.client.time.sleep", paused.append)
    return paused


def test_refusal_is_one_error_with_code_pointer_detail_and_request_id(desk: Desk) -> None:
    rejected = [{"pointer": "/features/0/geometry", "id": "e1", "code": "geo.range", "detail": "lat 91"}]
    problem = {
        "code": "push.rejected",
        "detail": "1 of 1",
        "pointer": "/x",
        "request_id": "r1",
        "errors": rejected,
    }
    desk.say(422, problem)
    with Client(desk.url, "k") as agency, pytest.raises(ProblemError) as caught:
        agency.push("cfd.units", [ENGINE])
    error = caught.value
    assert (error.status, error.code, error.pointer, error.request_id) == (422, "push.rejected", "/x", "r1")
    assert [(each.id, each.code) for each in error.rejected] == [("e1", "geo.range")]
    assert len(desk.seen) == 1


def test_answer_that_is_no_problem_document_is_still_one_error(desk: Desk) -> None:
    desk.say(404, ["what a proxy says"])
    with Client(desk.url) as reader, pytest.raises(ProblemError, match="no problem document"):
        reader.session()


def test_push_is_repeated_under_the_same_idempotency_key(desk: Desk) -> None:
    desk.say(0)
    desk.say(503, {"code": "unavailable"})
    desk.say(200, RECEIPT)
    with Client(desk.url, "k") as agency:
        assert agency.push("cfd.units", [ENGINE]).accepted == 1
    keys = {headers["Idempotency-Key"] for _, _, headers, _ in desk.seen}
    assert (len(desk.seen), len(keys)) == (3, 1)


def test_two_pushes_have_two_keys(desk: Desk) -> None:
    desk.say(200, RECEIPT)
    desk.say(200, RECEIPT)
    with Client(desk.url, "k") as agency:
        agency.push("cfd.units", [ENGINE])
        agency.push("cfd.units", [ENGINE])
    assert desk.seen[0][2]["Idempotency-Key"] != desk.seen[1][2]["Idempotency-Key"]


def test_retry_after_is_honoured(desk: Desk, short_pauses: list[float]) -> None:
    desk.say(429, {"code": "layer.busy"}, Retry_After="7")
    desk.say(200, RECEIPT)
    with Client(desk.url, "k") as agency:
        agency.push("cfd.units", [ENGINE])
    assert short_pauses == [pytest.approx(7.0)]


def test_patience_ends(desk: Desk) -> None:
    desk.say(503, {"code": "unavailable", "detail": "no database"}, Retry_After="100")
    with Client(desk.url, "k", patience_s=10) as agency, pytest.raises(ProblemError, match="no database"):
        agency.push("cfd.units", [ENGINE])


def test_service_that_is_not_there_is_one_error_naming_it() -> None:
    with Client("http://127.0.0.1:9", patience_s=0) as reader, pytest.raises(ProblemError) as caught:
        reader.layers()
    assert caught.value.code == "client.no_answer"
    assert "127.0.0.1:9" in caught.value.detail


def test_key_whose_answer_was_lost_is_not_made_twice(desk: Desk) -> None:
    desk.say(0)
    with Client(desk.url, "k") as admin, pytest.raises(ProblemError):
        admin.create_key("cfd", ["publish"])
    assert len(desk.seen) == 1


def test_no_proxy_of_the_environment_sees_a_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    desk.say(200, {"viewer": {}})
    with Client(desk.url, "k") as reader:
        assert reader.session() == {"viewer": {}}


def test_pauses_grow_and_are_jittered() -> None:
    longest = [max(client.pause_s(attempt) for _ in range(200)) for attempt in (1, 4, 12)]
    assert longest == sorted(longest)
    assert longest[-1] <= client.LONGEST_PAUSE_S
    assert client.pause_s(12) != client.pause_s(12)


def test_names_cannot_reach_other_addresses(desk: Desk) -> None:
    desk.say(200, {})
    desk.say(200, {})
    with Client(desk.url) as reader:
        reader.item("cfd.units", "../../keys?x=#y")
        reader.item("cfd.units", "..")
    assert [path for _, path, _, _ in desk.seen] == [
        "/collections/cfd.units/items/..%2F..%2Fkeys%3Fx%3D%23y",
        "/collections/cfd.units/items/%2E%2E",
    ]


def test_batches_end_at_a_thousand_features_and_at_five_megabytes() -> None:
    small = [{"id": str(number)} for number in range(2_500)]
    assert [count for _, count in split(small)] == [1_000, 1_000, 500]
    large = [{"id": str(number), "text": "x" * 900_000} for number in range(12)]
    bodies = list(split(large))
    assert all(len(body) <= client.MAX_BYTES for body, _ in bodies)
    assert [feature["id"] for body, _ in bodies for feature in json.loads(body)["features"]] == [
        feature["id"] for feature in large
    ]


def test_receipts_of_several_batches_are_added_up_with_pointers_of_the_whole(desk: Desk) -> None:
    refused = {"pointer": "/features/3/id", "id": None, "code": "feature.id", "detail": "no id"}
    desk.say(200, RECEIPT | {"accepted": 1_000, "first_revision": 1, "last_revision": 1_000})
    body = RECEIPT | {"accepted": 499, "first_revision": 1_001, "last_revision": 1_499, "rejected": [refused]}
    desk.say(200, body)
    with Client(desk.url, "k") as agency:
        receipt = agency.push("cfd.units", [ENGINE] * 1_500, lenient=True, idempotency_key="mine")
    assert (receipt.accepted, receipt.first_revision, receipt.last_revision) == (1_499, 1, 1_499)
    assert [each.pointer for each in receipt.rejected] == ["/features/1003/id"]
    assert [headers["Idempotency-Key"] for _, _, headers, _ in desk.seen] == ["mine", "mine.1"]
    assert all(headers["Prefer"] == "handling=lenient" for _, _, headers, _ in desk.seen)


def test_refused_batch_tells_what_the_ones_before_it_did(desk: Desk) -> None:
    desk.say(200, RECEIPT | {"accepted": 1_000})
    desk.say(422, {"code": "push.rejected", "errors": [{"pointer": "/features/0"}]})
    with Client(desk.url, "k") as agency, pytest.raises(ProblemError) as caught:
        agency.push("cfd.units", [ENGINE] * 1_001)
    assert caught.value.receipt is not None
    assert caught.value.receipt.accepted == 1_000
    assert caught.value.rejected[0].pointer == "/features/1000"


def test_nothing_to_push_is_the_callers_mistake(desk: Desk) -> None:
    with Client(desk.url, "k") as agency:
        with pytest.raises(ValueError, match="nothing to push"):
            agency.push("cfd.units", [])
        with pytest.raises(ValueError, match="does not fit one request"):
            agency.replace("cfd.units", [ENGINE] * 1_001)


def test_pages_are_followed_to_the_last(desk: Desk) -> None:
    onward = {
        "links": [
            {"rel": "self", "href": "/x"},
            {"rel": "next", "href": f"{desk.url}/collections/a.b/items?after=2"},
        ]
    }
    desk.say(200, {"features": [{"id": "1"}, {"id": "2"}]} | onward)
    desk.say(200, {"features": [{"id": "3"}], "links": []})
    with Client(desk.url) as reader:
        found = [feature["id"] for feature in reader.items("a.b", bbox=(-88, 41, -87, 42))]
    assert found == ["1", "2", "3"]
    first, second = (path for _, path, _, _ in desk.seen)
    assert "bbox=-88.0%2C41.0%2C-87.0%2C42.0" in first
    assert second.endswith("after=2")


def test_next_link_to_another_host_does_not_take_the_key_there(desk: Desk) -> None:
    desk.say(200, {"features": [], "links": [{"rel": "next", "href": f"http://127.0.0.1:9{ITEMS}?after=2"}]})
    desk.say(200, {"features": [], "links": []})
    with Client(desk.url, "secret", patience_s=0) as reader:
        assert list(reader.items("a.b")) == []
    assert desk.seen[1][1] == "/collections/a.b/items?after=2"


def test_service_below_a_path_is_reached_there(desk: Desk) -> None:
    desk.say(200, {"features": [], "links": [{"rel": "next", "href": f"{desk.url}/cop{ITEMS}?after=2"}]})
    desk.say(200, {"features": [], "links": []})
    with Client(f"{desk.url}/cop/") as reader:
        assert list(reader.items("a.b")) == []
    assert [path.split("?")[0] for _, path, _, _ in desk.seen] == ["/cop/collections/a.b/items"] * 2


def test_every_pause_is_between_two_requests(desk: Desk, short_pauses: list[float]) -> None:
    for _ in range(5):
        desk.say(503, {"code": "unavailable"})
    desk.say(200, RECEIPT)
    with Client(desk.url, "k") as agency:
        agency.push("cfd.units", [ENGINE])
    assert len(short_pauses) == 5
    assert all(a > 0 for a, _ in pairwise(short_pauses))
