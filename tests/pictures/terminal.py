"""A terminal that a command writes to, and what stands on it as a picture."""

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
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.text import Text

from ..waiting import PATIENCE

LINES = 60
#: What browsers have; the picture asks nobody else for a font.
FONTS = "ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace"
_FOREIGN_FONT = re.compile(r"@font-face \{.*?\}\s*", re.DOTALL)
_COMMENT = re.compile(r"<!--.*?-->\s*", re.DOTALL)


def run(arguments: Sequence[str], environment: Mapping[str, str], width: int, patience: float = PATIENCE) -> str:
    """Return what ``jobpool ARGUMENTS`` writes to a terminal of `width` characters, with its colours.

    Raises:
        RuntimeError: It failed; the message has what it wrote to stderr.
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, width, 0, 0))
    process = subprocess.Popen(
        [sys.executable, "-m", "jobpool", *arguments],
        env={**environment, "TERM": "xterm-256color", "COLORTERM": "truecolor"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=subprocess.PIPE,
    )
    os.close(theirs)
    written = _all_of(ours)
    _, errors = process.communicate(timeout=patience)
    if process.returncode != 0:
        raise RuntimeError(f"jobpool {' '.join(arguments)}: {process.returncode}\n{errors.decode()}")
    return written


def _all_of(terminal: int) -> str:
    """Read until nobody writes any more."""
    read = io.BytesIO()
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # Linux says so when the last writer is gone
            part = b""
        if not part:
            os.close(terminal)
            return read.getvalue().decode()
        read.write(part)


def picture(command: str, written: str, width: int) -> str:
    """Return the SVG of a terminal on which `command` was typed and wrote that."""
    console = Console(record=True, width=width, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(Text.assemble(("$ ", "bold green"), (command, "bold")), soft_wrap=True)
    console.print(Text.from_ansi(written.replace("\r\n", "\n")), soft_wrap=True)
    svg = console.export_svg(title="jobpool", unique_id=f"jobpool-{command.split()[1]}")
    return _COMMENT.sub("", _FOREIGN_FONT.sub("", svg)).replace("Fira Code, monospace", FONTS)
