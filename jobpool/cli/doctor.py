"""``jobpool doctor``: looks for all that loses jobs, or lets them stick, and says what to do."""

from __future__ import annotations

import argparse
from collections import defaultdict
from typing import TYPE_CHECKING

from . import FAILED, OK
from .options import place
from .terminal import jsons
from .terminal.prose import paragraph
from .terminal.screen import STYLES, table, write
from .terminal.words import count, duration, several

if TYPE_CHECKING:
    from ..checkup import Checkup, Finding

EXAMPLES = """\
examples:
  jobpool doctor                                   is all well, and if not, what is to be done
  jobpool doctor --quiet --strict                  in a deployment: says what is not well, and exits with 1
  jobpool doctor --only topology --only clocks     only the servers
  jobpool doctor --skip indexes.others --verbose   all that was looked at, but for indexes of yours
  jobpool doctor --json | jq '.findings[] | select(.level == "problem")'
"""

_WIDTH = len("skipped")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.description = (
        "Look at server, collection, indexes, jobs and pools for all that loses jobs or lets them stick, "
        "and say what to do. Nothing is created or changed."
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="CHECK", help="of this name or subject; may be repeated"
    )
    parser.add_argument(
        "--skip", action="append", default=[], metavar="CHECK", help="leave it out; may be repeated"
    )
    parser.add_argument("--strict", action="store_true", help="exit with 1 on warnings as well")
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("-q", "--quiet", action="store_true", help="print only what is not well")
    shown.add_argument("-v", "--verbose", action="store_true", help="print what every check has found")
    shown.add_argument("--json", action="store_true", help="print one object")
    shown.add_argument("--list", action="store_true", help="print which checks there are, and make none")
    place.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make the checks and show what they found: 0 if all is well, 1 on a problem."""
    if args.list:
        return _list(args)
    with place.manager_of(args) as manager:
        checkup = manager.check(only=args.only, skip=args.skip, timeout=args.timeout)
    if args.json:
        write(jsons.whole(checkup))
    else:
        _show(checkup, args)
    return OK if checkup.well(strict=args.strict) else FAILED


def _list(args: argparse.Namespace) -> int:
    from ..store.checks.examining import chosen_of

    chosen = chosen_of(args.only, args.skip)
    table(["check", "asks", "needs"], [(check.name, check.question, check.needs) for check in chosen])
    return OK


def _show(checkup: Checkup, args: argparse.Namespace) -> None:
    if args.verbose:
        for finding in (*checkup.of("ok"), *checkup.of("skipped")):
            _tell(finding)
    elif not args.quiet:
        _well(checkup)
        _skipped(checkup)
    for finding in (*checkup.warnings, *checkup.problems):  # what matters most stands last, above the prompt
        _tell(finding)
    if not args.quiet:
        write()
        paragraph(_summary(checkup), bold=True)


def _well(checkup: Checkup) -> None:
    """Write what is well, a line for each subject."""
    well: dict[str, list[str]] = defaultdict(list)
    for finding in checkup.of("ok"):
        subject, _, what = finding.check.partition(".")
        if what not in well[subject]:
            well[subject].append(what)
    longest = max(map(len, well), default=0)
    for subject, names in well.items():
        _line("ok", f"{subject:<{longest}}  {', '.join(names)}", hanging=longest + 2)


def _skipped(checkup: Checkup) -> None:
    """Write what could not be looked at, once for each reason."""
    reasons: dict[tuple[str, str | None], list[str]] = defaultdict(list)
    for finding in checkup.of("skipped"):
        reasons[finding.text, finding.remedy].append(finding.check)
    for (text, remedy), checks in reasons.items():
        _line("skipped", f"{', '.join(checks)}: {text}")
        _advise(remedy)


def _tell(finding: Finding) -> None:
    _line(finding.level, f"{finding.check}: {finding.text}")
    _advise(finding.remedy)


def _advise(remedy: str | None) -> None:
    if remedy:
        paragraph(remedy, indent=f"{'':{_WIDTH}}  -> ")


def _line(level: str, text: str, hanging: int = 0) -> None:
    """Write a line that begins with its level, in the colour of that."""
    paragraph(text, indent=f"{level:<{_WIDTH}}  ", style=STYLES.get(level, ""), hanging=hanging)


def _summary(checkup: Checkup) -> str:
    """Return the last line: what was found in how long."""
    parts = [several(len(checkup.problems), "problem"), several(len(checkup.warnings), "warning")]
    if skipped := len(checkup.of("skipped")):
        parts.append(f"{count(skipped)} skipped")
    looked = f"{several(checkup.checks, 'check')} of {checkup.collection} in {duration(checkup.took)}"
    return f"{', '.join(parts)}; {looked}"
