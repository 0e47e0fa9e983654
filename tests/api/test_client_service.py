"""The client against the real service: what agencies push, readers read back, and planners ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import pytest

from cop.client import Client, ProblemError
from layers.model import JsonObject

Key = Callable[..., Awaitable[str]]
Result = TypeVar("Result")


def unit(
    id: str, lng: float, lat: float, seen: str = "2026-11-22T08:00:00Z", **properties: Any
) -> JsonObject:
    point = {"type": "Point", "coordinates": [lng, lat]}
    return {"type": "Feature", "id": id, "geometry": point, "properties": {"observed_at": seen, **properties}}


@pytest.fixture
async def ask(server: Any, key: Key) -> Callable[[Callable[[Client], Result]], Awaitable[Result]]:
    """Run a function with a client that holds every scope of the agency `cfd`, on a service with `cfd.units`."""
    secret = await key("cfd", "publish", "admin", host=True)

    async def ask(work: Callable[[Client], Result]) -> Result:
        def run() -> Result:
            with Client(server.url, secret) as client:
                return work(client)

        return await asyncio.to_thread(run)

    await ask(lambda c: c.add_layer("cfd.units", kind="units", status="exercise", reach_m=1_500))
    return ask


async def test_what_is_pushed_is_read_back_page_by_page(ask: Any) -> None:
    features = [unit(f"e{n:04}", -87.7 + n * 1e-5, 41.9) for n in range(1_200)]
    receipt = await ask(lambda c: c.push("cfd.units", features))
    assert (receipt.accepted, receipt.created, receipt.last_revision) == (1_200, 1_200, 1_200)
    found = await ask(lambda c: list(c.items("cfd.units", limit=500)))
    assert [feature["id"] for feature in found] == [feature["id"] for feature in features]


async def test_box_bounds_what_is_read(ask: Any) -> None:
    await ask(lambda c: c.push("cfd.units", [unit("in", -87.7, 41.9), unit("out", -80.0, 41.9)]))
    found = await ask(lambda c: list(c.items("cfd.units", bbox=(-88, 41, -87, 42))))
    assert [feature["id"] for feature in found] == ["in"]


async def test_same_push_under_the_same_key_changes_nothing(ask: Any) -> None:
    features = [unit("e1", -87.7, 41.9)]
    first = await ask(lambda c: c.push("cfd.units", features, idempotency_key="k1"))
    again = await ask(lambda c: c.push("cfd.units", features, idempotency_key="k1"))
    assert first == again
    with pytest.raises(ProblemError, match="idempotency"):
        await ask(lambda c: c.push("cfd.units", [unit("e2", -87.7, 41.9)], idempotency_key="k1"))


async def test_patch_merges_and_replace_takes_the_rest_away(ask: Any) -> None:
    await ask(lambda c: c.push("cfd.units", [unit("e1", -87.7, 41.9), unit("e2", -87.7, 41.9)]))
    busy = {"type": "Feature", "id": "e1", "properties": {"status": "on_scene"}}
    assert (await ask(lambda c: c.patch("cfd.units", [busy]))).accepted == 1
    assert (await ask(lambda c: c.item("cfd.units", "e1")))["properties"]["status"] == "on_scene"
    receipt = await ask(lambda c: c.replace("cfd.units", [unit("e3", -87.7, 41.9)]))
    assert (receipt.accepted, receipt.gone) == (1, 2)


async def test_empty_set_must_be_meant(ask: Any) -> None:
    await ask(lambda c: c.push("cfd.units", [unit("e1", -87.7, 41.9)]))
    with pytest.raises(ProblemError):
        await ask(lambda c: c.replace("cfd.units", []))
    assert (await ask(lambda c: c.replace("cfd.units", [], allow_empty=True))).gone == 1


async def test_removing_what_is_not_there_is_no_error(ask: Any) -> None:
    await ask(lambda c: c.push("cfd.units", [unit("e 1?", -87.7, 41.9)]))
    receipt = await ask(lambda c: c.remove("cfd.units", ["e 1?", "never"]))
    assert receipt.gone == 1
    with pytest.raises(ProblemError, match=r"layer\.not_found"):
        await ask(lambda c: c.remove("cfd.nothing", ["e1"]))


async def test_track_runs_from_oldest_to_newest(ask: Any) -> None:
    for minute in (0, 1, 2):
        fix = unit("e1", -87.7 + minute / 100, 41.9, f"2026-11-22T08:0{minute}:00Z")
        await ask(lambda c, fix=fix: c.push("cfd.units", [fix]))
    track = await ask(lambda c: c.track("cfd.units", "e1"))
    assert track["geometry"]["coordinates"] == [[-87.7, 41.9], [-87.69, 41.9], [-87.68, 41.9]]


async def test_gaps_come_as_a_frame_with_the_totals(ask: Any) -> None:
    await ask(lambda c: c.push("cfd.units", [unit("e1", -87.7, 41.9)]))
    area = {
        "type": "Polygon",
        "coordinates": [
            [[-87.75, 41.88], [-87.65, 41.88], [-87.65, 41.92], [-87.75, 41.92], [-87.75, 41.88]]
        ],
    }
    frame = await ask(lambda c: c.gaps(area, ["cfd.units"], roles=("gap", "covered"), count_stale=True))
    assert set(frame.role) >= {"gap", "covered"}
    assert frame.attrs["gap_km2"] == pytest.approx(frame[frame.role == "gap"].km2.sum(), rel=0.01)
    assert frame.attrs["covered_km2"] == pytest.approx(7.07, rel=0.1)
    assert frame.crs.to_epsg() in {4326, None}
    only = await ask(lambda c: c.gaps(area, ["cfd.units"], count_stale=True))
    assert set(only.role) == {"gap"}
    assert set(only.columns) == {"geometry", "role", "km2", "reasons", "nearest", "nearest_m"}
    assert "nobody within reach" in set(only.reasons)
    gap = only.to_crs(26916)
    assert gap.area.sum() / 1e6 == pytest.approx(frame.attrs["gap_km2"], rel=0.05)


async def test_gaps_where_no_unit_fits_are_all_of_the_area(ask: Any) -> None:
    await ask(lambda c: c.push("cfd.units", [unit("e1", -87.7, 41.9, status="on_scene")]))
    area = {
        "type": "Polygon",
        "coordinates": [[[-87.72, 41.89], [-87.68, 41.89], [-87.68, 41.91], [-87.72, 41.89]]],
    }
    frame = await ask(lambda c: c.gaps(area, ["cfd.units"], where={"status": ["available"]}))
    assert frame.attrs["covered_km2"] == 0
    unmet, note = frame.attrs["notes"]
    assert unmet == "No feature near the area has “available” as its status; there are: on_scene."
    assert note.startswith("cfd.units: 1 of 1 features that reach into the area do not count")
    assert set(frame.role) == {"gap"}


async def test_administration_from_agency_to_ticket(server: Any, ask: Any) -> None:
    await ask(lambda c: c.add_agency("ems", name="EMS", color="#0072b2"))
    with pytest.raises(ProblemError, match=r"agency\.exists"):
        await ask(lambda c: c.add_agency("ems", name="EMS", color="#0072b2"))
    await ask(lambda c: c.share("cfd.units", "ems"))
    await ask(lambda c: c.add_operation("surge", agency="cfd", title="Surge", status="exercise"))
    await ask(lambda c: c.draw("surge", "cfd.units"))
    (operation,) = await ask(lambda c: c.operations())
    assert (operation["id"], operation["layers"]) == ("surge", ["cfd.units"])
    assert {agency["id"] for agency in await ask(lambda c: c.agencies())} == {"cfd", "ems"}
    await ask(lambda c: c.unshare("cfd.units", "ems"))
    assert (await ask(lambda c: c.ticket(name="Pat"))).startswith(f"{server.url}/enter?ticket=")


async def test_revoked_key_is_refused_at_once(server: Any, ask: Any) -> None:
    key = await ask(lambda c: c.create_key("cfd", ["view"]))

    def layers() -> list[JsonObject]:
        with Client(server.url, key) as reader:
            return reader.layers()

    assert [layer["id"] for layer in await asyncio.to_thread(layers)] == ["cfd.units"]
    await ask(lambda c: c.revoke_key(key[: key.rindex("_") + 7]))
    with pytest.raises(ProblemError, match="401"):
        await asyncio.to_thread(layers)


async def test_ready_says_whether_and_never_raises(server: Any) -> None:
    def ready(url: str) -> bool:
        with Client(url) as reader:
            return reader.ready()

    async with asyncio.timeout(10):
        while not await asyncio.to_thread(ready, server.url):  # its stream takes a moment to connect
            pass
    assert await asyncio.to_thread(ready, server.url)
    assert not await asyncio.to_thread(ready, "http://127.0.0.1:9")
