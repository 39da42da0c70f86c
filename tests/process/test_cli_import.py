"""``jobpool import togedo`` as its user has it."""

from __future__ import annotations

import json
import signal
from dataclasses import fields
from pathlib import Path

import bson
import pytest

from jobpool.importing import Imported

from ..conftest import Jobs
from ..togedo import document, source
from ..waiting import until
from .cli import GONE, Cli

__all__ = ["source"]

MANY = 100_000


@pytest.fixture
def filled(source: Jobs) -> Jobs:
    states = ("queued", "done", "error", "active", "queued")
    source.insert_many([document(f"{n:05}", states[n % 5]) for n in range(50)])
    return source


def command(source: Jobs, *more: str) -> tuple[str, ...]:
    return ("import", "togedo", "--from-database", source.database.name, *more)


def test_it_shows_both_sides_and_what_deserves_a_thought(cli: Cli, filled: Jobs, database: str) -> None:
    answer = cli(*command(filled))
    assert answer.code == 0
    assert ["from", f"{database}_js.jobs"] in answer.rows
    assert ["imported", "40"] in answer.rows
    assert ["there", "queued", "20"] in answer.rows
    assert ["here", "pending", "20"] in answer.rows
    assert "10 jobs active there and left out" in answer.err
    assert "--active pending" in answer.err
    assert "check: 40 of 50 documents have their jobs here, all are there" in answer.err


def test_again_is_nothing_new(cli: Cli, filled: Jobs) -> None:
    cli(*command(filled))
    answer = cli(*command(filled, "--active", "skip"))
    assert answer.code == 0
    assert ["imported", "0"] in answer.rows
    assert ["imported", "before", "40"] in answer.rows
    assert "active there" not in answer.err


def test_json_has_the_fields_of_the_dataclass(cli: Cli, filled: Jobs) -> None:
    answer = cli(*command(filled, "--json", "--active", "failed"))
    assert set(answer.json) == {field.name for field in fields(Imported)}
    assert answer.json["inserted"] == 50
    assert answer.json["target_states"] == {"pending": 20, "succeeded": 10, "failed": 20}
    assert (answer.json["finished"], answer.json["dry_run"]) == (True, False)
    assert isinstance(answer.json["seconds"], float)


def test_a_dry_run_says_so(cli: Cli, filled: Jobs, jobs: Jobs) -> None:
    answer = cli(*command(filled, "--dry-run"))
    assert answer.code == 0
    assert ["would", "be", "imported", "40"] in answer.rows
    assert "check:" not in answer.err
    assert jobs.count_documents({}) == 0


def test_what_is_left_out_is_named_and_kept_in_a_file(cli: Cli, filled: Jobs, tmp_path: Path) -> None:
    bad = [document(f"bad\x1b[2J{n}", data={"re": bson.Regex("x")}) for n in range(8)]
    odd = document("0", "\x1b[2J")
    filled.insert_many([odd, *bad, document("nan", "done", result=float("nan"))])
    file = tmp_path / "left.ndjson"
    answer = cli(*command(filled, "--skipped", str(file)))
    assert answer.code == 1
    assert "data.re: Regex cannot be stored" in answer.err
    assert "... and 5 more; all are in" in answer.err
    assert "status: '\\x1b[2J' is none" in answer.err
    assert "\x1b" not in answer.err + answer.out
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 10
    assert {(line["problem"], line["carried"]) for line in lines} == {
        ("data", False),
        ("result", True),
        ("status", False),
    }
    assert lines[1]["document"]["data"] == {"re": {"$regularExpression": {"pattern": "x", "options": ""}}}
    assert set(lines[0]) == {"id", "status", "problem", "why", "carried", "document"}


def test_a_file_that_cannot_be_written_is_refused_before_anything_is_read(
    cli: Cli, filled: Jobs, jobs: Jobs
) -> None:
    answer = cli(*command(filled, "--skipped", "/nowhere/left"))
    assert (answer.code, answer.err) == (2, "jobpool: cannot write to /nowhere/left: No such file or directory\n")
    assert jobs.count_documents({}) == 0


