"""People and not only km²: tables uploaded row by row, layers, and cells in the question; against dictionaries."""

from __future__ import annotations

import random
from typing import Any

import h3.api.basic_str as h3
import httpx
import pytest

from cop.planning.question import MAX_INLINE_CELLS
from layers.planning import cell_tables
from tests.api.planning.asking import (
    AREA,
    WEST,
    Clients,
    add,
    ask,
    at,
    cells_of,
    cover,
    feature,
    filled,
    reached,
    refusal,
)
from tests.unit.hexes_shapes import box

TABLE = "/coverage/weights/people"
INSIDE = sorted(filled(AREA))


def people(cells: list[str], seed: int = 7) -> dict[str, float]:
    drawn = random.Random(seed)
    return {cell: float(drawn.randrange(500)) for cell in cells}


def as_csv(cells: dict[str, float]) -> bytes:
    return ("cell,value\n" + "".join(f"{cell},{value}\n" for cell, value in cells.items())).encode()


async def upload(client: httpx.AsyncClient, body: bytes, path: str = TABLE) -> httpx.Response:
    return await client.put(
        path, content=body, headers={"Content-Type": "text/csv"}, params={"unit": "people"}
    )


# Denials and bad input


async def test_only_planners_upload_and_only_for_their_agency(clients: Clients) -> None:
    body = as_csv(people(INSIDE[:5]))
    assert (await upload(clients["public"], body)).status_code == 401
    assert (await upload(clients["viewer"], body)).status_code == 403
    assert (await upload(clients["cfd"], body)).status_code == 201
    assert (await clients["ems"].get(TABLE)).json()["code"] == "table.not_found"
    assert (await clients["ems"].delete(TABLE)).status_code == 404
    assert (await clients["ems"].get("/coverage/weights")).json() == {"tables": []}
    question = {"area": AREA, "weights": {"table": "people"}}
    assert await refusal(clients["ems"], question) == (404, "table.not_found", "")


async def test_every_bad_row_is_named_by_its_line_and_nothing_is_stored(clients: Clients) -> None:
    coarse, good = h3.cell_to_parent(INSIDE[3]), INSIDE[:3]
    rows = [
        f"{good[0]},1",
        f"{good[1]},-1",
        f"{coarse},1",
        "here,1",
        f"{good[0]},2",
        f"{good[2]},nan",
        good[2],
    ]
    refused = await upload(clients["cfd"], "\n".join(["cell,value", *rows]).encode())
    assert refused.status_code == 422
    assert [(each["pointer"], each["code"]) for each in refused.json()["errors"]] == [
        ("/3", "cells.value"),
        ("/4", "cells.cell"),
        ("/5", "cells.row"),
        ("/6", "cells.twice"),
        ("/7", "cells.value"),
        ("/8", "cells.row"),
    ]
    assert (await clients["cfd"].get(TABLE)).status_code == 404


async def test_forms_and_names_that_are_none_are_refused(clients: Clients) -> None:
    fire, good = clients["cfd"], as_csv({INSIDE[0]: 1.0})
    assert (await upload(fire, good, "/coverage/weights/A b")).json()["code"] == "path.name"
    assert (await upload(fire, b"h3,people\n")).json()["code"] == "cells.header"
    plain = await fire.put(TABLE, content=b"x", headers={"Content-Type": "text/plain"})
    assert plain.status_code == 415
    assert "text/csv" in plain.json()["detail"]
    assert (await fire.put(TABLE, json={"cells": []})).json()["pointer"] == "/cells"
    assert (await fire.put(TABLE, json={"cells": {}})).json()["code"] == "cells.empty"
    assert (await fire.put(TABLE, json={"cells": {INSIDE[0]: -1}})).json()["pointer"] == f"/cells/{INSIDE[0]}"
    assert (await fire.put(TABLE, json={"cells": {INSIDE[0]: 1}, "unit": "x" * 41})).json()[
        "code"
    ] == "cells.unit"
    assert (await fire.get(TABLE, params={"f": "xls"})).status_code in (400, 404)


