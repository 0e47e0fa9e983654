"""The harness of the measurements: figures, percentiles, and which functions it finds."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import Bench, Figure, percentile, percentiles, timed
from tests.bench.__main__ import measure_one

ROOT = Path(__file__).parents[2]


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one value"):
        percentile([], 50)


def test_percentile_is_a_value_that_was_measured() -> None:
    assert [percentile(range(1, 101), percent) for percent in (1, 50, 99, 100)] == [1, 50, 99, 100]


def test_percentile_of_one_value_is_that_value() -> None:
    assert [figure.value for figure in percentiles("lag", [7.0], "ms")] == [7.0, 7.0, 7.0]


@pytest.mark.parametrize(
    ("value", "better", "ok"),
    [
        (9, "lower", True),
        (10, "lower", True),
        (11, "lower", False),
        (9, "higher", False),
        (10, "higher", True),
    ],
)
def test_target_is_met_on_the_right_side(value: float, better: str, ok: bool) -> None:
    assert Figure("n", value, "ms", better, 10).ok is ok


def test_figure_without_target_is_neither_met_nor_missed() -> None:
    assert Figure("n", 1, "ms", "lower").ok is None


def test_line_has_the_promised_members() -> None:
    line = json.loads(Figure("n", 1234.56789, "ms", "lower", 2000).line())
    assert line == {"name": "n", "value": 1235.0, "unit": "ms", "better": "lower", "target": 2000, "ok": True}


def test_warmups_are_not_counted() -> None:
    calls: list[int] = []
    assert len(timed(lambda: calls.append(1), repeats=5, warmups=2)) == 5
    assert len(calls) == 7


def _plain() -> Iterator[Figure]:
    yield Figure("n", 1, "ms", "lower")


async def _generator() -> AsyncIterator[Figure]:
    await asyncio.sleep(0)
    yield Figure("n", 1, "ms", "lower")


async def _listed(bench: Bench) -> list[Figure]:
    bench.say("one")
    return list(_plain())


@pytest.mark.parametrize("measure", [_plain, _generator, _listed])
def test_measurement_may_be_plain_or_async_and_take_the_bench(measure: Callable[..., Any]) -> None:
    taken: list[Figure] = []
    measure_one(measure, Bench(), taken.append)
    assert [figure.value for figure in taken] == [1]


def test_unknown_measurement_is_an_error() -> None:
    asked = subprocess.run(
        [sys.executable, "-m", "tests.bench", "no-such-thing"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (asked.returncode, asked.stdout) == (2, "")
