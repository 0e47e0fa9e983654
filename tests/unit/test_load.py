"""The load generator's pure parts: ways that units drive, frames read from bytes, gaps, losses and percentiles."""

from __future__ import annotations

import json
import random
import struct
from itertools import pairwise
from math import ceil, cos, hypot, radians
from typing import Any
from zlib import crc32

import numpy as np
import orjson
import pytest

from cop.bench.command import remarks
from cop.bench.fleet import M_PER_DEGREE, Fleet, batch_count, unit_id
from cop.bench.judging import (
    Lags,
    Moves,
    Truth,
    Units,
    Verdict,
    cursor_of,
    gaps,
    judge,
    read_frame,
    told,
    whole_ms,
)
from cop.bench.plan import CITY, Address, LoadFailed, Plan, views
from cop.bench.run import Outcome
from cop.bench.usage import Sample, Usage
from cop.bench.viewer import Message, Recording, Shelf
from tests.bench.live_scene import slope

LAYER = "cfd.units"
EPOCH = "00000000-0000-4000-8000-000000000000"
NOW = 1_800_000_000_000
IDS = [unit_id(number) for number in range(4)]
UNITS = Units(IDS, [crc32(id.encode()) for id in IDS])
VIEW = {"bbox": [0.0, 0.0, 1.0, 1.0], "zoom": 12}


def part(from_: int, to: int, **lists: Any) -> dict[str, Any]:
    return {"epoch": EPOCH, "from": from_, "to": to} | lists


def text(arrived: int, part: dict[str, Any]) -> Message:
    return arrived, False, orjson.dumps({"type": "frame", "time": NOW, "layers": {LAYER: part}})


def packed(arrived: int, part: dict[str, Any], rows: list[tuple[int, int]]) -> Message:
    """As the protocol lays it out: length, JSON, zeros, records."""
    layers = {"cfd.other": part | {"packed": 1}, LAYER: part | {"packed": len(rows)}}
    body = orjson.dumps({"type": "frame", "time": NOW, "layers": layers})
    head = struct.pack("<I", len(body)) + body
    head += bytes(-len(head) % 4)
    records = [
        struct.pack(
            "<IiiIHH", crc32(IDS[unit].encode()), 5_000_000, 5_000_000, observed % 2**32, 9_000, 65_535
        )
        for unit, observed in [(3, 1), *rows]
    ]
    return arrived, True, head + b"".join(records)


def put(unit: int, observed: int) -> dict[str, Any]:
    return {"id": IDS[unit], "geometry": None, "properties": {}, "observed_at": observed, "expires_at": None}


def truth(places: list[tuple[float, float]], observed: list[int]) -> Truth:
    """All units; those not named are far away."""
    lng, lat = np.array(places).T
    stamps = np.array(sorted(set(observed)), np.int64)
    return Truth(lng, lat, np.array(observed, np.int64), stamps, stamps * 1_000_000)


def lost(messages: list[Message], known: Truth) -> int:
    return known.lost(told(messages, LAYER, UNITS), VIEW)


@pytest.mark.parametrize("cut", [1, 20, 24])
def test_packed_frame_of_another_length_is_refused(cut: int) -> None:
    _, _, message = packed(1, part(0, 1), [(0, NOW)])
    with pytest.raises(ValueError, match="records from byte"):
        read_frame(message[:-cut], binary=True)


def test_packed_records_belong_to_their_layers_in_the_order_of_the_json() -> None:
    _, _, message = packed(1, part(0, 1), [(0, NOW), (2, NOW + 5)])
    body, records = read_frame(message, binary=True)
    assert [len(each) for each in records] == [1, 2]
    assert body["layers"][LAYER]["packed"] == 2


@pytest.mark.parametrize("ago", [0, 1, -1, 2**31 - 1, 1 - 2**31, 86_400_000])
def test_moment_of_which_only_the_low_bits_came_is_the_one_near_the_frame(ago: int) -> None:
    low = np.array([(NOW - ago) % 2**32], np.uint32)
    assert whole_ms(low, NOW).tolist() == [NOW - ago]


def test_rows_of_both_forms_say_the_same() -> None:
    rows = [(0, NOW - 7), (2, NOW + 9)]
    move = [[IDS[unit], 0.5, 0.5, observed, 90, None] for unit, observed in rows]
    as_text = told([text(1, part(0, 1, move=move))], LAYER, UNITS)
    as_records = told([packed(1, part(0, 1), rows)], LAYER, UNITS)
    assert as_text.units.tolist() == as_records.units.tolist() == [0, 2]
    assert as_text.observed.tolist() == as_records.observed.tolist() == [NOW - 7, NOW + 9]


