"""Wall clocks that step: libfaketime, told by a file. The monotonic clock stays true."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

_LIBRARY = Path("/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1")


class FakeClock:
    """A wall clock for processes that are started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.step(0)

    @property
    def environment(self) -> dict[str, str]:
        """What a process needs to see this clock."""
        return {
            "LD_PRELOAD": str(_LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
        }

    def step(self, seconds: float) -> None:
        """Let the clock be so many seconds off from now on."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.0f}\n")
        os.replace(new, self._file)


def clean_up_after(pid: int) -> None:
    """Remove the shared memory that the library leaves behind when its process did not end in order."""
    for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
        Path("/dev/shm", name).unlink(missing_ok=True)


def need_faketime() -> None:
    """Skip where libfaketime is missing; fail where everything must be there."""
    if _LIBRARY.exists():
        return
    assert not os.environ.get("CI"), "libfaketime is missing; .ci/run installs it"
    pytest.skip("libfaketime is not installed (Debian: faketime)")


def have(program: str) -> bool:
    """Say whether a program is on the path."""
    return shutil.which(program) is not None
