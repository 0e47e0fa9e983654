"""Errors of the domain come whole out of another process."""

from __future__ import annotations

import pickle

import pytest

from layers import errors
from layers.model import Rejection


@pytest.mark.parametrize(
    "error",
    [
        errors.Invalid("Too deep.", pointer="/at_least", code="coverage.at_least"),
        errors.NotFound("cell", "892664c1a8bffff"),
        errors.PushRejected([Rejection("/features/0", "geo.null", "No place.")], 3),
        errors.TooLarge("Too many."),
    ],
)
def test_an_error_is_the_same_after_a_journey(error: errors.LayersError) -> None:
    found = pickle.loads(pickle.dumps(error))
    assert (type(found), str(found), found.__dict__) == (type(error), str(error), error.__dict__)
    assert (found.args, found.code) == (error.args, error.code)
