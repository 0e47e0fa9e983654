"""The answers of a timeline as the wire has them; made in the process that works it out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import numpy as np
import orjson

from cop.analysts import report
from cop.planning import answers
from cop.planning.answers import cells, km2
from cop.planning.desk import Loaded
from layers.hexes import Course, Field, fill
from layers.hexes.field import Mask
from layers.planning.coverage import load
from layers.planning.ground import edge_m, hexes_errors
from layers.planning.model import Case, Roads, Source
from layers.planning.notes import notes, unheard, unseen
from layers.planning.spells import History, case_at, known_us, spells_of
from layers.planning.timeline import (
    Stretch,
    Timeline,
    Window,
    by_length,
    micros,
    moment_of,
    timeline,
)
from layers.planning.weights import Demand, weigh

MINUTE_US = 60_000_000
BUCKETS_MINUTES = (15, 60, 240, 720, 1_440, 10_080, 43_200)
"""Cells are put together by how long they are uncovered: up to so many minutes, as far as the window is longer."""


def as_json(
    case: Case,
    histories: Sequence[History],
    window: Window,
    exact: bool,
    stated: dict[str, Any],
) -> bytes:
    """Every step, the worst and the best moment, and which cells are uncovered for how long.

    *case* brings no features, only the question; its moment is that of the reading. *stated* are the members that the
    request settled (`status`). Of a question with weights, how much of those is covered at each step and on average.
    """
    found, demand = _worked_out(case, histories, window, exact)
    since = known_us(histories, window)
    steps = [
        {
            "at": _text(at),
            "covered_km2": km2(covered),
            "gap_km2": km2(found.area_km2 - covered),
            "overlap_km2": km2(overlap),
            "covered_share": _share(found, covered),
            "covers": covers,
            "known": since is not None and at >= since,
        }
        for at, covered, overlap, covers in zip(
            window.steps.tolist(),
            found.covered_km2.tolist(),
            found.overlap_km2.tolist(),
            found.covers.tolist(),
            strict=True,
        )
    ]
    if demand is not None:
        for step, weighed in zip(steps, _weighed_steps(found, demand), strict=True):
            step["weights"] = weighed
    worst = answers.totals(_at(case, histories, found.worst))
    body = stated | _head(case, histories, found, worst["notes"])
    body |= {
        "steps": steps,
        "worst": _moment(found, found.worst) | {"gap": worst["gap"], "notes": worst["notes"]},
        "best": _moment(found, found.best),
        "mean_covered_share": None if since is None else _share(found, found.mean_km2),
        "agencies": [
            {
                "agency": each.agency,
                "features": each.features,
                "hours_on_duty": round(each.us / MINUTE_US / 60, 3),
            }
            for each in found.duties
        ],
    }
    if found.exact is not None:
        body["uncovered"] = _uncovered(found, found.exact)
    if demand is not None:
        body["weights"] = _weights(found, demand, known=since is not None)
    return orjson.dumps(body)


def as_geojson(
    case: Case,
    histories: Sequence[History],
    window: Window,
    exact: bool,
    stated: dict[str, Any],
) -> bytes:
    """The worst moment in polygons, as an analysis of that moment draws it."""
    found, _ = _worked_out(case, histories, window, exact)
    worst = _at(case, histories, found.worst)
    told = notes(worst.case, worst.coverage.covers, worst.inputs)
    pieces = answers.features_of(worst)
    body = {"type": "FeatureCollection", "features": pieces} | stated | _head(case, histories, found, told)
    return orjson.dumps(body | {"worst": _moment(found, found.worst)}, option=orjson.OPT_SERIALIZE_NUMPY)


def as_csv(case: Case, histories: Sequence[History], window: Window) -> bytes:
    """A line for each cell of the area, `cell,minutes_uncovered`, in order of cells; exact, to a thousandth."""
    found, _ = _worked_out(case, histories, window, True)
    assert found.exact is not None, "asked for"
    minutes = np.round(found.exact.uncovered / MINUTE_US, 3).tolist()
    lines = [f"{cell:x},{each:g}" for cell, each in zip(found.field.cells.tolist(), minutes, strict=True)]
    return "\n".join(["cell,minutes_uncovered", *lines, ""]).encode()


def _worked_out(
    case: Case, histories: Sequence[History], window: Window, exact: bool
) -> tuple[Timeline, Demand | None]:
    with hexes_errors():
        field = Field(fill(case.area, case.resolution))
    demand = None if case.weights is None else weigh(case.weights, field)
    spells = spells_of(histories, field, case, window)
    values = None if demand is None else demand.values
    found = timeline(
        field,
        spells,
        window,
        case.rule.at_least,
        demand=values,
        exact=exact,
        known_us=known_us(histories, window),
        progress=report,
    )
    return found, demand


def _weighed_steps(found: Timeline, demand: Demand) -> list[dict[str, Any]]:
    """What is covered at each step, as the question weighs it."""
    assert found.covered_demand is not None, "given"
    return [
        {"covered": answers.weight(each), "covered_share": _part(each, demand.inside)}
        for each in found.covered_demand.tolist()
    ]


def _weights(found: Timeline, demand: Demand, *, known: bool) -> dict[str, Any]:
    """By what is weighed, and how much of it is covered on the average: of time where that is exact, else of steps."""
    assert found.covered_demand is not None, "given"
    mean = float(found.covered_demand[found.first_known :].mean())
    if found.exact is not None:
        mean = float((demand.values * (1 - found.exact.uncovered / found.known_length_us)).sum())
    return {**demand.weights.origin, "unit": demand.weights.unit} | {
        "inside": answers.weight(demand.inside),
        "outside": answers.weight(demand.outside),
        "mean_covered_share": _part(mean, demand.inside) if known else None,
    }


def _at(case: Case, histories: Sequence[History], stretch: Stretch) -> Loaded:
    """The analysis of the moment at which *stretch* begins. Its run is nobody's: it cannot be asked for again."""
    then = case_at(case, histories, moment_of(stretch.begin_us))
    return Loaded(UUID(int=0), then, *load(then))


