"""How long an answer may take, who hears how far it is, and who may call it off."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

from layers.errors import Invalid
from layers.planning.placement.model import Ended

MAX_SECONDS = 3_600.0


def _nobody(share: float) -> None:
    pass


def _never() -> bool:
    return False


@dataclass(frozen=True, slots=True)
class Budget:
    """What one answer may take. `Invalid` (`placement.seconds`) unless *seconds* is above 0 and at most an hour.

    The best answer found so far is given when time is up, or as soon as *cancelled* says so. Both are looked at
    between steps. The longest are a run of HiGHS, which has a time limit but hears of no cancelling, and making the
    matrix in the beginning: 10 ms for a city, 2 s near MAX_NONZEROS.
    """

    seconds: float = 10.0
    progress: Callable[[float], None] = _nobody
    """Told the share that is done, 0 to 1, never less than before; 1 just before the answer."""
    cancelled: Callable[[], bool] = _never

    def __post_init__(self) -> None:
        if not (math.isfinite(self.seconds) and 0 < self.seconds <= MAX_SECONDS):
            raise Invalid(
                f"“seconds” is above 0 and at most {MAX_SECONDS:g}; got {self.seconds:g}.",
                pointer="/place/seconds",
                code="placement.seconds",
            )


TEN_SECONDS = Budget()
"""Told to nobody, called off by nobody."""


class Clock:
    """One answer measured against its budget, from the moment the clock is made."""

    def __init__(self, budget: Budget) -> None:
        self._budget, self._begun = budget, time.perf_counter()
        self._told, self._window = 0.0, (0.0, 1.0)
        self.stopped: Ended | None = None
        """DEADLINE or CANCELLED, once `is_out` has said so."""

    @property
    def seconds(self) -> float:
        """Since it was made."""
        return time.perf_counter() - self._begun

    @property
    def left(self) -> float:
        """Seconds that remain, 0 or more."""
        return max(self._budget.seconds - self.seconds, 0.0)

    def is_out(self) -> bool:
        """Whether to stop, for time is up or somebody said so. Once out it stays out."""
        if self.stopped is None:
            if self._budget.cancelled():
                self.stopped = Ended.CANCELLED
            elif not self.left:
                self.stopped = Ended.DEADLINE
        return self.stopped is not None

    def part(self, begin: float, end: float) -> None:
        """What is told from now on is a share of the part from *begin* to *end*."""
        self._window = (begin, end)

    def tell(self, share: float) -> None:
        """Say how far the present part is."""
        begin, end = self._window
        now = begin + (end - begin) * min(share, 1.0)
        if now > self._told:
            self._told = now
            self._budget.progress(now)
