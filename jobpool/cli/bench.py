"""``jobpool bench``: measure the claims, the speed and the waits on this very MongoDB.

Every benchmark first proves that all is done once, then measures. Results and
pictures are kept in files, to be compared with those of another day, machine
or setting. It works in a database of its own, which is dropped at its end.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..bench import BENCHMARKS
from ..bench.arguments import within
from ..errors import InvalidConfiguration
from . import FAILED, OK, USAGE
from .options.environment import add_option
from .parser import Parser, add_action, subparsers
from .signals import end_at_once

if TYPE_CHECKING:
    from ..bench.results import Results

DIRECTORY = Path("bench-results")
INSTALL = "python -m pip install 'jobpool[bench]'"


EXAMPLES = """\
examples:
  jobpool bench throughput --quick      see that it runs
  jobpool bench all --uri mongodb://localhost:27017 --out before
  jobpool bench compare before/latency.json after/latency.json    exits with 1 if a figure got worse
"""


class _Benchmark(Parser):
    """The options of one benchmark.

    Its own are added when it is the one meant: only then it is imported, with
    the driver and all, and only then anything can be missing.
    """

    benchmark = ""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        """As everywhere, with the options that the benchmark declares."""
        if self.benchmark:
            try:
                _add_own(self, self.benchmark)
            except InvalidConfiguration as missing:
                self.exit(USAGE, f"jobpool: {missing}\n")
        return super().parse_known_args(args, namespace)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    names = parser.add_subparsers(dest="name", metavar="NAME", required=True, parser_class=_Benchmark)
    for name, question in BENCHMARKS.items():
        one = add_action(names, name, question)
        _add_common(one)
        one.benchmark = name
    _add_common(names.add_parser("all", help="one after the other"))
    _add_compare(names.add_parser("compare", help="two runs, figure by figure; exits 1 if one got worse"))
    again = names.add_parser("draw", help="draw the picture of kept results again")
    again.add_argument("file", type=Path, metavar="FILE.json", help="of one run")


def _add_own(parser: argparse.ArgumentParser, name: str) -> None:
    declare = getattr(_module(name), "add_arguments", None)
    if declare is not None:
        declare(parser.add_argument_group("of this benchmark"))


def declare_all(parser: argparse.ArgumentParser) -> None:
    """Declare the options of all benchmarks at once, of those whose packages are installed: for completion."""
    for name, one in subparsers(parser):
        if isinstance(one, _Benchmark) and one.benchmark:
            with suppress(InvalidConfiguration):
                _add_own(one, name)
            one.benchmark = ""


def _module(name: str) -> ModuleType:
    """Import a benchmark; raise `InvalidConfiguration` if something it needs is not installed."""
    try:
        return import_module(f"jobpool.bench.{name}")
    except ModuleNotFoundError as error:
        raise InvalidConfiguration(f"benchmarks need the package {error.name}: {INSTALL}") from None


def _add_common(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--quick", action="store_true", help="little of everything: shows that it runs, not how fast"
    )
    add_option(parser, "--uri", metavar="URI", help="of MongoDB", otherwise="an embedded server")
    parser.add_argument(
        "--repeat", type=within("a number of times", int, 1, 1000), metavar="N", help="how often all is measured"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=DIRECTORY,
        metavar="DIR",
        help=f"where NAME.json, NAME.png and NAME.svg go (default: {DIRECTORY})",
    )
    parser.add_argument(
        "--metrics-port",
        type=within("a port", int, 1, 65535),
        metavar="N",
        help="answer scrapes on this port of 127.0.0.1 while it runs",
    )


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("before", type=Path, metavar="BEFORE.json", help="of one run")
    parser.add_argument("after", type=Path, metavar="AFTER.json", help="of the other")
    parser.add_argument(
        "--tolerance",
        type=within("a share", float, 0, 0.99),
        default=0.1,
        metavar="SHARE",
        help="what is no change yet (default: 0.1)",
    )
    parser.add_argument("--only", default="", metavar="TEXT", help="only figures with this in their title")


def run(args: argparse.Namespace) -> int:
    """Run, compare or draw; return 1 if something got worse."""
    end_at_once()  # children end, and the database is dropped
    if args.name == "compare":
        return _compare(args)
    if args.name == "draw":
        return _draw(args)
    names = list(BENCHMARKS) if args.name == "all" else [args.name]
    options = {name: _with_own_defaults(name, args) for name in names}  # before the first minute is spent
    _check_directory(args.out)
    for name in names:
        _measure(name, options[name])
    return OK


def _with_own_defaults(name: str, args: argparse.Namespace) -> argparse.Namespace:
    """Return the options with those that only `name` has: `all` does not take them."""
    own = argparse.ArgumentParser(add_help=False)
    _add_own(own, name)
    return argparse.Namespace(**{**vars(own.parse_args([])), **vars(args)})


def _check_directory(path: Path) -> None:
    """Refuse a directory that cannot be written to now: a run of minutes must not end with that."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidConfiguration(f"cannot keep results in {path}: {error.strerror}") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise InvalidConfiguration(f"cannot keep results in {path}: it is not writable")


def _measure(name: str, args: argparse.Namespace) -> None:
    from ..bench.running import measure
    from ..bench.show import lines

    results = measure(name, args)
    print("\n".join(lines(results)))
    path: Path = args.out / name
    results.save(path.with_suffix(".json"))
    files = [path.with_suffix(".json"), *_picture(results, path)]
    print("kept in", ", ".join(str(file) for file in files))


def _picture(results: Results, path: Path) -> list[Path]:
    from ..bench import plots

    if plots.available():
        return plots.draw(results, path)
    print(f"no picture without matplotlib: {plots.INSTALL}")
    return []


def _load(path: Path) -> Results:
    from ..bench.results import load

    try:
        return load(path)
    except OSError as error:
        raise InvalidConfiguration(f"cannot read {path}: {error.strerror}") from None
    except ValueError as error:
        raise InvalidConfiguration(str(error)) from None


def _draw(args: argparse.Namespace) -> int:
    from ..bench import plots

    results = _load(args.file)
    if results.benchmark not in BENCHMARKS:
        raise InvalidConfiguration(f"{args.file} is of {results.benchmark!r:.40}, which is no benchmark")
    _module(results.benchmark)
    for file in plots.draw(results, args.file.with_suffix("")):
        print(file)
    return OK


def _compare(args: argparse.Namespace) -> int:
    from ..bench.comparing import changes, differences, missing

    before, after = _load(args.before), _load(args.after)
    if before.benchmark != after.benchmark:
        raise InvalidConfiguration(f"{args.before} is of {before.benchmark}, {args.after} of {after.benchmark}")
    for difference in differences(before, after):
        print(f"not the same: {difference}")
    found = [change for change in changes(before, after) if args.only in change.title]
    if not found:
        raise InvalidConfiguration("the two runs have no figure in common")
    width = max(len(change.title) for change in found)
    worse = [change for change in found if change.worse(args.tolerance)]
    print(f"{'':<{width}}{'before':>12}{'after':>12}{'ratio':>8}")
    for change in found:
        mark = "  WORSE" if change in worse else ""
        figures = f"{change.before:>12.5g}{change.after:>12.5g}{change.ratio:>8.3f}"
        print(f"{change.title:<{width}}{figures}{mark}")
    for title in missing(before, after):
        print(f"only in one of them: {title}")
    print(f"{len(worse)} of {len(found)} figures got worse by more than {args.tolerance:.0%}")
    return FAILED if worse else OK
