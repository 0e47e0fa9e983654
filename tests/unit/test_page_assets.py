"""Where the built page is, and what stands in for it where it was never built."""

from __future__ import annotations

from pathlib import Path

import web


def test_a_page_that_was_never_built_is_not_served(tmp_path: Path) -> None:
    (tmp_path / "static" / "assets").mkdir(parents=True)
    assert web.assets(tmp_path) is None


def test_a_built_page_is_found(tmp_path: Path) -> None:
    static = tmp_path / "static"
    static.mkdir()
    (static / "index.html").touch()
    assert web.assets(tmp_path) == static


def test_the_page_in_its_place_says_how_to_build_it() -> None:
    assert "npm ci --ignore-scripts" in web.missing_page()
