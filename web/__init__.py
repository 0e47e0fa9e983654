"""The page: where the built bundle is, and the page that says how to build it where there is none.

`cop/app.py` serves what `assets()` names; this package holds no HTTP.
"""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parent


def assets(root: Path = ROOT) -> Path | None:
    """The folder of the built page (`index.html`, `assets/`, `basemap/`), or None if it was never built."""
    static = root / "static"
    return static if (static / "index.html").is_file() else None


def missing_page(root: Path = ROOT) -> str:
    """HTML for where `assets()` is None; to be answered with status 503."""
    return (root / "missing.html").read_text(encoding="utf-8")
