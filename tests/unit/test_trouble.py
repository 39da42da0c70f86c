"""Trouble with a store is said once, whoever meets it, and so is its end."""

from __future__ import annotations

import logging

import pytest

from jobpool.errors import StoreError, StoreRefused, StoreUnavailable
from jobpool.logs import LINES, Budget
from jobpool.trouble import PUSH_PATIENCE, REMIND_AFTER, Trouble


class Scene:
    """A store in trouble, its clock, and what the log hears."""

    def __init__(self, caplog: pytest.LogCaptureFixture) -> None:
        self.now = 0.0
        self._caplog = caplog
        self.budget = Budget(LINES, 60.0, lambda: self.now)
        self.trouble = Trouble("shop.jobs", budget=self.budget, clock=lambda: self.now)

    @property
    def lines(self) -> list[str]:
        return [record.getMessage() for record in self._caplog.records]


@pytest.fixture
def scene(caplog: pytest.LogCaptureFixture) -> Scene:
    caplog.set_level(logging.INFO, "jobpool")
    return Scene(caplog)


def error(kind: str = "network", operation: str = "claim", *, refused: bool = False) -> StoreError:
    made = StoreRefused("refused") if refused else StoreUnavailable("away")
    made.kind, made.operation, made.reason = kind, operation, f"why it is {kind}"
    return made


def test_a_hundred_services_make_two_lines_of_one_outage(scene: Scene) -> None:
    for _ in range(10):
        for service in range(100):
            scene.now += 0.01
            scene.trouble.met(service, error())
    for service in range(100):
        scene.trouble.over(service)
    begin, end = scene.lines
    assert begin == (
        "MongoDB for 'shop.jobs' does not answer (claim: network); pools claim nothing and keep outcomes until it "
        "does; check that the server runs and is reachable"
    )
    assert end == "MongoDB for 'shop.jobs' answers again after 10.0 s"


def test_it_is_over_when_the_last_service_says_so(scene: Scene) -> None:
    scene.trouble.met("one", error())
    scene.trouble.met("other", error())
    scene.trouble.over("one")
    assert len(scene.lines) == 1
    scene.trouble.over("other")
    assert len(scene.lines) == 2


def test_a_lasting_outage_is_said_again_once_a_minute(scene: Scene) -> None:
    for second in range(600):
        scene.now = float(second)
        scene.trouble.met("one", error())
    assert len(scene.lines) == 10
    assert scene.lines[1] == (
        f"MongoDB for 'shop.jobs' fails for {REMIND_AFTER:.0f} s now (claim: network); pools still repeat it"
    )


@pytest.mark.parametrize("period", [0.1, 1.0, 3.0, 10.0, 45.0])
def test_a_server_that_comes_and_goes_makes_few_lines_and_the_last_is_true(scene: Scene, period: float) -> None:
    times: list[float] = []

    def count() -> None:
        times.extend([scene.now] * (len(scene.lines) - len(times)))

    while scene.now < 600:
        scene.now += period
        scene.trouble.met("one", error())
        count()
        scene.now += period
        scene.trouble.over("one")
        count()
    assert max(sum(start <= time < start + 60 for time in times) for start in times) <= 5
    scene.now += 120
    scene.trouble.tell()
    assert "answers again" in scene.lines[-1]
    assert scene.trouble.pending is False


def test_a_line_that_has_to_wait_comes_when_there_is_room(scene: Scene) -> None:
    while scene.budget.take() is not None:
        pass
    scene.trouble.met("one", error())
    assert (scene.lines, scene.trouble.pending) == ([], True)
    scene.now = 61.0
    scene.trouble.tell()
    assert "does not answer" in scene.lines[0]
    assert scene.trouble.pending is False


def test_an_outage_that_nobody_heard_of_has_no_end_to_tell(scene: Scene) -> None:
    while scene.budget.take() is not None:
        pass
    scene.trouble.met("one", error())
    scene.trouble.over("one")
    scene.now = 61.0
    scene.trouble.tell()
    assert (scene.lines, scene.trouble.pending) == ([], False)


def test_a_refusal_names_its_reason_and_is_told_apart(scene: Scene) -> None:
    scene.trouble.met("one", error("rights", "finish", refused=True))
    scene.trouble.met("other", error())
    scene.trouble.over("one")
    assert scene.lines[0] == (
        "MongoDB for 'shop.jobs' refuses finish: why it is rights; pools repeat it until it is accepted"
    )
    assert "does not answer" in scene.lines[1]
    assert scene.lines[2] == "MongoDB for 'shop.jobs' accepts finish again after 0.0 s"


def test_a_service_has_one_trouble_at_a_time(scene: Scene) -> None:
    scene.trouble.met("one", error("rights", refused=True))
    scene.trouble.met("one", error())
    scene.trouble.over("one")
    assert [line.split("(")[0].split(" after")[0][24:] for line in scene.lines] == [
        "refuses claim: why it is rights; pools repeat it until it is accepted",
        "accepts claim again",
        "does not answer ",
        "answers again",
    ]


def test_a_service_that_ended_is_not_waited_for_and_no_proof(scene: Scene) -> None:
    scene.trouble.met("one", error())
    scene.trouble.left("one")
    scene.trouble.tell()
    assert len(scene.lines) == 1
    scene.trouble.met("other", error())
    scene.trouble.met("one", error())
    scene.trouble.left("one")
    scene.trouble.over("other")
    assert "answers again" in scene.lines[-1]


def test_a_broken_stream_is_not_worth_a_line_unless_it_lasts(scene: Scene) -> None:
    scene.trouble.met("waker", error(operation="watch"))
    scene.trouble.over("waker")
    assert scene.lines == []
    scene.trouble.met("waker", error(operation="watch"))
    scene.now += PUSH_PATIENCE
    scene.trouble.met("waker", error(operation="watch"))
    scene.trouble.over("waker")
    assert scene.lines == [
        "push from MongoDB for 'shop.jobs' is off (why it is network); jobs are found by polling meanwhile",
        "push from MongoDB for 'shop.jobs' works again after 5.0 s",
    ]


def test_a_broken_stream_is_no_news_while_the_server_is_away(scene: Scene) -> None:
    for _ in range(20):
        scene.now += 1.0
        scene.trouble.met("fetcher", error())
        scene.trouble.met("waker", error(operation="watch"))
    scene.trouble.over("fetcher")
    scene.trouble.over("waker")
    assert [line.split("'")[2].split(" (")[0] for line in scene.lines] == [
        " does not answer",
        " answers again after 19.0 s",
    ]


def test_a_refused_stream_is_said_at_once(scene: Scene) -> None:
    scene.trouble.met("waker", error("rights", "watch", refused=True))
    assert len(scene.lines) == 1


@pytest.mark.parametrize("kind", ["network", "timeout", "not_primary", "write_conflict", "other"])
@pytest.mark.parametrize("refused", [True, False])
def test_a_line_is_short_whatever_the_names(caplog: pytest.LogCaptureFixture, kind: str, refused: bool) -> None:
    trouble = Trouble("d\n" * 60 + "." + "c" * 200)
    trouble.met("one", error(kind, refused=refused))
    (record,) = caplog.records
    assert len(record.getMessage()) < 300
    assert "\n" not in record.getMessage()