def test_bytes_of_moves_are_those_that_came_and_moves_in_words_are_counted_beside_them() -> None:
    came = [
        packed(1, part(0, 1), [(0, NOW), (2, NOW)]),
        text(2, part(1, 2, move=[[IDS[0], 0.5, 0.5, NOW, 90, None]], put=[put(1, NOW)])),
    ]
    assert told(came, LAYER, UNITS).moves == Moves(records=3, record_bytes=60, in_words=1)


def test_units_of_others_are_passed_over() -> None:
    strange = [["bus-1", 0.5, 0.5, NOW, None, None], [IDS[1], 0.5, 0.5, NOW, None, None]]
    assert told([text(1, part(0, 1, move=strange))], LAYER, UNITS).units.tolist() == [1]
    assert UNITS.of_checksums(np.array([0, 2**32 - 1], np.uint32)).tolist() == [-1, -1]


def test_part_that_goes_on_elsewhere_is_a_gap() -> None:
    assert gaps([part(0, 3, reset=True), part(3, 3), part(3, 7)]) == 0
    assert gaps([part(0, 3, reset=True), part(4, 7)]) == 1
    assert gaps([part(0, 3, reset=True), part(3, 7) | {"epoch": "another"}]) == 1
    assert gaps([part(3, 7)]) == 1


def test_reset_goes_on_from_anywhere() -> None:
    assert gaps([part(0, 3, reset=True), part(9, 9, reset=True), part(9, 10)]) == 0


def test_cursor_is_that_of_the_newest_frame_about_the_layer() -> None:
    sign_of_life = orjson.dumps({"type": "frame", "time": NOW, "layers": {}})
    messages = [text(1, part(0, 3)), packed(2, part(3, 8), []), (3, False, sign_of_life)]
    assert cursor_of(messages, LAYER) == f"{EPOCH}:8"
    assert cursor_of([], LAYER) is None


INSIDE, OUTSIDE = (0.5, 0.5), (5.0, 5.0)


def test_unit_in_view_that_never_came_is_lost() -> None:
    known = truth([INSIDE, INSIDE, OUTSIDE, OUTSIDE], [10, 10, 10, 10])
    assert lost([text(1, part(0, 1, reset=True, put=[put(0, 10)]))], known) == 1


def test_unit_held_as_it_was_before_is_lost() -> None:
    known = truth([INSIDE, OUTSIDE, OUTSIDE, OUTSIDE], [20, 10, 10, 10])
    assert lost([text(1, part(0, 1, reset=True, put=[put(0, 10)]))], known) == 1


def test_ghost_of_a_unit_that_has_left_is_lost() -> None:
    known = truth([OUTSIDE] * 4, [20, 10, 10, 10])
    came = text(1, part(0, 1, reset=True, put=[put(0, 10)]))
    assert lost([came], known) == 1
    assert lost([came, text(2, part(1, 2, gone=[[IDS[0], "view"]]))], known) == 0


def test_unit_held_around_the_view_is_welcome_while_it_is_up_to_date() -> None:
    assert lost([text(1, part(0, 1, reset=True, put=[put(0, 10)]))], truth([OUTSIDE] * 4, [10] * 4)) == 0


def test_newest_of_several_rows_is_held() -> None:
    known = truth([INSIDE, OUTSIDE, OUTSIDE, OUTSIDE], [30, 10, 10, 10])
    came = [text(1, part(0, 1, reset=True, put=[put(0, 10)])), packed(2, part(1, 2), [(0, 20), (0, 30)])]
    known.observed_ms[0] = whole_ms(np.array([30], np.uint32), NOW)[0]
    assert lost(came, known) == 0


def test_reset_drops_what_was_held() -> None:
    known = truth([INSIDE, OUTSIDE, OUTSIDE, OUTSIDE], [10] * 4)
    came = text(1, part(0, 1, reset=True, put=[put(0, 10)]))
    assert lost([came, text(2, part(5, 5, reset=True))], known) == 1


def test_sums_are_counted_and_not_compared() -> None:
    recording = Recording(VIEW, [text(1, part(0, 0, reset=True, cells=[["85", 9, None, NOW]]))])
    verdict = judge([recording], LAYER, UNITS, truth([INSIDE] * 4, [10] * 4), 0, 1)
    assert (verdict.summed, verdict.lost, verdict.checked) == (1, 0, 1)


def test_lag_is_from_the_reception_to_the_arrival_and_only_of_the_time_measured() -> None:
    known = truth([INSIDE] * 4, [1_000, 2_000, 3_000, 4_000])
    rows = [[IDS[unit], 0.5, 0.5, 1_000 * (unit + 1), None, None] for unit in range(4)]
    heard = told([text(4_250_000_000, part(0, 1, move=rows))], LAYER, UNITS)
    assert known.lags_ms(heard, 2_000_000_000, 3_000_000_000).tolist() == [2_250.0, 1_250.0]


