"""Features over HTTP, as an agency's system and an OGC client use them: on a real socket, against a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from cop.api import items
from cop.cli import app
from tests.conftest import Serving

Make = Callable[..., Awaitable[str]]


def unit(id: str, lng: float = -87.6, **properties: Any) -> dict[str, Any]:
    return {
        "type": "Feature",
        "id": id,
        "geometry": {"type": "Point", "coordinates": [lng, 41.8]},
        "properties": properties,
    }


def collection(*features: dict[str, Any]) -> dict[str, Any]:
    return {"type": "FeatureCollection", "features": list(features)}


@pytest.fixture
async def fire(server: Serving, key: Make) -> AsyncIterator[httpx.AsyncClient]:
    """The fire department with all its rights, and one layer `cfd.units`."""
    headers = {"Authorization": f"Bearer {await key('cfd', 'admin')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        (await client.post("/collections", json={"id": "cfd.units", "kind": "units"})).raise_for_status()
        yield client


@pytest.fixture
async def ems(server: Serving, key: Make) -> AsyncIterator[httpx.AsyncClient]:
    """Another agency, with all its rights."""
    headers = {"Authorization": f"Bearer {await key('ems', 'admin')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        yield client


@pytest.fixture
async def public(server: Serving) -> AsyncIterator[httpx.AsyncClient]:
    """Somebody without a credential."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client


ITEMS = "/collections/cfd.units/items"


# Denials


async def test_a_hidden_layer_answers_exactly_as_one_that_is_not_there(
    fire: httpx.AsyncClient, ems: httpx.AsyncClient, public: httpx.AsyncClient
) -> None:
    await fire.post(ITEMS, json=unit("E1"))
    for path in ("", "/items", "/items/E1", "/items/E1/track"):
        for client in (ems, public):
            hidden = await client.get(f"/collections/cfd.units{path}")
            absent = await client.get(f"/collections/cfd.absent{path}")
            assert hidden.status_code == absent.status_code == 404
            said = [answer.json() | {"request_id": ""} for answer in (hidden, absent)]
            assert said[0] == json.loads(json.dumps(said[1]).replace("cfd.absent", "cfd.units"))


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_nobody_else_writes_to_a_layer_they_cannot_see(
    fire: httpx.AsyncClient, ems: httpx.AsyncClient, method: str
) -> None:
    path = f"{ITEMS}/E1" if method == "DELETE" else ITEMS
    answer = await ems.request(method, path, json=collection(unit("E1")))
    assert (answer.status_code, answer.json()["code"]) == (404, "layer.not_found")


async def test_sharing_lets_read_and_never_write(fire: httpx.AsyncClient, ems: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("E1"))
    assert (await fire.put("/collections/cfd.units/shares/ems")).status_code == 204
    assert (await ems.get(f"{ITEMS}/E1")).status_code == 200
    assert (await ems.post(ITEMS, json=unit("E2"))).status_code == 403
    assert (await ems.put("/collections/cfd.units/shares/public")).status_code == 403
    assert (await fire.delete("/collections/cfd.units/shares/ems")).status_code == 204
    assert (await ems.get(f"{ITEMS}/E1")).status_code == 404


SHARES = "/collections/cfd.units/shares"


async def test_with_whom_a_layer_is_shared_nobody_else_reads(
    fire: httpx.AsyncClient, ems: httpx.AsyncClient, public: httpx.AsyncClient
) -> None:
    for grade in (None, "generalized"):
        if grade:
            await fire.put(f"{SHARES}/ems?grade={grade}")
        for client in (ems, public):
            hidden, absent = await client.get(SHARES), await client.get("/collections/cfd.absent/shares")
            assert (hidden.status_code, hidden.json()["code"]) == (404, "layer.not_found")
            assert absent.json()["code"] == "layer.not_found"
    await fire.put(f"{SHARES}/public")
    assert [(await client.get(SHARES)).status_code for client in (ems, public)] == [403, 401]


@pytest.mark.parametrize("scope", ["publish", "view", "plan"])
async def test_nor_do_those_of_the_owner_who_do_not_administer(
    fire: httpx.AsyncClient, key: Make, scope: str
) -> None:
    answer = await fire.get(SHARES, headers={"Authorization": f"Bearer {await key('cfd', scope)}"})
    assert (answer.status_code, answer.json()["code"]) == (403, "forbidden")


