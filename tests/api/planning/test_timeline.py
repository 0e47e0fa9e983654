"""The timeline over HTTP: who may not ask, what is refused, and each step as an analysis of that moment has it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import h3.api.basic_str as h3
import httpx
import pytest
from sqlalchemy import text

from layers.database import Database
from tests.api.planning.asking import AREA, MIDDLE, WEST, Clients, add, at, cells_of, feature, filled, reached
from tests.unit.hexes_shapes import box

ASK = "/coverage/timeline"
NEXT = (datetime.now(UTC) + timedelta(days=2)).replace(hour=6, minute=0, second=0, microsecond=0)
HOUR = timedelta(hours=1)


def z(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def window(begin: datetime, hours: float, step_minutes: float = 15) -> dict[str, Any]:
    return {"from": z(begin), "to": z(begin + hours * HOUR), "step_minutes": step_minutes}


async def ask(client: httpx.AsyncClient, **question: Any) -> dict[str, Any]:
    answer = await client.post(ASK, json={"area": AREA, "window": window(NEXT, 8)} | question)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


async def refusal(client: httpx.AsyncClient, **question: Any) -> tuple[int, str, str]:
    answer = await client.post(ASK, json={"area": AREA} | question)
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    return answer.status_code, body["code"], body.get("pointer", "")


# Denials and bad input


async def test_only_planners_may_ask(clients: Clients) -> None:
    assert await refusal(clients["public"], window=window(NEXT, 8)) == (401, "unauthenticated", "")
    assert await refusal(clients["viewer"], window=window(NEXT, 8)) == (403, "forbidden", "")


async def test_a_hidden_layer_is_in_no_timeline(clients: Clients) -> None:
    await add(clients["ems"], "ems.secret", "coverage", feature("a", AREA))
    await clients["ems"].delete("/collections/ems.secret/shares/all")
    named = await refusal(clients["cfd"], window=window(NEXT, 8), layers=["ems.secret"])
    assert named == (404, "layer.not_found", "")
    found = await ask(clients["cfd"])
    assert (found["inputs"], found["worst"]["covered_km2"]) == ([], 0)


async def test_bad_questions_have_one_clear_problem_each(clients: Clients) -> None:
    good = window(NEXT, 8)
    cases: list[tuple[dict[str, Any], tuple[int, str, str]]] = [
        ({}, (422, "timeline.window", "")),
        ({"window": 5}, (422, "timeline.window", "/window")),
        ({"window": {"from": good["from"]}}, (422, "timeline.window", "/window/to")),
        ({"window": good | {"from": "yesterday"}}, (422, "coverage.time", "/window/from")),
        ({"window": good | {"until": 5}}, (422, "coverage.member", "/window/until")),
        ({"window": good | {"to": good["from"]}}, (422, "timeline.order", "/window/to")),
        ({"window": good | {"step_minutes": 0}}, (422, "timeline.step", "/window/step_minutes")),
        ({"window": good | {"step_minutes": True}}, (422, "timeline.step", "/window/step_minutes")),
        ({"window": window(NEXT, 8, 0.1)}, (413, "timeline.too_many_steps", "/window/step_minutes")),
        ({"window": window(NEXT, 24 * 401, 60)}, (413, "timeline.too_long", "/window/to")),
        ({"window": good, "at": good["from"]}, (422, "timeline.at", "/at")),
        ({"window": good, "minutes": 1}, (422, "timeline.minutes", "/minutes")),
        ({"window": good, "at_least": 0}, (422, "coverage.at_least", "/at_least")),
        (
            {"window": good, "area": box(-88, 41, -87, 42), "resolution": 12},
            (413, "h3.too_many_cells", "/area"),
        ),
    ]
    for question, expected in cases:
        assert await refusal(clients["cfd"], **question) == expected, question
    run = {"run": "6f1d0e8c-6a0c-4c0b-9b46-0d6a6f7c1c11", "window": good}
    answer = await clients["cfd"].post(ASK, json=run)
    assert (answer.status_code, answer.json()["code"]) == (422, "timeline.run")


async def test_forms_that_are_none_are_refused(clients: Clients) -> None:
    body = {"area": AREA, "window": window(NEXT, 8)}
    assert (await clients["cfd"].post(f"{ASK}?f=shp", json=body)).json()["code"] == "query.f"
    assert (await clients["cfd"].post(f"{ASK}?k=1", json=body)).json()["code"] == "query.unknown"
    csv = await clients["cfd"].post(f"{ASK}?f=csv", json=body | {"minutes": False})
    assert (csv.status_code, csv.json()["code"]) == (422, "timeline.minutes")


# Answers


def shift(begin_h: float, end_h: float) -> dict[str, str]:
    return {"valid_from": z(NEXT + begin_h * HOUR), "valid_to": z(NEXT + end_h * HOUR)}


async def shifts(clients: Clients) -> None:
    """Two crews of cfd that follow each other with a pause of seven minutes, and stations of ems for a while."""
    early = feature("early", MIDDLE, **shift(-1, 3))
    late = feature("late", MIDDLE, **shift(3 + 7 / 60, 9))
    await add(clients["cfd"], "cfd.crews", "coverage", early, late)
    north = feature("north", at(-87.64, 41.91), reach_m=1500, **shift(1, 5.5))
    await add(
        clients["ems"], "ems.stations", "assets", north, feature("always", at(-87.62, 41.86), reach_m=900)
    )


async def test_each_step_is_the_analysis_of_that_moment(clients: Clients) -> None:
    await shifts(clients)
    fire = clients["cfd"]
    for at_least in (1, 2):
        found = await ask(fire, window=window(NEXT, 8, 60), at_least=at_least)
        assert [step["at"] for step in found["steps"]] == [z(NEXT + hour * HOUR) for hour in range(8)]
        for step in found["steps"]:
            question = {"area": AREA, "at": step["at"], "at_least": at_least}
            then = (await fire.post("/coverage/analysis", json=question)).json()
            for name in ("covered_km2", "gap_km2", "overlap_km2", "covered_share"):
                assert step[name] == pytest.approx(then[name], abs=2e-6), (name, step["at"])
            assert step["covers"] == sum(each["features"] for each in then["inputs"])


async def test_the_worst_moment_is_found_between_the_steps_with_its_reasons(clients: Clients) -> None:
    await shifts(clients)
    found = await ask(clients["cfd"], layers=["cfd.crews"])
    worst = found["worst"]
    assert (worst["at"], worst["until"]) == (z(NEXT + 3 * HOUR), z(NEXT + (3 + 7 / 60) * HOUR))
    assert cells_of(worst["gap"]) == filled(AREA)
    why = {each["reason"]: each["features"] for area in worst["gap"]["areas"] for each in area["why"]}
    assert why == {"off_shift": 2}
    assert found["best"]["covered_km2"] == pytest.approx(found["steps"][0]["covered_km2"])
    assert found["agencies"] == [{"agency": "cfd", "features": 2, "hours_on_duty": round(8 - 7 / 60, 3)}]
    steps_only = await ask(clients["cfd"], layers=["cfd.crews"], minutes=False)
    assert (steps_only["exact"], "uncovered" in steps_only) == (False, False)
    assert steps_only["worst"]["at"] == z(NEXT + 3 * HOUR)
    assert steps_only["steps"] == found["steps"]


async def test_minutes_of_cells_add_up_in_every_form(clients: Clients) -> None:
    await shifts(clients)
    body = {"area": AREA, "window": window(NEXT, 8), "layers": ["cfd.crews"]}
    found = (await clients["cfd"].post(ASK, json=body)).json()
    uncovered = found["uncovered"]
    middle = filled(MIDDLE) & filled(AREA)
    assert cells_of(uncovered["never_covered"]) == filled(AREA) - middle
    assert uncovered["always_covered"]["cell_count"] == 0
    (bucket,) = uncovered["in_between"]
    assert (bucket["over_minutes"], bucket["to_minutes"], cells_of(bucket)) == (0, 15, middle)
    csv = await clients["cfd"].post(f"{ASK}?f=csv", json=body)
    assert csv.headers["content-type"] == "text/csv; charset=utf-8"
    head, *lines = csv.text.splitlines()
    minutes = {cell: float(value) for cell, value in (line.split(",") for line in lines)}
    assert head == "cell,minutes_uncovered"
    assert minutes == {cell: 7.0 if cell in middle else 480.0 for cell in filled(AREA)}
    share = 1 - sum(h3.cell_area(cell) * value for cell, value in minutes.items()) / 480 / found["area_km2"]
    assert found["mean_covered_share"] == pytest.approx(share, abs=1e-4)


async def test_people_are_counted_at_each_step_and_on_the_average_of_time(clients: Clients) -> None:
    await shifts(clients)
    inside, outside = min(filled(MIDDLE) & filled(AREA)), min(filled(AREA) - filled(MIDDLE))
    weights = {"cells": {inside: 30, outside: 10}, "unit": "people"}
    found = await ask(clients["cfd"], layers=["cfd.crews"], window=window(NEXT, 4, 60), weights=weights)
    covered = {"covered": 30, "covered_share": 0.75}
    nobody = {"covered": 0, "covered_share": 0}
    assert [step["weights"] for step in found["steps"]] == [covered, covered, covered, nobody]
    assert (found["weights"]["unit"], found["weights"]["inside"]) == ("people", 40)
    assert found["weights"]["mean_covered_share"] == pytest.approx(0.75 * (240 - 7) / 240, abs=1e-6)
    steps = {"layers": ["cfd.crews"], "window": window(NEXT, 4, 60), "weights": weights, "minutes": False}
    assert (await ask(clients["cfd"], **steps))["weights"]["mean_covered_share"] == 0.5625


async def test_the_worst_moment_is_drawn(clients: Clients) -> None:
    await shifts(clients)
    body = {"area": AREA, "window": window(NEXT, 8)}
    found = (await clients["cfd"].post(ASK, json=body)).json()
    drawn = await clients["cfd"].post(ASK, json=body, headers={"Accept": "application/geo+json"})
    assert drawn.headers["content-type"] == "application/geo+json"
    answer = drawn.json()
    assert answer["worst"]["at"] == found["worst"]["at"]
    gaps = [each["properties"]["km2"] for each in answer["features"] if each["properties"]["role"] == "gap"]
    assert sum(gaps) == pytest.approx(found["worst"]["gap_km2"], rel=1e-5)


async def test_the_past_is_told_by_the_log(clients: Clients, db: Database) -> None:
    """A unit that moved: ten minutes here, busy for ten, then there, until it grew stale; and one that left."""
    fire = clients["cfd"]
    here, there = at(-87.64, 41.88), at(-87.62, 41.92)
    await add(fire, "cfd.units", "units", reach_m=900, stale_after_s=900)
    for place, status in ((here, "available"), (here, "on_scene"), (there, "available")):
        sent = await fire.post("/collections/cfd.units/items", json=feature("u", place, status=status))
        assert sent.is_success, sent.text
    begin = datetime.now(UTC).replace(second=0, microsecond=0) - 3 * HOUR
    async with db.begin() as connection:
        for table in ("change", "feature"):
            moved = (
                f"UPDATE {table} SET received_at = CAST(:b AS timestamptz) + revision * interval '10 minutes'"
            )
            await connection.execute(text(moved), {"b": begin})
            await connection.execute(text(f"UPDATE {table} SET observed_at = received_at"))
    question = {"where": {"status": ["available"]}, "window": window(begin, 1, 5)}
    found = await ask(fire, **question)
    assert [step["covers"] for step in found["steps"]] == [0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 0, 0]
    csv = await fire.post(f"{ASK}?f=csv", json={"area": AREA} | question)
    minutes = dict(line.split(",") for line in csv.text.splitlines()[1:])
    first, second = reached(-87.64, 41.88, 900), reached(-87.62, 41.92, 900)
    assert not first & second
    expected = {cell: 40.0 if cell in first else 35.0 if cell in second else 50.0 for cell in filled(AREA)}
    assert {cell: float(value) for cell, value in minutes.items()} == expected
    assert found["inputs"][0]["states"] == 3
    assert await ask(fire, **question) | {"read_at": "", "run": ""} == found | {"read_at": "", "run": ""}


async def heard_at(db: Database, moment: datetime) -> None:
    """As if all that is known had been received at *moment*."""
    async with db.begin() as connection:
        for table in ("change", "feature"):
            moved = f"UPDATE {table} SET received_at = CAST(:at AS timestamptz), observed_at = CAST(:at AS timestamptz)"
            await connection.execute(text(moved), {"at": moment})


async def test_before_anything_was_heard_of_there_is_no_worst_moment(clients: Clients, db: Database) -> None:
    fire, begin = clients["cfd"], datetime.now(UTC).replace(second=0, microsecond=0) - 3 * HOUR
    await add(fire, "cfd.areas", "coverage", feature("a", WEST))
    heard = begin + HOUR
    await heard_at(db, heard)
    for minutes in (True, False):
        found = await ask(fire, window=window(begin, 2, 30), minutes=minutes)
        assert found["notes"][0] == f"Nothing is known of cfd.areas before {heard:%Y-%m-%d %H:%M} UTC."
        assert (found["known_from"], [step["known"] for step in found["steps"]]) == (
            z(heard),
            [False, False, True, True],
        )
        assert (found["worst"]["at"], found["worst"]["covered_km2"] > 0) == (z(heard), True)
        assert (
            found["mean_covered_share"]
            == found["best"]["covered_share"]
            == found["steps"][3]["covered_share"]
        )
    csv = await fire.post(f"{ASK}?f=csv", json={"area": AREA, "window": window(begin, 2, 30)})
    assert {float(line.split(",")[1]) for line in csv.text.splitlines()[1:]} == {0, 60}


async def test_a_window_of_which_nothing_is_known_has_no_average(clients: Clients, db: Database) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.areas", "coverage", feature("a", WEST))
    await add(fire, "cfd.never", "coverage")
    past = window(datetime.now(UTC) - 5 * HOUR, 2)
    found = await ask(fire, window=past)
    assert (found["known_from"], found["mean_covered_share"]) == (None, None)
    assert {step["known"] for step in found["steps"]} == {False}
    assert found["notes"][0].startswith("Nothing is known of cfd.areas before ")
    assert found["notes"][1] == "Nothing has ever been heard of cfd.never."


async def test_a_timeline_says_what_the_analysis_of_its_worst_moment_says(
    clients: Clients, db: Database
) -> None:
    fire, begin = clients["cfd"], datetime.now(UTC).replace(second=0, microsecond=0) - 3 * HOUR
    await add(fire, "cfd.units", "units", feature("u", at(-87.64, 41.88), status="on_scene", reach_m=900))
    await heard_at(db, begin)
    question = {"where": {"status": ["available"]}, "layers": ["cfd.units"]}
    then = (await fire.post("/coverage/analysis", json={"area": AREA, "at": z(begin), **question})).json()
    found = await ask(fire, window=window(begin, 1), **question)
    unmet, status, unseen = then["notes"]
    assert found["worst"]["notes"] == then["notes"]
    assert found["notes"] == [
        unseen,
        *(f"At the worst moment, {begin:%Y-%m-%d %H:%M} UTC: {note}" for note in (unmet, status)),
    ]


async def test_a_run_is_told_again_whatever_has_happened_since(clients: Clients, db: Database) -> None:
    fire = clients["cfd"]
    here = at(-87.64, 41.88)
    await add(
        fire,
        "cfd.units",
        "units",
        *(feature(id, here, status="available") for id in ("moves", "goes", "stays")),
        reach_m=900,
        stale_after_s=1200,
    )
    now = datetime.now(UTC)
    found = await ask(fire, window=window(now - HOUR, 3, 10))
    await fire.post(
        "/collections/cfd.units/items", json=feature("moves", at(-87.62, 41.92), status="available")
    )
    await fire.post("/collections/cfd.units/items", json=feature("comes", here, status="available"))
    await fire.delete("/collections/cfd.units/items/goes")
    again = await fire.post(ASK, json={"run": found["run"]})
    assert again.json() == found
    other = await ask(fire, window=window(now - HOUR, 3, 10))
    assert other["steps"] != found["steps"]
    assert (await clients["ems"].post(ASK, json={"run": found["run"]})).json()["code"] == "run.not_found"
    steps = await ask(fire, window=window(now - HOUR, 3, 10), minutes=False)
    assert (await fire.post(ASK, json={"run": steps["run"]})).json() == steps
    kept = (await fire.get(f"/coverage/runs/{found['run']}")).json()
    assert kept["question"]["window"]["step_minutes"] == 10


async def test_a_run_of_one_moment_has_no_timeline_and_one_over_time_has_a_moment(clients: Clients) -> None:
    fire = clients["cfd"]
    moment = (await fire.post("/coverage/analysis", json={"area": AREA})).json()
    assert (await fire.post(ASK, json={"run": moment["run"]})).json()["code"] == "timeline.run"
    over = await ask(fire)
    analysed = await fire.post("/coverage/analysis", json={"run": over["run"]})
    assert (analysed.status_code, analysed.json()["at"]) == (200, over["read_at"])


async def test_what_is_still_to_come_is_said(clients: Clients) -> None:
    assert any("to come" in note for note in (await ask(clients["cfd"]))["notes"])
    past = window(datetime.now(UTC) - 5 * HOUR, 2)
    assert (await ask(clients["cfd"], window=past))["notes"] == [
        "You see nothing that could cover of cfd, ems."
    ]
