"""Dashboards for Grafana, rules for Prometheus, and what makes them; README.md says how they are used."""

from __future__ import annotations

from pathlib import Path

HERE = Path(__file__).parent
#: What is for users; the rest of this folder makes it.
PARTS = ("README.md", "dashboards/*.json", "provisioning/*/*.yml", "prometheus/*.yml")


def exported_files() -> list[Path]:
    """Return the files for users, relative to this folder."""
    return sorted(path.relative_to(HERE) for part in PARTS for path in HERE.glob(part))


def export(directory: Path, force: bool = False) -> list[Path]:
    """Copy the files for users below `directory`, which is made if it is not there.

    Args:
        directory: Where to.
        force: Overwrite what was changed there.

    Returns:
        The files that are there now, relative to it.

    Raises:
        FileExistsError: A file is there with other contents and `force` is not set. Nothing was written.
        OSError: A file cannot be written; those before it were.
    """
    changed = [name for name in exported_files() if not force and _differs(HERE / name, directory / name)]
    if changed:
        raise FileExistsError(f"{directory} has other contents in {', '.join(map(str, changed))}")
    for name in exported_files():
        (directory / name).parent.mkdir(parents=True, exist_ok=True)
        (directory / name).write_bytes((HERE / name).read_bytes())
    return exported_files()


def _differs(ours: Path, theirs: Path) -> bool:
    return theirs.exists() and (not theirs.is_file() or theirs.read_bytes() != ours.read_bytes())
