"""The coverage analysis itself: from the ground that each cover reaches to what is covered, by whom, and what is not.

Pure; `layers.coverage` reads what goes in. No part of the answer depends on the order of the covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from layers.hexes import Hexes, depth, union_by


@dataclass(frozen=True, slots=True)
class Cover:
    """The ground that one feature covers, and whose it is."""

    agency: str
    hexes: Hexes


@dataclass(frozen=True, slots=True)
class AgencyShare:
    """What an agency covers of the area, and the part of it that no other agency covers; km²."""

    agency: str
    covers_km2: float
    only_km2: float


@dataclass(frozen=True, slots=True)
class Analysis:
    """The area and its parts: *covered* at least as often as asked, *gap* less often, *overlap* more often.

    So covered and gap make up the area, and overlap lies within covered.
    """

    area: Hexes
    covered: Hexes
    gap: Hexes
    overlap: Hexes
    agencies: tuple[AgencyShare, ...]
    """Those that cover any of the area, by name. At least one cover counts, whatever number was asked for."""


def analyse(area: Hexes, covers: Sequence[Cover], at_least: int = 1) -> Analysis:
    """Where fewer than, at least, and more than *at_least* of *covers* reach within *area*.

    All hexes must be of one resolution.
    """
    depths = depth([cover.hexes for cover in covers], area.resolution)
    covered = depths.at_least(at_least) & area
    return Analysis(
        area=area,
        covered=covered,
        gap=area - covered,
        overlap=depths.at_least(at_least + 1) & area,
        agencies=_shares(area, covers),
    )


def _shares(area: Hexes, covers: Sequence[Cover]) -> tuple[AgencyShare, ...]:
    grounds = union_by([cover.hexes for cover in covers], area.resolution, [cover.agency for cover in covers])
    inside = {agency: ground & area for agency, ground in grounds.items()}
    sole = depth(list(inside.values()), area.resolution).exactly(1)
    return tuple(
        AgencyShare(agency, ground.area_km2, (ground & sole).area_km2)
        for agency, ground in sorted(inside.items())
        if ground
    )
