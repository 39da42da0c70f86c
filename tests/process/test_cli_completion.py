"""Completion as the shells do it: the script is read by each, and Tab is pressed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from ..observability.tools import need_shell
from .cli import Cli

pytest.importorskip("shtab")

SHELLS = ("bash", "zsh", "fish")
PATIENCE = 60.0
#: What is typed, and some of what is offered at its end.
TYPED = [
    ("jobpool ", {"worker", "ls", "doctor", "import", "completion"}),
    ("jobpool wor", {"worker"}),
    ("jobpool ls --sta", {"--state"}),
    ("jobpool ls --state fa", {"failed"}),
    ("jobpool ls --state failed --sta", {"--state"}),
    ("jobpool import togedo --active p", {"pending"}),
    ("jobpool completion ", set(SHELLS)),
    ("jobpool help met", {"metrics"}),
    ("jobpool dashboard ex", {"export"}),
    ("jobpool schedules add --cr", {"--cron"}),
    ("jobpool bench throughput --qu", {"--quick"}),
    ("jobpool worker --metrics-tls-cert some", {"some_file"}),
    ("jobpool mongod --path some", {"some_directory"}),
]
#: A value that begins with @ is a file; bash takes the @ for a word of its own.
TYPED_BEHIND_AT = [
    ("jobpool create thumbnail --data @some_f", {"@some_file"}),
    ("jobpool schedules add nightly --data @some_f", {"@some_file"}),
]

#: As bash does it when Tab is pressed.
BASH = """
source "$SCRIPT"
read -ra COMP_WORDS <<< "$TYPED"
[[ $TYPED != *" " ]] || COMP_WORDS+=("")
COMP_CWORD=$(( ${#COMP_WORDS[@]} - 1 ))
_shtab_jobpool
printf '%s\\n' "${COMPREPLY[@]}"
"""
#: A zsh whose user types, behind a terminal; it writes down what it offers, and ends.
ZSH = """
zmodload zsh/zpty
zpty shell zsh -i
zpty -r shell REPLY '*ready*'
zpty -w -n shell "$TYPED"$'\\t'
while zpty -r shell REPLY; do :; done
cat "$OFFERED"
"""
ZSHRC = """
PROMPT=
fpath=("$ZDOTDIR" $fpath)
autoload -Uz compinit
compinit -u -d "$ZDOTDIR/dump"
bindkey '^I' complete-word
zstyle ':completion:*' insert-tab false
compadd() {
  if [[ ${@[1,(i)(-|--)]} != *-(O|A|D)\\ * ]]; then  # else it only asks what would be offered
    local -a offered
    builtin compadd -A offered "$@"
    print -rl -- $IPREFIX$^offered >> "$OFFERED"
  fi
  builtin compadd "$@"
}
comppostfuncs=(exit)
print ready
"""
FISH = """
source "$SCRIPT"
complete -C "$TYPED" | string replace -r '\\t.*' ''
"""

Scripts = dict[str, Path]


@pytest.fixture(scope="module")
def scripts(tmp_path_factory: pytest.TempPathFactory) -> Scripts:
    """What `jobpool completion` prints for each shell, under the name by which zsh looks for it."""
    made = {}
    for shell in SHELLS:
        directory = tmp_path_factory.mktemp(shell)
        answer = Cli(None, None, directory)("completion", shell)
        assert (answer.code, answer.err) == (0, "")
        made[shell] = directory / "_jobpool"
        made[shell].write_text(answer.out)
    (made["zsh"].parent / ".zshrc").write_text(ZSHRC)
    return made


def pressed(shell: str, script: Path, typed: str, directory: Path) -> set[str]:
    """Return what a shell offers when Tab is pressed behind `typed`."""
    program = {"bash": [BASH], "zsh": ["-f", ZSH], "fish": ["--no-config", FISH]}[shell]
    (directory / "some_file").touch()
    (directory / "some_directory").mkdir(exist_ok=True)
    offered = directory.parent / f"offered-{directory.name}"
    offered.write_text("")
    environment = {
        **os.environ,
        "SCRIPT": str(script),
        "TYPED": typed,
        "ZDOTDIR": str(script.parent),
        "OFFERED": str(offered),
        "HOME": str(script.parent),
        "TERM": "dumb",
    }
    *options, text = program
    done = subprocess.run(
        [need_shell(shell), *options, "-c", text],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stderr == ""
    return {line.rstrip("/") for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("shell", SHELLS)
def test_tab_offers_commands_options_choices_and_files(scripts: Scripts, tmp_path: Path, shell: str) -> None:
    for number, (typed, some) in enumerate(TYPED):
        directory = tmp_path / str(number)
        directory.mkdir()
        offered = pressed(shell, scripts[shell], typed, directory)
        assert some <= offered, typed
        begun = "" if typed.endswith(" ") else typed.split()[-1]
        assert all(one.startswith(begun) for one in offered), typed
        if "--path" in typed:
            assert offered == some, "no files where a directory is wanted"


@pytest.mark.parametrize("shell", ["zsh", "fish"])
@pytest.mark.parametrize(("typed", "some"), TYPED_BEHIND_AT, ids=["create", "schedules"])
def test_tab_offers_files_behind_an_at(
    scripts: Scripts, tmp_path: Path, shell: str, typed: str, some: set[str]
) -> None:
    assert pressed(shell, scripts[shell], typed, tmp_path) == some
    assert pressed(shell, scripts[shell], typed.replace("@", ""), tmp_path) == set(), "that is no JSON"


def test_no_other_shell_is_offered(cli: Cli) -> None:
    answer = cli("completion", "tcsh")
    assert (answer.code, answer.out, answer.err.count("\n")) == (2, "", 1)


def test_without_shtab_it_says_what_to_install(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "shtab.py").write_text("raise ImportError\n")
    answer = cli("completion", "bash", PYTHONPATH=f"{tmp_path}:{cli.environment['PYTHONPATH']}")
    assert (answer.code, answer.out) == (2, "")
    assert answer.err == "jobpool: completion needs the package shtab: python -m pip install 'jobpool[cli]'\n"
