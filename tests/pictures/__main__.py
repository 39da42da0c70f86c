"""``python -m tests.pictures``: run the commands that README shows, and draw what they write."""

from __future__ import annotations

import argparse
from pathlib import Path

from jobpool.embedded import EmbeddedMongo

from .scene import shop_at_work
from .terminal import picture, run

DIRECTORY = Path(__file__).parent
WIDTH = 104
#: By the name of the picture, what is typed.
COMMANDS = {
    "top": "jobpool top --once",
    "ls": "jobpool ls --limit 14",
    "why": "jobpool why invoice-1010",
    "errors": "jobpool errors",
}
DEMO = "jobpool demo"


def main() -> None:
    """Do it."""
    parser = argparse.ArgumentParser(prog="python -m tests.pictures", description=__doc__)
    parser.add_argument("--out", type=Path, default=DIRECTORY, metavar="DIR")
    parser.add_argument("--only", nargs="+", choices=[*COMMANDS, "demo"], default=[*COMMANDS, "demo"])
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with EmbeddedMongo() as server, shop_at_work(server.uri) as environment:
        for name in args.only:
            if name in COMMANDS:
                _draw(args.out / f"{name}.svg", COMMANDS[name], environment)
    if "demo" in args.only:
        _draw(args.out / "demo.svg", DEMO, {**environment, "JOBPOOL_URI": ""})


def _draw(path: Path, command: str, environment: dict[str, str]) -> None:
    shown = {name: value for name, value in environment.items() if value}
    path.write_text(picture(command, run(command.split()[1:], shown, WIDTH), WIDTH))
    print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
