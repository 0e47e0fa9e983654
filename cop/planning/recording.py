"""Between questions and the runs that are written down of them: what is written, and the question that a run was."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncConnection

from cop.auth import Access
from cop.planning.question import Question, parse_question
from layers.errors import NotFound
from layers.log import Head
from layers.model import JsonObject, LayerName, Status
from layers.planning.model import Case, Roads
from layers.planning.runs import Inputs, Run, read_run

OF_A_TIMELINE = ("window", "minutes")
"""What a run of a timeline says besides its question."""


async def find_run(connection: AsyncConnection, access: Access, id: UUID) -> Run:
    """The viewer's agency's run, if everything that it rests on is still to be seen; else `NotFound`."""
    if access.viewer.agency is None:
        raise NotFound("run", str(id))
    run = await read_run(connection, access.viewer.agency, id)
    for layer, _ in run.inputs.heads:
        access.counted(layer)
    for layer in others_of(run.inputs):
        access.layer(layer)
    weights = run.question.get("weights") or {}
    if "layer" in weights:
        access.layer(weights["layer"])
    return run


def layers_of(inputs: Inputs) -> list[LayerName]:
    """All layers that an answer rests on: those counted, the streets', and the one the area was copied from."""
    return [*(layer for layer, _ in inputs.heads), *others_of(inputs)]


def others_of(inputs: Inputs) -> list[LayerName]:
    """Of those the ones that are not counted but read as they are."""
    return [named[0] for named in (inputs.roads, inputs.area) if named is not None]


def question_of(run: Run) -> Question:
    """The question that *run* was, about the very layers that it read; there may have been none."""
    stated = {name: value for name, value in run.question.items() if name not in ("layers", *OF_A_TIMELINE)}
    return replace(parse_question(stated), layers=tuple(layer for layer, _ in run.inputs.heads))


def record_of(
    access: Access, id: UUID, question: Question, case: Case, status: Status, asked_at: datetime
) -> Run | None:
    """What is to be written down of *question*, which was read at *asked_at* as *case*; nothing for the public."""
    agency = access.viewer.agency
    if agency is None:
        return None
    layers = [source.layer for source in case.sources]
    settled: JsonObject = {**question.stated, "area": case.area, "at": case.at.isoformat()}
    if layers:
        settled["layers"] = layers
    copied = None if question.zones is None else (LayerName(question.zones), "")
    if question.area is not None and "layer" in question.area:
        copied = LayerName(question.area["layer"]), question.area["id"]
    inputs = Inputs(
        tuple((source.layer, Head(source.epoch, source.revision)) for source in case.sources),
        None if case.roads is None else head_of(case.roads),
        copied,
        case.unshared,
    )
    return Run(id, agency, access.viewer.name, asked_at, case.at, status, settled, inputs)


def head_of(roads: Roads) -> tuple[LayerName, Head]:
    """The streets' layer, and as of which revision they were read."""
    return roads.layer, Head(roads.epoch, roads.revision)
