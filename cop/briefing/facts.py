"""What a briefing says: an analysis' answer in words and rows, the same for every form. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from layers.model import JsonObject, Status
from layers.planning.model import Along, Rule, Standing, Straight
from layers.planning.notes import FAR_KM, statuses_in_words

LEAST_KM2 = 0.005
"""Ground that is worth a word: less is told as 0.00 km²."""
MOST_GAPS = 15
"""Gaps in the table; how many there are beside them is said."""
REASONS: Mapping[str, str] = {
    Standing.BUSY: "near, but of another status",
    Standing.OTHER_STATUS: "near, but of another status",
    Standing.OUT_OF_SERVICE: "near, but out of service",
    Standing.STALE: "near, but not heard of for too long",
    Standing.OFF_SHIFT: "near, but not on shift",
    Standing.REMOVED: "taken away in this variant",
}


@dataclass(frozen=True, slots=True)
class Table:
    """A table: its columns, and its rows as text, numbers already with their unit."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    more: str = ""
    """What was left out."""


@dataclass(frozen=True, slots=True)
class Facts:
    """All the text of a briefing."""

    title: str
    rule: str
    at: str
    status: str
    """`exercise` and `test` are marked over the whole page: they cannot pass for real."""
    headline: str
    tables: tuple[Table, ...]
    middles: tuple[tuple[float, float], ...]
    """Longitude and latitude of the gaps of the table, in its order: their numbers stand on the map."""
    notes: tuple[str, ...]
    provenance: tuple[str, ...]
    """Run, moment, resolution with its error, and the revision of each layer: what makes the answer repeatable."""

    @property
    def mark(self) -> str:
        """What stands over and under what is not for real; nothing for what is."""
        return "" if self.status == Status.ACTUAL else f"{self.status.upper()} — NOT REAL"


def facts_of(answer: JsonObject, rule: Rule, *, title: str = "") -> Facts:
    """The facts of *answer*, the JSON form of an analysis, to a question with *rule*."""
    return Facts(
        title=title or "Gaps in coverage",
        rule=rule_in_words(rule, answer.get("roads")) + _kept(answer),
        at=moment(answer["at"]),
        status=answer["status"],
        headline=_headline(answer),
        tables=tuple(
            table for table in (_parts(answer), _gaps(answer), _agencies(answer), _only(answer)) if table.rows
        ),
        middles=tuple((area["center"][0], area["center"][1]) for area in answer["gap"]["areas"][:MOST_GAPS]),
        notes=tuple(answer["notes"]),
        provenance=_provenance(answer),
    )


def rule_in_words(rule: Rule, roads: str | None = None) -> str:
    """What counts as covered, in a sentence; *roads* is the layer along whose streets minutes are counted."""
    who = " or ".join(sorted(rule.capabilities)) if rule.capabilities else "units, stations and areas"
    of = f" of {', '.join(sorted(rule.agencies))}" if rule.agencies else ""
    match rule.reach:
        case Straight(metres):
            reach = f"within {km(metres)}"
        case Along(minutes, speed_kmh):
            way = (
                f"in a straight line at {speed_kmh:g} km/h"
                if roads is None
                else f"along the streets of {roads}"
            )
            reach = f"within {minutes:g} minutes {way}"
        case None:
            reach = "within the reach that each states"
    where = "; ".join(
        f"{name}: {' or '.join(_value(value) for value in allowed)}" for name, allowed in rule.where.items()
    )
    return (
        f"Covered is what at least {rule.at_least} of {who}{of} {'has' if rule.at_least == 1 else 'have'} {reach}"
        + (f" ({where})." if where else ".")
    )


def moment(text: str) -> str:
    """A time of the answer for people: UTC, to the minute."""
    return f"{text[:10]} {text[11:16]} UTC"


def km(metres: float) -> str:
    """A distance for people."""
    return f"{metres:.0f} m" if metres < 1_000 else f"{metres / 1_000:.1f} km"


