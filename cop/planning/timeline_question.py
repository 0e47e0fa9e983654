"""What a timeline asks beside the question that all have: over which window, in which steps; and all that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from cop.auth import Access
from cop.planning.question import Question, number, object_of, parse_question, time_of
from cop.planning.settling import choose_layers, left_out, settle
from layers.errors import Invalid
from layers.model import Status
from layers.planning.model import Case
from layers.planning.spells import History, read_histories
from layers.planning.timeline import Window

MEMBERS = ("window", "minutes")
DEFAULT_STEP_MINUTES = 15.0
MAX_STEP_MINUTES = 100_000.0
MIN_STEP_MINUTES = 1 / 60


@dataclass(frozen=True, slots=True)
class TimelineQuestion:
    """What is asked, and when."""

    question: Question
    window: Window
    exact: bool
    """Whether the minutes of each cell are asked for, not only the steps."""


@dataclass(frozen=True, slots=True)
class SettledTimeline:
    """A question that may be worked out."""

    case: Case
    """Without features; its moment is that of the reading."""
    histories: Sequence[History]
    window: Window
    status: Status


def parse_timeline(body: object) -> TimelineQuestion:
    """The timeline that *body* asks for. Raises `Invalid` or `TooLarge` with a pointer (`timeline.*`, `coverage.*`)."""
    question = parse_question(body, also=MEMBERS)
    assert isinstance(body, dict), "parsed"
    for name, given in (("run", question.run), ("at", question.at)):
        if given is not None:
            detail = f"A timeline has a window instead of “{name}”."
            raise Invalid(detail, pointer=f"/{name}", code=f"timeline.{name}")
    exact = body.get("minutes", True)
    if type(exact) is not bool:
        raise Invalid("“minutes” is true or false.", pointer="/minutes", code="timeline.minutes")
    return TimelineQuestion(question, _window(body.get("window")), exact)


def _window(value: object) -> Window:
    if value is None:
        raise Invalid("“window” is {from, to, step_minutes}.", code="timeline.window")
    window = object_of(value, ("from", "to", "step_minutes"), pointer="/window", code="timeline.window")
    step = number(
        window,
        "step_minutes",
        MIN_STEP_MINUTES,
        MAX_STEP_MINUTES,
        code="timeline.step",
        default=DEFAULT_STEP_MINUTES,
        pointer="/window",
    )
    begin, end = (_time(window, name) for name in ("from", "to"))
    return Window.of(begin, end, timedelta(minutes=step))


def _time(window: dict[str, Any], name: str) -> Any:
    found = time_of(window, name, pointer="/window")
    if found is None:
        raise Invalid(f"“{name}” is a time.", pointer=f"/window/{name}", code="timeline.window")
    return found


async def settle_timeline(
    connection: AsyncConnection, access: Access, asked: TimelineQuestion, *, most_cells: int
) -> SettledTimeline:
    """What *asked* rests on, for whoever asks; *connection* is a `Database.snapshot`. Raises what `settle` does, and
    `TooLarge` (`timeline.too_many_states`).
    """
    settled = await settle(connection, access, asked.question, most_cells=most_cells, exact=True)
    layers, _ = choose_layers(access, asked.question, exact=True)
    named = [(layer, access.directory.agencies[layer.agency].slug) for layer in layers]
    notes = (*settled.case.notes, *left_out(access, asked.question))
    case = replace(settled.case, sources=(), notes=notes)
    histories = await read_histories(connection, named, case.area, case.resolution, asked.window, case.rule)
    return SettledTimeline(case, histories, asked.window, settled.status)
