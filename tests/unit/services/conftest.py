from __future__ import annotations

import tomllib
from pathlib import Path

SPECS = Path(__file__).resolve().parents[3] / "specs" / "errors"


def pytest_terminal_summary(terminalreporter):
    """Say how many of the protocols' errors are brought about."""
    for path in sorted(SPECS.glob("*.toml")):
        table = tomllib.loads(path.read_text(encoding="utf-8"))["error"]
        examples = sum(len(row.get("example", ())) for row in table)
        unreachable = sum("unreachable" in row for row in table)
        terminalreporter.write_line(
            f"errors of {path.stem}: {len(table)} rows, {examples} examples, {unreachable} unreachable"
        )
