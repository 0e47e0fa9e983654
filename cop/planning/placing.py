"""Where next, as the wire has it: what a placement asks beside the question, and its answer, made in an analyst."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import orjson

from cop.analysts import report
from cop.planning.answers import cells, cover_of, head
from cop.planning.desk import Loaded
from cop.planning.question import number, object_of, whole
from layers.errors import Invalid
from layers.hexes import span_sums, spans_of
from layers.hexes.sphere import EARTH_RADIUS_M, angle, on_sphere
from layers.model import JsonObject
from layers.planning.coverage import Coverage, streets_of
from layers.planning.model import MAX_REACH_M, Along, Cover, Straight
from layers.planning.placement import (
    MAX_CANDIDATES,
    MAX_SITES,
    Budget,
    Candidates,
    Demand,
    FullCover,
    MoveUp,
    Placement,
    Proof,
    candidates_at,
    expected_cover,
    free_candidates,
    full_cover,
    most_covered,
    move_up,
)
from layers.planning.streets import RESOLUTION

MEMBERS = ("goal", "n", "busy", "moves", "candidates", "reach_m", "prove", "seconds")
SECONDS = 10.0
"""That a placement may take unless it says otherwise; as a job it may have more."""
MOST_SECONDS = 25.0
"""Of an answer that is waited for, …"""
MOST_JOB_SECONDS = 300.0
"""… and of a job."""


class Goal(StrEnum):
    """What is looked for."""

    MOST = "most"
    """The n sites by which most demand gains cover: MCLP."""
    FULL = "full"
    """The fewest sites that cover all that can be covered: LSCP."""
    EXPECTED = "expected"
    """The n units by which most demand can expect to find one free: MEXCLP."""
    MOVE_UP = "move_up"
    """Which of the units that count to move to which candidates."""


@dataclass(frozen=True, slots=True)
class Place:
    """What is to be placed. Candidates are points, the features of a layer, or, without either, anywhere."""

    goal: Goal
    n: int
    busy: float
    reach_m: float | None
    resolution: int | None
    points: tuple[tuple[float, float], ...] | None
    layer: str | None
    prove: bool
    seconds: float
    named: tuple[JsonObject, ...] | None = None
    """Of points that are features of a layer, the `id` and `name` of each."""


def parse_place(value: object, *, most_seconds: float = MOST_SECONDS) -> Place:
    """The member `place` of a body. Raises `Invalid` with a pointer (codes `placement.*`)."""
    place = object_of(value, MEMBERS, pointer="/place", code="placement.place")
    goal = place.get("goal", "most")
    if goal not in tuple(Goal):
        detail = f"“goal” is one of {', '.join(Goal)}."
        raise Invalid(detail, pointer="/place/goal", code="placement.goal")
    counted = "moves" if goal == Goal.MOVE_UP else "n"
    n = 0
    if goal != Goal.FULL:
        n = whole(place, counted, None, 1, MAX_SITES, code=f"placement.{counted}", pointer="/place")
    resolution, points, layer = _candidates(place.get("candidates"))
    prove = place.get("prove", True)
    if type(prove) is not bool:
        raise Invalid("“prove” is true or false.", pointer="/place/prove", code="placement.prove")
    reach_m = place.get("reach_m")
    return Place(
        Goal(goal),
        n,
        number(place, "busy", 0, 0.999, default=0.3, code="placement.busy", pointer="/place"),
        None
        if reach_m is None
        else number(place, "reach_m", 0, MAX_REACH_M, code="placement.reach_m", pointer="/place"),
        resolution,
        points,
        layer,
        prove,
        number(
            place, "seconds", 0.1, most_seconds, default=SECONDS, code="placement.seconds", pointer="/place"
        ),
    )


Points = tuple[tuple[float, float], ...]


def _candidates(value: object) -> tuple[int | None, Points | None, str | None]:
    """Resolution of free candidates, or points, or a layer's name."""
    if value is None:
        return None, None, None
    if type(value) is list:
        return None, _points(value), None
    found = object_of(
        value, ("resolution", "layer"), pointer="/place/candidates", code="placement.candidates"
    )
    if len(found) != 1 or type(found.get("layer", "")) is not str:
        detail = "Candidates are an array of [longitude, latitude], {layer}, {resolution}, or left out for anywhere."
        raise Invalid(detail, pointer="/place/candidates", code="placement.candidates")
    if "layer" in found:
        return None, None, found["layer"]
    at = "/place/candidates"
    return whole(found, "resolution", None, 0, 15, code="placement.resolution", pointer=at), None, None


