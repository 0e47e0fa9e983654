"""What the desk remembers: as many cases as there is room for, by what was read for them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID

import pytest

from cop.analysts import Analysts
from cop.planning import desk as planning
from cop.planning.desk import Desk, Loaded, size_of
from layers.planning.model import Case, Rule, Zone
from tests.unit.hexes_shapes import box
from tests.unit.planning_cases import row, source

AREA = box(-87.66, 41.87, -87.64, 41.89)
FIRST, SECOND = UUID(int=1), UUID(int=2)


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    analysts = Analysts(processes=1)
    yield Desk(analysts)
    analysts.close()


def case_of(words: int) -> Case:
    unit = row("u", lng=-87.65, lat=41.88, reach_m=500, remark="x" * words)
    return Case(AREA, 8, Rule(), (source("units", unit, stale_after_s=60),))


def covers(loaded: Loaded) -> int:
    return len(loaded.coverage.covers)


def zones(loaded: Loaded) -> int:
    return len(loaded.case.zones)


async def test_cases_make_room_by_what_was_read_for_them(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(planning, "KEPT_BYTES", 100_000)
    assert await desk.ask(FIRST, case_of(10), covers) == 1
    assert await desk.ask(SECOND, case_of(10), covers) == 1
    assert desk.case(FIRST) is not None
    assert await desk.ask(UUID(int=3), case_of(99_000), covers) == 1
    assert desk.case(FIRST) is None
    assert desk.case(UUID(int=3)) is not None, "the newest, however large"


async def test_a_run_that_is_generalized_since_is_not_answered_from_what_was_seen(desk: Desk) -> None:
    exact = case_of(10)
    coarse = replace(exact, sources=(replace(exact.sources[0], rows=(), generalized=True),))
    assert await desk.ask(FIRST, exact, covers) == 1
    assert await desk.ask(FIRST, coarse, covers) == 0
    assert desk.case(FIRST) == coarse
    assert await desk.ask(FIRST, coarse, covers) == 0
    assert await desk.ask(FIRST, exact, covers) == 1


async def test_zones_are_not_remembered(desk: Desk) -> None:
    case = replace(case_of(10), zones=(Zone("z", "z", AREA),))
    assert await desk.ask(FIRST, case, zones) == 1
    assert desk.case(FIRST) == replace(case, zones=())


def test_a_case_is_as_large_as_the_words_of_its_features() -> None:
    assert size_of(case_of(1_010)) - size_of(case_of(10)) == 1_000
