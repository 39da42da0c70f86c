"""Executors: the forms a callable may have, and the registry by type."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from jobpool.backoff import Backoff
from jobpool.errors import InvalidConfiguration, InvalidJob, UnknownType
from jobpool.executors import MAX_ATTEMPTS, Executor, Executors

MANAGER = object()


class Called:
    def method(self, data: Any) -> Any:
        return data

    def with_manager(self, data: Any, manager: Any) -> Any:
        return data, manager

    def __call__(self, data: Any) -> Any:
        return data


def plain(data: Any) -> Any:
    return data


def with_manager(data: Any, manager: Any) -> Any:
    return data, manager


def with_default(data: Any, manager: Any = "default") -> Any:
    return data, manager


def with_third_default(data: Any, manager: Any, more: Any = "default") -> Any:
    return data, manager, more


def with_optional_keyword(data: Any, *, option: int = 1) -> Any:
    return data, option


def with_all_defaults(data: Any = None) -> Any:
    return data


def with_args(*args: Any) -> Any:
    return args


def with_rest(data: Any, *rest: Any, **options: Any) -> Any:
    return data, rest, options


@pytest.mark.parametrize(
    ("fn", "result"),
    [
        (plain, "xyz"),
        (with_manager, ("xyz", MANAGER)),
        (with_default, ("xyz", "default")),
        (with_third_default, ("xyz", MANAGER, "default")),
        (with_optional_keyword, ("xyz", 1)),
        (with_all_defaults, "xyz"),
        (with_args, ("xyz",)),
        (with_rest, ("xyz", (), {})),
        (lambda data: data, "xyz"),
        (len, 3),
        (str.upper, "XYZ"),
        (list, ["x", "y", "z"]),
        (str, "xyz"),
        (Called(), "xyz"),
        (Called().method, "xyz"),
        (Called().with_manager, ("xyz", MANAGER)),
        (functools.partial(with_third_default, more=1), ("xyz", MANAGER, 1)),
        (functools.partial(with_manager, manager=1), ("xyz", 1)),
    ],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_a_callable_is_called_as_it_wants(fn: Callable[..., Any], result: Any) -> None:
    assert Executor(fn)("xyz", MANAGER) == result


def too_many(data: Any, manager: Any, more: Any) -> None: ...
def none_at_all() -> None: ...
def keyword_required(data: Any, *, option: int) -> None: ...
def only_keywords(*, data: Any = None) -> None: ...
def only_options(**options: Any) -> None: ...


@pytest.mark.parametrize("fn", [too_many, none_at_all, keyword_required, only_keywords, only_options])
def test_a_callable_of_another_form_is_refused_by_name(fn: Callable[..., Any]) -> None:
    with pytest.raises(InvalidConfiguration, match=rf"^executor {fn.__name__} must take \(data\) or"):
        Executor(fn)


def test_an_async_function_returns_its_coroutine() -> None:
    async def work(data: Any, manager: Any) -> Any:
        return data, manager

    coroutine = Executor(work)("xyz", MANAGER)
    assert inspect.iscoroutine(coroutine)
    with pytest.raises(StopIteration) as ended:
        coroutine.send(None)
    assert ended.value.value == ("xyz", MANAGER)


def test_a_job_is_attempted_once_by_default() -> None:
    assert Executor(plain).max_attempts == 1


@pytest.mark.parametrize("attempts", [0, MAX_ATTEMPTS + 1, True, 1.0, None])
def test_attempts_out_of_range_are_refused(attempts: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^max_attempts must be "):
        Executor(plain, max_attempts=attempts)


def test_what_cannot_be_called_is_refused() -> None:
    with pytest.raises(InvalidConfiguration, match="must be callable, not str"):
        Executor("plain")  # type: ignore[arg-type]


def test_a_backoff_must_be_one() -> None:
    with pytest.raises(InvalidConfiguration, match=r"must be a Backoff, seconds, a list .*, not str"):
        Executor(plain, backoff="1.0")  # type: ignore[arg-type]


def test_a_plain_callable_is_wrapped_with_the_defaults() -> None:
    assert Executors({"a": plain})["a"] == Executor(plain, max_attempts=1, backoff=Backoff())


def test_an_executor_is_kept_as_it_is() -> None:
    executor = Executor(plain, max_attempts=3)
    assert Executors({"a": executor})["a"] is executor


def test_a_type_has_one_executor() -> None:
    executors = Executors({"a": plain})
    with pytest.raises(InvalidConfiguration, match="'a' has an executor already"):
        executors.register("a", with_manager)
    assert executors["a"].fn is plain


def test_a_type_must_be_a_name() -> None:
    with pytest.raises(InvalidJob, match=r"^type must have 1 to"):
        Executors({"": plain})


def test_a_refused_callable_is_not_registered() -> None:
    executors = Executors()
    with pytest.raises(InvalidConfiguration):
        executors.register("a", too_many)
    assert "a" not in executors


def test_iterating_bears_a_registration() -> None:
    executors = Executors({"a": plain})
    seen = []
    for type in executors:
        seen.append(type)
        executors.register(f"{type}+", plain)
    assert seen == ["a"]


def test_select_returns_the_named_types_once() -> None:
    executors = Executors({"a": plain, "b": plain, "c": plain})
    assert executors.select(("c", "a", "c")) == ("c", "a")


def test_select_without_names_returns_all() -> None:
    assert Executors({"a": plain, "b": plain}).select(()) == ("a", "b")


def test_select_refuses_an_unknown_type_by_name() -> None:
    with pytest.raises(UnknownType, match=r"no executor for type 'x' here; known: a, b$"):
        Executors({"b": plain, "a": plain}).select(("a", "x"))


def test_select_names_at_most_twenty_known_types() -> None:
    executors = Executors({f"t{number:02}": plain for number in range(21)})
    with pytest.raises(UnknownType, match=r"t19, \.\.\.$"):
        executors.select(("x",))


def test_select_says_that_no_types_are_known() -> None:
    with pytest.raises(UnknownType, match=r"known: none$"):
        Executors().select(("x",))


def test_select_refuses_to_run_nothing() -> None:
    with pytest.raises(UnknownType, match="no executors are registered"):
        Executors().select(())


def test_select_refuses_what_is_no_name() -> None:
    with pytest.raises(InvalidJob, match="must be a str, not dict"):
        Executors({"a": plain}).select(({"$ne": None},))  # type: ignore[arg-type]


def test_an_alias_is_run_by_the_executor_of_its_type() -> None:
    executor = Executor(plain, aliases=["old", "older", "old"])
    executors = Executors({"new": executor, "other": plain})
    assert executor.aliases == ("old", "older")
    assert executors["old"] is executors["older"] is executors["new"] is executor


@pytest.mark.parametrize("named", ["new", "old", "older"])
def test_select_takes_all_names_of_a_type(named: str) -> None:
    executors = Executors({"new": Executor(plain, aliases=("old", "older")), "other": plain})
    assert executors.select((named,)) == ("new", "old", "older")
    assert executors.select(("other", named, "new")) == ("other", "new", "old", "older")
    assert executors.select(("other",)) == ("other",)
    assert set(executors.select(())) == {"new", "old", "older", "other"}


@pytest.mark.parametrize(
    ("type", "aliases", "message"),
    [
        ("old", (), "type 'old' has an executor already as an alias of 'new'$"),
        ("old", ("x",), "type 'old' has an executor already as an alias of 'new'$"),
        ("x", ("old",), "'old' has an executor already as an alias of 'new', so it cannot be an alias of 'x'$"),
        ("x", ("new",), "type 'new' has an executor already, so it cannot be an alias of 'x'$"),
        ("x", ("y", "other"), "type 'other' has an executor already, so it cannot be an alias of 'x'$"),
        ("x", ("y", "x"), "type 'x' cannot be an alias of itself$"),
    ],
    ids=["type", "type-with-alias", "alias", "alias-is-type", "alias-is-plain", "itself"],
)
def test_a_name_has_one_executor(type: str, aliases: tuple[str, ...], message: str) -> None:
    executors = Executors({"new": Executor(plain, aliases=("old",)), "other": plain})
    with pytest.raises(InvalidConfiguration, match=message):
        executors.register(type, Executor(with_manager, aliases=aliases))
    assert set(executors) == {"new", "old", "other"}, "nothing of it is registered"
    assert executors["old"].fn is plain


@pytest.mark.parametrize("aliases", ["old", None, {"old"}, iter(["old"])], ids=["str", "none", "set", "iterator"])
def test_aliases_are_several_names(aliases: Any) -> None:
    with pytest.raises(InvalidConfiguration, match=r"^aliases must be a tuple of names, not "):
        Executor(plain, aliases=aliases)


@pytest.mark.parametrize("alias", ["", 7, "x" * 129], ids=["empty", "number", "long"])
def test_an_alias_is_a_name(alias: Any) -> None:
    with pytest.raises(InvalidJob, match=r"^alias must "):
        Executor(plain, aliases=(alias,))


def test_data_of_an_alias_are_checked_as_those_of_its_type() -> None:
    def positive(data: Any) -> Any:
        if data < 1:
            raise ValueError("must be positive")
        return data

    executors = Executors({"new": Executor(plain, aliases=("old",), data=positive, keep_cancelled=9)})
    with pytest.raises(InvalidJob, match=r"type 'old': .*must be positive"):
        executors.stored("old", 0)
    assert executors.keeps_cancelled("old") == 9
