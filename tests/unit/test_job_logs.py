"""Log records that say which job they are of."""

from __future__ import annotations

import io
import json
import logging
import logging.handlers
import queue
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobpool import JobLogFilter, current_job
from jobpool.executors import Executors
from jobpool.hooks import logger_of
from jobpool.job_logs import NEUTRAL, JsonFormatter, TextFormatter
from jobpool.pool.attempt import Engines, run_attempt
from jobpool.pool.children import Children
from jobpool.pool.coroutines import Coroutines
from jobpool.pool.held import Held
from jobpool.pool.host import Host
from jobpool.tracing import Tracing

from ..tracing import Tracer
from .jobs_held import held

shop = logging.getLogger("shop.images")  # a logger of the host's, below the one with the handler


class Lines:
    """A handler of the host's with the filter, and what it wrote."""

    def __init__(self) -> None:
        self.stream = io.StringIO()
        self.handler = logging.StreamHandler(self.stream)
        self.handler.addFilter(JobLogFilter())

    def format(self, formatter: logging.Formatter | str) -> None:
        self.handler.setFormatter(logging.Formatter(formatter) if isinstance(formatter, str) else formatter)

    def written(self) -> list[str]:
        return self.stream.getvalue().splitlines()


@pytest.fixture
def lines() -> Iterator[Lines]:
    lines = Lines()
    host = logging.getLogger("shop")
    host.addHandler(lines.handler)
    host.propagate = False
    yield lines
    host.removeHandler(lines.handler)
    host.propagate = True


def run(executor: Any, tracing: Tracing | None = None) -> None:
    """Run `executor` as a pool named p does in the second attempt of a job."""

    class Manager:
        data_limit = 1000
        middleware = None
        executors = Executors({"t": executor})

    host = cast(Any, Manager())
    host.tracing = tracing or Tracing()
    host.tracing.look()
    document = held("an id", attempts=1).document
    coroutines = Coroutines("unit")
    try:
        engines = Engines(coroutines, Children("unit"))
        outcome = run_attempt(Held(document, "token", 1000.0, 0.0, "p"), cast(Host, host), engines)
    finally:
        assert coroutines.close(30)
    assert outcome.error is None, outcome.error


SHAPE = "%(job_id)s|%(job_type)s|%(pool)s|%(attempt)d|%(trace_id)s|%(span_id)s|%(message)s"


def test_what_an_executor_logs_carries_its_job(lines: Lines) -> None:
    lines.format(SHAPE)
    run(lambda data: shop.warning("half %s", "done"))
    assert lines.written() == ["an id|t|p|2|-|-|half done"]


def test_what_a_coroutine_logs_carries_its_job(lines: Lines) -> None:
    async def work(data: Any) -> None:
        shop.warning("here")

    lines.format(SHAPE)
    run(work)
    assert lines.written() == ["an id|t|p|2|-|-|here"]


def test_elsewhere_the_fields_are_neutral(lines: Lines) -> None:
    lines.format(SHAPE)
    run(lambda data: None)
    shop.warning("after it")
    assert lines.written() == ["-|-|-|0|-|-|after it"]


def test_a_traced_job_names_its_trace(lines: Lines) -> None:
    tracer = Tracer()
    lines.format("%(trace_id)s %(span_id)s")
    run(lambda data: shop.warning("x"), Tracing(tracer.provider))
    own = tracer.one("process t").get_span_context()
    assert own is not None
    assert lines.written() == [f"{own.trace_id:032x} {own.span_id:016x}"]


def test_on_a_thread_of_the_executors_its_logger_still_names_the_job(lines: Lines) -> None:
    def work(data: Any) -> None:
        logger = current_job().logger
        logger.logger = shop  # where the handler is

        def log() -> None:
            shop.warning("lost")
            logger.warning("kept")

        thread = threading.Thread(target=log)
        thread.start()
        thread.join()

    lines.format(SHAPE)
    run(work)
    assert lines.written() == ["-|-|-|0|-|-|lost", "an id|t|p|2|-|-|kept"]


def test_what_a_record_says_of_itself_stays(lines: Lines) -> None:
    lines.format(SHAPE)
    run(lambda data: shop.warning("x", extra={"job_id": "another", "attempt": 9}))
    assert lines.written() == ["another|t|p|9|-|-|x"]


def test_behind_a_queue_the_filter_still_sees_the_job(lines: Lines) -> None:
    records: queue.Queue[logging.LogRecord] = queue.Queue()
    front = logging.handlers.QueueHandler(records)
    front.addFilter(JobLogFilter())
    logging.getLogger("shop").addHandler(front)
    try:
        run(lambda data: shop.warning("x"))
    finally:
        logging.getLogger("shop").removeHandler(front)
    listener = logging.handlers.QueueListener(records, lines.handler)
    lines.stream.truncate(0)
    lines.stream.seek(0)
    lines.format(SHAPE)
    listener.start()
    listener.stop()
    assert lines.written() == ["an id|t|p|2|-|-|x"]


