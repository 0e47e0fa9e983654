"""The fold of one log: gaps are noticed, and what is remembered of departures is bounded and honest."""

from __future__ import annotations

import pytest

from cop.live import picture as picture_module
from cop.live.held import Held
from cop.live.picture import LayerPicture
from layers.log import Departure
from layers.model import Change, FeatureId, Why
from tests.live.world import Log, point


def folded(log: Log, *, summable: bool = False) -> LayerPicture:
    """A picture that has followed *log* from its beginning."""
    picture = LayerPicture(log.head._replace(revision=0), summable=summable)
    picture.apply(log.changes)
    return picture


@pytest.fixture
def log() -> Log:
    log = Log()
    for name in "abc":
        log.put(name, point(1, 2), callsign=name)
    return log


def test_a_gap_in_the_log_is_noticed(log):
    with pytest.raises(ValueError, match="cannot follow"):
        LayerPicture(log.head._replace(revision=0)).apply(log.changes[1:])


def test_a_log_that_repeats_itself_is_noticed(log):
    with pytest.raises(ValueError, match="cannot follow"):
        folded(log).apply(log.changes[-1:])


def test_the_features_of_a_fold_are_those_of_the_log(log):
    log.put("a", point(3, 4), seconds=9)
    log.gone("b")
    log.late("c")
    picture = folded(log)
    assert {held.id: held.revision for held in picture.features.values()} == {"c": 3, "a": 4}
    assert picture.revision == 6


@pytest.mark.parametrize(("summable", "told"), [(True, []), (False, [("d", None, "expired", True)])])
def test_that_a_feature_came_and_went_within_a_tick_is_news_unless_it_may_be_summed(log, summable, told):
    picture = folded(log, summable=summable)
    picture.take()
    log.put("d", point(0, 0))
    log.gone("d", Why.EXPIRED)
    picture.apply(log.changes[3:])
    assert [(before.id, *rest) for before, *rest in picture.take()] == told
    assert picture.take() == []


def test_a_feature_that_went_and_came_back_within_a_tick_is_one_step(log):
    picture = folded(log)
    picture.take()
    log.gone("a")
    log.put("a", point(0, 0))
    picture.apply(log.changes[3:])
    (step,) = picture.take()
    assert (step.before.revision, step.after.revision, step.why) == (1, 5, "")


def test_what_was_missed_is_told_to_the_revision(log):
    log.put("a", point(3, 4), seconds=9)
    log.gone("b", Why.EXPIRED)
    changed, gone = folded(log).missed(3)
    assert ([held.id for held in changed], gone) == (["a"], {"b": "expired"})


def test_what_came_back_is_not_told_as_gone(log):
    log.gone("a")
    log.put("a", point(5, 6))
    changed, gone = folded(log).missed(3)
    assert ([held.id for held in changed], gone) == (["a"], {})


def test_nothing_is_told_of_before_what_is_remembered_nor_of_the_future(log):
    picture = LayerPicture(log.head)
    assert picture.missed(2) is None
    assert picture.missed(4) is None
    assert picture.missed(3) == ([], {})


def test_departures_read_with_the_layer_let_those_come_back_who_left_before(log):
    log.gone("b")
    picture = LayerPicture(log.head)
    picture.hold(log.features.values())
    picture.remember(3, [Departure(FeatureId("b"), 4, "deleted")])
    assert picture.missed(3) == ([], {"b": "deleted"})
    assert picture.missed(2) is None


def test_no_more_departures_are_remembered_than_the_limit(log, monkeypatch):
    monkeypatch.setattr(picture_module, "MAX_GONE", 2)
    for name in "abc":
        log.gone(name)
    picture = folded(log)
    assert picture.missed(3) is None
    assert picture.missed(4)[1] == {"c": "deleted", "b": "deleted"}


@pytest.mark.parametrize(
    "properties", ['{"heading_deg": "north"}', '{"speed_mps": [1]}', '{"speed_mps": 1e999}']
)
def test_a_course_that_is_no_number_is_never_a_move(log, properties):
    change: Change = log.changes[0]._replace(properties=properties)
    held = Held(change, change.feature_id)
    assert not held.moved_from(held)
