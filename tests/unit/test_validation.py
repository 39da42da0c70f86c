"""Data are what a model, a dataclass or a function says, or they are refused in words that hold no values."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import InitVar, dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Annotated, Any, Generic, Literal, Optional, TypeVar
from uuid import UUID

import pytest
from pydantic import BaseModel, Field, RootModel, TypeAdapter, computed_field

from jobpool import Executor
from jobpool.errors import InvalidConfiguration, InvalidData, InvalidJob
from jobpool.executors import Executors
from jobpool.validation import LONGEST, Validator, validator_of, words_of

SECRET = "s3cr3t"
NOW = datetime(2026, 11, 27, tzinfo=UTC)
T = TypeVar("T")


@dataclass
class Line:
    article: str
    count: int = 1


@dataclass
class Order:
    number: int
    lines: list[Line] = field(default_factory=list)
    note: str | None = None
    by: dict[str, Line] = field(default_factory=dict)


@dataclass
class Node:
    name: str
    below: list[Node] = field(default_factory=list)


class Model(BaseModel):
    n: int
    name: str = "x"


class Renamed(BaseModel):
    number: int = Field(alias="theNumber")

    @computed_field  # type: ignore[prop-decorator]
    @property
    def double(self) -> int:
        return 2 * self.number


def validator(spec: Any) -> Validator:
    made = validator_of(spec)
    assert made is not None
    return made


def annotated(annotation: Any) -> Validator:
    """Return the validator of a dataclass whose one field has this annotation."""
    return validator(dataclass(type("One", (), {"__annotations__": {"value": annotation}})))


def refusal(spec: Any, data: Any) -> str:
    with pytest.raises(InvalidData) as caught:
        validator(spec).check(data)
    return str(caught.value).partition(": ")[2]


# --- dataclasses ----------------------------------------------------------------------------


def test_a_dataclass_is_built_to_any_depth() -> None:
    data = {"number": 7, "lines": [{"article": "a"}, {"article": "b", "count": 2}], "by": {"x": {"article": "c"}}}
    assert validator(Order).check(data) == Order(7, [Line("a"), Line("b", 2)], None, {"x": Line("c")})


def test_a_dataclass_may_hold_itself() -> None:
    assert validator(Node).check({"name": "a", "below": [{"name": "b"}]}) == Node("a", [Node("b")])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (5, "data: must be a dict with the fields of Order, not int"),
        (None, "data: must be a dict with the fields of Order, not NoneType"),
        ({}, "data: missing 'number'"),
        ({"number": 1, "mal": 2, 5: 6}, "data: unknown 'mal', 'a key of type int'"),
        ({"number": SECRET}, "data.number: must be int, not str"),
        ({"number": True}, "data.number: must be int, not bool"),
        ({"number": 1, "note": 5}, "data.note: must be str, not int"),
        ({"number": 1, "lines": {}}, "data.lines: must be list, not dict"),
        (
            {"number": 1, "lines": [{"article": "a"}, {"article": 5}]},
            "data.lines[1].article: must be str, not int",
        ),
        ({"number": 1, "by": {"x": None}}, "data.by.x: must be a dict with the fields of Line, not NoneType"),
    ],
)
def test_what_a_dataclass_cannot_take_is_named_by_its_place(data: Any, said: str) -> None:
    assert refusal(Order, data) == said


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        (str, ["", "x"], [None, 5, b""]),
        (int, [0, -5], [True, 1.0, "1", None]),
        (float, [1.5, 3], [True, "1", None]),
        (bool, [True], [1, 0, None]),
        (bytes, [b"x"], ["x"]),
        (datetime, [NOW], ["2026-11-27", 5]),
        (UUID, [UUID(int=5)], ["x"]),
        (None, [None], [0, ""]),
        (list, [[], [1, "x"], (1,)], [{}, "x", None]),
        (list[int], [[], [1]], [["x"], [None], 5]),
        (dict, [{}, {"a": 1}], [[], None]),
        (dict[str, int], [{}, {"a": 1}], [{"a": "x"}, {1: 1}]),
        (Optional[int], [None, 5], ["x", True]),  # noqa: UP045  (both spellings)
        (int | None, [None, 5], ["x"]),
        (int | str, [5, "x"], [None, 1.5]),
        (int | str | None, [5, "x", None], [1.5]),
        (list[int] | dict[str, int], [[1], {"a": 1}], [["x"], 5]),
        (Annotated[int, "words"], [5], ["x"]),
    ],
)
def test_simple_annotations_are_checked(annotation: Any, good: list[Any], bad: list[Any]) -> None:
    check = annotated(annotation).check
    for value in good:
        assert check({"value": value}).value == (list(value) if isinstance(value, tuple) else value)
    for value in bad:
        with pytest.raises(InvalidData):
            check({"value": value})


@pytest.mark.parametrize(
    "annotation", [Any, object, tuple[int, ...], set[int], Literal["a"], date, T, Callable[[], None], Model]
)
def test_other_annotations_are_not_checked_and_the_value_is_passed(annotation: Any) -> None:
    assert annotated(annotation).check({"value": [SECRET]}).value == [SECRET]


@dataclass
class Page(Generic[T]):
    number: int
    item: T


def test_of_a_generic_dataclass_the_simple_fields_are_checked() -> None:
    check = annotated(Page[str]).check
    assert check({"value": {"number": 1, "item": 5}}).value == Page(1, 5)
    with pytest.raises(InvalidData, match=r"data\.value\.number: must be int"):
        check({"value": {"number": "x", "item": 5}})


@dataclass
class Odd:
    number: int
    double: int = field(init=False)

    def __post_init__(self) -> None:
        if self.number % 2 == 0:
            raise ValueError("must be odd")
        self.double = 2 * self.number


def test_what_post_init_raises_is_invalid() -> None:
    assert refusal(Odd, {"number": 2}) == "must be odd"
    assert refusal(Odd, {"number": 3, "double": 6}) == "data: unknown 'double'"


def test_the_plain_data_of_a_dataclass_build_it_again() -> None:
    for whole in (Order(7, [Line("a")], None, {"x": Line("b")}), Odd(3), Node("a", [Node("b")])):
        made = validator(type(whole))
        plain = made.plain(whole)
        assert type(plain) is dict
        assert made.check(plain) == whole


def test_plain_data_are_stored_as_they_are() -> None:
    data = {"number": 1, "lines": ()}
    assert validator(Order).plain(data) is data
    assert validator(Model).plain(data) is data


def test_a_dataclass_that_needs_more_than_its_fields_is_refused() -> None:
    @dataclass
    class Needy:
        number: int
        more: InitVar[int]

    with pytest.raises(InvalidConfiguration, match="Needy needs more"):
        validator_of(Needy)


def test_a_dataclass_with_names_that_mean_nothing_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match=r"annotations of One cannot be read \(NameError"):
        annotated("Nowhere")


def test_data_that_hold_themselves_are_invalid() -> None:
    data: dict[str, Any] = {"name": "a"}
    data["below"] = [data]
    assert refusal(Node, data).startswith("RecursionError")


# --- models ---------------------------------------------------------------------------------


def test_a_pydantic_model_is_built() -> None:
    assert validator(Model).check({"n": "5"}) == Model(n=5)


def test_what_a_model_says_has_the_places_and_not_the_values() -> None:
    said = refusal(Model, {"n": SECRET, "name": [SECRET]})
    assert said.startswith("n: Input should be a valid integer")
    assert "; name: Input should be a valid string" in said
    assert SECRET not in said


def test_of_many_complaints_the_first_are_told() -> None:
    said = refusal(TypeAdapter(list[int]).validate_python, ["x"] * 9)
    assert said.count("valid integer") == 5
    assert said.endswith("... (9 in all)")


def test_the_plain_data_of_a_model_are_what_it_takes() -> None:
    made = validator(Renamed)
    plain = made.plain(Renamed(theNumber=5))
    assert plain == {"theNumber": 5}
    assert made.check(plain) == Renamed(theNumber=5)


# --- functions ------------------------------------------------------------------------------


def positive(data: Any) -> int:
    if data <= 0:
        raise ValueError("must be positive")
    return int(data) * 10


def test_a_function_says_what_the_executor_is_called_with() -> None:
    assert validator(positive).check(5) == 50
    assert refusal(positive, -5) == "must be positive"
    assert refusal(positive, "x").startswith("TypeError: ")


class Mute(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no words")


class Strange(Exception):
    errors = "a text"


class StrangeCall(Exception):
    def errors(self, **options: Any) -> Any:
        return {"x": 1}


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (ValueError(""), "ValueError"),
        (KeyError("n"), "KeyError: 'n'"),
        (ValueError("a\nb\x00\ud800"), "a\\nb\\x00\\ud800"),
        (Mute(), "Mute"),
        (Strange("own"), "Strange: own"),
        (StrangeCall("own"), "StrangeCall: own"),
    ],
)
def test_any_error_has_words_in_one_line(error: Exception, said: str) -> None:
    assert words_of(error) == said


def test_words_are_bounded() -> None:
    assert len(words_of(ValueError("x" * 100_000))) == LONGEST


@pytest.mark.parametrize("spec", [5, "int", Model(n=1), Order(1)])
def test_what_validates_nothing_is_refused(spec: Any) -> None:
    with pytest.raises(InvalidConfiguration, match="data must be a model class"):
        Executor(print, data=spec)


def test_an_async_validator_is_refused() -> None:
    async def check(data: Any) -> Any:
        return data

    with pytest.raises(InvalidConfiguration, match="data must be"):
        Executor(print, data=check)


# --- executors ------------------------------------------------------------------------------


def test_an_executor_is_called_with_the_value_and_not_with_what_is_invalid() -> None:
    called: list[Any] = []
    executor = Executor(called.append, data=Line)
    executor({"article": "a"}, None)
    with pytest.raises(InvalidData):
        executor({"article": 5}, None)
    assert called == [Line("a")]


def test_invalid_data_are_final() -> None:
    executor = Executor(print, data=Line, max_attempts=5)
    assert not executor.retries(InvalidData("no"))
    assert executor.retries(ValueError("no"))


def test_an_executor_without_a_validator_takes_anything() -> None:
    assert Executor(lambda data: data)(Line, None) is Line
    assert Executor(print).stored("t", Line) is Line


def greedy(data: Any) -> Any:
    return data.pop("n")


def test_a_validator_that_changes_the_data_changes_nothing_that_is_stored() -> None:
    data = {"n": 5}
    assert Executor(print, data=greedy).stored("t", data) is data
    assert data == {"n": 5}


class Kind(StrEnum):
    BIG = "big"


def test_a_validator_sees_what_the_executor_will_get() -> None:
    """Not what the producer has: it would pass here and fail there."""
    seen: list[Any] = []
    data = {"tuple": (1, 2), "kind": Kind.BIG, "at": datetime(2026, 1, 1, 0, 0, 0, 123456, UTC), "id": UUID(int=5)}
    assert Executor(print, data=seen.append).stored("t", data) is data
    assert seen == [
        {"tuple": [1, 2], "kind": "big", "at": datetime(2026, 1, 1, 0, 0, 0, 123000, UTC), "id": UUID(int=5)}
    ]
    assert type(seen[0]["kind"]) is str


def test_of_data_that_cannot_be_stored_the_request_tells() -> None:
    seen: list[Any] = []
    executor = Executor(print, data=seen.append)
    itself: dict[str, Any] = {}
    itself["x"] = itself
    for data in ({1, 2}, itself, "\ud800", 2**70):
        assert executor.stored("t", data) is data
    assert seen == []


class Unreadable:
    @classmethod
    def model_validate(cls, data: Any) -> Any:
        return data

    def model_dump(self, **options: Any) -> Any:
        raise RuntimeError("no fields")


def test_an_instance_whose_fields_cannot_be_read_is_refused() -> None:
    with pytest.raises(InvalidJob, match="the data cannot be read: RuntimeError: no fields"):
        Executor(print, data=Unreadable).stored("t", Unreadable())


def test_a_root_model_is_its_root() -> None:
    executor = Executor(print, data=RootModel[list[int]])
    assert executor.stored("t", RootModel[list[int]]([1, 2])) == [1, 2]


def test_a_job_is_stored_by_the_executor_of_its_type() -> None:
    executors = Executors({"line": Executor(print, data=Line), "free": print})
    assert executors.stored("line", Line("a")) == {"article": "a", "count": 1}
    assert executors.stored_job({"type": "line", "data": Line("a"), "priority": 5}) == {
        "type": "line",
        "data": {"article": "a", "count": 1},
        "priority": 5,
    }
    types: list[Any] = ["free", "elsewhere", 5, None, [], {}]
    for type in types:
        assert executors.stored(type, Line) is Line
    jobs: list[Any] = [5, None, {}, {"data": 5}, {"type": []}]
    for job in jobs:
        assert executors.stored_job(job) is job


def test_a_refused_job_names_its_type_and_says_that_nothing_was_created() -> None:
    executors = Executors({"line": Executor(print, data=Line)})
    with pytest.raises(InvalidJob) as caught:
        executors.stored("line", {"article": 5})
    assert str(caught.value) == (
        "type 'line': the data are not valid for Line: data.article: must be str, not int; "
        "this job was not created"
    )


def test_jobpool_does_not_import_pydantic() -> None:
    code = "import sys, jobpool, jobpool.manager, jobpool.validation; print('pydantic' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "False"
