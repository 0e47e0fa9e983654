"""Finds the measurements, runs those asked for, and prints a JSON line for each figure."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import inspect
import pkgutil
import sys
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import tests.bench
from tests.bench import LONG, Bench, Figure


def measurements(only: str) -> Iterator[Callable[..., Any]]:
    """The functions `bench_…` of the modules `bench_…`, in order of name, whose name or module contains *only*.

    Those that are marked `long` are left out where *only* is empty.
    """
    for module in sorted(pkgutil.iter_modules(tests.bench.__path__), key=lambda found: found.name):
        if not module.name.startswith("bench_"):
            continue
        members = vars(importlib.import_module(f"tests.bench.{module.name}"))
        for name, member in members.items():
            mine = inspect.isfunction(member) and member.__module__ == f"tests.bench.{module.name}"
            asked = only in name or only in module.name
            if mine and name.startswith("bench_") and asked and (only or member not in LONG):
                yield member


def measure_one(measure: Callable[..., Any], bench: Bench, emit: Callable[[Figure], None]) -> None:
    """Run one measurement; an async one gets an event loop of its own, a plain one none."""
    result: Any = measure(bench) if inspect.signature(measure).parameters else measure()
    if isinstance(result, AsyncIterator):
        asyncio.run(_emit_all(result, emit))
        return
    for figure in asyncio.run(result) if inspect.iscoroutine(result) else result:
        emit(figure)


async def _emit_all(result: AsyncIterator[Figure], emit: Callable[[Figure], None]) -> None:
    async for figure in result:
        emit(figure)


def run(only: str) -> tuple[int, int]:
    """Print every figure as it comes; returns how many missed their target and how many measurements broke."""
    taken: list[Figure] = []
    broken = 0

    def emit(figure: Figure) -> None:
        print(figure.line(), flush=True)
        taken.append(figure)

    with Bench() as bench:
        for measure in measurements(only):
            bench.say(f"— {measure.__module__.rpartition('.')[2]}.{measure.__name__}")
            try:
                measure_one(measure, bench, emit)
            except Exception:  # noqa: BLE001 - one broken measurement must not hide the others
                traceback.print_exc()
                broken += 1
    return sum(figure.ok is False for figure in taken), broken


def main() -> int:
    """0 if everything asked for could be measured; with --strict, only if every target is met as well."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=tests.bench.__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of the name of a module or a function")
    parser.add_argument("--strict", action="store_true", help="fail when a target is missed")
    arguments = parser.parse_args()
    if not list(measurements(arguments.only)):
        print(f"No measurement is called like “{arguments.only}”.", file=sys.stderr)
        return 2
    missed, broken = run(arguments.only)
    print(f"{missed} targets missed, {broken} measurements broken", file=sys.stderr)
    return 1 if broken or (arguments.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
