"""Watched analyses over HTTP: who may, and gaps and alerts that follow the picture, on the live stream too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import httpx
import orjson
from sqlalchemy import text

from layers.database import Database
from tests.api.planning.asking import AREA, Clients, add, ask, at, feature
from tests.unit.hexes_shapes import box

WATCH = "/coverage/saved/loop/watch"
PATIENCE_S = 20


async def save(db: Database, question: dict[str, Any], rule: dict[str, Any] | None = None) -> None:
    async with db.begin() as connection:
        await connection.execute(
            text(
                "INSERT INTO saved_analysis (agency_id, name, title, question, rule, actor)"
                " SELECT id, 'loop', 'The Loop', CAST(:question AS jsonb), CAST(:rule AS jsonb), 't'"
                " FROM agency WHERE slug = 'cfd'"
            ),
            {
                "question": orjson.dumps(question).decode(),
                "rule": None if rule is None else orjson.dumps(rule).decode(),
            },
        )


async def items(client: httpx.AsyncClient, layer: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = (await client.get(f"/collections/{layer}/items")).json()["features"]
    return found


async def until(
    client: httpx.AsyncClient, layer: str, holds: Callable[[list[dict[str, Any]]], bool]
) -> list[dict[str, Any]]:
    """The layer's features as soon as they are as asked for: what is watched is worked out in the background."""
    deadline = time.monotonic() + PATIENCE_S
    while not holds(found := await items(client, layer)):
        assert time.monotonic() < deadline, found
        await asyncio.sleep(0.05)
    return found


def km2(gaps: list[dict[str, Any]]) -> float:
    return sum(gap["properties"]["km2"] for gap in gaps)


async def test_only_who_may_plan_and_publish_may_watch(clients: Clients) -> None:
    for name, status in (("public", 401), ("viewer", 403)):
        assert (await clients[name].put(WATCH)).status_code == status
        assert (await clients[name].delete(WATCH)).status_code == status
    missing = await clients["cfd"].put(WATCH)
    assert (missing.status_code, missing.json()["code"]) == (404, "analysis.not_found")


async def test_another_agencys_analysis_is_none(clients: Clients, db: Database) -> None:
    await save(db, {"area": AREA})
    assert (await clients["ems"].put(WATCH)).status_code == 404
    assert (await clients["ems"].delete(WATCH)).status_code == 404


async def test_a_layer_of_that_name_and_another_kind_is_left_alone(clients: Clients, db: Database) -> None:
    await add(clients["cfd"], "cfd.gaps-loop", "units")
    await save(db, {"area": AREA})
    refused = await clients["cfd"].put(WATCH)
    assert (refused.status_code, refused.json()["code"]) == (409, "watch.layer")


async def test_gaps_follow_the_picture_and_the_alert_says_when_the_rule_breaks_and_heals(
    clients: Clients, db: Database
) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.89), reach_m=9000, status="available"))
    await save(
        db,
        {"area": AREA, "layers": ["cfd.units"], "where": {"status": ["available"]}},
        {"covered_share_at_least": 0.9},
    )
    begun = (await fire.put(WATCH)).json()
    layers = {"gaps": "cfd.gaps-loop", "alerts": "cfd.alerts"}
    assert begun == {"analysis": "loop", **layers, "status": "actual", "notes": []}
    (cleared,) = await until(fire, "cfd.alerts", lambda found: len(found) == 1)
    assert cleared["properties"]["status"] == "cleared"

    busy = feature("u", at(-87.65, 41.89), reach_m=9000, status="on_scene")
    sent = time.monotonic()
    await fire.post("/collections/cfd.units/items", json=busy)
    gaps = await until(fire, "cfd.gaps-loop", lambda found: len(found) > 0)
    assert time.monotonic() - sent < 5, "about a second behind, on a machine that others use"
    answer = await ask(fire, layers=["cfd.units"], where={"status": ["available"]})
    assert abs(km2(gaps) - answer["gap_km2"]) < 0.01
    assert gaps[0]["properties"]["why"] == "u near, but of another status (on_scene)"
    (active,) = await until(
        fire, "cfd.alerts", lambda found: bool(found) and found[0]["properties"]["status"] == "active"
    )
    assert active["properties"]["title"] == "The Loop: 0.0 % covered, 90 % wanted"
    assert "since" in active["properties"]

    await fire.post(
        "/collections/cfd.units/items", json=feature("v", at(-87.65, 41.89), reach_m=9000, status="available")
    )
    await until(fire, "cfd.gaps-loop", lambda found: found == [])
    (healed,) = await until(fire, "cfd.alerts", lambda found: found[0]["properties"]["status"] == "cleared")
    assert "since" not in healed["properties"]
    assert healed["properties"]["title"] == "The Loop: covered again"


async def test_a_rule_that_asks_for_less_covers_nothing_again(clients: Clients, db: Database) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.89), reach_m=2500, status="available"))
    question = {"area": AREA, "layers": ["cfd.units"]}
    await save(db, question, {"covered_share_at_least": 0.95})
    await fire.put(WATCH)
    (broken,) = await until(fire, "cfd.alerts", bool)
    assert broken["properties"]["status"] == "active"
    less = {"title": "The Loop", "question": question, "rule": {"covered_share_at_least": 0.1}}
    assert (await fire.put("/coverage/saved/loop", json=less)).is_success
    (cleared,) = await until(fire, "cfd.alerts", lambda found: found[0]["properties"]["status"] == "cleared")
    share = f"{100 * broken['properties']['covered_share']:.1f} %"
    assert cleared["properties"]["title"] == f"The Loop: {share} covered, 10 % wanted"
    assert cleared["properties"]["covered_share"] == broken["properties"]["covered_share"]