def _points(value: Sequence[object]) -> Points:
    if not 1 <= len(value) <= MAX_CANDIDATES:
        detail = f"There are 1 to {MAX_CANDIDATES:,} candidates."
        raise Invalid(detail, pointer="/place/candidates", code="placement.candidates")
    points = []
    for at, each in enumerate(value):
        if not _is_position(each):
            detail = "A candidate is [longitude, latitude] in degrees."
            raise Invalid(detail, pointer=f"/place/candidates/{at}", code="placement.candidates")
        points.append((float(each[0]), float(each[1])))  # type: ignore[index]  # just seen to be a pair
    return tuple(points)


def _is_position(value: object) -> bool:
    if type(value) is not list or len(value) != 2 or not all(type(part) in (int, float) for part in value):
        return False
    return bool(abs(value[0]) <= 180 and abs(value[1]) <= 90)


def as_json(
    loaded: Loaded, stated: JsonObject, place: Place, *, progress: Callable[[float], None] = report
) -> bytes:
    """The answer to a placement; *stated* are the members that the request settled (`status`, `candidates`)."""
    found = loaded.coverage
    sites = _sites(loaded, place)
    budget = Budget(place.seconds, progress)
    answer: Placement | FullCover | MoveUp
    if place.goal is Goal.MOVE_UP:
        idle = [cover for cover in found.covers if cover.counts and cover.kind == "units"]
        answer = _moved(loaded, idle, sites, place, budget)
        own: JsonObject = {"moves": _moves(answer, idle, sites, place)}
    else:
        answer = _placed(loaded, sites, place, budget)
        own = {"sites": _chosen(answer, sites, place)}
    if isinstance(answer, FullCover):
        left = found.field.hexes_in(answer.unreachable_spans)
        left_km2 = span_sums(found.field.km2, answer.unreachable_spans)
        own |= {"unreachable_km2": round(left_km2, 6), "unreachable": cells(left)}
    told = head(loaded)
    if not own.get("sites", own.get("moves")):
        told["notes"] = [_why_none(loaded, sites, place), *told["notes"]]
    return orjson.dumps(stated | told | _common(loaded, place, answer) | own)


def _why_none(loaded: Loaded, sites: Candidates, place: Place) -> str:
    """Why no candidate was of any use."""
    nothing = "No move" if place.goal is Goal.MOVE_UP else "No site"
    count = len(sites.spans)
    reaching = sum(len(spans) > 0 for spans in sites.spans)
    if not reaching:
        way = "" if loaded.case.roads is None else " along the streets"
        return f"{nothing}: none of {count:,} candidates reaches into the area{way}."
    if not loaded.coverage.gap.any():
        return f"{nothing}: all of the area is covered already."
    return f"{nothing}: {reaching:,} of {count:,} candidates reach into the area, and none would cover any more of it."


def _demand(loaded: Loaded) -> Demand:
    """What is to gain cover: what the question weighs ground by, else the ground itself."""
    found, weighed = loaded.coverage, loaded.demand
    return Demand(found.field.km2 if weighed is None else weighed.values, found.depth)


def _placed(loaded: Loaded, sites: Candidates, place: Place, budget: Budget) -> Placement | FullCover:
    found = loaded.coverage
    demand, spans, prove = _demand(loaded), sites.spans, place.prove
    if place.goal is Goal.FULL:
        return full_cover(demand, spans, at_least=found.at_least, prove=prove, budget=budget)
    if place.goal is Goal.EXPECTED:
        return expected_cover(demand, spans, place.n, place.busy, prove=prove, budget=budget)
    return most_covered(demand, spans, place.n, at_least=found.at_least, prove=prove, budget=budget)


def _moved(loaded: Loaded, idle: Sequence[Cover], sites: Candidates, place: Place, budget: Budget) -> MoveUp:
    return move_up(
        _demand(loaded),
        [cover.spans for cover in idle],
        sites.spans,
        place.n,
        at_least=loaded.coverage.at_least,
        distances_m=_distances_m(idle, sites),
        prove=place.prove,
        budget=budget,
    )


