"""A consumer of changes as the documentation promises it may be: it folds put, moved and gone, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cop.live.wire import milliseconds
from cop.watching.changes import Change, Kind
from tests.live.client_model import State, canonical


def state_of(feature: dict[str, Any]) -> State:
    """A feature of a change, as the truth of the tests has it."""
    properties = dict(feature["properties"])
    observed_at, expires_at = properties.pop("observed_at"), properties.pop("expires_at")
    expires_ms = None if expires_at is None else milliseconds(expires_at)
    return canonical(feature["geometry"]), canonical(properties), milliseconds(observed_at), expires_ms


class Mirror:
    """The picture by changes alone; each must be news."""

    def __init__(self) -> None:
        self.features: dict[tuple[str, str], State] = {}
        self.log: list[Change] = []

    def fold(self, changes: Iterable[Change]) -> None:
        for change in changes:
            self.log.append(change)
            at = (change.layer or "", change.id or "")
            match change.kind:
                case Kind.PUT | Kind.MOVED:
                    state = state_of(change.feature or {})
                    assert self.features.get(at) != state, "told twice"
                    assert change.kind is Kind.PUT or at in self.features
                    self.features[at] = state
                case Kind.GONE:
                    assert state_of(change.feature or {}) == self.features.pop(at)
                case _:
                    pass

    def layer(self, name: str) -> dict[str, State]:
        return {id_: state for (layer, id_), state in self.features.items() if layer == name}

    def kinds(self) -> list[str]:
        return [change.kind.value for change in self.log]
