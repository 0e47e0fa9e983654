"""What import-linter cannot say: a room that may import only what it names."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def imported(source: str) -> set[str]:
    """The top-level packages that *source* imports, wherever in the file."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                found |= {name.name.partition(".")[0] for name in names}
            case ast.ImportFrom(module=str(module), level=0):
                found.add(
                    module.partition(".")[0] if not module.startswith("layers.hexes") else "layers.hexes"
                )
            case _:
                pass
    return found - sys.stdlib_module_names


def test_imports_inside_functions_are_seen() -> None:
    assert imported("def f():\n    import shapely.geometry\n    from os import path\n") == {"shapely"}


def test_hexes_import_only_numpy_and_h3() -> None:
    files = [*(ROOT / "layers").glob("hexes.py"), *(ROOT / "layers" / "hexes").glob("*.py")]
    assert files
    for path in files:
        assert imported(path.read_text()) <= {"h3", "numpy", "layers.hexes"}, path