async def test_an_agency_keeps_so_many_tables(clients: Clients, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cell_tables, "MAX_TABLES", 1)
    fire, good = clients["cfd"], as_csv({INSIDE[0]: 1.0})
    assert [(await upload(fire, good)).status_code for _ in range(2)] == [201, 200]
    refused = await upload(fire, good, "/coverage/weights/others")
    assert (refused.status_code, refused.json()["code"]) == (413, "cells.too_many_tables")


async def test_weights_that_make_no_sense_are_refused(clients: Clients) -> None:
    fire = clients["cfd"]
    much = {f"{cell:x}": 1 for cell in range(MAX_INLINE_CELLS + 1)}
    await add(fire, "cfd.debts", "incidents", feature("a", at(-87.65, 41.88), owed=-5))
    await add(fire, "cfd.played", "incidents", feature("a", at(-87.65, 41.88)), status="exercise")
    cases: list[tuple[Any, tuple[int, str, str]]] = [
        (5, (422, "coverage.weights", "/weights")),
        ({}, (422, "coverage.weights", "/weights")),
        ({"table": "a", "layer": "b"}, (422, "coverage.weights", "/weights")),
        ({"table": "a", "property": "b"}, (422, "coverage.weights", "/weights")),
        ({"table": 1}, (422, "coverage.weights", "/weights/table")),
        ({"table": "a", "unit": "people\x07"}, (422, "coverage.weights", "/weights/unit")),
        ({"cells": much}, (422, "coverage.weights", "/weights/cells")),
        ({"cells": {"x": 1}}, (422, "cells.cell", "/weights/cells/x")),
        ({"cells": {INSIDE[0]: -1}}, (422, "cells.value", f"/weights/cells/{INSIDE[0]}")),
        ({"table": "absent"}, (404, "table.not_found", "")),
        ({"layer": "ems.absent"}, (404, "layer.not_found", "")),
        ({"layer": "cfd.debts", "property": "owed"}, (422, "coverage.weights", "/weights/property")),
        ({"layer": "cfd.played"}, (422, "coverage.mixed_status", "/weights/layer")),
    ]
    for weights, expected in cases:
        assert await refusal(fire, {"area": AREA, "weights": weights}) == expected, str(weights)[:80]


# Answers


async def test_a_table_comes_back_as_it_was_sent(clients: Clients) -> None:
    fire, cells = clients["cfd"], people(INSIDE) | {INSIDE[0]: 0.1}
    kept = (await upload(fire, as_csv(cells))).json()
    assert (kept["unit"], kept["resolution"], kept["cells"]) == ("people", 9, len(cells))
    assert kept["total"] == pytest.approx(sum(cells.values()))
    fetched = (await fire.get(TABLE, params={"f": "csv"})).text.splitlines()
    assert {line.split(",")[0]: float(line.split(",")[1]) for line in fetched[1:]} == cells
    assert [each["name"] for each in (await fire.get("/coverage/weights")).json()["tables"]] == ["people"]
    assert (await fire.delete(TABLE)).status_code == 204
    assert (await fire.get(TABLE)).status_code == 404


async def test_the_answer_counts_people_as_dictionaries_do(clients: Clients) -> None:
    covers = await cover(clients)
    far = people(sorted(filled(box(-87.5, 41.8, -87.45, 41.85))))
    cells = people(INSIDE) | far
    await upload(clients["cfd"], as_csv(cells))
    for weights in ({"table": "people"}, {"cells": cells, "unit": "people"}):
        answer = await ask(clients["cfd"], at_least=2, weights=weights)
        check_weights(answer, covers, cells, outside=sum(far.values()))