def test_percentiles_are_those_of_all_values_together() -> None:
    random_ = random.Random(3)
    values = [random_.lognormvariate(5, 1) for _ in range(5_000)]
    first, second = Lags(), Lags()
    first.add(np.array(values[:2_000]))
    second.add(np.array(values[2_000:]))
    for percent in (50, 95, 99, 100):
        expected = sorted(values)[ceil(len(values) * percent / 100) - 1]
        assert (first + second).percentile(percent) == pytest.approx(expected, abs=0.051)


def test_percentile_of_no_lag_is_no_number() -> None:
    assert np.isnan(Lags().percentile(99))


def test_beyond_the_bound_every_second_recording_is_let_go() -> None:
    recordings = [Recording(VIEW) for _ in range(4)]
    shelf = Shelf(recordings, 1_000)
    for turn in range(3):
        for each in recordings:
            shelf.keep(each, (turn, False, bytes(100)))
    assert [each.kept for each in recordings] == [True, False, True, False]
    assert [each.count for each in recordings] == [3] * 4
    assert [len(each.messages) for each in recordings] == [3, 0, 3, 0]


def test_viewers_that_were_not_checked_are_spoken_of() -> None:
    plan = Plan(Address("127.0.0.1", 80), "", LAYER, viewers=2, units=4)
    outcome = Outcome(plan, Verdict(checked=1), settled=True)
    assert outcome.whole
    assert "Only 1 viewers were checked" in remarks(outcome)[0]


def test_run_without_a_viewer_to_check_is_not_whole() -> None:
    plan = Plan(Address("127.0.0.1", 80), "", LAYER, viewers=2, units=4)
    assert not Outcome(plan, settled=True).whole


def test_every_unit_reports_once_a_round() -> None:
    fleet = Fleet(1_003, CITY, batches=batch_count(1_003, 1.0))
    ids = [
        feature["id"]
        for batch in range(fleet.batches)
        for feature in json.loads(fleet.body(batch, NOW))["features"]
    ]
    assert sorted(ids) == [unit_id(number) for number in range(1_003)]
    assert sum(map(fleet.size, range(fleet.batches))) == 1_003


@pytest.mark.parametrize(
    ("units", "every_s", "count"), [(200, 5, 50), (10_000, 1, 20), (5_000, 5, 50), (1, 9, 1), (200, 0.08, 1)]
)
def test_requests_are_small_enough_and_spread(units: int, every_s: float, count: int) -> None:
    assert batch_count(units, every_s) == count


def test_units_stay_in_the_box_and_drive_where_they_head() -> None:
    fleet = Fleet(200, CITY, batches=1)
    steps = [fleet.places(at_s / 10) for at_s in range(600)]
    for (lng, lat, heading), (next_lng, next_lat, _) in pairwise(steps):
        assert CITY[0] <= lng.min() <= lng.max() <= CITY[2]
        assert CITY[1] <= lat.min() <= lat.max() <= CITY[3]
        east = (next_lng - lng) * M_PER_DEGREE * cos(radians((CITY[1] + CITY[3]) / 2))
        north = (next_lat - lat) * M_PER_DEGREE
        assert max(map(hypot, east, north)) <= 2.01
        turned = (np.degrees(np.arctan2(east, north)) - heading + 180) % 360 - 180
        assert np.abs(turned).max() < 1.0


def test_same_seed_drives_the_same_ways() -> None:
    assert Fleet(9, CITY, batches=3, seed=5).body(1, NOW) == Fleet(9, CITY, batches=3, seed=5).body(1, NOW)
    assert Fleet(9, CITY, batches=3, seed=5).body(1, NOW) != Fleet(9, CITY, batches=3, seed=6).body(1, NOW)


def test_views_are_of_different_places_and_one_in_ten_of_the_world() -> None:
    plan = Plan(Address("127.0.0.1", 80), "", LAYER, viewers=50, units=1, look="mixed")
    seen = list(views(plan))
    assert sum(view["zoom"] == 1 for view in seen) == 5
    assert len({tuple(view["bbox"]) for view in seen}) == 46


@pytest.mark.parametrize("url", ["127.0.0.1:8600", "ftp://x", "http://", "http://x:99999"])
def test_what_is_no_address_is_named(url: str) -> None:
    with pytest.raises(LoadFailed, match=r"address|port"):
        Address.of(url)


def test_process_that_does_not_exist_is_named() -> None:
    with pytest.raises(LoadFailed, match="no process 2147483647"):
        Usage(2**31 - 1)


def test_growth_is_the_slope_through_the_readings() -> None:
    assert slope([Sample(at, 0.0, 100 + at / 2 + (-1) ** at) for at in range(100)]) == pytest.approx(
        0.5, abs=0.001
    )
