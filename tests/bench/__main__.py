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
from tests.bench import Bench, Figure


def measurements(only: str) -> Iterator[Callable[..., Any]]:
    """The functions `bench_…` of the modules `bench_…`, in order of name, whose name or module contains *only*."""
    for module in sorted(pkgutil.iter_modules(tests.bench.__path__), key=lambda found: found.name):
        if not module.name.startswith("bench_"):
            continue
        members = vars(importlib.import_module(f"tests.bench.{module.name}"))
        for name, member in members.items():
            mine = inspect.isfunction(member) and member.__module__ == f"tests.bench.{module.name}"
            if mine and name.startswith("bench_") and (only in name or only in module.name):
                yield member


async def figures(measure: Callable[..., Any], bench: Bench) -> AsyncIterator[Figure]:
    """Run one measurement, plain or async, with or without the argument."""
    result = measure(bench) if inspect.signature(measure).parameters else measure()
    if inspect.isasyncgen(result):
        async for figure in result:
            yield figure
        return
    if inspect.isawaitable(result):
        result = await result
    for figure in result:
        yield figure


async def run(only: str) -> tuple[int, int]:
    """Print every figure as it comes; returns how many missed their target and how many measurements broke."""
    missed = broken = 0
    with Bench() as bench:
        for measure in measurements(only):
            bench.say(f"— {measure.__module__.rpartition('.')[2]}.{measure.__name__}")
            try:
                async for figure in figures(measure, bench):
                    print(figure.line(), flush=True)
                    missed += figure.ok is False
            except Exception:  # noqa: BLE001 - one broken measurement must not hide the others
                traceback.print_exc()
                broken += 1
    return missed, broken


def main() -> int:
    """0 if everything asked for could be measured; with --strict, only if every target is met as well."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=tests.bench.__doc__)
    parser.add_argument("only", nargs="?", default="", help="part of the name of a module or a function")
    parser.add_argument("--strict", action="store_true", help="fail when a target is missed")
    arguments = parser.parse_args()
    if not list(measurements(arguments.only)):
        print(f"No measurement is called like “{arguments.only}”.", file=sys.stderr)
        return 2
    missed, broken = asyncio.run(run(arguments.only))
    print(f"{missed} targets missed, {broken} measurements broken", file=sys.stderr)
    return 1 if broken or (arguments.strict and missed) else 0


if __name__ == "__main__":
    sys.exit(main())