def check_weights(
    answer: dict[str, Any],
    covers: list[tuple[str, str, set[str]]],
    cells: dict[str, float],
    *,
    outside: float,
) -> None:
    def total(some: set[str]) -> float:
        return sum(cells[cell] for cell in some)

    area = set(INSIDE)
    times = {cell: sum(cell in reach for *_, reach in covers) for cell in area}
    gap = {cell for cell in area if times[cell] < 2}
    told = answer["weights"]
    assert (told["unit"], told["inside"], told["outside"]) == ("people", total(area), outside)
    assert (told["gap"], told["covered"]) == (total(gap), total(area - gap))
    assert told["overlap"] == total({cell for cell in area if times[cell] > 2})
    assert told["covered_share"] == pytest.approx(total(area - gap) / total(area), abs=1e-6)
    assert sum(piece["weight"] for piece in answer["gap"]["areas"]) == total(gap)
    depths = {each["depth"]: each["weight"] for each in answer["depths"]}
    assert depths == {depth: total({c for c in area if times[c] == depth}) for depth in set(times.values())}
    own = {a: area & set().union(*(r for o, _, r in covers if o == a)) for a in ("cfd", "ems")}
    assert {each["agency"]: (each["covers_weight"], each["only_weight"]) for each in answer["agencies"]} == {
        "cfd": (total(own["cfd"]), total(own["cfd"] - own["ems"])),
        "ems": (total(own["ems"]), total(own["ems"] - own["cfd"])),
    }


async def test_a_layer_weighs_by_a_property_or_by_its_number(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.65, 41.88), reach_m=1500))
    calls = [
        feature("in", at(-87.65, 41.88), calls=10),
        feature("gap", at(-87.61, 41.92), calls=4),
        feature("silent", at(-87.61, 41.92)),
        feature("far", at(-88.5, 41.0), calls=3),
    ]
    await add(clients["ems"], "ems.incidents", "incidents", *calls)
    only = {"layers": ["cfd.units"]}
    told = (await ask(fire, **only, weights={"layer": "ems.incidents", "property": "calls"}))["weights"]
    assert (told["covered"], told["gap"], told["outside"]) == (10, 4, 3)
    assert (told["unit"], told["features"], told["unvalued"]) == ("calls", 4, 1)
    told = (await ask(fire, **only, weights={"layer": "ems.incidents"}))["weights"]
    assert (told["covered"], told["gap"], told["outside"]) == (1, 2, 1)


async def test_a_polygon_of_a_layer_is_spread_over_its_ground(clients: Clients) -> None:
    fire = clients["cfd"]
    await add(fire, "cfd.units", "units", feature("u", at(-87.66, 41.88), reach_m=2500))
    await add(fire, "cfd.tracts", "zones", feature("w", WEST, people=1000))
    weights = {"layer": "cfd.tracts", "property": "people"}
    told = (await ask(fire, layers=["cfd.units"], weights=weights))["weights"]

    def part(cells: set[str]) -> Any:
        return pytest.approx(
            1000 * sum(map(h3.cell_area, cells)) / sum(map(h3.cell_area, filled(WEST))), rel=1e-4
        )

    assert told["inside"] == part(filled(WEST) & filled(AREA))
    assert told["covered"] == part(filled(WEST) & filled(AREA) & reached(-87.66, 41.88, 2500))
    assert told["inside"] + told["outside"] == pytest.approx(1000)


async def test_a_hidden_layer_weighs_nothing_even_in_a_run_that_knew_it(clients: Clients) -> None:
    await add(clients["ems"], "ems.incidents", "incidents", feature("a", at(-87.65, 41.88)))
    answer = await ask(clients["cfd"], weights={"layer": "ems.incidents"})
    assert answer["weights"]["gap"] == 1
    await clients["ems"].delete("/collections/ems.incidents/shares/all")
    assert await refusal(clients["cfd"], {"run": answer["run"]}) == (404, "layer.not_found", "")


async def test_a_run_is_weighed_again(clients: Clients) -> None:
    answer = await ask(clients["cfd"], weights={"cells": {INSIDE[0]: 7}})
    again = (await clients["cfd"].post("/coverage/analysis", json={"run": answer["run"]})).json()
    assert again["weights"] == answer["weights"]
    assert cells_of(again["gap"]) == set(INSIDE)