def test_loggers_of_jobpool_pass_on_what_is_given_as_extra(caplog: pytest.LogCaptureFixture) -> None:
    logger_of("jobpool.test").warning("x", extra={"job_id": "an id"})
    assert vars(caplog.records[0])["job_id"] == "an id"


# --- text -------------------------------------------------------------------------------


def test_a_line_of_text_names_the_job_when_there_is_one(lines: Lines) -> None:
    lines.format(TextFormatter())
    run(lambda data: shop.warning("half done"))
    shop.warning("after it")
    shop.warning("x", extra={"job_id": "\x1b[2J"})
    first, second, third = lines.written()
    assert first.endswith(" WARNING shop.images: half done [job 'an id']")
    assert second.endswith(" WARNING shop.images: after it")
    assert third.endswith(r"x [job '\x1b[2J']"), "an id cannot clear the screen"


def test_a_record_that_met_no_filter_is_formatted_all_the_same() -> None:
    record = logging.LogRecord("a", logging.INFO, "f", 1, "hello", None, None)
    assert TextFormatter().format(record).endswith("INFO a: hello")
    assert json.loads(JsonFormatter().format(record))["message"] == "hello"


# --- json -------------------------------------------------------------------------------


def parsed(lines: Lines) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lines.written()]


def test_a_line_of_json_holds_the_record_and_its_job(lines: Lines) -> None:
    lines.format(JsonFormatter())
    run(lambda data: shop.warning("half %s", "done"))
    (line,) = parsed(lines)
    timestamp = line.pop("timestamp")
    assert line == {
        "level": "WARNING",
        "logger": "shop.images",
        "message": "half done",
        "job_id": "an id",
        "job_type": "t",
        "pool": "p",
        "attempt": 2,
    }
    day, _, rest = timestamp.partition("T")
    assert (len(day), rest[-1], len(rest)) == (10, "Z", len("12:00:00.000Z"))


def test_where_there_is_no_job_there_are_no_fields_of_one(lines: Lines) -> None:
    lines.format(JsonFormatter())
    shop.warning("x", extra={"order": 7})
    (line,) = parsed(lines)
    assert list(line) == ["timestamp", "level", "logger", "message"]


def test_an_exception_is_part_of_its_line(lines: Lines) -> None:
    lines.format(JsonFormatter())
    try:
        raise ValueError("two\nlines")
    except ValueError:
        shop.exception("failed", stack_info=True)
    (line,) = parsed(lines)
    assert line["exc"].startswith("Traceback")
    assert line["exc"].endswith("ValueError: two\nlines")
    assert "test_an_exception_is_part_of_its_line" in line["stack"]


class Hostile:
    def __str__(self) -> str:
        raise LookupError("no text")

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        raise LookupError("not comparable")

    __hash__ = None  # type: ignore[assignment]


class HostileError(Exception):
    def __str__(self) -> str:
        raise LookupError("no text")


@pytest.mark.parametrize(
    ("msg", "args", "extra"),
    [
        ("%d", ("x",), {}),
        ("%s %s", ("one",), {}),
        ("%s", (Hostile(),), {}),
        (Hostile(), (), {}),
        (Hostile(), (Hostile(),), {}),
        ('a\nb\r\u2028\x00\x1b[2J\ud800"\\', (), {}),
        (b"bytes", (), {}),
        ({"a": {1, 2}}, (), {}),
        ("x", (), {"job_id": Hostile(), "pool": None, "attempt": float("nan"), "job_type": b"\xff"}),
        ("x", (), {"attempt": 10**400, "job_id": "\ud800"}),
        ("x", (), {"attempt": True}),
        ("x", (), {"attempt": 10**5000}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_whatever_a_record_holds_its_line_is_one_json_object(
    msg: Any, args: tuple[Any, ...], extra: dict[str, Any]
) -> None:
    try:
        raise HostileError
    except HostileError:
        record = shop.makeRecord("shop", logging.ERROR, "f", 1, msg, args, sys.exc_info(), None, extra)
    assert JobLogFilter().filter(record)
    line = JsonFormatter().format(record)
    assert "\n" not in line
    found = json.loads(line, parse_constant=pytest.fail)
    assert (found["logger"], "HostileError" in found["exc"]) == ("shop", True)
    "".join(str(value) for value in found.values()).encode()  # no surrogates either


@given(st.text(), st.text(), st.text())
def test_any_text_is_one_line_of_json(message: str, name: str, id: str) -> None:
    record = logging.LogRecord(name, logging.INFO, "f", 1, message, None, None)
    record.job_id = id
    line = JsonFormatter().format(record)
    assert line.isascii()
    assert "\n" not in line
    found = json.loads(line)
    if id != NEUTRAL["job_id"]:
        assert found["job_id"] == id
    assert (found["message"], found["logger"]) == (message, name)


def test_the_library_leaves_the_logging_of_its_host_alone() -> None:
    script = (
        "import logging; import jobpool;"
        "root, own = logging.getLogger(), logging.getLogger('jobpool');"
        "print(root.handlers, [type(h).__name__ for h in own.handlers], own.level, own.propagate)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[] ['NullHandler'] 0 True\n"
