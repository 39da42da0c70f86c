"""``jobpool bench``: what it refuses, what it compares, and how it ends."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest
from pymongo import MongoClient

from jobpool.bench import BENCHMARKS
from jobpool.bench.results import Results
from jobpool.cli import main
from jobpool.embedded import EmbeddedMongo

from ..waiting import PATIENCE, until
from .conftest import ROOT

#: The command line in a process where some packages are not installed.
WITHOUT = """
import sys
from jobpool.cli import main

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "{missing}":
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
sys.exit(main(["bench", *sys.argv[1:]]))
"""

#: The command line in a process with a benchmark whose work is left open.
SAMPLE = """
import sys, types
from threading import Event
from jobpool import bench
from jobpool.bench.bench import collection_name, some_jobs
from jobpool.bench.proof import expect_once
from jobpool.cli import main

def measure(bench):
{work}

module = sys.modules["jobpool.bench.sample"] = types.ModuleType("jobpool.bench.sample")
module.measure = measure
bench.BENCHMARKS["sample"] = "what a test asks"
sys.exit(main(["bench", "sample", *sys.argv[1:]]))
"""

#: A run in the middle: jobs are stored, a process of its own works, and it never ends.
ENDLESS = """
    manager = bench.manager()
    manager.create_many(some_jobs(10))
    child = bench.child("fleet:pool", collection=collection_name(manager))
    child.hear("ready")
    bench.progress.say(f"see {bench.database} {child.pid}")
    Event().wait()
"""

#: A process that is killed while its parent waits for its news.
KILLED = """
    import os, signal
    manager = bench.manager()
    child = bench.child("fleet:pool", collection=collection_name(manager))
    os.kill(child.hear("ready"), signal.SIGKILL)
    bench.wait_for(lambda: child.news("recorded", 0), "news")
