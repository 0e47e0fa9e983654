"""Every error of the domain: small classes that carry their facts; `cop/api/errors.py` gives them a status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from layers.model import Rejection


class LayersError(Exception):
    """Base of all. `code` is stable and goes over the wire; `pointer` is a JSON pointer into the body, or ""."""

    code = "internal"

    def __init__(self, detail: str, *, pointer: str = "", code: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.pointer = pointer
        if code is not None:
            self.code = code

    def __str__(self) -> str:
        return f"{self.pointer}: {self.detail}" if self.pointer else self.detail

    def __reduce__(self) -> tuple[Any, ...]:
        # By itself an exception is made anew from the text alone when it comes out of another process, and one whose
        # class asks for more than that breaks the whole pool.
        return _revived, (type(self), self.args, self.__dict__)


def _revived(kind: type[LayersError], args: tuple[Any, ...], facts: dict[str, Any]) -> LayersError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(facts)
    return error


class InvalidJson(LayersError):
    """The whole body is refused: it is not JSON as this service reads it (codes `json.*`)."""

    code = "json.syntax"


class InvalidFeature(LayersError):
    """One feature cannot be taken (codes `feature.*`, `prop.*`, `time.*`)."""

    code = "feature.invalid"


class InvalidGeometry(InvalidFeature):
    """A geometry that cannot be placed on the earth as given (codes `geo.*`)."""

    code = "geo.invalid"


class TooLarge(LayersError):
    """More than a documented limit allows (codes such as `batch.too_many`, `body.too_large`, `geo.vertices`)."""

    code = "body.too_large"


class Invalid(LayersError):
    """An argument that is not what is asked for: a query parameter, a slug, a filter, an area."""

    code = "request.invalid"


class PushRejected(LayersError):
    """A push was all-or-nothing and some of its features were refused; nothing is stored."""

    code = "push.rejected"

    def __init__(self, rejections: Sequence[Rejection], count: int) -> None:
        super().__init__(f"{len(rejections)} of {count} features were refused, so nothing was stored.")
        self.rejections = tuple(rejections)


class RowsRejected(PushRejected):
    """A table was all-or-nothing and some of its rows were refused; nothing is stored."""

    code = "cells.rejected"

    def __init__(self, rejections: Sequence[Rejection], bad: int, count: int) -> None:
        """The first few *rejections* of *bad* rows, out of *count*."""
        super().__init__(rejections, count)
        listed = "" if bad == len(rejections) else f"; the first {len(rejections)} are named"
        self.detail = f"{bad:,} of {count:,} rows were refused, so nothing was stored{listed}."


class NotFound(LayersError):
    """No such thing, or none that this viewer may know of; both answer the same."""

    code = "not_found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"There is no {what} “{name}” that you can see.", code=f"{what}.not_found")
        self.what = what
        self.name = name


class Forbidden(LayersError):
    """The viewer may know of the thing, but not do this with it."""

    code = "forbidden"


class Unauthenticated(LayersError):
    """A credential is missing, malformed, unknown, expired or revoked; the answer does not say which."""

    code = "unauthenticated"


class Conflict(LayersError):
    """The request contradicts what is there (a name taken, an idempotency key with another body)."""

    code = "conflict"


class LogTruncated(LayersError):
    """The log no longer holds the changes asked for; start again from a snapshot."""

    code = "log.truncated"


class Unavailable(LayersError):
    """The service cannot do this now (no database, wrong schema); the text says what to do."""

    code = "unavailable"
