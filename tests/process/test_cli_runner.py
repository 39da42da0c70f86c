"""The runner of commands that other tests stand on."""

from __future__ import annotations

from .cli import Cli


def test_a_command_in_a_pipe_gives_code_output_and_errors(cli: Cli) -> None:
    answer = cli("--help")
    assert answer.code == 0
    assert answer.out.startswith("usage: jobpool")
    assert answer.err == ""
    assert cli("nonsense").code == 2


def test_ctrl_c_typed_on_a_terminal_is_a_signal(cli: Cli) -> None:
    with cli.on_a_terminal("mongod", width=60) as terminal:
        terminal.read_until("Ctrl-C ends it")
        terminal.type("\x03")
        assert terminal.end() == 0
    assert "mongodb://127.0.0.1:" in terminal.text


def test_the_output_of_a_command_on_a_terminal_can_be_a_pipe(cli: Cli) -> None:
    with cli.on_a_terminal("mongod", "--nonsense", piped=True, without_rich=True) as terminal:
        assert terminal.end() == 2
    assert "--nonsense" in terminal.text
    assert terminal.piped == ""