async def test_the_owner_reads_with_whom_a_layer_is_shared_and_how(
    fire: httpx.AsyncClient, ems: httpx.AsyncClient
) -> None:
    assert (await fire.get(SHARES)).json() == {"layer": "cfd.units", "status": "actual", "shares": []}
    for audience in ("public", "all?grade=generalized", "ems"):
        await fire.put(f"{SHARES}/{audience}")
    shares = [tuple(each.values()) for each in (await fire.get(SHARES)).json()["shares"]]
    assert shares == [("ems", "full"), ("all", "generalized"), ("public", "full")]
    await fire.delete(f"{SHARES}/public")
    assert len((await fire.get(SHARES)).json()["shares"]) == 2


def test_the_command_says_how_much_it_has_shared(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COP_DATABASE_URL", database_url)
    said = [
        CliRunner().invoke(app, words.split()).output
        for words in (
            "agency add cfd",
            "agency add ems",
            "layer add cfd.units --kind units",
            "layer share cfd.units --with ems --generalized",
            "layer share cfd.units --with all",
            "layer list",
        )
    ]
    assert said[3] == "cfd.units is shared with ems, generalized: counted in their analyses, and not seen.\n"
    assert said[4] == "cfd.units is shared with all, in full.\n"
    assert said[5].endswith("shared with ems (generalized), all\n")


async def test_a_bad_key_is_refused_and_told_how(fire: httpx.AsyncClient, public: httpx.AsyncClient) -> None:
    for credential in ("Bearer nonsense", "Basic YTpi", "Bearer cop_pub_" + "a" * 36):
        answer = await public.get("/collections", headers={"Authorization": credential})
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_the_public_sees_only_what_is_public(
    fire: httpx.AsyncClient, public: httpx.AsyncClient
) -> None:
    assert (await public.get("/collections")).json()["collections"] == []
    await fire.put("/collections/cfd.units/shares/public")
    assert [c["id"] for c in (await public.get("/collections")).json()["collections"]] == ["cfd.units"]
    assert (await public.post(ITEMS, json=unit("E1"))).status_code == 403


# Pushing


async def test_a_feature_is_created_then_unchanged_then_moved(fire: httpx.AsyncClient) -> None:
    created = await fire.post(ITEMS, json=unit("E1"))
    assert (created.status_code, created.headers["location"]) == (
        201,
        f"{fire.base_url}{ITEMS}/E1".replace("//c", "/c"),
    )
    same = (await fire.post(ITEMS, json=unit("E1"))).json()
    assert (same["unchanged"], same["first_revision"]) == (1, None)
    moved = await fire.post(ITEMS, json=unit("E1", lng=-87.5))
    assert (moved.status_code, moved.json()["last_revision"]) == (200, 2)


async def test_get_edit_put_works(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("E1", status="available"))
    feature = (await fire.get(f"{ITEMS}/E1")).json()
    assert feature["properties"]["revision"] == 1
    feature["properties"]["status"] = "en_route"
    assert (await fire.put(f"{ITEMS}/E1", json=feature)).json()["accepted"] == 1
    assert (await fire.get(f"{ITEMS}/E1")).json()["properties"]["status"] == "en_route"


async def test_a_patch_of_one_needs_no_more_than_what_changes(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("E1", status="available", callsign="E1"))
    answer = await fire.patch(f"{ITEMS}/E1", json={"properties": {"status": "en_route", "callsign": None}})
    assert answer.status_code == 200
    properties = (await fire.get(f"{ITEMS}/E1")).json()["properties"]
    assert properties["status"] == "en_route"
    assert "callsign" not in properties
    assert (await fire.patch(f"{ITEMS}/E9", json={"properties": {}})).status_code == 404


async def test_a_position_feed_and_a_status_feed_serve_one_layer(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=collection(unit("E1"), unit("E2")))
    statuses = collection(
        *({"type": "Feature", "id": id, "properties": {"status": "on_scene"}} for id in ("E1", "E2"))
    )
    receipt = (await fire.patch(ITEMS, json=statuses)).json()
    assert receipt["accepted"] == 2
    moved = collection(
        {"type": "Feature", "id": "E1", "geometry": {"type": "Point", "coordinates": [-87.4, 41.9]}}
    )
    assert (await fire.patch(ITEMS, json=moved)).json()["accepted"] == 1
    feature = (await fire.get(f"{ITEMS}/E1")).json()
    assert feature["geometry"]["coordinates"] == [-87.4, 41.9]
    assert feature["properties"]["status"] == "on_scene"


async def test_replacing_the_set_takes_away_what_it_does_not_name(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=collection(unit("E1"), unit("E2")))
    receipt = (await fire.put(ITEMS, json=collection(unit("E2"), unit("E3")))).json()
    assert (receipt["accepted"], receipt["unchanged"], receipt["gone"]) == (1, 1, 1)
    empty = await fire.put(ITEMS, json=collection())
    assert (empty.status_code, empty.json()["code"]) == (422, "batch.empty")
    assert (await fire.put(f"{ITEMS}?allow_empty=true", json=collection())).json()["gone"] == 2


async def test_an_empty_poll_is_never_a_delete(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("E1"))
    receipt = (await fire.post(ITEMS, json=collection())).json()
    assert (receipt["accepted"], receipt["gone"]) == (0, 0)
    assert len((await fire.get(ITEMS)).json()["features"]) == 1


async def test_a_retry_under_the_same_key_gets_the_same_receipt(fire: httpx.AsyncClient) -> None:
    headers = {"Idempotency-Key": "push-1"}
    first = await fire.post(ITEMS, json=unit("E1"), headers=headers)
    await fire.delete(f"{ITEMS}/E1")
    again = await fire.post(ITEMS, json=unit("E1"), headers=headers)
    assert again.json() == first.json()
    assert (await fire.get(f"{ITEMS}/E1")).status_code == 404, "the retry stored nothing"
    other = await fire.post(ITEMS, json=unit("E2"), headers=headers)
    assert (other.status_code, other.json()["code"]) == (409, "idempotency.conflict")


@pytest.mark.parametrize(
    ("type", "body", "spot"),
    [
        ("application/x-ndjson", '{}\n\n  {"a" 1}\n', "line 3, column 8"),
        ("application/geo+json-seq", '\x1e{\n}\n\x1e{\n"a" 1}\n', "line 4, column 5"),
    ],
)
async def test_bad_json_in_a_stream_is_told_by_its_line_in_the_whole(
    fire: httpx.AsyncClient, type: str, body: str, spot: str
) -> None:
    answer = await fire.post(ITEMS, content=body, headers={"Content-Type": type})
    assert (answer.status_code, answer.json()["code"]) == (400, "json.syntax")
    assert answer.json()["detail"].endswith(f"at {spot}.")


async def test_a_type_that_is_not_taken_is_told_with_all_that_are(fire: httpx.AsyncClient) -> None:
    headers = {"Content-Type": "text/plain"}
    many = await fire.post(ITEMS, content=b"{}", headers=headers)
    one = await fire.put(f"{ITEMS}/e1", content=b"{}", headers=headers)
    json_only = "application/geo+json, application/json or application/merge-patch+json"
    assert (many.status_code, one.status_code) == (415, 415)
    assert one.json()["detail"] == f"Expected a body of type {json_only}; got “text/plain”."
    assert "application/x-ndjson" in many.json()["detail"]
    assert "application/geo+json-seq" in many.json()["detail"]


async def test_a_feature_without_an_id_is_told_where_it_belongs(fire: httpx.AsyncClient) -> None:
    answer = await fire.post(ITEMS, json={"type": "Feature", "geometry": None, "properties": {}})
    assert (answer.json()["code"], answer.json()["pointer"]) == ("feature.id", "/id")


@pytest.mark.parametrize(
    ("type", "begin", "end"), [("application/x-ndjson", "", "\n"), ("application/geo+json-seq", "\x1e", "\n")]
)
async def test_a_stream_of_features_is_taken_line_by_line(
    fire: httpx.AsyncClient, type: str, begin: str, end: str
) -> None:
    async def body() -> AsyncIterator[bytes]:
        for number in range(2_500):
            yield f"{begin}{json.dumps(unit(f'U{number}'))}{end}".encode()

    answer = await fire.post(ITEMS, content=body(), headers={"Content-Type": type})
    assert answer.json()["accepted"] == 2_500, answer.text


async def test_a_bad_line_is_named_and_nothing_is_stored(fire: httpx.AsyncClient) -> None:
    lines = "\n".join([json.dumps(unit("E1")), json.dumps(unit("E2", lng=500)), json.dumps(unit("E3"))])
    headers = {"Content-Type": "application/x-ndjson"}
    refused = await fire.post(ITEMS, content=lines, headers=headers)
    assert refused.status_code == 422
    assert refused.json()["pointer"] == "/1/geometry/coordinates/0"
    assert (await fire.get(ITEMS)).json()["numberReturned"] == 0
    taken = await fire.post(ITEMS, content=lines, headers=headers | {"Prefer": "handling=lenient"})
    assert (taken.json()["accepted"], len(taken.json()["rejected"])) == (2, 1)


async def test_deleting_twice_is_not_found(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("E1"))
    assert (await fire.delete(f"{ITEMS}/E1")).json()["gone"] == 1
    assert (await fire.delete(f"{ITEMS}/E1")).status_code == 404


async def test_pushes_at_once_each_have_their_own_receipt(fire: httpx.AsyncClient) -> None:
    answers = await asyncio.gather(*(fire.post(ITEMS, json=unit(f"E{number}")) for number in range(40)))
    assert sorted(answer.json()["first_revision"] for answer in answers) == list(range(1, 41))


# Reading


async def test_pages_lead_on_by_next_links_to_the_last(fire: httpx.AsyncClient) -> None:
    await fire.post(
        ITEMS, json=collection(*(unit(f"U{number}", lng=-87.0 - number / 100) for number in range(25)))
    )
    seen: list[str] = []
    url: str | None = f"{ITEMS}?limit=10&bbox=-90,40,-80,43"
    while url:
        page = (await fire.get(url)).json()
        seen += [feature["id"] for feature in page["features"]]
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), None)
    assert sorted(seen) == sorted(f"U{number}" for number in range(25))