"""

#: Nobody answers there, and the driver does not wait long for it.
NOWHERE = "mongodb://127.0.0.1:1/?serverSelectionTimeoutMS=200"


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=100)


def sample(work: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return python("-c", SAMPLE.format(work=work), *arguments)


def only_line(text: str) -> str:
    """Return the line that is all a command said: a traceback has more."""
    (line,) = text.splitlines()
    return line


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """Run the command line; it must be a usage error; return its last words."""
    try:
        code: Any = main(["bench", *arguments])
    except SystemExit as ended:
        code = ended.code
    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    return said.err.splitlines()[-1]


def some_results(rate: float, benchmark: str = "metrics") -> Results:
    """Return results that can be drawn."""
    setting = {"jobpool": "0", "MongoDB": "7", "topology": "standalone", "write concern": "majority", "cores": 2}
    results = Results(benchmark, False, setting)
    results.measure("drain", [rate, rate, rate], "jobs/s", "higher", metrics="on")
    results.measure("count of the backlog", [0.5], "s", "lower", jobs=10, types=2)
    return results


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    """A directory with results: three of one benchmark, others, and what is none."""
    rates = {"good": 100.0, "same": 95.0, "worse": 80.0}
    for name, rate in rates.items():
        some_results(rate).save(tmp_path / f"{name}.json")
    some_results(100.0, "throughput").save(tmp_path / "other.json")
    some_results(100.0, "no.such").save(tmp_path / "unknown.json")
    (tmp_path / "nonsense.json").write_text("nonsense")
    return tmp_path


# --- help ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*BENCHMARKS, "all", "compare", "draw"])
def test_every_benchmark_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["bench", name, "--help"])
    assert ended.value.code == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"usage: jobpool bench {name} ")
    assert ("--deep" in said.out) is (name == "flat")
    assert said.err == ""


@pytest.mark.parametrize("arguments", ["--help", "bench --help", "bench compare a.json b.json --tolerance much"])
def test_help_and_typing_errors_load_no_benchmark(arguments: str) -> None:
    done = python("-X", "importtime", "-m", "jobpool", *arguments.split())
    lines = done.stderr.splitlines()
    loaded = {line.rpartition("|")[2].strip() for line in lines if line.startswith("import time:")}
    assert "jobpool.cli" in loaded
    assert (
        loaded & {"matplotlib", "psutil", "jobpool.bench.bench", *(f"jobpool.bench.{n}" for n in BENCHMARKS)}
        == set()
    )


# --- what is given ------------------------------------------------------------------------


@pytest.mark.parametrize("times", ["0", "-1", "1.5", "many", ""])
def test_a_repeat_that_is_no_number_of_times_is_refused(times: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "create", "--repeat", times)
    assert f"argument --repeat: {times!r} is not a number of times from 1 to 1000" in said


@pytest.mark.parametrize("share", ["-0.1", "1", "nan", "inf", "10%"])
def test_a_tolerance_that_is_no_share_is_refused(share: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "compare", "a.json", "b.json", f"--tolerance={share}")
    assert f"argument --tolerance: {share!r} is not a share from 0 to 0.99" in said


@pytest.mark.parametrize("port", ["0", "65536", "http"])
def test_a_port_that_is_none_is_refused(port: str, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "create", "--metrics-port", port)
    assert f"argument --metrics-port: {port!r} is not a port from 1 to 65535" in said


def test_a_place_that_cannot_keep_results_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    said = refused(capsys, "create", "--uri", NOWHERE, "--out", str(tmp_path / "file" / "below"))
    assert said.startswith(f"jobpool: cannot keep results in {tmp_path}/file/below: ")


def test_an_address_that_is_none_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "create", "--uri", "http://user:hidden@somewhere", "--out", str(tmp_path))
    assert said.startswith("jobpool: a MongoDB URI begins with mongodb://")
    assert "hidden" not in said


def test_all_runs_each_one_with_the_defaults_of_its_own_options(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran: dict[str, argparse.Namespace] = {}
    monkeypatch.setattr("jobpool.cli.bench._measure", lambda name, options: ran.update({name: options}))
    assert main(["bench", "all", "--quick", "--out", str(tmp_path)]) == 0
    assert list(ran) == list(BENCHMARKS)
    assert ran["flat"].deep is False
    assert all(options.quick for options in ran.values())


# --- comparing and drawing ----------------------------------------------------------------


@pytest.mark.parametrize(("after", "code"), [("same", 0), ("worse", 1)])
def test_compare_exits_by_whether_something_got_worse(kept: Path, after: str, code: int) -> None:
    done = python("-m", "jobpool", "bench", "compare", str(kept / "good.json"), str(kept / f"{after}.json"))
    assert (done.returncode, done.stderr) == (code, "")
    assert f"{code} of 2 figures got worse by more than 10%" in done.stdout
    assert done.stdout.count("WORSE") == code


@pytest.mark.parametrize("options", [["--tolerance", "0.3"], ["--only", "backlog"]], ids=" ".join)
def test_what_is_asked_for_decides_what_is_worse(kept: Path, options: list[str]) -> None:
    assert main(["bench", "compare", str(kept / "good.json"), str(kept / "worse.json"), *options]) == 0


@pytest.mark.parametrize(
    ("after", "message"),
    [
        ("other", "jobpool: {kept}/good.json is of metrics, {kept}/other.json of throughput"),
        ("nonsense", "jobpool: {kept}/nonsense.json does not hold the results of a benchmark: Expecting value"),
        ("absent", "jobpool: cannot read {kept}/absent.json: No such file or directory"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    kept: Path, after: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, "compare", str(kept / "good.json"), str(kept / f"{after}.json"))
    assert said.startswith(message.format(kept=kept))


def test_kept_results_are_drawn_again(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "draw", str(kept / "good.json")]) == 0
    assert capsys.readouterr().out.split() == [str(kept / "good.png"), str(kept / "good.svg")]
    assert (kept / "good.png").read_bytes().startswith(b"\x89PNG")


def test_results_of_no_benchmark_are_not_drawn(kept: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "draw", str(kept / "unknown.json"))
    assert said == f"jobpool: {kept}/unknown.json is of 'no.such', which is no benchmark"


# --- what is not there --------------------------------------------------------------------


def test_a_server_that_is_not_there_is_one_line_and_exit_code_3(tmp_path: Path) -> None:
    done = python("-m", "jobpool", "bench", "create", "--quick", "--uri", NOWHERE, "--out", str(tmp_path))
    assert done.returncode == 3
    said = only_line(done.stderr)
    assert said.startswith(f"jobpool: connecting to MongoDB at {NOWHERE}: ServerSelectionTimeoutError")
    assert "is the server up and reachable?" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [["throughput", "--help"], ["all", "--quick"]], ids=" ".join)
def test_without_psutil_it_says_what_to_install(arguments: list[str]) -> None:
    done = python("-c", WITHOUT.format(missing="psutil"), *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].endswith(
        "benchmarks need the package psutil: python -m pip install 'jobpool[bench]'"
    )
    assert "Traceback" not in done.stderr


def test_without_psutil_results_can_be_compared(kept: Path) -> None:
    good = str(kept / "good.json")
    done = python("-c", WITHOUT.format(missing="psutil"), "compare", good, good)
    assert (done.returncode, done.stderr) == (0, "")


def test_without_matplotlib_nothing_is_drawn_and_it_says_what_to_install(kept: Path) -> None:
    done = python("-c", WITHOUT.format(missing="matplotlib"), "draw", str(kept / "good.json"))
    assert done.returncode == 2
    assert only_line(done.stderr) == "jobpool: pictures need matplotlib: python -m pip install 'jobpool[bench]'"


def test_without_matplotlib_figures_are_kept_all_the_same(server: EmbeddedMongo, tmp_path: Path) -> None:
    work = "    sys.modules['matplotlib'] = None\n    bench.results.measure('x', [1.0], 's')"
    done = sample(work, "--uri", server.uri, "--out", str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert "no picture without matplotlib: python -m pip install 'jobpool[bench]'" in done.stdout
    assert [path.name for path in tmp_path.iterdir()] == ["sample.json"]


# --- how it ends --------------------------------------------------------------------------


def test_a_failed_proof_is_exit_code_1_and_leaves_no_figures(server: EmbeddedMongo, tmp_path: Path) -> None:
    work = "    bench.results.measure('x', [1.0], 's')\n    expect_once([0, 1, 1], 3)"
    done = sample(work, "--uri", server.uri, "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[-1] == (
        "jobpool: benchmark failed: of 3 jobs 1 ran more than once, 1 did not run, and 0 others did"
    )
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_what_mongodb_refuses_is_one_line(server: EmbeddedMongo, tmp_path: Path) -> None:
    done = sample("    bench.client.admin.command('noSuchCommand')", "--uri", server.uri, "--out", str(tmp_path))
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith(
        "jobpool: the benchmark sample: OperationFailure: no such command"
    )
    assert "Traceback" not in done.stderr


def test_a_process_that_died_ends_the_run(server: EmbeddedMongo, tmp_path: Path) -> None:
    done = sample(KILLED, "--uri", server.uri, "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    said = "jobpool: the process fleet:pool ended by itself (exit code -9); see above"
    assert done.stderr.splitlines()[-1] == said
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_goes_away_ends_the_run(tmp_path: Path) -> None:
    with EmbeddedMongo() as other:
        work = f"""
    import os, signal
    os.kill({psutil.Process(other._process.pid).children()[0].pid if other._process else 0}, signal.SIGKILL)
    bench.wait_for(lambda: False, "nothing")