def _sites(loaded: Loaded, place: Place) -> Candidates:
    field, reach = loaded.coverage.field, loaded.case.rule.reach
    resolution = max(field.area.resolution - 1, 0) if place.resolution is None else place.resolution
    if place.reach_m is None and isinstance(reach, Along) and loaded.case.roads is not None:
        points = place.points or free_candidates(field, resolution, 0.0).lng_lat
        streets = streets_of(loaded.case.roads, max(field.area.resolution, RESOLUTION))
        lng_lat = np.asarray(points, np.float64).reshape(-1, 2)
        reached = streets.reach(lng_lat, reach.minutes)
        spans = tuple(field.spans(each.by_center(field.area.resolution)) for each in reached)
        return Candidates(lng_lat, np.zeros(len(lng_lat)), spans)
    reach_m = _reach_m(place, reach)
    if place.points is None:
        return free_candidates(field, resolution, reach_m)
    return candidates_at(field, place.points, reach_m)


def _reach_m(place: Place, reach: Straight | Along | None) -> float:
    if place.reach_m is not None:
        return place.reach_m
    match reach:
        case Straight(metres):
            return metres
        case Along(minutes, speed_kmh):
            return min(minutes * speed_kmh * 1000 / 60, MAX_REACH_M)
        case None:
            detail = "Say how far a new site reaches: “reach_m” here, or “reach” in the question."
            raise Invalid(detail, pointer="/place/reach_m", code="placement.reach_m")


def _common(loaded: Loaded, place: Place, answer: Placement | FullCover | MoveUp) -> JsonObject:
    """Demand before and after, the ground that gains cover, and how good the answer is known to be."""
    found, weights = loaded.coverage, loaded.case.weights
    gained = (found.depth < found.at_least) & (answer.depth >= found.at_least)
    lost = (found.depth >= found.at_least) & (answer.depth < found.at_least)
    return {
        "goal": place.goal,
        "unit": "km²" if weights is None else weights.unit,
        "demand": round(answer.total, 6),
        "covered_before": round(answer.before, 6),
        "covered_after": round(answer.after, 6),
        "gained": _part(found, gained),
        "lost": _part(found, lost),
        "depth_after": int(answer.depth.max(initial=0)),
        "proof": _proof(answer.proof),
    }


def _part(found: Coverage, mask: Any) -> JsonObject:
    return cells(found.field.hexes_in(spans_of(mask))) | {"km2": round(found.km2(mask), 6)}


def _proof(proof: Proof) -> JsonObject:
    return {
        "solver": proof.solver,
        "bound": round(proof.bound, 6),
        "gap_to_optimal": round(proof.gap, 6),
        "ended": proof.ended,
        "seconds": round(proof.seconds, 3),
    }


def _chosen(answer: Placement | FullCover, sites: Candidates, place: Place) -> list[JsonObject]:
    return [
        _candidate(site.candidate, place)
        | {
            "center": [round(part, 7) for part in sites.lng_lat[site.candidate].tolist()],
            "units": site.units,
            "gain": round(site.gain, 6),
            "only": round(site.only, 6),
        }
        for site in answer.sites
    ]


def _candidate(number: int, place: Place) -> JsonObject:
    """Which candidate: its number among those given, and its feature's id and name where it is one of a layer."""
    return {"candidate": number} | ({} if place.named is None else {"site": place.named[number]})


def _moves(answer: MoveUp, idle: Sequence[Cover], sites: Candidates, place: Place) -> list[JsonObject]:
    away = _distances_m(idle, sites)
    return [
        cover_of(idle[move.unit])
        | {
            "to": [round(part, 7) for part in sites.lng_lat[move.post].tolist()],
            "distance_m": round(float(away[move.unit, move.post])),
            "gain": round(move.gain, 6),
        }
        | _candidate(move.post, place)
        for move in answer.moves
    ]


def _distances_m(idle: Sequence[Cover], sites: Candidates) -> Any:
    """From each unit (row) to each candidate (column), as the crow flies."""
    if not idle:
        raise Invalid("No unit counts that could be moved.", pointer="/place/goal", code="placement.units")
    units = on_sphere(np.array([cover.place[::-1] for cover in idle]))
    posts = on_sphere(sites.lng_lat[:, ::-1])
    return angle(units[:, None, :], posts[None, :, :]) * EARTH_RADIUS_M