async def test_a_page_is_bounded_in_bytes_and_leads_on(
    fire: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fire.post(ITEMS, json=collection(*(unit(f"U{n:03}", note="x" * 1_000) for n in range(300))))
    monkeypatch.setattr(items, "PAGE_BYTES", 50_000)
    seen: list[str] = []
    url: str | None = f"{ITEMS}?limit=10000"
    while url:
        answer = await fire.get(url)
        assert len(answer.content) < 55_000
        seen += [feature["id"] for feature in answer.json()["features"]]
        url = next((link["href"] for link in answer.json()["links"] if link["rel"] == "next"), None)
    assert seen == [f"U{n:03}" for n in range(300)]


@pytest.mark.parametrize("limit", [100, 101, 102, 299, 300, 301])
async def test_a_page_is_read_in_several_goes_without_a_seam(fire: httpx.AsyncClient, limit: int) -> None:
    await fire.post(ITEMS, json=collection(*(unit(f"U{n:03}") for n in range(300))))
    page = (await fire.get(f"{ITEMS}?limit={limit}")).json()
    assert [each["id"] for each in page["features"]] == [f"U{n:03}" for n in range(min(limit, 300))]
    assert any(link["rel"] == "next" for link in page["links"]) is (limit < 300)


async def test_a_box_across_the_antimeridian_finds_both_sides(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=collection(unit("E", lng=179.9), unit("W", lng=-179.9), unit("N", lng=0)))
    page = (await fire.get(f"{ITEMS}?bbox=179,41,-179,42")).json()
    assert {feature["id"] for feature in page["features"]} == {"E", "W"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ("bbox=1,2,3", "query.bbox"),
        ("bbox=1,2,3,nan", "query.bbox"),
        ("bbox=0,50,10,40", "query.bbox"),
        ("bbox=0,0,190,10", "query.bbox"),
        ("limit=0", "query.limit"),
        ("limit=-1", "query.limit"),
        ("limit=ten", "query.limit"),
        ("datetime=yesterday", "query.datetime"),
        ("datetime=2026-01-02T00:00:00Z/2026-01-01T00:00:00Z", "query.datetime"),
        ("datetime=../..", "query.datetime"),
        ("colour=red", "query.unknown"),
        ("limit=1&limit=2", "query.limit"),
    ],
)
async def test_a_bad_query_is_one_clear_400(fire: httpx.AsyncClient, query: str, code: str) -> None:
    answer = await fire.get(f"{ITEMS}?{query}")
    assert (answer.status_code, answer.json()["code"]) == (400, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["x-request-id"]


async def test_a_limit_beyond_the_most_is_taken_as_the_most(fire: httpx.AsyncClient) -> None:
    assert (await fire.get(f"{ITEMS}?limit=1000000000")).status_code == 200


async def test_a_track_is_a_line_with_its_times(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("E1"))
    assert (await fire.get(f"{ITEMS}/E1/track")).json()["geometry"]["type"] == "Point"
    await fire.post(ITEMS, json=unit("E1", lng=-87.5))
    track = (await fire.get(f"{ITEMS}/E1/track")).json()
    assert track["geometry"] == {"type": "LineString", "coordinates": [[-87.6, 41.8], [-87.5, 41.8]]}
    assert track["properties"]["revisions"] == [1, 2]
    assert len(track["properties"]["times"]) == len(track["properties"]["received"]) == 2


async def test_a_repaired_polygon_says_so(fire: httpx.AsyncClient) -> None:
    bow_tie = {"type": "Polygon", "coordinates": [[[0, 0], [1, 1], [1, 0], [0, 1], [0, 0]]]}
    feature = unit("Z1") | {"geometry": bow_tie}
    for name, repair in (("cfd.zones", False), ("cfd.mended", True)):
        await fire.post("/collections", json={"id": name, "kind": "zones", "repair": repair})
    refused = await fire.post("/collections/cfd.zones/items", json=feature)
    assert (refused.status_code, refused.json()["code"]) == (422, "geo.invalid")
    assert (await fire.post("/collections/cfd.mended/items", json=feature)).status_code == 201
    mended = (await fire.get("/collections/cfd.mended/items/Z1")).json()
    assert mended["properties"]["quality"] == ["repaired"]


async def test_what_is_read_says_whether_it_is_an_exercise(fire: httpx.AsyncClient) -> None:
    await fire.post("/collections", json={"id": "cfd.drill", "kind": "units", "status": "exercise"})
    await fire.post("/collections/cfd.drill/items", json=unit("E1"))
    for path in ("/items", "/items/E1", "/items/E1/track", ""):
        assert (await fire.get(f"/collections/cfd.drill{path}")).json()["status"] == "exercise"
    page = (await fire.get("/collections/cfd.drill/items")).json()
    assert page["features"][0]["status"] == "exercise"


async def test_an_id_may_hold_any_character_that_an_address_can_carry(fire: httpx.AsyncClient) -> None:
    for id, address in (("CFD/E 42", "CFD%2FE%2042"), ("é?#&", "%C3%A9%3F%23%26"), ("..", "%2E%2E")):
        created = await fire.post(ITEMS, json=unit(id))
        assert created.status_code == 201
        if id != "..":  # clients and proxies fold dots in a path, encoded or not
            assert (await fire.get(f"{ITEMS}/{address}")).json()["id"] == id
            assert (await fire.get(created.headers["location"])).json()["id"] == id
            assert (await fire.get(f"{ITEMS}/{address}/track")).json()["id"] == id
            assert (await fire.delete(f"{ITEMS}/{address}")).json()["gone"] == 1


async def test_a_key_used_to_put_a_stream_does_not_stand_for_replacing_it(fire: httpx.AsyncClient) -> None:
    await fire.post(ITEMS, json=unit("OTHER"))
    headers = {"Content-Type": "application/x-ndjson", "Idempotency-Key": "k"}
    line = json.dumps(unit("E1"))
    assert (await fire.post(ITEMS, content=line, headers=headers)).json()["accepted"] == 1
    assert (await fire.put(ITEMS, content=line, headers=headers)).status_code == 409
    assert (await fire.get(f"{ITEMS}/OTHER")).status_code == 200


async def test_a_feature_called_0_is_found_where_the_answer_says(fire: httpx.AsyncClient) -> None:
    created = await fire.post(ITEMS, json=unit("E1") | {"id": 0})
    assert (await fire.get(created.headers["location"])).json()["id"] == "0"
