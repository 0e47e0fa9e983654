"""Playing a file in its own time order: what falls due when, and at which time it says it was observed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cop.push import in_time_order, play
from layers.model import JsonObject

NOW_S = 1_800_000_000.0


def fix(second: int | None, id: str = "a", **properties: Any) -> JsonObject:
    """An observation *second* seconds after some morning in 2017; None: with a time that is none."""
    seen = "soon" if second is None else datetime.fromtimestamp(1_492_500_000 + second, UTC).isoformat()
    return {"type": "Feature", "id": id, "geometry": None, "properties": {"observed_at": seen, **properties}}


def played(features: list[JsonObject], speed: float, **how: Any) -> list[tuple[float, list[JsonObject]]]:
    """Each batch with the seconds that had passed by then, on a clock that only sleeping moves on."""
    passed = [0.0]

    def sleep(seconds: float) -> None:
        passed[0] += seconds

    batches = play(features, speed, clock=lambda: NOW_S + passed[0], sleep=sleep, **how)
    return [(passed[0], batch) for batch in batches]


def seen_s(feature: JsonObject) -> float:
    return datetime.fromisoformat(feature["properties"]["observed_at"]).timestamp()


def test_order_is_by_time_and_equal_times_keep_the_files_order() -> None:
    features = [fix(5, "a"), fix(3, "b"), fix(5, "c"), fix(None, "d"), fix(3, "e")]
    assert [feature["id"] for feature in in_time_order(features)] == ["d", "b", "e", "a", "c"]


@given(
    st.lists(st.integers(0, 86_400), min_size=1, max_size=60),
    st.sampled_from([1.0, 60.0, 600.0]),
    st.booleans(),
    st.integers(1, 20),
)
def test_everything_is_played_once_in_order_and_never_early(
    seconds: list[int], speed: float, retime: bool, batch: int
) -> None:
    features = in_time_order([fix(second, str(n)) for n, second in enumerate(seconds)])
    batches = played(features, speed, retime=retime, batch=batch)
    assert [f["id"] for _, due in batches for f in due] == [f["id"] for f in features]
    assert all(len(due) <= batch for _, due in batches)
    first = min(seconds)
    for passed_s, due in batches:
        for feature in due:
            due_s = (seconds[int(feature["id"])] - first) / speed
            assert due_s <= passed_s + 1e-6


@given(st.lists(st.integers(0, 86_400), min_size=1, max_size=60), st.sampled_from([1.0, 600.0]))
def test_retimed_times_are_pressed_together_and_never_in_the_future(seconds: list[int], speed: float) -> None:
    features = in_time_order([fix(second, str(n)) for n, second in enumerate(seconds)])
    for passed_s, due in played(features, speed, retime=True, batch=500):
        for feature in due:
            true_s = NOW_S + (seconds[int(feature["id"])] - min(seconds)) / speed
            assert abs(seen_s(feature) - true_s) < 0.002
            assert seen_s(feature) <= NOW_S + passed_s + 0.001


def test_a_day_at_speed_600_takes_144_seconds() -> None:
    batches = played([fix(0), fix(86_400)], 600.0, retime=True, batch=500)
    assert [round(passed_s) for passed_s, _ in batches] == [0, 144]


def test_without_retime_the_files_times_stay() -> None:
    features = [fix(0), fix(60)]
    assert [f for _, due in played(features, 60.0, retime=False, batch=500) for f in due] == features


def test_what_falls_due_within_a_quarter_second_goes_together() -> None:
    features = [fix(second, str(second)) for second in range(1_000)]
    batches = played(features, 100.0, retime=True, batch=500)  # ten seconds of playing
    assert 30 <= len(batches) <= 41


def test_times_that_are_none_are_left_for_the_door_to_refuse() -> None:
    ((_, due),) = played(in_time_order([fix(0), fix(None, "b")]), 1.0, retime=True, batch=500)
    assert [f["properties"]["observed_at"] for f in due if f["id"] == "b"] == ["soon"]
    assert len(due) == 2


def test_file_without_any_time_is_played_at_once() -> None:
    ((passed_s, due),) = played([fix(None), fix(None)], 1.0, retime=True, batch=500)
    assert (passed_s, len(due)) == (0.0, 2)