def km2(value: float) -> str:
    """Ground for people: small gaps keep their decimals."""
    return f"{value:,.0f} km²" if value >= 100 else f"{value:.1f} km²" if value >= 1 else f"{value:.2f} km²"


def amount(value: float) -> str:
    """How many people, or whatever else was weighed: few of it keep their decimals."""
    return f"{value:,.0f}" if value >= 100 or value == int(value) else f"{value:.3g}"


def share(part: float, whole: float) -> str:
    """A share for people; nothing where there is no whole."""
    return f"{100 * part / whole:.1f} %" if whole else ""


def why(area: JsonObject, *, streets: bool = False, without_reach: int = 0, at_length: bool = False) -> str:
    """The reasons of one gap in words; *at_length* with the ground that each would close.

    With *streets* minutes were counted along them; *without_reach* features around the area say not how far they reach.
    """
    found = []
    for reason in area.get("why", ()):
        if reason["reason"] == "nobody_near":
            found.append(_nobody(area, "", streets, without_reach))
            continue
        names = ", ".join(each["name"] for each in reason["first"][:3])
        more = f" and {reason['features'] - 3} more" if reason["features"] > 3 else ""
        status = statuses_in_words(reason.get("statuses", ()))
        closes = f", who would close {km2(reason['km2'])}" if at_length else ""
        found.append(f"{names}{more} {REASONS[reason['reason']]}{status}{closes}")
    if any("first" in reason for reason in area.get("why", ())) and area["nobody_km2"] >= LEAST_KM2:
        found.append(_nobody(area, f" of the other {km2(area['nobody_km2'])}", streets, without_reach))
    if area.get("reached_by"):
        found.insert(0, f"only {area['reached_by']} there")
    return "; ".join(found)


def _nobody(area: JsonObject, of: str, streets: bool, without_reach: int) -> str:
    """“nobody else within reach of the other 3.1 km² along the streets”: somebody may well be near."""
    other, way = " else" if area.get("reached_by") else "", " along the streets" if streets else ""
    mute = f" ({without_reach:,} within {FAR_KM:g} km without a reach)" if without_reach else ""
    return f"nobody{other} within reach{of}{way}{mute}"


def _headline(answer: JsonObject) -> str:
    count = answer["gap"]["area_count"]
    if not count:
        return f"No gap: all {km2(answer['area_km2'])} are covered."
    gaps = "one gap" if count == 1 else f"{count:,} gaps"
    way = " along the streets" if answer.get("roads") else ""
    return (
        f"{km2(answer['gap_km2'])} of {km2(answer['area_km2'])} "
        f"({share(answer['gap_km2'], answer['area_km2'])}) are not covered{way}, in {gaps}{_weighed(answer)}."
    )


def _weighed(answer: JsonObject) -> str:
    """How much of what was weighed lies in the gaps: “, with 1,200 of 5,000 people (24.0 %)”."""
    weights = answer.get("weights")
    if not weights or not weights["inside"]:
        return ""
    gap, whole = weights["gap"], weights["inside"]
    unit = f" {weights['unit']}" if weights["unit"] else ""
    return f", with {amount(gap)} of {amount(whole)}{unit} ({share(gap, whole)})"


def _parts(answer: JsonObject) -> Table:
    whole = answer["area_km2"]
    more = f"Overlap: covered by more than {answer['at_least']}."
    parts = (("Area", "area"), ("Covered", "covered"), ("Gap", "gap"), ("Overlap", "overlap"))
    rows: tuple[tuple[str, ...], ...] = tuple(
        (name, km2(answer[f"{key}_km2"]), share(answer[f"{key}_km2"], whole)) for name, key in parts
    )
    weights = answer.get("weights")
    if not weights:
        return Table("The area", ("", "Ground", "Share"), rows, more)
    weighed = weights | {"area": weights["inside"]}
    rows = tuple(
        (*row, amount(weighed[key]), share(weighed[key], weighed["area"]))
        for row, (_, key) in zip(rows, parts, strict=True)
    )
    return Table("The area", ("", "Ground", "Share", _unit(weights), "Share of it"), rows, more)


