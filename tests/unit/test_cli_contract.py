"""What every command keeps to, whoever wrote it."""

from __future__ import annotations

import argparse
import ast
import re
import shlex
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import jobpool
from jobpool.cli import COMMANDS, HEADINGS
from jobpool.cli.help import manual
from jobpool.cli.options import environment
from jobpool.cli.options.environment import VARIABLES
from jobpool.cli.overview import overview
from jobpool.cli.parser import full_parser, module_of, options, parser_for, subparsers

ROOT = Path(jobpool.__file__).parent

#: What shows no data of its own: it works, serves, writes files, or is a picture that moves.
NOT_READING = {"demo", "worker", "help", "dashboard", "bench", "completion"}

#: Names that are asked for when a command runs.
_ASKED = re.compile(r"from_environment\(\s*\"([A-Z_]+)\"")


def parsers() -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield every command, and every action below one, with its parser."""
    pending = list(subparsers(full_parser()))
    for name, parser in pending:
        yield name, parser
        pending += [(f"{name} {inner}", below) for inner, below in subparsers(parser)]


PARSERS = dict(parsers())
each_command = pytest.mark.parametrize("name", COMMANDS)
each_parser = pytest.mark.parametrize("name", PARSERS)


def test_the_walk_sees_actions_below_commands() -> None:
    """Or the tests below would hold for less than they say."""
    assert {"ls", "import togedo", "dashboard export", "bench compare"} <= set(PARSERS)


def test_commands_stand_under_their_headings_in_order() -> None:
    places = [HEADINGS.index(one.heading) for one in COMMANDS.values()]
    assert places == sorted(places)
    assert set(places) == set(range(len(HEADINGS)))


@each_command
def test_a_purpose_is_a_phrase(name: str) -> None:
    purpose = COMMANDS[name].purpose
    assert purpose[0].islower()
    assert not purpose.endswith(".")
    assert len(purpose) <= 75


def examples(name: str) -> list[list[str]]:
    """Return the arguments of the examples of a command, whatever they are piped from and into."""
    text: str = module_of(name).EXAMPLES
    assert text.startswith("examples:\n")
    found = []
    for line in text.splitlines()[1:]:
        if line.startswith("  ") and (place := re.search(r"(?:^|[|(;]|--) *jobpool ", line.strip())):
            told = re.split(r"\s{2,}(?![^']*'(?:\s|$))", line.strip()[place.end() :])[0]
            told = re.split(r" [|>]|\)|;| \|\|", told)[0]
            found.append(shlex.split(told))
    return found


@each_command
def test_it_has_examples_that_can_be_typed(name: str) -> None:
    found = examples(name)
    assert 2 <= len(found) <= 7, found
    for arguments in found:
        assert arguments[0] in COMMANDS, arguments
        assert parser_for(arguments).parse_args(arguments).command == arguments[0]
    assert any(arguments[0] == name for arguments in found)


@each_parser
def test_every_argument_has_help(name: str) -> None:
    parser = PARSERS[name]
    silent = [
        action.option_strings or action.dest
        for action in parser._actions
        if not action.help and not isinstance(action, argparse._SubParsersAction)
    ]
    assert silent == []
    assert all(choice.help for action in parser._actions for choice in getattr(action, "_choices_actions", ()))


def test_what_reads_has_json() -> None:
    without = {name for name in COMMANDS if "--json" not in set(options(PARSERS[name]))}
    assert without <= NOT_READING | {"top"}


def test_variables_that_help_names_are_listed() -> None:
    named = {
        found for name in COMMANDS for found in re.findall(r"\$JOBPOOL_([A-Z_]+)", PARSERS[name].format_help())
    }
    source = "\n".join(path.read_text() for path in (ROOT / "cli").rglob("*.py"))
    environment.asked.clear()
    full_parser()
    asked = environment.asked | set(_ASKED.findall(source))
    assert {"URI", "THREADS"} <= named
    assert {"COLLECTION", "THREADS"} <= asked
    assert named | asked == set(VARIABLES), "of those listed each is asked for, and the other way round"
    assert [name for name in VARIABLES if f"JOBPOOL_{name}" not in overview()] == []


#: Options that take something else elsewhere, and why they may.
TWO_KINDS = {
    "-n": "of tail as of tail(1); elsewhere a dry run, which changes nothing if it was not meant",
    "--after": "jobs that have to end first, or the last job of the page before: a job both times",
    "--data": "what a job is called with: given here, shown there",
    "--every": "an interval both times, of schedules with units",
    "--only": "what is looked at of all that could be",
}


def test_an_option_means_the_same_wherever_it_is() -> None:
    kinds: dict[str, dict[tuple[object, ...], list[str]]] = defaultdict(lambda: defaultdict(list))
    for name, parser in PARSERS.items():
        for action in parser._actions:
            for option in action.option_strings:
                kind = (type(action).__name__, str(action.metavar), str(action.nargs))
                kinds[option][kind].append(name)
    different = {option: dict(found) for option, found in kinds.items() if len(found) > 1}
    assert {option: found for option, found in different.items() if option not in TWO_KINDS} == {}
    assert set(TWO_KINDS) <= set(different), "those that are alike by now need no reason"


@each_parser
def test_help_fits_60_columns(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = PARSERS[name].format_help()
    prose = text.partition("\nexamples:\n")[0]
    assert [line for line in prose.splitlines() if len(line) > 60 and " " in line.strip()] == []


@each_command
def test_it_has_a_page(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    page = manual(name)
    headings = re.findall(r"^[A-Z][A-Z ]+$", page, re.MULTILINE)
    wanted = ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES", "ENVIRONMENT", "EXIT CODES"]
    assert headings == wanted
    assert f"jobpool {name} - " in page
    assert "``" not in page


def test_the_overview_names_all_and_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    text = overview()
    assert [name for name in COMMANDS if not re.search(rf"^  {name} ", text, re.MULTILINE)] == []
    assert [line for line in text.splitlines() if len(line) > 60] == []
    assert [line for line in text.splitlines() if line in HEADINGS] == list(HEADINGS)


def test_help_loads_neither_the_driver_nor_rich() -> None:
    script = (
        "import sys\n"
        "from jobpool.cli import COMMANDS\n"
        "from jobpool.cli.parser import parser_for\n"
        "from jobpool.cli.overview import overview\n"
        "overview()\n"
        "heavy = lambda: {'pymongo', 'bson', 'rich', 'prometheus_client', 'shtab'} & set(sys.modules)\n"
        "for name in COMMANDS:\n"
        "    parser_for([name, '--help']).format_help()\n"
        "    if heavy(): sys.exit(f'{name}: {heavy()}')\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["lst"], "there is no command 'lst'; did you mean ls? See jobpool --help"),
        (["xyzzy"], "there is no command 'xyzzy'; see jobpool --help"),
        (["worker", "--thraeds", "4"], "worker: there is no option --thraeds; did you mean --threads?"),
        (["ls", "--state", "faild"], "did you mean failed?"),
        (["mongod", "extra", "words"], "mongod: 'extra words' is too much; see jobpool mongod --help"),
        (["mongod", "--po", "1"], "there is no option --po"),
        (["help", "wroker"], "did you mean worker?"),
        (["bench", "throughputt"], "did you mean throughput?"),
        (["completion", "bsh"], "did you mean bash?"),
        (["--json", "ls"], "options come behind the command: jobpool COMMAND --json ...; see jobpool --help"),
        (
            ["--uri=mongodb://ann:secret@h/shop", "ls"],
            "come behind the command: jobpool COMMAND --uri ...",
        ),
        (["-d", "mongodb://ann:secret@h/shop", "ls"], "options come behind the command: jobpool COMMAND -d ..."),
        (["ls", "mongodb://ann:secret@h/shop"], "'mongodb://***@h/shop' is too much"),
        (["mongodb://ann:secret@h/shop"], "there is no command 'mongodb://***@h/shop'"),
    ],
    ids=" ".join,
)
def test_a_slip_is_understood_in_one_line(
    arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from jobpool.cli import main

    with pytest.raises(SystemExit) as ended:
        main(arguments)
    shown = capsys.readouterr()
    assert (ended.value.code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert shown.err.startswith("jobpool: ")
    assert part in shown.err
    assert "secret" not in shown.err


def test_the_source_of_commands_prints_no_password_option() -> None:
    """What others could read in the list of processes is no option."""
    asked = [option for name in COMMANDS for option in options(PARSERS[name]) if "password" in option]
    assert set(asked) == {"--metrics-password-file"}


def test_version_names_all_three(capsys: pytest.CaptureFixture[str]) -> None:
    from jobpool.cli import main

    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0
    assert re.fullmatch(r"jobpool \d\S* \(PyMongo \d\S*, Python \d\S*\)\n", capsys.readouterr().out)


def test_variables_are_asked_for_by_a_name_that_is_written_there() -> None:
    """Or the test of the list above would not see them."""
    for path in (ROOT / "cli").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "from_environment":
                assert isinstance(node.args[0], ast.Constant), f"{path}: {ast.unparse(node)}"
