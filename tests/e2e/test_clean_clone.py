"""The first of the two commands: from `git clone` into an empty folder to something that runs, and once more."""

from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SECOND_SETUP_S = 10.0


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean clone after its first set-up."""
    if not (ROOT / ".git").exists():
        pytest.skip("this copy of the source is not a git repository, so there is nothing to clone")
    folder = tmp_path_factory.mktemp("clean") / "clone"
    subprocess.run(["git", "clone", "--quiet", "--no-hardlinks", str(ROOT), str(folder)], check=True)
    _make_setup(folder)
    return folder


def _make_setup(folder: Path) -> str:
    """Run the set-up as somebody would who has just logged in; returns all it said."""
    kept = {"HOME", "LANG", "PATH", "TMPDIR", "TERM"} | {
        name for name in os.environ if name.startswith("PIP_")
    }
    environment = {name: value for name, value in os.environ.items() if name in kept}
    done = subprocess.run(
        ["make", "--no-print-directory", "setup"],
        cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]
    return done.stdout


def _state(folder: Path) -> dict[str, int]:
    """When each file below *folder* was last changed."""
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_clean_clone_gets_the_command_and_the_page(clone: Path) -> None:
    asked = subprocess.run([clone / ".venv/bin/cop", "--help"], capture_output=True, text=True, check=True)
    assert "demo" in asked.stdout
    assert (clone / "web/static/index.html").is_file()
    assert (clone / "web/static/basemap/chicago.pmtiles").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_second_setup_says_nothing_changes_nothing_and_is_quick(clone: Path) -> None:
    before = _state(clone)
    begin = time.monotonic()
    assert _make_setup(clone) == ""
    assert time.monotonic() - begin < SECOND_SETUP_S
    assert _state(clone) == before


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_setup_leaves_nothing_that_git_sees(clone: Path) -> None:
    status = subprocess.run(
        ["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True
    )
    assert status.stdout == ""
