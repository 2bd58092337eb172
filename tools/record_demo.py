"""Record ``navi-host demo --once`` as a picture of a terminal: ``docs/images/demo.svg``.

Runs the real demo in a pseudo-terminal and draws what it wrote, colours included. Needs navi-onnx and
navi-dr-transform[demo].
"""

# A script, not a package:
# ruff: noqa: INP001

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.text import Text

TARGET: Final = Path(__file__).resolve().parent.parent / "docs" / "images" / "demo.svg"
COLUMNS: Final = 106
COMMAND: Final = "navi-host demo --once"


def record() -> str:
    """Run the demo and return what it wrote to its terminal.

    Raises
    ------
    SystemExit
        The demo failed.
    """
    parent, child = pty.openpty()
    fcntl.ioctl(child, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    environ = {**os.environ, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS)}
    command = [sys.executable, "-m", "navi_core", *COMMAND.split()[1:], "--port", "0", "--rest-port", "0"]
    with subprocess.Popen(command, stdin=child, stdout=child, stderr=child, env=environ) as process:  # noqa: S603 - our own command
        os.close(child)
        written = bytearray()
        while piece := _read(parent):
            written += piece
    os.close(parent)
    text = written.decode()
    if process.returncode:
        sys.exit(f"{COMMAND} ended with {process.returncode}:\n{text}")
    return text.replace("\r\n", "\n")


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # how Linux says that the other side of a pseudo-terminal is closed
        return b""


def draw(text: str) -> str:
    """Return a picture of a terminal in which the command was typed and wrote ``text``."""
    console = Console(record=True, width=COLUMNS, file=io.StringIO(), force_terminal=True)
    console.print(Text.assemble(("$ ", "bold green"), (COMMAND, "bold")))
    console.print(Text.from_ansi(text.rstrip()))
    picture = console.export_svg(title="navi", unique_id="navi-demo")
    # a picture fetches nothing: the reader's own monospace font does
    picture = re.sub(r"@font-face \{.*?\}\s*", "", picture, flags=re.DOTALL)
    return picture.replace("Fira Code, monospace", "monospace")


def main() -> None:
    """Record and write the picture."""
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    TARGET.write_text(draw(record()))


if __name__ == "__main__":
    main()
