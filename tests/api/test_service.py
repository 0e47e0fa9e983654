"""The rest of the API: the front door, tickets and sessions, administration, health and the OpenAPI document."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from cop.settings import Settings
from layers.credentials import hash_of, still_valid
from layers.database import Database
from layers.errors import Unavailable
from tests.conftest import Serving

Make = Callable[..., Awaitable[str]]


@pytest.fixture
async def host(server: Serving, key: Make) -> AsyncIterator[httpx.AsyncClient]:
    """The agency that runs the deployment."""
    headers = {"Authorization": f"Bearer {await key('oem', 'admin', host=True)}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        yield client


@pytest.fixture
async def browser(server: Serving) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that has not come in yet."""
    async with httpx.AsyncClient(base_url=server.url) as client:
        yield client


# Denials


async def test_a_ticket_opens_the_page_once(
    host: httpx.AsyncClient, browser: httpx.AsyncClient, server: Serving
) -> None:
    url = (await host.post("/tickets", json={"scopes": ["view", "plan"]})).json()["url"]
    entered = await browser.get(url)
    assert (entered.status_code, entered.headers["location"]) == (303, "/")
    cookie = entered.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    session = (await browser.get("/session")).json()
    assert session["viewer"]["agency"]["id"] == "oem"
    assert session["viewer"]["scopes"] == ["plan", "view"]
    assert (await browser.get(url)).status_code == 303, "who is in already simply goes to the page"
    async with httpx.AsyncClient(base_url=server.url) as another:
        assert (await another.get(url)).status_code == 401


