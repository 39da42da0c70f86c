"""Help, pages, versions and completion, as a shell and a terminal have them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from .cli import Cli

pytest.importorskip("shtab")

#: As bash does it when Tab is pressed.
PRESS = """
source {script}
COMP_WORDS=({words})
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_shtab_jobpool
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


def test_help_in_a_pipe_is_plain_text(cli: Cli) -> None:
    answer = cli("help", "worker")
    assert (answer.code, answer.err) == (0, "")
    assert answer.out.startswith("NAME\n  jobpool worker - run the jobs of a manager in this process\n")
    assert "JOBPOOL_DRAIN_TIMEOUT" in answer.out
    assert "\x1b" not in answer.out


def test_a_page_goes_through_the_pager_on_a_terminal(cli: Cli) -> None:
    with cli.on_a_terminal("help", "worker", PAGER="sed s/NAME/SEEN/") as terminal:
        assert terminal.end() == 0
    assert terminal.text.startswith("SEEN\n")
    assert "\x1b[1m" not in terminal.raw, "only less is known to show bold headings"


def test_without_a_pager_that_runs_it_is_shown_at_once(cli: Cli) -> None:
    with cli.on_a_terminal("help", "worker", PAGER="/nowhere/pager") as terminal:
        assert terminal.end() == 0
    assert "\x1b[1mNAME\x1b[0m" in terminal.raw
    with cli.on_a_terminal("help", "worker", PAGER="/nowhere/pager", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "\x1b" not in terminal.raw


def test_what_fits_on_the_screen_needs_no_pager(cli: Cli) -> None:
    with cli.on_a_terminal("help", "mongod", height=200, PAGER="sed s/NAME/SEEN/") as terminal:
        assert terminal.end() == 0
    assert terminal.text.startswith("NAME\n")


@pytest.mark.parametrize("arguments", [["--help"], ["help"], ["ls", "--help"], ["help", "ls"]], ids=" ".join)
def test_help_fits_a_narrow_terminal(cli: Cli, arguments: list[str]) -> None:
    with cli.on_a_terminal(*arguments, width=60, PAGER="cat", NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    prose = terminal.text.partition("\nexamples:")[0].partition("\nEXAMPLES")[0]
    assert [line for line in prose.splitlines() if len(line) > 60] == []


@pytest.fixture(scope="module")
def bash_script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("completion")
    answer = Cli(None, None, directory)("completion", "bash")
    assert (answer.code, answer.err) == (0, "")
    path = directory / "jobpool.bash"
    path.write_text(answer.out)
    return path


@pytest.mark.parametrize(
    ("words", "some"),
    [
        ('jobpool ""', {"worker", "ls", "doctor", "import", "completion"}),
        ("jobpool wor", {"worker"}),
        ("jobpool ls --sta", {"--state"}),
        ("jobpool ls --state fa", {"failed"}),
        ("jobpool import togedo --active p", {"pending"}),
        ("jobpool help met", {"metrics"}),
        ("jobpool dashboard ex", {"export"}),
        ("jobpool bench throughput --qu", {"--quick"}),
        ("jobpool worker --metrics-tls-cert ./some", {"./some_file"}),
        ("jobpool mongod --path ./some", {"./some_directory"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bash_completes(bash_script: Path, tmp_path: Path, words: str, some: set[str]) -> None:
    (tmp_path / "some_file").touch()
    (tmp_path / "some_directory").mkdir()
    program = PRESS.format(script=bash_script, words=words)
    done = subprocess.run(["bash", "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    offered = set(done.stdout.split())
    assert some <= offered
    if not words.endswith('""'):
        assert all(one.startswith(words.split()[-1]) for one in offered)


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_one_of_that_shell(cli: Cli, shell: str) -> None:
    answer = cli("completion", shell)
    assert (answer.code, answer.err) == (0, "")
    assert "snooze" in answer.out
    assert {"bash": "complete -o", "zsh": "#compdef jobpool", "fish": "complete -c jobpool"}[shell] in answer.out
    if shutil.which(shell):
        done = subprocess.run([shell, "-n"], input=answer.out, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")


def test_without_shtab_it_says_what_to_install(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError\n")
    answer = cli("completion", "bash", PYTHONPATH=f"{tmp_path}:{cli.environment['PYTHONPATH']}")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "jobpool: completion needs the package shtab: python -m pip install 'jobpool[cli]'\n"
