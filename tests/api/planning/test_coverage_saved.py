"""Saved analyses: kept by name for an agency, checked when they are saved, and asked afresh."""

from __future__ import annotations

from typing import Any

import pytest

from layers.planning import saved
from tests.api.planning.asking import AREA, Clients, add, at, feature
from tests.unit.hexes_shapes import box

PATH = "/coverage/saved/loop"
BODY: dict[str, Any] = {
    "title": "The Loop",
    "question": {"area": box(-87.64, 41.87, -87.62, 41.89), "layers": ["cfd.units"]},
    "rule": {"covered_share_at_least": 0.9},
}


async def test_only_planners_save_and_others_know_of_nothing(clients: Clients) -> None:
    assert (await clients["public"].put(PATH, json=BODY)).status_code == 401
    assert (await clients["viewer"].put(PATH, json=BODY)).status_code == 403
    assert (await clients["cfd"].put(PATH, json=BODY)).status_code == 201
    there = clients["ems"]
    for answer in (await there.get(PATH), await there.delete(PATH), await there.post(f"{PATH}/run")):
        assert (answer.status_code, answer.json()["code"]) == (404, "analysis.not_found")
    assert (await there.get("/coverage/saved")).json() == {"saved": []}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"title": "x" * 201}, ("saved.title", "/title")),
        ({"title": "two\nlines"}, ("saved.title", "/title")),
        ({"question": None}, ("saved.question", "/question")),
        ({"question": {"area": AREA, "at_least": 0}}, ("coverage.at_least", "/question/at_least")),
        ({"question": {"area": AREA, "depth": 0}}, ("coverage.member", "/question/depth")),
        ({"question": {"run": "x"}}, ("saved.question", "/question/run")),
        ({"question": {"area": AREA | {"coordinates": [10**300]}}}, ("saved.question", "/question")),
        ({"rule": {}}, ("saved.rule", "/rule/covered_share_at_least")),
        ({"rule": {"covered_share_at_least": 1.1}}, ("saved.rule", "/rule/covered_share_at_least")),
        ({"rule": {"luck": 1}}, ("coverage.member", "/rule/luck")),
        ({"colour": "red"}, ("coverage.member", "/colour")),
    ],
)
async def test_what_cannot_be_asked_is_not_saved(
    clients: Clients, change: dict[str, Any], expected: tuple[str, str]
) -> None:
    refused = await clients["cfd"].put(PATH, json=BODY | change)
    assert (refused.status_code, refused.json()["code"], refused.json()["pointer"]) == (422, *expected)
    assert (await clients["cfd"].get(PATH)).status_code == 404


async def test_names_are_slugs_and_so_many_are_kept(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    fire = clients["cfd"]
    assert (await fire.put("/coverage/saved/The Loop", json=BODY)).json()["code"] == "path.name"
    monkeypatch.setattr(saved, "MAX_SAVED", 1)
    assert [(await fire.put(PATH, json=BODY)).status_code for _ in range(2)] == [201, 200]
    assert (await fire.put("/coverage/saved/other", json=BODY)).json()["code"] == "saved.too_many"


async def test_one_that_is_saved_is_read_replaced_and_deleted(clients: Clients) -> None:
    fire = clients["cfd"]
    await fire.put(PATH, json=BODY)
    await fire.put(PATH, json=BODY | {"title": "Again", "rule": None})
    found = (await fire.get(PATH)).json()
    assert (found["title"], found["rule"], found["watched"]) == ("Again", None, False)
    assert found["question"] == BODY["question"]
    assert [each["name"] for each in (await fire.get("/coverage/saved")).json()["saved"]] == ["loop"]
    assert (await fire.delete(PATH)).status_code == 204
    assert (await fire.get(PATH)).status_code == 404


async def test_it_is_asked_afresh_and_says_whether_its_rule_holds(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-88.0, 41.0), reach_m=5000))
    await fire.put(PATH, json=BODY)
    before = (await fire.post(f"{PATH}/run")).json()
    await fire.post("/collections/cfd.units/items", json=feature("u", at(-87.63, 41.88), reach_m=5000))
    after = (await fire.post(f"{PATH}/run")).json()
    assert (before["rule"], before["covered_share"]) == ({"covered_share_at_least": 0.9, "holds": False}, 0)
    assert (after["rule"]["holds"], after["saved"], after["title"]) == (True, "loop", "The Loop")
    drawn = await fire.post(f"{PATH}/run", params={"f": "geojson"})
    assert drawn.json()["rule"]["holds"] is True
    assert (await fire.post(f"{PATH}/run", params={"f": "csv"})).text.startswith("cell,depth")
