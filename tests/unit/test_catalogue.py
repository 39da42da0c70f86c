"""The catalogue of faults and the tests that inject them say the same, and no test makes its evidence up."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ..faults.catalogue import CATALOGUE

TESTS = Path(__file__).parents[1]


class Marked(NamedTuple):
    """A test that injects a fault: where it is, and its source."""

    number: str
    file: str
    source: ast.FunctionDef


def marked() -> list[Marked]:
    """Return every test that is marked with the number of a fault."""
    return [
        Marked(number, path.name, node)
        for path in sorted(TESTS.rglob("test_*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef)
        for number in numbers(node)
    ]


def numbers(test: ast.FunctionDef) -> Iterator[str]:
    """Yield the fault numbers that decorate `test`."""
    for decorator in test.decorator_list:
        found = re.fullmatch(r"pytest\.mark\.fault\('(\w+)'\)", ast.unparse(decorator))
        if found:
            yield found[1]


def said(test: ast.FunctionDef, name: str) -> Iterator[list[ast.expr]]:
    """Yield the arguments of each call of ``fault.<name>`` in `test`."""
    for node in ast.walk(test):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"fault.{name}":
            yield node.args


def is_made_up(value: ast.expr) -> bool:
    """Say whether `value` was not measured: it is written down, or the length that was planned."""
    names = [node for node in ast.walk(value) if isinstance(node, ast.Name)]
    return not names or ast.unparse(value).startswith("fault.length")


def test_every_fault_of_the_catalogue_has_a_test_and_every_number_is_in_it() -> None:
    assert {test.number for test in marked()} == set(CATALOGUE)


def test_a_test_bears_the_number_that_it_is_marked_with() -> None:
    wrong = [
        f"{test.file}: {test.source.name} is marked {test.number}"
        for test in marked()
        if not test.source.name.startswith(f"test_{test.number.lower()}_")
    ]
    assert wrong == []


def test_a_marked_test_has_the_report_that_refuses_it_without_proof() -> None:
    without = [test.source.name for test in marked() if "fault" not in {a.arg for a in test.source.args.args}]
    assert without == []


def test_evidence_and_figures_are_measured() -> None:
    values = [(test, args[0]) for test in marked() for args in said(test.source, "struck")]
    values += [(test, args[1]) for test in marked() for args in said(test.source, "figure")]
    made_up = [f"{test.source.name}: {ast.unparse(value)}" for test, value in values if is_made_up(value)]
    assert len(values) > len(CATALOGUE)
    assert made_up == []
