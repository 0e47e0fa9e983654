"""Where next: the sites, units and moves that bring most cover, with a bound on what any others could.

Pure: numpy, and scipy's HiGHS. A `Demand` and the spans of what could be chosen go in; each question looks for a good
answer by greedy and swap, in some tens of milliseconds for a city, and, if asked to prove it, for a better one and a
bound by whole-number programming, within a `Budget`.
"""

from layers.planning.placement.budget import MAX_SECONDS, Budget
from layers.planning.placement.candidates import Candidates, candidates_at, free_candidates
from layers.planning.placement.full import full_cover
from layers.planning.placement.model import (
    MAX_CANDIDATES,
    MAX_NONZEROS,
    MAX_SITES,
    Demand,
    Ended,
    FullCover,
    Move,
    MoveUp,
    Placement,
    Proof,
    Site,
    Solver,
)
from layers.planning.placement.most import expected_cover, most_covered
from layers.planning.placement.moves import move_up

__all__ = [
    "MAX_CANDIDATES",
    "MAX_NONZEROS",
    "MAX_SECONDS",
    "MAX_SITES",
    "Budget",
    "Candidates",
    "Demand",
    "Ended",
    "FullCover",
    "Move",
    "MoveUp",
    "Placement",
    "Proof",
    "Site",
    "Solver",
    "candidates_at",
    "expected_cover",
    "free_candidates",
    "full_cover",
    "most_covered",
    "move_up",
]
