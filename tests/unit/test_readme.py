"""The README keeps up: every setting and every command that it names is there, and none is left out."""

from __future__ import annotations

import re
from pathlib import Path

from typer.main import get_command

from cop.cli import app
from cop.settings import PREFIX, Settings

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def test_every_setting_is_in_the_readme_with_its_default() -> None:
    rows = dict(re.findall(r"^\| `(COP_\w+)` \| (.+?) \|", README, flags=re.MULTILINE))
    assert set(rows) == {PREFIX + name.upper() for name in Settings.model_fields}
    for name, field in Settings.model_fields.items():
        if isinstance(field.default, int | float) or name in ("host", "data_dir", "log_level"):
            shown = f"{field.default:g}" if isinstance(field.default, float) else str(field.default)
            assert rows[PREFIX + name.upper()] == f"`{shown}`"


def test_every_cop_command_in_the_readme_exists() -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    for line in re.findall(r"(?:^    |&& |`)cop ([a-z]+)(?: ([a-z]+))?", README, flags=re.MULTILINE):
        assert line[0] in commands, line
        if nested := getattr(commands[line[0]], "commands", None):
            assert line[1] in nested, line


def test_every_variable_that_a_command_of_the_readme_uses_is_set_there() -> None:
    commands = "\n".join(re.findall(r"^    .+$", README, flags=re.MULTILINE))
    used = set(re.findall(r"\$([A-Z_]+)", commands))
    assert used, "the examples use some"
    assert used <= set(re.findall(r"\b([A-Z_]+)=", commands))


def test_what_the_readme_shows_is_there() -> None:
    for shown in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README):
        assert (Path(__file__).parents[2] / shown).is_file(), shown
