"""Gaps by zone and hour as tables and files: what was found, its words, CSV and GeoJSON. Pure."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from functools import cached_property

import numpy as np
import orjson
import shapely
from numpy.typing import NDArray

from cop.briefing.facts import Facts, Table, km, km2
from cop.gaps.observed import Positions, Zones
from cop.planning.forms import csv_text
from layers.model import Status
from layers.planning.ground import edge_m
from layers.planning.positions import ZonesTimeline, on_earth, timeline_of_positions
from layers.planning.timeline import moment_of

MOST_ZONES = 25
"""Zones of a table or a picture, the worst; the files have all."""
MOST_HOURS = 24
"""Rows of the table of hours."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What counts as covered, and of which times."""

    reach_m: float
    stale_after_s: float = 300.0
    at_least: int = 1
    step: timedelta = timedelta(hours=1)
    resolution: int = 9
    begin: datetime | None = None
    """None: the first whole step within the positions' times."""
    end: datetime | None = None
    """None: the first whole step after all of them."""
    title: str = ""


@dataclass(frozen=True)
class ByHour:
    """How each zone was covered from each step until the next. Shares are 0 to 1, NaN of a zone without ground."""

    asked: Asked
    zones: Zones
    positions: Positions
    found: ZonesTimeline

    @cached_property
    def steps(self) -> tuple[datetime, ...]:
        """When each begins, by the clock of the file."""
        us: list[int] = self.found.timeline.window.steps.tolist()
        return tuple(self._local(each) for each in us)

    @cached_property
    def end(self) -> datetime:
        """When the window ends."""
        return self._local(self.found.timeline.window.end_us)

    @cached_property
    def worst_first(self) -> tuple[int, ...]:
        """The numbers of the zones, from the least covered on the average of time; those without ground last."""
        return tuple(np.lexsort((-self.found.zone_km2, self.found.mean_share)).tolist())

    @property
    def shares(self) -> NDArray[np.float64]:
        """(steps, zones): how much of each was covered on the average of the step, exactly."""
        return self.found.within_share

    @cached_property
    def whole_share(self) -> NDArray[np.float64]:
        """Of all zones together, on the average of each step."""
        window = self.found.timeline.window
        return shares_between(self, np.append(window.steps, window.end_us))

    @property
    def status(self) -> Status:
        """That of what it rests on: an exercise, if any of it is one."""
        zones, positions = self.zones.status, self.positions.status
        return positions if zones is Status.ACTUAL else zones

    def gap_km2(self, step: int, zone: int) -> float:
        """What is not covered of a zone on the average of a step."""
        return float((1 - self.shares[step, zone]) * self.found.zone_km2[zone])

    def _local(self, us: int) -> datetime:
        return moment_of(us).astimezone(self.positions.clock)


def by_hour(
    zones: Zones, positions: Positions, asked: Asked, progress: Callable[[float], None] | None = None
) -> ByHour:
    """How *zones* were covered over time by *positions*. Heavy; raises what `timeline_of_positions` does."""
    found = timeline_of_positions(
        [shapely.geometry.mapping(shape) for shape in zones.shapes],
        positions.ids,
        positions.times_us,
        positions.lng_lat,
        reach_m=asked.reach_m,
        stale_after_s=asked.stale_after_s,
        step=asked.step,
        window=window_of(positions, asked),
        resolution=asked.resolution,
        at_least=asked.at_least,
        progress=progress,
    )
    return ByHour(asked, zones, positions, found)


