"""What checks make of what they found, without a server."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool.checkup import Checkup, Finding
from jobpool.errors import InvalidConfiguration
from jobpool.executors import Executors
from jobpool.store.checks import collection, server, topology
from jobpool.store.checks.check import Look, ok, skipped
from jobpool.store.checks.examining import chosen_of
from jobpool.store.checks.registry import CHECKS
from jobpool.store.checks.votes import Ballot, Member
from jobpool.store.checks.waiting import circle_in

AT = datetime(2026, 11, 27, tzinfo=UTC)


def checkup(*levels: str) -> Checkup:
    findings = tuple(Finding(f"a.{n}", level, "text") for n, level in enumerate(levels))
    return Checkup("shop.jobs", AT, 0.1, len(findings), findings)


@pytest.mark.parametrize(
    ("levels", "well", "strictly"),
    [
        (("ok",), True, True),
        (("ok", "skipped"), True, True),
        (("warning", "ok"), True, False),
        (("warning", "problem"), False, False),
    ],
    ids=["ok", "skipped", "warning", "problem"],
)
def test_what_is_well(levels: tuple[str, ...], well: bool, strictly: bool) -> None:
    found = checkup(*levels)
    assert (found.well(), found.well(strict=True)) == (well, strictly)
    assert len(found.problems) == levels.count("problem")
    assert len(found.warnings) == levels.count("warning")


def test_every_check_has_a_name_a_question_and_a_right() -> None:
    names = [check.name for check in CHECKS]
    assert len(set(names)) == len(names)
    for check in CHECKS:
        subject, _, what = check.name.partition(".")
        assert subject.isidentifier(), check.name
        assert what.isidentifier(), check.name
        assert check.question.endswith("?"), check.name
        assert check.needs, check.name


def test_facts_are_what_json_has() -> None:
    facts = ok("text", id=SimpleNamespace(x=1), at=AT, more={"n": [1, None, b"x"]}, some={3}).facts
    assert facts == {"id": "namespace(x=1)", "at": AT, "more": {"n": [1, None, "b'x'"]}, "some": [3]}


# --- choosing -----------------------------------------------------------------------------


def test_checks_are_chosen_by_name_or_subject() -> None:
    assert [check.name for check in chosen_of(["jobs.due"], [])] == ["jobs.due"]
    several = chosen_of(["jobs", "clocks"], ["clocks.here"])
    assert {check.name.partition(".")[0] for check in several} == {"jobs", "clocks"}
    assert "clocks.here" not in [check.name for check in chosen_of([], ["clocks.here"])]
    assert chosen_of([], []) == list(CHECKS)


@pytest.mark.parametrize(
    ("name", "said"),
    [("topolgy", "did you mean topology?"), ("xyzzy", "its subject may be one of server, versions")],
)
def test_a_check_that_does_not_exist(name: str, said: str) -> None:
    with pytest.raises(InvalidConfiguration, match=said.replace("?", "[?]")):
        chosen_of([name], [])
    with pytest.raises(InvalidConfiguration):
        chosen_of([], [name])


def test_no_check_is_left() -> None:
    with pytest.raises(InvalidConfiguration, match="no check is left"):
        chosen_of(["jobs.due"], ["jobs"])


# --- votes --------------------------------------------------------------------------------


def ballot(*kinds: str, down: int = 0) -> Ballot:
    """Return members: d with data, a an arbiter, l late on purpose, n without a vote; the first ones down."""
    return Ballot(
        tuple(
            Member(f"{n}", votes=kind != "n", holds=kind != "a", late=3600 * (kind == "l"), up=n >= down)
            for n, kind in enumerate(kinds)
        )
    )


@pytest.mark.parametrize(
    ("kinds", "needed", "vital"),
    [
        ("d", 1, 1),
        ("dd", 2, 2),
        ("dda", 2, 2),
        ("ddd", 2, 0),
        ("dddd", 3, 0),
        ("ddddd", 3, 0),
        ("ddl", 2, 2),
        ("dddaa", 3, 3),
        ("dddn", 2, 0),
        ("ddn", 2, 2),
        ("dddda", 3, 0),
    ],
)
def test_who_is_vital(kinds: str, needed: int, vital: int) -> None:
    found = ballot(*kinds)
    assert found.works()
    assert (found.needed, len(found.vital)) == (needed, vital)


@given(st.lists(st.sampled_from("dan"), min_size=1, max_size=9), st.integers(0, 9))
def test_what_works_has_a_majority_of_votes_and_of_data(kinds: list[str], down: int) -> None:
    found = ballot(*kinds, down=down)
    up = [kind for n, kind in enumerate(kinds) if n >= down]
    votes = sum(kind != "n" for kind in kinds)
    enough = sum(kind != "n" for kind in up) * 2 > votes
    data = sum(kind == "d" for kind in kinds)
    assert found.works() == (enough and up.count("d") >= min(votes // 2 + 1, data))


@pytest.mark.parametrize(
    ("found", "level", "part"),
    [
        (ballot("d", "d", "d"), "ok", "2 of 3 members"),
        (ballot("d"), "warning", "one member"),
        (ballot("d", "d"), "warning", "no write is acknowledged"),
        (ballot("d", "d", "d", "d"), "warning", "even number"),
        (ballot("d", "d", "a"), "warning", "hold no data"),
        (ballot("d", "d", "a", down=1), "problem", "no write is acknowledged"),
        (ballot("d", "d", "d", down=1), "warning", "down no write"),
        (ballot("d", "l"), "problem", "'1' is down or late"),
    ],
    ids=["three", "one", "two", "four", "arbiter", "arbiter and one down", "one of three down", "late"],
)
def test_what_is_said_of_a_majority(found: Ballot, level: str, part: str) -> None:
    said = topology.judged(found, "its configuration")
    assert said.level == level
    assert part in said.text


def test_members_that_anybody_may_know() -> None:
    hello = {"hosts": ["a", "b"], "passives": ["c"], "arbiters": ["d"]}
    found = Ballot.of_hello(hello)
    assert (len(found.voters), len(found.arbiters), found.needed) == (4, 1, 3)


# --- servers that are not to be had here --------------------------------------------------


class Told(Look):
    """A look whose server answers what the test wants."""

    answers: Mapping[str, dict[str, Any]]

    async def admin(self, command: str, value: object = 1, **more: Any) -> dict[str, Any]:
        return self.answers[command]


def told(hello: dict[str, Any], **answers: Any) -> Told:
    connection: Any = SimpleNamespace(jobs=SimpleNamespace(full_name="shop.jobs"))
    look = Told(connection, Executors(), hello, AT, 0.0, 5.0)
    look.answers = answers
    return look


def findings(examine: Any, look: Look) -> list[tuple[str, str]]:
    return [(one.level, one.text) for one in asyncio.run(examine(look))]


def test_a_server_that_is_too_old() -> None:
    ((level, text),) = findings(server.version, told({"maxWireVersion": 9}, buildInfo={"version": "4.4.1"}))
    assert (level, text) == ("problem", "MongoDB 4.4.1 is too old: jobpool needs 5.0 or later")


def test_a_sharded_cluster() -> None:
    ((level, text),) = findings(topology.kind, told({"msg": "isdbgrid"}))
    assert level == "warning"
    assert "never tried" in text


@pytest.mark.parametrize(
    ("key", "level"), [(None, "ok"), ({"_id": "hashed"}, "ok"), ({"type": 1, "_id": 1}, "problem")]
)
def test_shard_keys(key: dict[str, Any] | None, level: str) -> None:
    assert collection.judged(key).level == level


def test_a_majority_that_is_not_journaled() -> None:
    look = told(
        {"setName": "rs"},
        getDefaultRWConcern={"defaultWriteConcern": {"w": "majority"}},
        replSetGetConfig={"config": {"writeConcernMajorityJournalDefault": False}},
    )
    ((level, text),) = findings(topology.write_concern, look)
    assert level == "warning"
    assert "writeConcernMajorityJournalDefault is off" in text


def test_a_secondary_that_is_late_while_a_majority_is_not() -> None:
    def member(name: str, state: int, second: int) -> dict[str, Any]:
        return {"name": name, "state": state, "health": 1, "optimeDate": AT.replace(minute=1, second=second)}

    members = [member("a", 1, 50), member("b", 2, 50), member("c", 2, 5)]

    def found(**of_c: int) -> list[tuple[str, str]]:
        config = {"members": [{"host": "a"}, {"host": "b"}, {"host": "c", **of_c}]}
        status = {"members": members}
        return findings(
            topology.lag, told({"setName": "rs"}, replSetGetStatus=status, replSetGetConfig={"config": config})
        )

    assert found() == [("warning", "secondaries are behind: c 45 s")]
    assert found(secondaryDelaySecs=10) == [("warning", "secondaries are behind: c 45 s")]
    ((level, _),) = found(secondaryDelaySecs=40)  # on purpose
    assert level == "ok"


# --- circles ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("graph", "circle"),
    [
        ({}, set()),
        ({"a": ["b"], "b": ["c"]}, set()),
        ({"a": ["a"]}, {"a"}),
        ({"a": ["b"], "b": ["a"]}, {"a", "b"}),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"], "d": []}, set()),
        ({"x": ["a"], "a": ["b"], "b": ["c"], "c": ["a"]}, {"a", "b", "c"}),
    ],
    ids=["none", "chain", "itself", "two", "diamond", "three behind another"],
)
def test_circles(graph: dict[str, list[str]], circle: set[str]) -> None:
    assert set(circle_in(graph)) == circle


def test_a_long_chain_is_no_matter() -> None:
    chain = {f"{n}": [f"{n + 1}"] for n in range(50_000)}
    assert circle_in(chain) == []
    assert len(circle_in({**chain, "50000": ["0"]})) == 50_001


def test_a_finding_without_a_remedy() -> None:
    assert skipped("text", None).remedy is None
