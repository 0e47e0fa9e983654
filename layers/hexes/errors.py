"""What a set of hexes cannot be made of; `code` is stable, so that a caller may pass it on."""

from __future__ import annotations


class HexesError(ValueError):
    """An argument that is no resolution, cell, polygon, disk or packed set (codes `h3.*`)."""

    def __init__(self, detail: str, *, code: str) -> None:
        super().__init__(detail)
        self.code = code


class TooManyCells(HexesError):
    """A polygon would need more cells than the limit; found by estimate, before any work."""

    def __init__(self, detail: str, *, code: str = "h3.too_many_cells") -> None:
        super().__init__(detail, code=code)