async def test_leaving_ends_the_session_everywhere(
    host: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await browser.get((await host.post("/tickets", json={})).json()["url"])
    secret = browser.cookies["cop_session"]
    assert (await browser.post("/session/end")).status_code == 204
    answer = await browser.get("/collections", headers={"Cookie": f"cop_session={secret}"})
    assert answer.status_code == 401


async def test_another_site_cannot_write_with_a_viewers_cookie(
    host: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await browser.get((await host.post("/tickets", json={"scopes": ["admin"]})).json()["url"])
    forged = await browser.post(
        "/operations", json={"id": "x", "agency": "oem"}, headers={"Origin": "https://evil.example"}
    )
    assert (forged.status_code, forged.json()["code"]) == (403, "origin")
    own = await browser.post(
        "/operations", json={"id": "x", "agency": "oem"}, headers={"Origin": str(browser.base_url)}
    )
    assert own.status_code == 201


async def test_a_ticket_gives_no_more_than_the_key_has(server: Serving, key: Make) -> None:
    headers = {"Authorization": f"Bearer {await key('cfd', 'view')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        assert (await client.post("/tickets", json={"scopes": ["admin"]})).status_code == 403


async def test_what_a_key_let_in_ends_with_the_key(
    host: httpx.AsyncClient, browser: httpx.AsyncClient, db: Database
) -> None:
    made = (await host.post("/keys", json={"agency": "oem", "scopes": ["view"]})).json()
    bearer = {"Authorization": f"Bearer {made['key']}"}
    await browser.get((await browser.post("/tickets", json={}, headers=bearer)).json()["url"])
    unused = (await browser.post("/tickets", json={}, headers=bearer)).json()["url"]
    assert (await browser.get("/session")).json()["viewer"]["agency"]["id"] == "oem"
    assert (await host.delete(f"/keys/{made['prefix']}")).status_code == 204
    assert (await browser.get("/session")).status_code == 401
    async with httpx.AsyncClient() as another:
        assert (await another.get(unused)).status_code == 401
    async with db.connect() as connection:
        assert not await still_valid(connection, {hash_of(browser.cookies["cop_session"])})


async def test_a_session_does_not_outlast_its_key(
    host: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    ends_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat().replace("+00:00", "Z")
    asked = {"agency": "oem", "scopes": ["view"], "expires_at": ends_at}
    bearer = {"Authorization": f"Bearer {(await host.post('/keys', json=asked)).json()['key']}"}
    await browser.get((await browser.post("/tickets", json={}, headers=bearer)).json()["url"])
    assert (await browser.get("/session")).json()["expires_at"] == ends_at


async def test_a_session_makes_no_tickets(host: httpx.AsyncClient, browser: httpx.AsyncClient) -> None:
    await browser.get((await host.post("/tickets", json={})).json()["url"])
    assert (await browser.post("/tickets", json={})).status_code == 403


async def test_leaving_ends_the_cookies_session_and_no_key(
    host: httpx.AsyncClient, browser: httpx.AsyncClient
) -> None:
    await browser.get((await host.post("/tickets", json={})).json()["url"])
    secret = browser.cookies["cop_session"]
    assert (await host.post("/session/end", headers={"Cookie": f"cop_session={secret}"})).status_code == 204
    assert (await host.get("/session")).status_code == 200
    assert (await browser.get("/session")).status_code == 401


async def test_links_are_built_from_the_public_url_not_from_the_host_header(
    host: httpx.AsyncClient, server: Serving
) -> None:
    settings = server.app.state.settings
    server.app.state.settings = settings.model_copy(update={"public_url": "https://cop.example"})
    evil = {"Host": "evil.example"}
    ticket = await host.post("/tickets", json={}, headers=evil)
    assert ticket.json()["url"].startswith("https://cop.example/enter?")
    listed = await host.get("/collections", headers=evil)
    assert listed.json()["links"][0]["href"] == "https://cop.example/collections"


@pytest.mark.parametrize("method", ["PUT", "DELETE"])
async def test_a_hidden_operation_answers_as_none(
    host: httpx.AsyncClient, browser: httpx.AsyncClient, server: Serving, key: Make, method: str
) -> None:
    await host.post("/operations", json={"id": "secret", "agency": "oem"})
    headers = {"Authorization": f"Bearer {await key('cfd', 'admin')}"}
    for client in (browser, httpx.AsyncClient(base_url=server.url, headers=headers)):
        for id in ("secret", "nothing"):
            answer = await client.request(method, f"/operations/{id}/layers/cfd.units")
            assert (answer.status_code, answer.json()["code"]) == (404, "operation.not_found")
        await client.aclose()


@pytest.mark.parametrize(
    ("address", "body"),
    [
        ("/keys", {"agency": "@", "scopes": ["view"]}),
        ("/operations", {"id": "x", "agency": "@"}),
        ("/collections", {"id": "@.x", "kind": "units"}),
    ],
)
async def test_the_public_does_not_learn_which_agencies_there_are(
    host: httpx.AsyncClient, browser: httpx.AsyncClient, address: str, body: dict[str, object]
) -> None:
    for agency in ("oem", "nope"):
        text = json.dumps(body).replace("@", agency)
        answer = await browser.post(address, content=text, headers={"Content-Type": "application/json"})
        assert answer.status_code == 401


async def test_an_operation_lets_go_of_a_layer_that_its_agency_no_longer_sees(
    host: httpx.AsyncClient, server: Serving, key: Make
) -> None:
    await host.post("/operations", json={"id": "surge", "agency": "oem"})
    headers = {"Authorization": f"Bearer {await key('cfd', 'admin')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as other:
        await other.post("/collections", json={"id": "cfd.units", "kind": "units"})
        await other.put("/collections/cfd.units/shares/oem")
        await host.put("/operations/surge/layers/cfd.units")
        await other.delete("/collections/cfd.units/shares/oem")
    assert (await host.delete("/operations/surge/layers/cfd.units")).status_code == 204
    again = await host.delete("/operations/surge/layers/cfd.units")
    none = await host.delete("/operations/surge/layers/cfd.nothing")
    assert (again.status_code, none.status_code) == (404, 404)


@pytest.mark.parametrize("id", ["public", "all"])
async def test_no_agency_is_called_like_an_audience(host: httpx.AsyncClient, id: str) -> None:
    answer = await host.post("/agencies", json={"id": id})
    assert (answer.status_code, answer.json()["code"]) == (422, "agency.slug")


@pytest.mark.parametrize("address", ["/keys", "/operations", "/collections", "/agencies", "/tickets"])
@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ("{}" + " " * 64_000, 413, "body.too_large"),
        ('{"id":"a","id":"b"}', 400, "json.duplicate_key"),
        ("[]", 422, "request.invalid"),
    ],
)
async def test_a_form_is_small_and_strict_json(
    host: httpx.AsyncClient, address: str, body: str, status: int, code: str
) -> None:
    answer = await host.post(address, content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


async def test_who_may_not_ask_is_refused_before_the_body_is_read(browser: httpx.AsyncClient) -> None:
    for address in ("/keys", "/operations", "/collections", "/agencies", "/tickets"):
        assert (await browser.post(address, content=b"no json")).status_code == 401


async def test_only_the_host_adds_agencies(host: httpx.AsyncClient, server: Serving, key: Make) -> None:
    assert (
        await host.post("/agencies", json={"id": "cfd", "name": "Fire", "color": "#d55e00"})
    ).status_code == 201
    headers = {"Authorization": f"Bearer {await key('cfd', 'admin')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as other:
        assert (await other.post("/agencies", json={"id": "ems"})).status_code == 403


async def test_an_exercise_never_draws_real_units(host: httpx.AsyncClient) -> None:
    await host.post("/collections", json={"id": "oem.units", "kind": "units"})
    await host.post("/operations", json={"id": "surge", "agency": "oem", "status": "exercise"})
    refused = await host.put("/operations/surge/layers/oem.units")
    assert (refused.status_code, refused.json()["code"]) == (422, "operation.status")


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        ({"id": "oem.x", "kind": "dragons"}, 422, None),
        ({"id": "oem.x", "kind": "units", "status": "perhaps"}, 422, "/status"),
        ({"id": "oem.x", "kind": "units", "reach_m": -1}, 422, "/reach_m"),
        ({"id": "oem.X Y", "kind": "units"}, 422, None),
        ({"id": "nobody.x", "kind": "units"}, 404, None),
        ({"id": "oem.x", "kind": "units", "colour": "red"}, 422, "/colour"),
    ],
)
async def test_a_bad_layer_is_one_clear_problem(
    host: httpx.AsyncClient, body: dict[str, object], status: int, pointer: str | None
) -> None:
    answer = await host.post("/collections", json=body)
    assert answer.status_code == status, answer.text
    assert answer.json().get("pointer") == pointer
    assert answer.json()["code"]


# What works


async def test_an_operation_shows_the_layers_that_you_see(
    host: httpx.AsyncClient, server: Serving, key: Make
) -> None:
    for id in ("oem.units", "oem.secret"):
        await host.post("/collections", json={"id": id, "kind": "units", "status": "exercise"})
    await host.post(
        "/operations", json={"id": "surge", "agency": "oem", "status": "exercise", "title": "Surge"}
    )
    for id in ("oem.units", "oem.secret"):
        assert (await host.put(f"/operations/surge/layers/{id}")).status_code == 204
    await host.put("/collections/oem.units/shares/all")
    headers = {"Authorization": f"Bearer {await key('cfd', 'view')}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as other:
        operations = (await other.get("/operations")).json()["operations"]
    assert operations == [{"id": "surge", "title": "Surge", "status": "exercise", "layers": ["oem.units"]}]


async def test_a_key_is_shown_once_and_can_be_revoked(host: httpx.AsyncClient, server: Serving) -> None:
    made = (await host.post("/keys", json={"agency": "oem", "scopes": ["publish"]})).json()
    assert made["key"].startswith("cop_pub_")
    headers = {"Authorization": f"Bearer {made['key']}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers) as client:
        assert (await client.get("/session")).json()["viewer"]["scopes"] == ["publish"]
        assert (await host.delete(f"/keys/{made['prefix']}")).status_code == 204
        assert (await client.get("/session")).status_code == 401


async def test_the_front_door_is_a_page_for_browsers_and_ogc_for_programs(browser: httpx.AsyncClient) -> None:
    landing = (await browser.get("/", headers={"Accept": "application/json"})).json()
    assert {link["rel"] for link in landing["links"]} >= {"self", "service-desc", "conformance", "data"}
    for link in landing["links"]:
        assert (await browser.get(link["href"])).status_code == 200
    page = await browser.get("/", headers={"Accept": "text/html"})
    assert page.status_code in (200, 503)
    assert "default-src 'self'" in page.headers["content-security-policy"]


async def test_health_tells_the_process_from_its_work(browser: httpx.AsyncClient) -> None:
    assert (await browser.get("/livez")).status_code == 200
    async with asyncio.timeout(5):
        while (ready := await browser.get("/readyz")).status_code != 200:  # noqa: ASYNC110 - another service tells no event
            await asyncio.sleep(0.05)
    parts = ready.json()["parts"]
    assert not parts.pop("draining")
    assert all(parts.values())


async def test_openapi_names_every_address_and_carries_examples(browser: httpx.AsyncClient) -> None:
    document = (await browser.get("/api")).json()
    push = document["paths"]["/collections/{layer}/items"]["post"]
    assert push["requestBody"]["content"]["application/geo+json"]["example"]["features"][0]["id"] == "E42"
    assert "422" in push["responses"] or "4XX" in push["responses"]
    assert "/coverage/analysis" in document["paths"]
    for path, member in (
        ("/collections/{layer}/changes", "next"),
        ("/feeds/{layer}", "rejects"),
        ("/collections/{layer}/shares", "shares"),
    ):
        told = document["paths"][path]["get"]["responses"]["200"]["content"]["application/json"]["example"]
        assert member in told
    assert "text/event-stream" in document["paths"]["/live/events"]["get"]["responses"]["200"]["content"]
    form = document["paths"]["/keys"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert form["properties"]["scopes"]["items"]["enum"] == ["publish", "view", "plan", "admin"]


async def test_an_unknown_address_is_a_problem_too(browser: httpx.AsyncClient) -> None:
    answer = await browser.get("/nowhere")
    assert (answer.status_code, answer.json()["code"]) == (404, "address.not_found")
    assert (await browser.delete("/collections")).json()["code"] == "method.not_allowed"


def test_a_bad_setting_is_named() -> None:
    with pytest.raises(Unavailable, match="COP_PORT"):
        Settings.from_environment({"COP_PORT": "many"})
    with pytest.raises(Unavailable, match="COP_PUBLIC_URL"):
        Settings.from_environment({"COP_PUBLIC_URL": "cop.example"})
    settings = Settings.from_environment({"COP_ALLOWED_ORIGINS": "https://a.example, https://b.example/"})
    assert settings.allowed_origins == ("https://a.example", "https://b.example")
