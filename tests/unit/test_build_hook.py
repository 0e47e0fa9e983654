"""When the page is built again, and what is said where it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

import hatch_build


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """The sources of a small page that says it was built."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "main.ts").write_text("export {}")
    (tmp_path / "package.json").write_text('{"name": "page", "version": "0.0.0"}')
    (tmp_path / "static").mkdir()
    (tmp_path / "static" / ".built-from").write_text(hatch_build.digest(tmp_path))
    return tmp_path


def test_nothing_to_build_without_package_json(tmp_path: Path) -> None:
    assert not hatch_build.is_outdated(tmp_path)


def test_page_that_was_never_built_is_outdated(page: Path) -> None:
    (page / "static" / ".built-from").unlink()
    assert hatch_build.is_outdated(page)


@pytest.mark.parametrize("name", ["src/main.ts", "src/new.ts", "package.json", "basemap.pmtiles"])
def test_changed_source_makes_the_page_outdated(page: Path, name: str) -> None:
    (page / name).write_text("something else")
    assert hatch_build.is_outdated(page)


def test_moved_source_makes_the_page_outdated(page: Path) -> None:
    (page / "lib").mkdir()
    (page / "src" / "main.ts").rename(page / "lib" / "main.ts")
    assert hatch_build.is_outdated(page)


@pytest.mark.parametrize("folder", ["static", "node_modules", "tests"])
def test_what_the_page_is_not_built_from_does_not_matter(page: Path, folder: str) -> None:
    (page / folder).mkdir(exist_ok=True)
    (page / folder / "anything.js").write_text("x")
    assert not hatch_build.is_outdated(page)


def test_page_can_be_left_out(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (page / "static" / ".built-from").unlink()
    monkeypatch.setenv("COP_SKIP_WEB", "1")
    assert not hatch_build.is_outdated(page)


def test_failed_build_says_what_the_bundler_said(tmp_path: Path) -> None:
    (tmp_path / "package.json").write_text(
        '{"name": "page", "version": "0.0.0", "scripts": {"build": "echo no such module >&2; exit 3"}}'
    )
    (tmp_path / "package-lock.json").write_text(
        '{"name": "page", "version": "0.0.0", "lockfileVersion": 3, "packages": {"": {"name": "page"}}}'
    )
    with pytest.raises(hatch_build.PageNotBuilt, match="no such module"):
        hatch_build.build_page(tmp_path)
    assert not (tmp_path / "static").exists()