def _gaps(answer: JsonObject) -> Table:
    areas: Sequence[JsonObject] = answer["gap"]["areas"]
    rows = tuple(
        (
            str(number),
            km2(area["km2"]),
            *((amount(area["weight"]),) if "weight" in area else ()),
            place(area["center"]),
            _nearest(area),
            why(area, streets=bool(answer.get("roads")), without_reach=answer["without_reach"]),
        )
        for number, area in enumerate(areas[:MOST_GAPS], 1)
    )
    weights = answer.get("weights")
    weighed = (_unit(weights),) if weights else ()
    rest = answer["gap"]["area_count"] - len(rows)
    more = f"and {rest:,} smaller ones" if rest > 0 else ""
    columns = ("", "Ground", *weighed, "Middle", "Nearest cover", "Why")
    return Table("The gaps, largest first", columns, rows, more)


def place(center: Sequence[float]) -> str:
    """A position for people: latitude and longitude to some ten metres."""
    lng, lat = center
    return f"{abs(lat):.4f}° {'N' if lat >= 0 else 'S'}, {abs(lng):.4f}° {'E' if lng >= 0 else 'W'}"


def _nearest(area: JsonObject) -> str:
    nearest = area.get("nearest")
    return "" if nearest is None else f"{nearest['name']} ({nearest['agency']}), {km(nearest['distance_m'])}"


def _agencies(answer: JsonObject) -> Table:
    rows = tuple(
        (
            each["agency"],
            km2(each["covers_km2"]),
            share(each["covers_km2"], answer["area_km2"]),
            km2(each["only_km2"]),
        )
        for each in answer["agencies"]
    )
    least = answer["at_least"]
    more = f"Covers: what one of the agency reaches, though {least} are asked for." if least > 1 else ""
    return Table("By agency", ("Agency", "Covers", "Share", "Only it"), rows, more)


def _only(answer: JsonObject) -> Table:
    rows = tuple((each["name"], each["agency"], km2(each["km2"])) for each in answer["only"][:10])
    more = f"and {len(answer['only']) - 10} more" if len(answer["only"]) > 10 else ""
    return Table("Would be missed most", ("Unit or station", "Agency", "Lost without it"), rows, more)


def _kept(answer: JsonObject) -> str:
    """Whether what was saved with the question holds, if anything was."""
    rule = answer.get("rule")
    if not rule or rule.get("holds") is None:
        return ""
    least = f"{100 * rule['covered_share_at_least']:g} %"
    return f" At least {least} are to be covered: that {'holds' if rule['holds'] else 'is broken'}."


def _unit(weights: JsonObject) -> str:
    unit: str = weights["unit"]
    return unit[:1].upper() + unit[1:] if unit else "Weight"


def _by(weights: JsonObject) -> str:
    """By what was weighed."""
    if "table" in weights:
        return f"the table {weights['table']}"
    if "layer" in weights:
        by = f" by {weights['property']}" if weights.get("property") else ""
        return f"the features of {weights['layer']}{by}"
    return f"{weights['cells']:,} cells that were given"


def _provenance(answer: JsonObject) -> tuple[str, ...]:
    inputs = "; ".join(
        f"{each['layer']} at revision {each['revision']}, {each['features']} features"
        for each in answer["inputs"]
    )
    return (
        f"Run {answer['run']}, {moment(answer['at'])}.",
        f"H3 hexes of resolution {answer['resolution']}: borders are good to about {answer['cell_error_m']} m.",
        f"Rests on: {inputs or 'no layer'}.",
        *((f"Weighed with {_by(answer['weights'])}.",) if answer.get("weights") else ()),
    )


def _value(value: Any) -> str:
    return "none stated" if value is None else str(value)
