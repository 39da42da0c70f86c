"""What benchmarks find: kept, compared, shown and proved. Pure."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobpool.bench.comparing import Change, changes, differences, missing
from jobpool.bench.counters import percentiles
from jobpool.bench.progress import Progress
from jobpool.bench.proof import BenchmarkFailed, expect_once
from jobpool.bench.results import Measure, Ratio, Results, load, paired, whole
from jobpool.bench.show import lines, number

SETTING = {"MongoDB": "7.0", "topology": "replica set of 1", "cores": 2, "write concern": "majority, journaled"}


def some_results(rate: float = 100.0) -> Results:
    results = Results("throughput", False, dict(SETTING), {"jobs": 10})
    pool = results.measure("drain", [rate, 2 * rate, 3 * rate], "jobs/s", "higher", by="pool", threads=4)
    floor = results.measure("drain", [100.0, 100.0, 100.0], "jobs/s", "higher", by="floor", threads=4)
    results.measure("wait", [0.004, 0.002, 0.003], "s", "lower")
    results.measure("examined", [7.0], "documents/job")
    results.ratio("pool / floor", paired(pool, floor), bar=1.5)
    results.executed = 1234
    results.notes.append("the disk was full")
    return results


# --- results ------------------------------------------------------------------------------


def test_what_is_saved_is_loaded_as_it_was(tmp_path: Path) -> None:
    results = some_results()
    results.save(tmp_path / "deep" / "down" / "a.json")
    assert load(tmp_path / "deep" / "down" / "a.json") == results


def test_results_of_before_something_was_added_are_still_read(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    some_results().save(path)
    kept = json.loads(path.read_text())
    del kept["proved"]
    path.write_text(json.dumps(kept))
    assert load(path) == some_results()


def test_saving_again_replaces_the_file_and_leaves_no_other(tmp_path: Path) -> None:
    some_results(1.0).save(tmp_path / "a.json")
    some_results(2.0).save(tmp_path / "a.json")
    assert load(tmp_path / "a.json") == some_results(2.0)
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


def _begin_to_write(path: Path) -> None:
    with whole(path) as beside:
        beside.write_text("ne")
        raise KeyboardInterrupt


def test_a_write_that_is_broken_off_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt):
        _begin_to_write(path)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": 99},
        {"format": None},
        {"measures": [{"name": "x"}]},
        {"measures": [{"name": "x", "labels": {}, "values": [], "unit": "s"}]},
        {"measures": [{"name": "x", "labels": {}, "values": ["many"], "unit": "s"}]},
        {"ratios": 5},
        {"surprise": 1},
    ],
    ids=str,
)
def test_what_cannot_be_understood_is_not_loaded(tmp_path: Path, change: dict[str, object]) -> None:
    path = tmp_path / "a.json"
    some_results().save(path)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ValueError, match=r"a\.json does not hold the results of a benchmark"):
        load(path)


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", "5", "{", "\x00"])
def test_other_files_are_not_loaded(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match="does not hold the results of a benchmark"):
        load(path)


def test_measures_are_found_by_name_and_some_of_their_labels() -> None:
    results = some_results()
    assert [item.labels["by"] for item in results.find("drain")] == ["pool", "floor"]
    assert [item.median for item in results.find("drain", by="pool", threads=4)] == [200.0]
    assert results.find("drain", by="nobody") == results.find("nothing") == []


def test_repetitions_are_paired_in_their_order() -> None:
    over, under = Measure("a", {}, [1.0, 6.0], "s"), Measure("b", {}, [2.0, 3.0], "s")
    assert paired(over, under) == [0.5, 2.0]


def test_different_numbers_of_repetitions_are_not_paired() -> None:
    with pytest.raises(ValueError, match="shorter"):
        paired(Measure("a", {}, [1.0, 2.0], "s"), Measure("b", {}, [1.0], "s"))


@pytest.mark.parametrize(
    ("better", "bar", "reached"),
    [
        ("higher", 2.0, True),
        ("higher", 2.1, False),
        ("lower", 2.0, True),
        ("lower", 1.9, False),
        ("higher", None, None),
    ],
)
def test_the_median_reaches_the_bar_or_does_not(better: str, bar: float | None, reached: bool | None) -> None:
    assert Ratio("r", {}, [1.0, 2.0, 9.0], better, bar).reached is reached


def test_a_figure_is_the_same_in_another_run_whatever_the_order_of_its_labels() -> None:
    one, other = Measure("a", {"x": 1, "y": "b"}, [1.0], "s"), Measure("a", {"y": "b", "x": 1}, [2.0], "s")
    assert one.key == other.key
    assert one.key != Measure("a", {"x": 2, "y": "b"}, [1.0], "s").key


# --- comparing ----------------------------------------------------------------------------


def test_only_figures_that_can_be_better_are_compared() -> None:
    found = {change.title: change.ratio for change in changes(some_results(100.0), some_results(50.0))}
    assert found == {
        "drain by=pool threads=4": 0.5,
        "drain by=floor threads=4": 1.0,
        "wait": 1.0,
        "pool / floor": 0.5,
    }


@pytest.mark.parametrize(
    ("better", "after", "worse"),
    [("higher", 91.0, False), ("higher", 89.0, True), ("lower", 109.0, False), ("lower", 111.0, True)],
)
def test_worse_is_beyond_the_tolerance(better: str, after: float, worse: bool) -> None:
    assert Change("x", 100.0, after, better).worse(0.1) is worse


def test_something_where_nothing_was_is_worse_whatever_the_tolerance() -> None:
    assert Change("duplicates", 0.0, 1.0, "lower").worse(0.99)
    assert not Change("duplicates", 0.0, 0.0, "lower").worse(0.0)


def test_what_only_one_run_has_is_named() -> None:
    more = some_results()
    more.measure("new", [1.0], "s", "lower", by="pool")
    more.measure("of no matter", [1.0], "s")
    assert missing(some_results(), more) == missing(more, some_results()) == ["new by=pool"]


def test_what_makes_runs_incomparable_is_named() -> None:
    other = some_results()
    other.setting["cores"], other.quick = 64, True
    assert differences(some_results(), some_results()) == []
    assert differences(some_results(), other) == [
        "cores: 2 before, 64 after",
        "a quick run says nothing about speed",
    ]


# --- showing ------------------------------------------------------------------------------


def shown(results: Results) -> list[str]:
    return [" ".join(line.split()) for line in lines(results)]


def test_a_report_has_the_figures_the_notes_and_what_was_proved() -> None:
    report = shown(some_results())
    assert "drain, jobs/s min median max" in report
    assert "by pool, threads 4 100 200 300" in report
    assert "pool / floor 1 2 3 >= 1.5 reached" in report
    assert "note: the disk was full" in report
    assert report[-1] == "every one of 1,234 jobs ran exactly once"


def test_seconds_are_shown_as_milliseconds() -> None:
    assert {"wait, ms min median max", "wait 2 3 4"} <= set(shown(some_results()))


def test_a_bar_that_is_not_reached_stands_out() -> None:
    assert "pool / floor 0.5 1 1.5 >= 1.5 NOT REACHED" in shown(some_results(50.0))


def test_a_report_says_what_was_proved_and_that_a_quick_run_is_one() -> None:
    results = some_results()
    results.proved, results.quick = "is stored", True
    assert shown(results)[-2:] == [
        "every one of 1,234 jobs is stored",
        "quick: this shows that it runs, not how fast",
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (0.00012, "0.00012"), (0.1234, "0.123"), (12.34, "12.3"), (1234.5, "1,234"), (-0.001, "-0.001")],
)
def test_numbers_have_the_digits_that_say_something(value: float, text: str) -> None:
    assert number(value) == text


# --- proof, progress, percentiles ---------------------------------------------------------


def test_jobs_that_each_ran_once_pass_in_any_order() -> None:
    expect_once([2, 0, 1], 3)
    expect_once([], 0)


@pytest.mark.parametrize(
    ("ran", "failure"),
    [
        ([0, 1, 1, 2], "of 3 jobs 1 ran more than once, 0 did not run, and 0 others did"),
        ([0, 2], "of 3 jobs 0 ran more than once, 1 did not run, and 0 others did"),
        ([0, 1, 2, 3], "of 3 jobs 0 ran more than once, 0 did not run, and 1 others did"),
        ([0, 1, 1], "of 3 jobs 1 ran more than once, 1 did not run, and 0 others did"),
        ([], "of 3 jobs 0 ran more than once, 3 did not run, and 0 others did"),
    ],
)
def test_a_job_that_did_not_run_exactly_once_fails_the_benchmark(ran: list[int], failure: str) -> None:
    with pytest.raises(BenchmarkFailed, match=failure):
        expect_once(ran, 3)


def test_progress_goes_to_stderr_and_counts_its_steps(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress()
    progress.expect(1)
    progress.expect(1)
    for text in ("first", "second", "one more than was expected"):
        progress.step(text)
    said = capsys.readouterr()
    assert said.out == ""
    assert [line.partition(" s  ")[2] for line in said.err.splitlines()] == [
        "[1/2] first",
        "[2/2] second",
        "[3/3] one more than was expected",
    ]


def test_percentiles_are_of_the_values_in_any_order() -> None:
    found = percentiles([float(value) for value in range(100, -1, -1)])
    assert found == {"p50": 50.0, "p95": 95.0, "p99": 99.0}


@pytest.mark.parametrize(("values", "found"), [([], 0.0), ([7.0], 7.0), ([7.0, 7.0], 7.0)])
def test_few_values_have_percentiles_too(values: list[float], found: float) -> None:
    assert percentiles(values) == {"p50": found, "p95": found, "p99": found}
