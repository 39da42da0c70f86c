"""Help, pages and versions, as a shell and a terminal have them."""

from __future__ import annotations

import pytest

from .cli import Cli


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