def test_a_file_that_takes_no_more_is_named(cli: Cli, filled: Jobs) -> None:
    filled.insert_one(document("bad", data=bson.Regex("x")))
    answer = cli(*command(filled, "--skipped", "/dev/full"))
    assert answer.code == 1
    assert answer.err.endswith("jobpool: cannot write to /dev/full: No space left on device; it is not complete\n")


@pytest.mark.parametrize(
    ("arguments", "code", "part"),
    [
        (("import",), 2, "required: SOURCE, one of togedo; see jobpool import --help"),
        (("import", "celary"), 2, "invalid choice: 'celary'"),
        (("import", "togedo"), 2, "name the database to import from: --from-database NAME"),
        (("import", "togedo", "--from-database", "nowhere"), 2, "there is no collection nowhere.jobs to import"),
        (("import", "togedo", "--from-database", "a b"), 2, "cannot name a collection"),
        (("import", "togedo", "--from-database", "x", "--active", "run"), 2, "invalid choice: 'run'"),
        (("import", "togedo", "--from-database", "x", "--dryrun"), 2, "did you mean --dry-run?"),
        (
            ("import", "togedo", "--from-database", "x", "--from-uri", GONE, "--timeout", "1"),
            3,
            "is the server up",
        ),
        (("import", "togedo", "--from-database", "x", "--uri", GONE, "--timeout", "1"), 3, "is the server up"),
        (("import", "togedo", "--from-database", "x", "--from-uri", "http://u:secret@h"), 2, "mongodb://"),
    ],
    ids=["nothing", "source", "from", "absent", "name", "active", "option", "source gone", "gone", "uri"],
)
def test_nonsense_and_absence_are_one_line(cli: Cli, arguments: tuple[str, ...], code: int, part: str) -> None:
    answer = cli(*arguments)
    assert (answer.code, answer.out) == (code, "")
    assert part in answer.err
    assert answer.err.startswith("jobpool: ")
    assert answer.err.count("\n") == 1
    assert "secret" not in answer.err


def test_it_is_not_imported_into_itself(cli: Cli, database: str, jobs: Jobs) -> None:
    jobs.insert_one(document("a"))
    answer = cli("import", "togedo", "--from-database", database)
    assert answer.code == 2
    assert f"{database}.jobs would be imported into itself: name another collection" in answer.err
    other = cli("import", "togedo", "--from-database", database, "--collection", "work")
    assert other.code == 0


@pytest.mark.parametrize("without_rich", [False, True], ids=["rich", "plain"])
def test_it_fits_a_narrow_terminal(cli: Cli, filled: Jobs, without_rich: bool) -> None:
    with cli.on_a_terminal(*command(filled), width=60, without_rich=without_rich, NO_COLOR="1") as terminal:
        assert terminal.end() == 0
    assert "there  queued" in terminal.text
    assert "\x1b[3" not in terminal.raw, "no colours"


@pytest.mark.timeout(400)
def test_of_100_000_killed_in_the_middle_none_is_lost_or_doubled(cli: Cli, source: Jobs, jobs: Jobs) -> None:
    """Killed, then ended by Ctrl-C, then left to its end."""
    for start in range(0, MANY, 10_000):
        source.insert_many(
            [document(f"{n:06}", "done" if n % 3 else "queued") for n in range(start, start + 10_000)]
        )
    with cli.started(*command(source)) as process:
        until(lambda: jobs.estimated_document_count() > 2_000, "some are imported")
        process.kill()
    assert jobs.estimated_document_count() < MANY
    with cli.on_a_terminal(*command(source)) as terminal:
        terminal.read_until("importing")
        was = jobs.estimated_document_count()
        until(lambda: jobs.estimated_document_count() > was + 2_000, "it goes on")
        terminal.send(signal.SIGINT)
        assert terminal.end() == 130
    assert "are carried over; repeat the command to go on from there" in terminal.text
    done = jobs.estimated_document_count()
    assert done < MANY
    answer = cli(*command(source, "--json"), timeout=300)
    assert answer.code == 0
    assert (answer.json["already"], answer.json["inserted"], answer.json["missing"]) == (done, MANY - done, 0)
    assert jobs.count_documents({}) == MANY
    assert answer.json["target_states"] == {"pending": 33_334, "succeeded": 66_666}