"""
        done = sample(work, "--uri", f"{other.uri}&serverSelectionTimeoutMS=500", "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (3, "")
    assert "Traceback" not in done.stderr
    assert done.stderr.splitlines()[-1].startswith("jobpool: the benchmark sample: ")


def test_no_process_outlives_a_run_that_is_killed(server: EmbeddedMongo, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SAMPLE.format(work=ENDLESS), "--uri", server.uri, "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        child = next(line for line in process.stderr if "see " in line).rsplit(maxsplit=1)[1]
        process.kill()
    until(lambda: not psutil.pid_exists(int(child)), "the end of its process")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_ends_the_processes_drops_the_database_and_keeps_nothing(
    server: EmbeddedMongo, client: MongoClient[dict[str, Any]], tmp_path: Path, number: signal.Signals
) -> None:
    command = [sys.executable, "-c", SAMPLE.format(work=ENDLESS), "--uri", server.uri, "--out", str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            _, database, child = next(line for line in process.stderr if "see " in line).rsplit(maxsplit=2)
            assert database in client.list_database_names()
            process.send_signal(number)
            said, errors = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert (process.returncode, said, errors) == (130, "", "jobpool: interrupted\n")
    assert not psutil.pid_exists(int(child))
    until(lambda: database not in client.list_database_names(), "the end of the database")
    assert list(tmp_path.iterdir()) == []
