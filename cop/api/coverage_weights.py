"""Tables of cells to weigh ground with, such as people by H3 cell: uploaded, listed, fetched and deleted."""

from __future__ import annotations

import asyncio
from typing import Any

from fastapi import APIRouter, Request, Response

from cop.api import examples_weights as examples
from cop.api.jobs import as_response, planner_of
from cop.api.requests import JSON_TYPES, Lines, check_name, check_query, media_type, read_json, unsupported
from cop.api.shapes import json_answer, rfc3339
from cop.auth import Accessed, Databased
from cop.planning.jobs import Answer
from cop.planning.question import MAX_UNIT_LENGTH, object_of
from layers.errors import Invalid
from layers.planning.cell_rows import CellRows, as_csv, cells_of
from layers.planning.cell_tables import CellTable, drop_table, keep_table, read_table, read_tables
from layers.planning.model import CellValues

router = APIRouter(tags=["coverage"])

CSV = "text/csv"


@router.get("/coverage/weights", responses=examples.LIST)
async def get_weights(request: Request, access: Accessed, database: Databased) -> Response:
    """Your agency's tables."""
    agency = planner_of(access)
    check_query(request)
    async with database.connect() as connection:
        tables = await read_tables(connection, agency)
    return json_answer({"tables": [table_body(table) for table in tables]})


@router.put("/coverage/weights/{name}", openapi_extra=examples.BODY, responses=examples.KEPT)
async def put_weights(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Upload a table, or replace it: CSV with the header `cell,value`, or JSON, `{"unit": …, "cells": {…}}`.

    Cells are H3 ids of one resolution, each once; values are 0 or more. All or nothing: each bad row is named. A CSV
    is read as a stream, up to 2,000,000 rows.
    """
    agency = planner_of(access)
    check_query(request, "unit")
    check_name(name)
    if media_type(request) == CSV:
        unit, values = request.query_params.get("unit", ""), await _from_csv(request)
    elif media_type(request) in JSON_TYPES:
        unit, values = await _from_json(request)
    else:
        raise unsupported(request, JSON_TYPES | {CSV})
    _check_unit(unit)
    async with database.begin() as connection:
        table, new = await keep_table(connection, agency, name, unit, values)
    return json_answer(table_body(table) | {"total": float(values.values.sum())}, 201 if new else 200)


@router.get("/coverage/weights/{name}", responses=examples.TABLE)
async def get_table(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """One table: how many cells it has and what they add up to; with `?f=csv` the whole of it."""
    agency = planner_of(access)
    check_query(request, "f")
    form = request.query_params.get("f", "json")
    if form not in ("json", "csv"):
        raise Invalid("f is json or csv.", code="query.f")
    async with database.connect() as connection:
        table, values = await read_table(connection, agency, name)
    if form == "csv":
        text = await asyncio.to_thread(as_csv, values)
        return as_response(Answer(text, CSV, f"{table.name}.csv"))
    return json_answer(table_body(table) | {"total": float(values.values.sum())})


@router.delete("/coverage/weights/{name}", status_code=204, responses=examples.GONE)
async def delete_table(name: str, request: Request, access: Accessed, database: Databased) -> Response:
    """Delete a table. What was answered with it stays as it was; asked again, it is missed."""
    agency = planner_of(access)
    check_query(request)
    async with database.begin() as connection:
        await drop_table(connection, agency, name)
    return Response(status_code=204)


def table_body(table: CellTable) -> dict[str, Any]:
    """A table as the wire has it, without its cells."""
    return {
        "name": table.name,
        "unit": table.unit,
        "resolution": table.resolution,
        "cells": table.cells,
        "updated_at": rfc3339(table.updated_at),
    }


async def _from_csv(request: Request) -> CellValues:
    rows = CellRows()
    async for piece in Lines(request).pieces():
        # A megabyte takes some 20 ms: not on the loop that streams.
        await asyncio.to_thread(rows.take, piece)
    return await asyncio.to_thread(rows.finish)


async def _from_json(request: Request) -> tuple[str, CellValues]:
    body, _ = await read_json(request)
    members = object_of(body, ("unit", "cells"), pointer="", code="cells.body")
    if type(members.get("cells")) is not dict:
        raise Invalid("“cells” is an object of H3 cells and numbers.", pointer="/cells", code="cells.body")
    unit = members.get("unit", "")
    if type(unit) is not str:
        raise Invalid("“unit” is text.", pointer="/unit", code="cells.unit")
    return unit, await asyncio.to_thread(cells_of, members["cells"], "/cells")


def _check_unit(unit: str) -> None:
    if len(unit) > MAX_UNIT_LENGTH or not unit.isprintable():
        detail = f"A unit is text of up to {MAX_UNIT_LENGTH} characters, such as “people”."
        raise Invalid(detail, pointer="/unit", code="cells.unit")
