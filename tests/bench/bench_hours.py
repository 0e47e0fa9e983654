"""Gaps by zone and hour from files: the whole command, from its start to its picture, on a day of real buses."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from tests.bench import Bench, Figure, percentile, timed
from tests.unit.test_gaps_by_hour import AUSTIN, AUSTIN_COLUMNS, AUSTIN_FILES


def bench_hours(bench: Bench) -> Iterator[Figure]:
    """70 neighbourhoods, 44,300 positions of 320 buses: a process of its own that writes CSV, GeoJSON and a picture."""
    if not AUSTIN.is_dir():
        bench.say("the real positions are not here: ../shared/data/austin")
        return
    with tempfile.TemporaryDirectory(prefix="cop-bench-") as folder:
        files = [word for form in ("csv", "geojson", "png") for word in ("--out", f"{folder}/hours.{form}")]
        named = [word for name, column in AUSTIN_COLUMNS.items() for word in (f"--{name}-column", column)]
        command = [sys.executable, "-m", "cop", "gaps-by-hour", *map(str, AUSTIN_FILES), "--reach-m", "800"]

        def run() -> None:
            subprocess.run([*command, *named, *files], check=True, stdout=subprocess.DEVNULL)

        took = timed(run, repeats=5, warmups=1)
        assert Path(f"{folder}/hours.png").stat().st_size
    yield Figure("austin_by_hour", percentile(took, 50), "ms", "lower", 10_000.0)
