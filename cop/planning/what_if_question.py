"""The changes of a what-if as the wire has them, checked as far as the body alone allows. Pure.

{"do": "move", "layer": "cfd.units", "id": "E1", "to": [-87.63, 41.88]}
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from cop.planning.question import number, object_of
from layers.admission import feature_id
from layers.errors import Invalid, InvalidFeature, TooLarge
from layers.kinds import ANALYSED
from layers.model import FeatureId, LayerName
from layers.planning.model import MAX_REACH_M
from layers.planning.what_if import (
    MAX_CHANGES,
    Add,
    BringBack,
    Change,
    Commit,
    Move,
    Remove,
    SwitchOff,
)

VARIANTS = {"changes": "a", "b": "b"}
"""By member of the body what the answer calls the picture after its changes."""
MAX_TEXT = 128
CODE = "whatif.change"
Members = Mapping[str, Any]


def parse_variants(body: object, *, agency: str) -> dict[str, tuple[Change, ...]]:
    """The changes of each variant by the member that holds them, `changes` and perhaps `b`.

    What is added without an agency is of *agency*. Raises `Invalid` with a pointer (`whatif.changes`, `whatif.change`,
    `coverage.member`) and, before any of them is looked at, `TooLarge` (`whatif.too_many`).
    """
    members = body if type(body) is dict else {}
    if "changes" not in members:
        raise Invalid("“changes” is an array of what is done.", pointer="", code="whatif.changes")
    given = {name: members[name] for name in VARIANTS if name in members}
    for name, value in given.items():
        _check_list(value, f"/{name}")
    return {name: _changes(value, f"/{name}", agency) for name, value in given.items()}


def _check_list(value: object, pointer: str) -> None:
    if type(value) is not list:
        raise Invalid("Expected an array of changes.", pointer=pointer, code="whatif.changes")
    if len(value) > MAX_CHANGES:
        detail = f"{len(value):,} changes are more than the {MAX_CHANGES:,} of one variant."
        raise TooLarge(detail, pointer=pointer, code="whatif.too_many")


def _changes(value: Iterable[object], pointer: str, agency: str) -> tuple[Change, ...]:
    found: list[Change] = []
    off: set[LayerName] = set()
    for index, each in enumerate(value):
        change = _change(each, f"{pointer}/{index}", agency)
        if isinstance(change, SwitchOff):
            if change.layer in off:  # each looks through all covers of its layer
                detail = f"“{change.layer}” is switched off already."
                raise Invalid(detail, pointer=f"{pointer}/{index}/layer", code=CODE)
            off.add(change.layer)
        found.append(change)
    return tuple(found)


def _change(value: object, pointer: str, agency: str) -> Change:
    if type(value) is not dict:
        raise Invalid("A change is an object.", pointer=pointer, code=CODE)
    name = value.get("do")
    if type(name) is not str or name not in _CHANGES:
        at = f"{pointer}/do" if "do" in value else pointer
        raise Invalid(f"“do” is one of {', '.join(_CHANGES)}.", pointer=at, code=CODE)
    members, make = _CHANGES[name]
    object_of(value, ("do", *members), pointer=pointer, code=CODE)
    return make(value, pointer, agency)


def _text(members: Members, name: str, pointer: str) -> str | None:
    value = members.get(name)
    if value is None:
        return None
    if type(value) is not str or not 1 <= len(value) <= MAX_TEXT or not value.isprintable():
        detail = f"“{name}” is text of 1 to {MAX_TEXT} characters on one line."
        raise Invalid(detail, pointer=f"{pointer}/{name}", code=CODE)
    return value


def _layer(members: Members, pointer: str) -> LayerName:
    name = _text(members, "layer", pointer)
    if name is None:
        raise Invalid("Of which layer? Expected “layer”.", pointer=pointer, code=CODE)
    return LayerName(name)


def _named(members: Members, pointer: str) -> tuple[LayerName, FeatureId]:
    layer = _layer(members, pointer)
    if "id" not in members:
        raise Invalid("Which feature? Expected “id”.", pointer=pointer, code=CODE)
    try:
        return layer, feature_id(members["id"], f"{pointer}/id")
    except InvalidFeature as error:
        raise Invalid(error.detail, pointer=error.pointer, code=CODE) from None


def _place(value: Any, pointer: str) -> tuple[float, float]:
    if type(value) is not list or len(value) != 2:
        raise Invalid("A place is longitude and latitude, [lng, lat].", pointer=pointer, code=CODE)
    members = {"0": value[0], "1": value[1]}
    return (
        number(members, "0", -180, 180, code=CODE, pointer=pointer),
        number(members, "1", -90, 90, code=CODE, pointer=pointer),
    )


def _remove(members: Members, pointer: str, _: str) -> Change:
    return Remove(*_named(members, pointer))


def _add(members: Members, pointer: str, agency: str) -> Change:
    given = dict(members)
    kind = _text(members, "kind", pointer) or "units"
    if kind not in ANALYSED - {"coverage"}:
        raise Invalid("What is added is of kind units or assets.", pointer=f"{pointer}/kind", code=CODE)
    reach_m = (
        None
        if given.get("reach_m") is None
        else number(given, "reach_m", 0, MAX_REACH_M, code=CODE, pointer=pointer)
    )
    return Add(
        number(given, "lng", -180, 180, code=CODE, pointer=pointer),
        number(given, "lat", -90, 90, code=CODE, pointer=pointer),
        reach_m,
        _text(members, "agency", pointer) or agency,
        kind,
        _text(members, "name", pointer),
    )


def _move(members: Members, pointer: str, _: str) -> Change:
    if "to" not in members:
        raise Invalid("Where to? Expected “to”.", pointer=pointer, code=CODE)
    return Move(*_named(members, pointer), _place(members["to"], f"{pointer}/to"))


def _commit(members: Members, pointer: str, _: str) -> Change:
    return Commit(*_named(members, pointer), _text(members, "incident", pointer))


def _switch_off(members: Members, pointer: str, _: str) -> Change:
    return SwitchOff(_layer(members, pointer))


def _bring_back(members: Members, pointer: str, _: str) -> Change:
    return BringBack(*_named(members, pointer))


_CHANGES: dict[str, tuple[tuple[str, ...], Callable[[Members, str, str], Change]]] = {
    "remove": (("layer", "id"), _remove),
    "add": (("lng", "lat", "reach_m", "agency", "name", "kind"), _add),
    "move": (("layer", "id", "to"), _move),
    "commit": (("layer", "id", "incident"), _commit),
    "switch_off": (("layer",), _switch_off),
    "bring_back": (("layer", "id"), _bring_back),
}
"""By what is done the members that it takes, besides `do`."""
