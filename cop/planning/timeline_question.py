"""What a timeline asks beside the question that all have: over which window, in which steps; and all that is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cop.auth import Access
from cop.planning.question import Question, number, object_of, parse_question, time_of
from cop.planning.recording import OF_A_TIMELINE, find_run, question_of
from cop.planning.settling import choose_layers, left_out, settle
from layers.errors import Invalid
from layers.model import Status
from layers.planning.model import Case
from layers.planning.runs import Run
from layers.planning.spells import History, Reading, read_histories
from layers.planning.timeline import Window, moment_of

DEFAULT_STEP_MINUTES = 15.0
MAX_STEP_MINUTES = 100_000.0
MIN_STEP_MINUTES = 1 / 60


@dataclass(frozen=True, slots=True)
class TimelineQuestion:
    """What is asked, and when."""

    question: Question
    window: Window | None
    """None: that of the run which is asked again."""
    exact: bool | None
    """Whether the minutes of each cell are asked for, not only the steps; None: as the run did that is asked again."""


@dataclass(frozen=True, slots=True)
class SettledTimeline:
    """A question that may be worked out."""

    case: Case
    """Without features; its moment is that of the reading."""
    histories: Sequence[History]
    window: Window
    exact: bool
    status: Status
    run: UUID
    record: Run | None
    """What is to be written down; nothing where an earlier run is asked again."""


def parse_timeline(body: object) -> TimelineQuestion:
    """The timeline that *body* asks for. Raises `Invalid` or `TooLarge` with a pointer (`timeline.*`, `coverage.*`)."""
    question = parse_question(body, also=OF_A_TIMELINE)
    assert isinstance(body, dict), "parsed"
    if question.at is not None:
        raise Invalid("A timeline has a window instead of “at”.", pointer="/at", code="timeline.at")
    if question.run is not None and "window" in body:
        detail = "A run has settled its window; it cannot stand beside “run”."
        raise Invalid(detail, pointer="/window", code="timeline.run")
    exact = body.get("minutes", True if question.run is None else None)
    if "minutes" in body and type(exact) is not bool:
        raise Invalid("“minutes” is true or false.", pointer="/minutes", code="timeline.minutes")
    window = None if question.run is not None else _window(body.get("window"))
    return TimelineQuestion(question, window, exact)


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
    connection: AsyncConnection,
    access: Access,
    asked: TimelineQuestion,
    *,
    most_cells: int,
    history: timedelta,
) -> SettledTimeline:
    """What *asked* rests on, for whoever asks; *connection* is a `Database.snapshot`.

    An earlier run is its question again, over its window and as of its revisions. Raises what `settle` does, `TooLarge`
    (`timeline.too_many_states`), and `Invalid` (`timeline.run`) for a run that was of one moment.
    """
    question, window, exact, reading = asked.question, asked.window, asked.exact, None
    run = None if question.run is None else await find_run(connection, access, question.run)
    if run is not None:
        if "window" not in run.question:
            raise Invalid(
                "This run is of one moment; a timeline has a window.", pointer="/run", code="timeline.run"
            )
        window = _window(run.question["window"])
        exact = run.question["minutes"] if exact is None else exact
        reading = Reading(run.at, [head for _, head in run.inputs.heads])
        question = question_of(run)
    assert window is not None, "only a run has none of its own"
    assert exact is not None, "the same"
    settled = await settle(
        connection, access, asked.question, most_cells=most_cells, history=history, exact=True
    )
    layers, _ = choose_layers(access, question, exact=True)
    named = [(layer, access.directory.agencies[layer.agency].slug) for layer in layers]
    case = replace(settled.case, sources=(), notes=(*settled.case.notes, *left_out(access, question)))
    histories = await read_histories(
        connection, named, case.area, case.resolution, window, case.rule, reading
    )
    record = settled.record
    if record is not None:
        over = {"window": _window_json(window), "minutes": exact}
        record = replace(record, question=record.question | over)
    return SettledTimeline(case, histories, window, exact, settled.status, settled.run, record)


def _window_json(window: Window) -> dict[str, Any]:
    return {
        "from": moment_of(window.begin_us).isoformat(),
        "to": moment_of(window.end_us).isoformat(),
        "step_minutes": window.step_us / 60_000_000,
    }