async def test_a_rule_that_asks_for_more_is_broken_since_it_does(clients: Clients, db: Database) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.89), reach_m=2500, status="available"))
    question = {"area": AREA, "layers": ["cfd.units"]}
    await save(db, question, {"covered_share_at_least": 0.95})
    await fire.put(WATCH)
    (before,) = await until(fire, "cfd.alerts", bool)
    more = {"title": "The Loop", "question": question, "rule": {"covered_share_at_least": 0.99}}
    assert (await fire.put("/coverage/saved/loop", json=more)).is_success
    (after,) = await until(fire, "cfd.alerts", lambda found: "99 %" in found[0]["properties"]["rule"])
    assert after["properties"]["status"] == "active"
    assert after["properties"]["since"] > before["properties"]["since"]


async def test_what_is_no_longer_shared_covers_nothing_and_an_end_clears_the_map(
    clients: Clients, db: Database
) -> None:
    fire, ems = clients["cfd"], clients["ems"]
    await add(ems, "ems.stations", "assets", feature("s", at(-87.65, 41.89), reach_m=9000))
    await save(db, {"area": AREA})
    await fire.put(WATCH)
    await until(fire, "cfd.alerts", lambda found: len(found) == 1)
    assert await items(fire, "cfd.gaps-loop") == []
    await ems.delete("/collections/ems.stations/shares/all")
    await until(fire, "cfd.gaps-loop", lambda found: len(found) == 1)
    assert (await fire.delete(WATCH)).status_code == 204
    assert await items(fire, "cfd.gaps-loop") == []
    (alert,) = await items(fire, "cfd.alerts")
    assert alert["properties"]["status"] == "cleared"


async def test_so_large_an_area_that_others_would_wait_is_not_watched(clients: Clients, db: Database) -> None:
    await save(db, {"area": box(-91, 39.5, -84.4, 44)})
    refused = await clients["cfd"].put(WATCH)
    assert (refused.status_code, refused.json()["code"]) == (413, "h3.too_many_cells")


async def test_gaps_of_an_exercise_are_an_exercise(clients: Clients, db: Database) -> None:
    await add(clients["cfd"], "cfd.played", "units", status="exercise")
    await save(db, {"area": AREA, "layers": ["cfd.played"]})
    begun = (await clients["cfd"].put(WATCH)).json()
    assert (begun["status"], begun["alerts"]) == ("exercise", "cfd.alerts-exercise")
    (gap,) = await until(clients["cfd"], "cfd.gaps-loop", lambda found: len(found) == 1)
    assert gap["status"] == "exercise"


async def test_a_question_that_is_played_now_leaves_the_layers_of_the_real_alone(
    clients: Clients, db: Database
) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.89), reach_m=9000))
    await add(fire, "cfd.played", "units", status="exercise")
    await save(db, {"area": AREA, "layers": ["cfd.units"]})
    await fire.put(WATCH)
    await until(fire, "cfd.alerts", lambda found: len(found) == 1)
    played = {"title": "The Loop", "question": {"area": AREA, "layers": ["cfd.played"]}}
    assert (await fire.put("/coverage/saved/loop", json=played)).status_code == 200
    # Another agency's watch is begun in a later round than the one that has found the first to be played.
    watched = clients["ems"]
    await watched.put("/coverage/saved/all", json={"question": {"area": AREA, "layers": ["cfd.units"]}})
    await watched.put("/coverage/saved/all/watch")
    await until(watched, "ems.alerts", lambda found: len(found) == 1)
    assert await items(fire, "cfd.gaps-loop") == []
    again = await fire.put(WATCH)
    assert (again.status_code, again.json()["code"]) == (409, "watch.layer")


async def test_an_alert_that_an_agency_has_made_up_stops_nobodys_watch(
    clients: Clients, db: Database
) -> None:
    fire, ems = clients["cfd"], clients["ems"]
    await add(fire, "cfd.alerts", "alerts")
    forged = feature("loop", at(-87.65, 41.89), title="x", status="active")  # since when?
    assert (await fire.post("/collections/cfd.alerts/items", json=forged)).is_success
    await save(db, {"area": AREA})
    assert (await fire.put(WATCH)).is_success
    await ems.put("/coverage/saved/all", json={"question": {"area": AREA}})
    await ems.put("/coverage/saved/all/watch")
    await until(ems, "ems.alerts", lambda found: len(found) == 1)
    (alert,) = await items(fire, "cfd.alerts")
    assert alert["properties"]["analysis"] == "loop"


async def test_what_is_watched_is_not_deleted_with_its_gaps_on_the_map(
    clients: Clients, db: Database
) -> None:
    await save(db, {"area": AREA})
    await clients["cfd"].put(WATCH)
    refused = await clients["cfd"].delete("/coverage/saved/loop")
    assert (refused.status_code, refused.json()["code"]) == (409, "saved.watched")
    assert (await clients["cfd"].delete(WATCH)).status_code == 204
    assert (await clients["cfd"].delete("/coverage/saved/loop")).status_code == 204