def _head(
    case: Case, histories: Sequence[History], found: Timeline, at_worst: Sequence[str]
) -> dict[str, Any]:
    roads = [] if case.roads is None else [case.roads]
    since = known_us(histories, found.window)
    return {
        "window": _window(found.window),
        "read_at": _text(micros(case.at)),
        "resolution": case.resolution,
        "cell_error_m": round(edge_m(case.resolution)),
        "at_least": case.rule.at_least,
        "exact": found.exact is not None,
        "inputs": [
            *(_input(each.source) | {"states": len(each.states)} for each in histories),
            *(_input(each) for each in roads),
        ],
        "known_from": None if since is None else _text(since),
        "notes": _notes(case, histories, found, at_worst),
        "area_km2": km2(found.area_km2),
        "area_cells": found.field.size,
    }


def _input(each: Source | Roads) -> dict[str, Any]:
    return {"layer": each.layer, "epoch": str(each.epoch), "revision": each.revision}


def _notes(case: Case, histories: Sequence[History], told: Timeline, at_worst: Sequence[str]) -> list[str]:
    """What is to be read before the answer is believed, with what an analysis of the worst moment says of that."""
    window = told.window
    found = [*unheard([each.source for each in histories], moment_of(window.begin_us)), *case.notes]
    found += [
        f"{each.source.layer}: the log begins at {_text(micros(each.since))}; of before only that is known which has "
        "not changed since."
        for each in histories
        if each.since is not None and micros(each.since) > window.begin_us
    ]
    if micros(case.at) < window.end_us:
        found.append(
            f"From {case.at:%Y-%m-%d %H:%M:%S} UTC on still to come: with the features of then that are valid later."
        )
    found += unseen(case)
    worst = f"{moment_of(told.worst.begin_us):%Y-%m-%d %H:%M} UTC"
    return found + [f"At the worst moment, {worst}: {note}" for note in at_worst if note not in found]


def _moment(found: Timeline, stretch: Stretch) -> dict[str, Any]:
    return {
        "at": _text(stretch.begin_us),
        "until": _text(stretch.end_us),
        "covered_km2": km2(stretch.covered_km2),
        "gap_km2": km2(found.area_km2 - stretch.covered_km2),
        "covered_share": _share(found, stretch.covered_km2),
    }


def _uncovered(found: Timeline, exact: Course) -> dict[str, Any]:
    """Cells by how long they are uncovered: never, up to each bucket, and all the time of which anything is known."""
    length_us = found.known_length_us
    whole = [minutes * MINUTE_US for minutes in BUCKETS_MINUTES if minutes * MINUTE_US < length_us - 1]
    always, *some, never = by_length(exact.uncovered, [0, *whole, length_us - 1, length_us])
    edges = [0, *whole, length_us]
    return {
        "always_covered": _cells(found, always),
        "never_covered": _cells(found, never),
        "in_between": [
            {"over_minutes": low / MINUTE_US, "to_minutes": high / MINUTE_US} | _cells(found, mask)
            for low, high, mask in zip(edges[:-1], edges[1:], some, strict=True)
            if mask.any()
        ],
    }


def _cells(found: Timeline, mask: Mask) -> dict[str, Any]:
    return cells(found.field.hexes(mask)) | {"km2": km2(float(found.field.km2[mask].sum()))}


def _share(found: Timeline, covered_km2: float) -> float | None:
    return _part(covered_km2, found.area_km2)


def _part(some: float, whole: float) -> float | None:
    return round(some / whole, 6) if whole else None


def _window(window: Window) -> dict[str, Any]:
    return {
        "from": _text(window.begin_us),
        "to": _text(window.end_us),
        "step_minutes": window.step_us / MINUTE_US,
    }


def _text(us: int) -> str:
    return moment_of(us).isoformat().replace("+00:00", "Z")
