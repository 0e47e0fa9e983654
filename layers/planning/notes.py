"""What a planner should know before believing a gap: what counted for nothing, and why, in a line each. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from datetime import datetime

from layers.model import LayerName
from layers.planning.filters import unmet
from layers.planning.model import MAX_REACH_M, OF_ANOTHER_STATUS, Case, Cover, Input, Source, Standing

WORDS = {
    Standing.STALE: "not heard of for too long",
    Standing.BUSY: "of another status than asked for",
    Standing.OTHER_STATUS: "of another status than asked for",
    Standing.OUT_OF_SERVICE: "out of service",
    Standing.OFF_SHIFT: "not on shift",
    Standing.REMOVED: "taken away",
}
"""How notes put a standing; what counts, or is not asked about, needs none."""
FAR_KM = MAX_REACH_M / 1_000
"""So far around an area features are looked for, as nothing reaches farther."""
MAX_STATUSES = 5
"""Statuses that are named where others were asked for."""


def notes(case: Case, covers: Iterable[Cover], inputs: Sequence[Input]) -> list[str]:
    """The notes on an answer to *case*, worst first."""
    unknown = {source.layer for source in case.sources if not source.known_at(case.at)}
    silent = [each for each in inputs if not each.features and each.layer not in unknown]
    mute = [each.layer for each in silent if each.meant and each.reachless == each.meant]
    empty = [each.layer for each in silent if not each.meant]
    found = [*unheard(case.sources, case.at), *unmet(case.rule.where, case.sources), *case.notes]
    if mute:
        found.append(
            f"Without any reach_m, of a feature or of the layer, and so without cover: {', '.join(mute)}."
        )
    if empty:
        found.append(f"Without any feature near the area that the question is about: {', '.join(empty)}.")
    idle = _idle(covers)
    for each in inputs:
        if each.layer not in mute and each.layer not in empty:
            found += _of_layer(each, idle.get(each.layer, ()))
    return found + unseen(case)


def unheard(sources: Iterable[Source], at: datetime) -> list[str]:
    """Of which layers nothing was known yet at the moment *at*: there, a gap is no news of anybody."""
    never: list[LayerName] = []
    since: dict[str, list[LayerName]] = {}
    for source in sources:
        if source.known_at(at):
            continue
        if source.heard_since is None:
            never.append(source.layer)
        else:
            since.setdefault(f"{source.heard_since:%Y-%m-%d %H:%M} UTC", []).append(source.layer)
    found = [f"Nothing is known of {', '.join(layers)} before {then}." for then, layers in since.items()]
    return [*found, f"Nothing has ever been heard of {', '.join(never)}."] if never else found


def unseen(case: Case) -> list[str]:
    """The agencies of which the viewer sees nothing that could cover, in a line, if there are any."""
    return [f"You see nothing that could cover of {', '.join(case.unshared)}."] if case.unshared else []


def statuses_of(covers: Iterable[Cover]) -> list[str | None]:
    """The statuses that *covers* have, the commonest first and MAX_STATUSES at most; None for those without one."""
    return [status for status, _ in Counter(cover.status for cover in covers).most_common(MAX_STATUSES)]


def statuses_in_words(statuses: Sequence[str | None]) -> str:
    """“ (open, closed)”, to be put behind “of another status”; of what has none, “none stated”."""
    return f" ({', '.join(status or 'none stated' for status in statuses)})" if statuses else ""


def _idle(covers: Iterable[Cover]) -> dict[LayerName, list[Cover]]:
    """By layer the covers that do not count, of those that reach into the area: the others would change nothing."""
    idle: dict[LayerName, list[Cover]] = {}
    for cover in covers:
        if not cover.counts and len(cover.spans):
            idle.setdefault(cover.layer, []).append(cover)
    return idle


def _of_standing(standing: Standing, count: int, idle: Iterable[Cover]) -> str:
    own = [cover for cover in idle if cover.standing is standing]
    statuses = statuses_of(own) if standing in OF_ANOTHER_STATUS else []
    return f"{count} {WORDS[standing]}{statuses_in_words(statuses)}"


def _of_layer(each: Input, idle: Sequence[Cover]) -> list[str]:
    found = []
    if each.reachless:
        found.append(
            f"{each.layer}: {each.reachless} of {each.meant} features within {FAR_KM:g} km state no reach_m."
        )
    if idle:
        standings = Counter(cover.standing for cover in idle)
        parts = ", ".join(_of_standing(*counted, idle) for counted in standings.most_common())
        found.append(
            f"{each.layer}: {len(idle)} of {len(idle) + each.features} features that reach into the area do not count: "
            f"{parts}."
        )
    elif each.held and not each.features and not each.reachless:
        found.append(f"{each.layer}: none of its features reaches into the area.")
    return found
