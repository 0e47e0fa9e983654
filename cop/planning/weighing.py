"""By what a question weighs ground: the table, the layer or the cells that it names, as the weights of its case."""

from __future__ import annotations

import asyncio
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from cop.auth import Access
from layers.errors import Invalid, NotFound
from layers.hexes import fill
from layers.model import Layer, Status
from layers.planning.cell_rows import cells_of
from layers.planning.cell_tables import read_table
from layers.planning.feature_values import read_values
from layers.planning.ground import hexes_errors
from layers.planning.model import CellValues, Geometry, Weights
from layers.planning.weights import narrowed


def weighing_layer(access: Access, asked: dict[str, Any] | None, status: Status) -> Layer | None:
    """The layer by which is weighed, if any. `NotFound` if the viewer does not see it.

    `Invalid` if it is neither actual nor of the *status* of the answer: what is played weighs nothing for real.
    """
    if asked is None or "layer" not in asked:
        return None
    layer = access.layer(asked["layer"])
    check_status(layer, status, pointer="/weights/layer")
    return layer


def check_status(layer: Layer, status: Status, *, pointer: str) -> None:
    """`Invalid` (`coverage.mixed_status`) if *layer* may not be used for an answer of *status*."""
    if layer.status not in (Status.ACTUAL, status):
        detail = f"{layer.name} is of status {layer.status}, which is none for an answer of status {status}."
        raise Invalid(detail, pointer=pointer, code="coverage.mixed_status")


async def read_weights(
    connection: AsyncConnection,
    access: Access,
    asked: dict[str, Any] | None,
    layer: Layer | None,
    area: Geometry,
    resolution: int,
) -> Weights | None:
    """What is *asked*, read for *area*; *layer* is its `weighing_layer`.

    Raises `NotFound` for a table that the viewer's agency has not, `RowsRejected` for cells that are none, `Invalid`
    and `TooLarge` for a layer that cannot be weighed with.
    """
    if asked is None:
        return None
    if layer is not None:
        name = asked.get("property")
        found = await read_values(connection, layer, name, area, resolution)
        origin = {
            "layer": layer.name,
            "property": name,
            "features": found.features,
            "unvalued": found.unvalued,
        }
        unit = asked.get("unit", name or layer.name)
        return Weights(unit, found.values, found.elsewhere, origin)
    if "table" in asked:
        if access.viewer.agency is None:
            raise NotFound("table", asked["table"])
        table, values = await read_table(connection, access.viewer.agency, asked["table"])
        origin = {"table": table.name, "cells": table.cells, "cell_resolution": table.resolution}
        unit = asked.get("unit", table.unit)
        return await asyncio.to_thread(_near, unit, values, origin, area, resolution)
    values = await asyncio.to_thread(cells_of, asked["cells"], "/weights/cells")
    origin = {"cells": len(values.ranks), "cell_resolution": values.resolution}
    return await asyncio.to_thread(_near, asked.get("unit", ""), values, origin, area, resolution)


def _near(unit: str, values: CellValues, origin: dict[str, Any], area: Geometry, resolution: int) -> Weights:
    with hexes_errors():
        here = fill(area, resolution)
    # With all siblings, for an area of zones has a cell for each of them, however small, that may lie at its edge.
    grown = here.to_resolution(max(resolution - 1, 0)).to_resolution(resolution)
    given, elsewhere = narrowed(values, grown)
    return Weights(unit, given, elsewhere, origin)
