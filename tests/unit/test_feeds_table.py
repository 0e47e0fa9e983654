"""`cop feeds`: a row says in words what is wrong with a feed."""

from __future__ import annotations

from datetime import UTC, datetime

from cop.api.examples_live import FEED_EXAMPLE
from cop.feeds_table import HEADINGS, row_of

NOW = datetime(2026, 11, 22, 14, 2, 41, tzinfo=UTC)


def test_a_feed_of_ones_own_says_everything() -> None:
    row = dict(zip(HEADINGS, map(str, row_of(FEED_EXAMPLE, NOW)), strict=True))
    assert row == {
        "layer": "cfd.units",
        "status": "actual",
        "heard": "30 s ago",
        "changes/s": "0.7",
        "lag": "1.2 s, p95 3.9 s",
        "features": "42",
        "refused": "3: geo.range",
        "viewers": "cfd 2 ems 5 public 12",
    }


def test_a_silent_feed_of_others_says_that_it_is_silent_and_no_more_than_is_known() -> None:
    feed = FEED_EXAMPLE | {"silent_since": FEED_EXAMPLE["last_heard"], "rate": None, "lag": None}
    del feed["rejects"], feed["subscribers"]
    row = dict(zip(HEADINGS, map(str, row_of(feed, NOW)), strict=True))
    assert row["heard"] == "silent, 30 s ago"
    assert row["changes/s"] == row["lag"] == row["refused"] == row["viewers"] == ""


def test_a_feed_that_never_spoke_says_so() -> None:
    assert str(row_of(FEED_EXAMPLE | {"last_heard": None}, NOW)[2]) == "never"
