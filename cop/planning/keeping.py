"""A saved analysis as the wire has it, and whether an answer keeps the rule that it was saved with. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import orjson

from cop.planning.question import number, object_of, parse_question
from layers.errors import Invalid
from layers.model import JsonObject

MAX_SAVED_BYTES = 1_000_000
"""Of a saved analysis as it is sent: a larger area is pushed as a feature, and more cells as a table."""
MAX_TITLE_LENGTH = 200
MEMBERS = ("title", "question", "rule")


@dataclass(frozen=True, slots=True)
class ToSave:
    """What is to be saved."""

    title: str
    question: JsonObject
    rule: JsonObject | None


def parse_saved(body: object) -> ToSave:
    """*body* checked, with its question, as far as it alone allows. Raises `Invalid` with a pointer."""
    members = object_of(body, MEMBERS, pointer="", code="saved.body")
    title = members.get("title", "")
    if type(title) is not str or len(title) > MAX_TITLE_LENGTH or not title.isprintable():
        detail = f"A title is a line of up to {MAX_TITLE_LENGTH} characters."
        raise Invalid(detail, pointer="/title", code="saved.title")
    return ToSave(title, _question(members.get("question")), _rule(members.get("rule")))


def _question(question: object) -> JsonObject:
    if type(question) is not dict:
        raise Invalid("“question” is a question of coverage.", pointer="/question", code="saved.question")
    if "run" in question:
        detail = "A run is an answer of the past; save the question that it was."
        raise Invalid(detail, pointer="/question/run", code="saved.question")
    try:
        parse_question(question)
    except Invalid as error:
        error.pointer = f"/question{error.pointer}"
        raise
    try:
        orjson.dumps(question)
    except TypeError:  # the area, which is placed only when it is asked about
        detail = "A whole number in the question is too large: none has more than 64 bits."
        raise Invalid(detail, pointer="/question", code="saved.question") from None
    return question


def _rule(rule: object) -> JsonObject | None:
    if rule is None:
        return None
    members = object_of(rule, ("covered_share_at_least",), pointer="/rule", code="saved.rule")
    least = number(members, "covered_share_at_least", 0, 1, code="saved.rule", pointer="/rule")
    return {"covered_share_at_least": least}


def holds(rule: JsonObject, covered_share: float | None) -> bool | None:
    """Whether *rule* holds of an answer; of an area without cells nobody can say."""
    return None if covered_share is None else bool(covered_share >= rule["covered_share_at_least"])


def with_rule(body: dict[str, Any]) -> dict[str, Any]:
    """An answer's *body*; if it states a `rule`, with whether that holds."""
    rule = body.get("rule")
    return body if rule is None else body | {"rule": rule | {"holds": holds(rule, body["covered_share"])}}