def window_of(positions: Positions, asked: Asked) -> tuple[datetime, datetime] | None:
    """From when to when: what is *asked*, else whole steps of the clock of the file, which may be half an hour off UTC.

    None where no position is on earth, so that there is no time to go by.
    """
    if asked.begin is not None and asked.end is not None:
        return asked.begin, asked.end
    times = positions.times_us[on_earth(positions.lng_lat)]
    if not len(times):
        return None
    step_us = asked.step // timedelta(microseconds=1)
    first, last = int(times.min()), int(times.max())
    off_us = _offset_us(positions.clock, first)
    end = ((last + off_us) // step_us + 1) * step_us - off_us
    begin = min(-(-(first + off_us) // step_us) * step_us - off_us, end - step_us)
    return asked.begin or moment_of(begin), asked.end or moment_of(end)


def _offset_us(clock: tzinfo, us: int) -> int:
    offset = moment_of(us).astimezone(clock).utcoffset() or timedelta()
    return offset // timedelta(microseconds=1)


def facts_of(told: ByHour) -> Facts:
    """All the text of the answer."""
    return Facts(
        title=told.asked.title or f"Gaps over time: {told.zones.origin.name.split('.')[0]}",
        rule=_rule(told),
        at=f"{told.steps[0]:%Y-%m-%d %H:%M} to {_time(told.end, told.steps[0])}, {told.steps[0]:%Z}",
        status=told.status,
        headline=_headline(told),
        tables=(_hours(told), _worst(told)),
        middles=(),
        notes=_notes(told),
        provenance=_provenance(told),
    )


def as_csv(told: ByHour) -> bytes:
    """`zone,from,covered_share,gap_km2`: a row for each zone and step, zones in the order of their file.

    What is covered, and what is not, is that on the average of the time from `from` until the next step. What is not
    actual has its status in a last column of each row.
    """
    times = [step.isoformat() for step in told.steps]
    actual = told.status is Status.ACTUAL
    rows = [f"zone,from,covered_share,gap_km2{'' if actual else ',status'}\r\n"]
    tail = "\r\n" if actual else f",{told.status}\r\n"
    for zone, name in enumerate(told.zones.names):
        label = csv_text(name)
        for step, time in enumerate(times):
            rows.append(f"{label},{time},{told.shares[step, zone]:.6f},{told.gap_km2(step, zone):.6f}{tail}")
    return "".join(rows).encode()


def as_geojson(told: ByHour) -> bytes:
    """The zones with their share at the `mean` of the window, at `worst`, and of each step."""
    times = [step.isoformat() for step in told.steps]
    features = []
    for zone, (name, shape) in enumerate(zip(told.zones.names, told.zones.shapes, strict=True)):
        shares = told.shares[:, zone]
        worst = int(shares.argmin())
        about = {
            "zone": name,
            "km2": round(float(told.found.zone_km2[zone]), 6),
            "mean_share": _rounded(told.found.mean_share[zone]),
            "worst_share": _rounded(shares[worst]),
            "worst_from": times[worst],
            "covered_share": {time: _rounded(share) for time, share in zip(times, shares, strict=True)},
        }
        geometry = shapely.geometry.mapping(shape)
        features.append({"type": "Feature", "id": zone + 1, "geometry": geometry, "properties": about})
    told_of = facts_of(told)
    about_all = {
        "status": told.status,
        "rule": told_of.rule,
        "notes": told_of.notes,
        "provenance": told_of.provenance,
    }
    return orjson.dumps({"type": "FeatureCollection", "features": features} | about_all)


def percent(share: float) -> str:
    """A share for people; nothing where there is none."""
    return "" if np.isnan(share) else f"{100 * share:.0f} %"


def _rounded(share: float) -> float | None:
    return None if np.isnan(share) else round(float(share), 6)


def _rule(told: ByHour) -> str:
    asked = told.asked
    units = len(set(told.positions.ids))
    old = (
        f"{asked.stale_after_s / 60:g} minutes"
        if asked.stale_after_s >= 120
        else f"{asked.stale_after_s:g} s"
    )
    return (
        f"Covered is what at least {asked.at_least} of {units:,} units "
        f"{'has' if asked.at_least == 1 else 'have'} within {km(asked.reach_m)}, "
        f"from a position that is at most {old} old."
    )


def _headline(told: ByHour) -> str:
    whole = told.found.timeline
    if not whole.area_km2:
        return "The zones have no ground."
    mean, worst = whole.mean_km2 / whole.area_km2, int(told.whole_share.argmin())
    least = told.worst_first[0]
    return (
        f"On average {percent(mean)} of {km2(whole.area_km2)} were covered, "
        f"{percent(float(told.whole_share[worst]))} from {_time(told.steps[worst], told.steps[0])} on; least of all "
        f"{told.zones.names[least]}: {percent(float(told.found.mean_share[least]))}."
    )


def _hours(told: ByHour) -> Table:
    whole = told.found.timeline
    rows = tuple(
        (
            _time(told.steps[step], told.steps[0]),
            percent(float(told.whole_share[step])),
            km2(float((1 - told.whole_share[step]) * whole.area_km2)),
            _least(told, step),
        )
        for step in range(min(len(told.steps), MOST_HOURS))
    )
    rest = len(told.steps) - len(rows)
    more = f"and {rest:,} more: the CSV file has them all" if rest else ""
    return Table("All zones together", ("From", "Covered", "Gap", "Least covered"), rows, more)


def _least(told: ByHour, step: int) -> str:
    shares = told.shares[step]
    if np.isnan(shares).all():
        return ""
    least = float(np.nanmin(shares))
    zones = np.flatnonzero(shares == least)
    others = f" and {len(zones) - 1} more" if len(zones) > 1 else ""
    return f"{told.zones.names[zones[0]]}{others}, {percent(least)}"


def _worst(told: ByHour) -> Table:
    rows = []
    for rank, zone in enumerate(told.worst_first[:MOST_ZONES], start=1):
        shares = told.shares[:, zone]
        step = int(shares.argmin())
        rows.append(
            (
                str(rank),
                told.zones.names[zone],
                km2(float(told.found.zone_km2[zone])),
                percent(float(told.found.mean_share[zone])),
                f"{percent(float(shares[step]))} from {_time(told.steps[step], told.steps[0])}",
                km2(told.gap_km2(step, zone)),
            )
        )
    rest = len(told.zones.names) - len(rows)
    more = f"and {rest:,} that are better covered" if rest else ""
    columns = ("", "Zone", "Ground", "Covered on average", "Worst", "Gap then")
    return Table("The least covered zones", columns, tuple(rows), more)


def _notes(told: ByHour) -> tuple[str, ...]:
    notes = []
    if told.found.dropped:
        count = f"{told.found.dropped:,} of {len(told.positions.ids):,} positions"
        notes.append(f"{count} were dropped: they are at 0, 0, out of range, or none.")
    silent = np.flatnonzero(told.whole_share == 0)
    if len(silent):
        first = _time(told.steps[silent[0]], told.steps[0])
        notes.append(
            f"Nobody was heard of near the zones in {len(silent)} of {len(told.steps)} steps, that from {first} the "
            "first: that may be a gap in the file."
        )
    if told.zones.mended:
        notes.append(f"{told.zones.mended} zones were not valid polygons, and were mended.")
    if told.zones.skipped:
        notes.append(
            f"{told.zones.skipped} features of {told.zones.origin.name} are no areas, and were left out."
        )
    return tuple(notes)


def _provenance(told: ByHour) -> tuple[str, ...]:
    zones, positions = told.zones.origin, told.positions.origin
    resolution = told.asked.resolution
    inputs = (
        f"{zones.name} (SHA-256 {zones.digest}…) with {len(told.zones.names):,} zones",
        f"{positions.name} (SHA-256 {positions.digest}…) with {len(told.positions.ids):,} positions",
    )
    return (
        f"Averages of time, exact to the microsecond, in steps of {told.asked.step // timedelta(minutes=1)} minutes.",
        f"H3 hexes of resolution {resolution}: borders are good to about {edge_m(resolution):.0f} m.",
        f"Rests on: {', '.join(inputs)}.",
    )


def _time(moment: datetime, since: datetime) -> str:
    """The time of day, with the day where it is another one than that of *since*."""
    return f"{moment:%H:%M}" if moment.date() == since.date() else f"{moment:%Y-%m-%d %H:%M}"


def shares_between(told: ByHour, us: NDArray[np.int64]) -> NDArray[np.float64]:
    """The share that is covered of all zones on the average of time between neighbours of ascending moments *us*."""
    exact = told.found.timeline.exact
    assert exact is not None, "asked for"
    until = np.concatenate(([0.0], np.cumsum(exact.held * np.diff(exact.moments))))
    held = np.diff(np.interp(us, exact.moments, until)) / np.diff(us)
    return held / told.found.timeline.area_km2
