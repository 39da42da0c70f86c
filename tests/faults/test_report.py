"""The report refuses tests that prove nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from . import report
from .report import FaultReport, table


@pytest.fixture(autouse=True)
def figures(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setattr(report, "FIGURES", tmp_path / "figures.jsonl")
    return tmp_path / "figures.jsonl"


def test_a_fault_that_did_not_strike_is_broken() -> None:
    one = FaultReport("F16", "test", full=False)
    with pytest.raises(AssertionError, match="broken"):
        one.struck(0, "rescues")
    one.figure("outcomes", "1/1")
    with pytest.raises(AssertionError, match="nothing proves"):
        one.close()


def test_a_test_without_a_figure_is_refused() -> None:
    one = FaultReport("F16", "test", full=False)
    one.struck(3, "rescues")
    with pytest.raises(AssertionError, match="no figure"):
        one.close()


def test_the_table_shows_the_newest_figure(figures: Path) -> None:
    for value in (1, 2):
        one = FaultReport("F16", "test", full=False)
        one.struck(value, "rescues")
        one.figure("outcomes", value)
        one.close()
    lines = figures.read_text().splitlines()
    assert [json.loads(line)["struck"] for line in lines] == [["rescues: 1"], ["rescues: 2"]]
    assert table(lines).splitlines()[2:] == [
        "| F16 | SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError in a job | outcomes 2 |"
    ]
