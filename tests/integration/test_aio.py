"""Jobs from an event loop: what can happen only there. The rest is in `test_aio_behaviour`."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from prometheus_client import CollectorRegistry
from pymongo import AsyncMongoClient, MongoClient, WriteConcern
from pymongo.asynchronous.client_session import AsyncClientSession

from jobpool import AsyncJobManager, JobManager, State, WorkerPool, job_id
from jobpool.embedded import EmbeddedMongo
from jobpool.errors import (
    DuplicateJob,
    ForkedProcess,
    InvalidJob,
    JobNotFound,
    PoolStateError,
    StoreRefused,
    StoreUnavailable,
    WaitTimeout,
)
from jobpool.importing import Togedo
from jobpool.store import following
from jobpool.store.awaited import Awaited
from jobpool.store.driver import run

from ..awaited import drive
from ..conftest import Jobs, MakeManager
from ..faults.failpoints import fail_command
from ..faults.proxy import FAIR, Proxy, Weather
from ..security.test_forks import in_child, refused
from ..tracing import Tracer
from ..waiting import PATIENCE, until

Client = MongoClient[dict[str, Any]]
AsyncClient = AsyncMongoClient[dict[str, Any]]


@pytest.fixture
def make(server: EmbeddedMongo, database: str) -> Callable[..., AsyncJobManager]:
    """Make managers on the test's database; whoever makes one closes it."""

    def one(*args: Any, **options: Any) -> AsyncJobManager:
        if "client" not in options and not args:
            options.setdefault("uri", server.uri)
        return AsyncJobManager(*(args or (database,)), **options)

    return one


Make = Callable[..., AsyncJobManager]


@pytest.mark.parametrize("fields", [{}, {"id": "mine", "priority": 3, "max_attempts": 2, "delay": 60}], ids=str)
def test_the_document_is_that_of_a_job_manager(
    make: Make, make_manager: MakeManager, client: Client, database: str, fields: dict[str, Any]
) -> None:
    data = {"z": [1, 2.5, None, b"x"], "at": datetime(2026, 1, 2, tzinfo=UTC), "a": {"n": 2**40}}

    async def create() -> None:
        async with make(collection="awaited") as manager:
            assert (await manager.create("a", data, **fields)).created
            assert (await manager.create_many([{"type": "b", "data": data, **fields, "id": "many"}])).inserted == 1

    drive(create())
    manager = make_manager(collection="blocking")
    manager.create("a", data, **fields)
    manager.create_many([{"type": "b", "data": data, **fields, "id": "many"}])
    awaited, blocking = (list(client[database][name].find(sort=[("type", 1)])) for name in ("awaited", "blocking"))
    for document in (*awaited, *blocking):
        document["delay"] = (document.pop("run_at") - document.pop("created_at")).total_seconds()
    assert [list(document.items()) for document in awaited] == [list(document.items()) for document in blocking]
    assert awaited[0]["_id"] == fields.get("id", job_id("a", data))
    options = [client[database][name].index_information() for name in ("awaited", "blocking")]
    assert options[0] == options[1]


def test_equal_work_is_one_job_whoever_creates_it(make: Make, make_manager: MakeManager, jobs: Jobs) -> None:
    blocking = make_manager()

    async def create() -> list[bool]:
        async with make() as manager:
            here = [manager.create("a", "same") for _ in range(10)]
            there = [asyncio.to_thread(blocking.create, "a", "same") for _ in range(10)]
            return [job.created for job in await asyncio.gather(*here, *there)]

    assert sorted(drive(create())) == [False] * 19 + [True]
    assert jobs.count_documents({}) == 1


def test_a_pool_in_the_same_process_runs_what_is_gathered_once_each(make: Make, make_manager: MakeManager) -> None:
    ran: Counter[int] = Counter()
    lock = threading.Lock()

    def work(data: int) -> int:
        with lock:
            ran[data] += 1
        return data * 2

    runner = make_manager(executors={"a": work})
    with WorkerPool(runner, threads=4, lease=30):

        async def create() -> list[Any]:
            async with make() as manager:
                created = await asyncio.gather(*(manager.create("a", number) for number in range(100)))
                assert all(job.created for job in created)
                return await asyncio.gather(*(manager.wait(job.id, PATIENCE) for job in created))

        done = drive(create())
    assert ran == Counter(range(100))
    assert [(job.state, job.result, job.attempts) for job in done] == [
        (State.SUCCEEDED, number * 2, 1) for number in range(100)
    ]


def test_all_who_come_first_share_one_first_contact(make: Make) -> None:
    async def create() -> dict[str, float]:
        async with make() as manager:
            await asyncio.gather(*(manager.create("a", number) for number in range(100)))
            return {operation: _calls(manager, operation) for operation in ("hello", "indexes", "create")}

    assert drive(create()) == {"hello": 1, "indexes": 2, "create": 100}


def test_all_who_come_first_to_a_server_that_is_away_share_one_wait(make: Make) -> None:
    """In a row they would wait for as many time limits as they are."""

    async def create() -> tuple[set[str], float]:
        async with make("x", uri="mongodb://127.0.0.1:1/", timeout=0.5) as manager:
            calls = (manager.create("a", number) for number in range(100))
            ended = await asyncio.gather(*calls, return_exceptions=True)
            first = {type(error).__name__ for error in ended}, _calls(manager, "hello")
            with pytest.raises(StoreUnavailable):
                await manager.create("a")  # who comes later tries again
            assert _calls(manager, "hello") == first[1] + 1
            return first

    assert drive(create()) == ({"StoreUnavailable"}, 1)


def _calls(manager: AsyncJobManager, operation: str) -> float:
    """Return how often the metrics saw a store operation."""
    name = "jobpool_store_operation_seconds_count"
    value = manager.metrics.registry.get_sample_value(name, {"operation": operation})
    return value or 0.0


def test_the_event_loop_goes_on_while_mongodb_does_not_answer(make: Make, proxy: Proxy) -> None:
    async def create() -> int:
        async with make(uri=proxy.uri) as manager:
            await manager.create("warm")
            proxy.weather = Weather(hole=True)
            creating = asyncio.create_task(manager.create("a"))
            for turn in range(20):
                await asyncio.sleep(0.01)
                assert not creating.done(), turn
            proxy.weather = FAIR
            assert (await creating).created
            return turn

    assert drive(create()) == 19


def test_jobs_may_come_from_an_asynchronous_iterable(make: Make, jobs: Jobs) -> None:
    async def source(last: Any) -> AsyncIterator[dict[str, Any]]:
        for number in range(25):
            await asyncio.sleep(0)
            yield {"type": "a", "data": number}
        yield last

    async def create() -> None:
        async with make() as manager:
            answer = await manager.create_many(source({"type": "a", "data": 3}), batch_size=10)
            assert (answer.inserted, answer.duplicates, len(answer.ids)) == (25, 1, 26)
            with pytest.raises(InvalidJob, match=r"job 25: .*20 jobs before it are stored"):
                await manager.create_many(source({"type": ""}), batch_size=10)
            with pytest.raises(InvalidJob, match="an iterable of mappings, not int"):
                await manager.create_many(5)  # type: ignore[arg-type]

    drive(create())
    assert jobs.count_documents({}) == 25


def test_a_job_manager_takes_no_asynchronous_iterable(make_manager: MakeManager) -> None:
    async def source() -> AsyncIterator[dict[str, Any]]:
        yield {"type": "a"}

    with pytest.raises(InvalidJob, match="not async_generator"):
        make_manager().create_many(source())  # type: ignore[arg-type]


def test_a_long_list_lets_others_in_between_its_batches(make: Make) -> None:
    async def create() -> int:
        turns = 0

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        async with make() as manager:
            await manager.ensure_indexes()
            counting = asyncio.create_task(count())
            many: list[Any] = [{"type": "a", "data": number} for number in range(99)]
            with pytest.raises(InvalidJob, match="job 99"):  # found by the check: nothing was sent
                await manager.create_many([*many, {}], batch_size=10)
            counting.cancel()
            assert await manager.count() == 0
            return turns

    assert drive(create()) >= 8  # between ten batches, but for the first turn


# Waiting


def test_wait_gives_up_in_time_is_cancelled_and_hears_of_removal(make: Make) -> None:
    async def wait() -> None:
        async with make() as manager:
            job = await manager.create("a")
            with pytest.raises(WaitTimeout, match=r"is pending after 0\.05 s; it goes on regardless"):
                await manager.wait(job.id, 0.05)
            waiting = asyncio.create_task(manager.wait(job.id))
            await asyncio.sleep(0.03)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            waiting = asyncio.create_task(manager.wait(job.id))
            await asyncio.sleep(0.03)
            assert await manager.remove(job.id)
            with pytest.raises(JobNotFound, match=job.id):
                await waiting

    drive(wait())


def test_who_waits_when_the_manager_is_closed_is_told(make: Make) -> None:
    async def wait() -> None:
        async with make() as manager:
            job = await manager.create("a")
            waiting = asyncio.create_task(manager.wait(job.id))
            await asyncio.sleep(0.03)
        with pytest.raises((PoolStateError, StoreRefused)):
            await waiting

    drive(wait())


def test_who_waits_for_many_is_cancelled_and_goes_on(make: Make) -> None:
    """A task that gives up on the next one has lost none."""

    async def wait() -> None:
        async with make() as manager:
            ids = (await manager.create_many([{"type": "a", "data": n} for n in range(3)])).ids
            ends = manager.as_completed(ids)
            await manager.cancel(ids[1])
            assert (await anext(ends)).id == ids[1]
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(ends), 0.05)
            await manager.cancel(ids[0])
            await manager.cancel(ids[2])
            assert {job.id async for job in ends} == {ids[0], ids[2]}
            assert [job.id for job in await manager.wait_many(ids)] == ids

    drive(wait())


# Changes and imports


def watching(client: Client, manager: AsyncJobManager) -> list[dict[str, Any]]:
    """Return the open change streams on a manager's jobs, as the server sees them."""
    there = {"ns": manager.store.name, "cursor.tailable": True}
    return list(client.admin.aggregate([{"$currentOp": {"idleCursors": True}}, {"$match": there}]))


def test_a_task_cancelled_while_it_waits_for_changes_has_closed_the_stream(make: Make, client: Client) -> None:
    """At once, though the server would hold its answer back for a minute; who reads again has lost nothing."""

    async def watch() -> None:
        async with make() as manager:
            changes = manager.changes(max_await=60)
            assert watching(client, manager) == []
            async with changes:
                reading = asyncio.create_task(changes.read())
                await asyncio.to_thread(
                    until, lambda: any(op["type"] == "op" for op in watching(client, manager)), "the read"
                )
                reading.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await reading
                await asyncio.to_thread(until, lambda: watching(client, manager) == [], "its end")
                await manager.create("a", id="meanwhile")
                assert [change.id for change in await changes.read()] == ["meanwhile"]
                assert len(watching(client, manager)) == 1
            await asyncio.to_thread(until, lambda: watching(client, manager) == [], "the end")

    drive(watch())


def test_the_changes_of_a_task_that_is_cancelled_in_its_loop_are_closed(make: Make, client: Client) -> None:
    async def watch() -> None:
        async with make() as manager:
            heard: list[str] = []

            async def follow() -> None:
                async with manager.changes() as changes:
                    heard.append("begun")
                    async for change in changes:
                        heard.append(change.id)

            following = asyncio.create_task(follow())
            while not heard:
                await asyncio.sleep(0.005)
            await manager.create("a", id="one")
            while heard != ["begun", "one"]:
                await asyncio.sleep(0.005)
            following.cancel()
            with pytest.raises(asyncio.CancelledError):
                await following
            await asyncio.to_thread(until, lambda: watching(client, manager) == [], "the end")

    drive(watch())


def test_changes_of_a_manager_that_is_closed_say_so(make: Make) -> None:
    async def watch() -> None:
        async with make() as manager:
            changes = manager.changes(max_await=0.05)
            assert await changes.read() == []
        with pytest.raises((PoolStateError, StoreRefused), match="close"):
            await changes.read()
        await changes.close()
        assert [change async for change in changes] == []
        with pytest.raises(PoolStateError, match="closed"):
            manager.changes()

    drive(watch())


class Patient(Togedo):
    """A source that counts how many documents are read before others have a turn."""

    def __init__(self) -> None:
        super().__init__()
        self.read_at_once: list[int] = [0]

    def read(self, raw: bytes, *, now: datetime, limit: int) -> Any:
        self.read_at_once[-1] += 1
        return super().read(raw, now=now, limit=limit)


def fill(client: Client, database: str, number: int) -> None:
    document = {"type": "a", "priority": 0, "status": "queued", "createdAt": datetime(2026, 1, 2, tzinfo=UTC)}
    client[database]["theirs"].insert_many([{**document, "_id": f"{n:05}", "data": n} for n in range(number)])


def test_an_import_lets_others_in(make: Make, client: Client, database: str) -> None:
    fill(client, database, 1000)
    source = Patient()

    async def carry() -> None:
        async def others() -> None:
            while True:
                await asyncio.sleep(0)
                source.read_at_once.append(0)

        async with make() as manager:
            turns = asyncio.create_task(others())
            report = await manager.import_jobs(source, database=database, collection="theirs")
            turns.cancel()
            assert (report.inserted, report.finished) == (1000, True)

    drive(carry())
    assert sum(source.read_at_once) == 1000
    assert max(source.read_at_once) <= 100


def test_of_two_imports_at_once_each_job_is_the_work_of_one(make: Make, client: Client, database: str) -> None:
    fill(client, database, 50)

    async def carry() -> None:
        async with make() as one, make() as other:
            both = (m.import_jobs(Togedo(), database=database, collection="theirs") for m in (one, other))
            reports = await asyncio.gather(*both)
            assert sum(report.inserted for report in reports) == 50
            assert all(report.inserted + report.already == 50 for report in reports)
            assert await one.count() == 50

    drive(carry())


# Transactions


@asynccontextmanager
async def in_transaction(client: AsyncClient) -> AsyncIterator[AsyncClientSession]:
    async with client.start_session() as session, await session.start_transaction():
        yield session


def with_client(
    server: EmbeddedMongo, work: Callable[[AsyncClient], Coroutine[Any, Any, None]]
) -> Coroutine[Any, Any, None]:
    async def opened() -> None:
        async with AsyncMongoClient[dict[str, Any]](server.uri) as client:
            await work(client)

    return opened()


def test_a_job_in_a_transaction_exists_when_it_commits(make: Make, server: EmbeddedMongo, database: str) -> None:
    async def work(client: AsyncClient) -> None:
        manager = make(database, client=client)
        await manager.ensure_indexes()
        async with in_transaction(client) as session:
            await client[database].orders.insert_one({"_id": 1}, session=session)
            assert (await manager.create("a", 1, session=session)).created
            assert await manager.count() == 0
        assert await manager.count() == 1
        assert await client[database].orders.count_documents({}) == 1

    drive(with_client(server, work))


def test_a_job_in_an_aborted_transaction_never_was(make: Make, server: EmbeddedMongo, database: str) -> None:
    async def work(client: AsyncClient) -> None:
        manager = make(database, client=client)
        await manager.ensure_indexes()
        async with client.start_session() as session:
            await session.start_transaction()
            await manager.create("a", 1, session=session)
            await manager.create_many([{"type": "a", "data": n} for n in range(3)], session=session)
            await session.abort_transaction()
        assert await manager.count() == 0

    drive(with_client(server, work))


def test_a_duplicate_does_not_end_the_transaction(make: Make, server: EmbeddedMongo, database: str) -> None:
    async def work(client: AsyncClient) -> None:
        manager = make(database, client=client)
        await manager.create("a", 1)
        async with in_transaction(client) as session:
            assert not (await manager.create("a", 1, session=session)).created
            many = await manager.create_many([{"type": "a", "data": n} for n in (1, 2, 2)], session=session)
            with pytest.raises(DuplicateJob):
                await manager.create("a", 2, on_duplicate="raise", session=session)
            await client[database].orders.insert_one({"_id": 1}, session=session)
        assert (many.inserted, many.duplicates) == (1, 2)
        assert await client[database].orders.count_documents({}) == 1
        assert await manager.count() == 2

    drive(with_client(server, work))


def test_two_transactions_with_one_id_make_one_job(make: Make, server: EmbeddedMongo, database: str) -> None:
    """The loser meets a write conflict, its transaction is repeated by the driver, and finds the job."""
    created: list[bool] = []

    async def work(client: AsyncClient) -> None:
        manager = make(database, client=client)
        await manager.ensure_indexes()
        arrived, both = 0, asyncio.Event()

        async def create(session: AsyncClientSession) -> None:
            nonlocal arrived
            await client[database].orders.find_one({}, session=session)  # the snapshot is taken
            arrived += 1
            if arrived == 2:
                both.set()
            await both.wait()
            created.append((await manager.create("a", 1, session=session)).created)

        async def transact() -> None:
            async with client.start_session() as session:
                await session.with_transaction(create)

        await asyncio.gather(transact(), transact())
        assert await manager.count() == 1

    drive(with_client(server, work))
    assert len(created) >= 2
    assert created[-1] is False


def test_a_session_of_the_other_kind_is_refused(make: Make, make_manager: MakeManager, client: Client) -> None:
    async def create() -> None:
        async with make() as manager:
            with (
                client.start_session() as session,
                pytest.raises(InvalidJob, match="AsyncClientSession, not Client"),
            ):
                await manager.create("a", session=session)  # type: ignore[call-overload]

    drive(create())
    with pytest.raises(InvalidJob, match="ClientSession, not AsyncClient"):
        make_manager().create("a", session=AsyncClientSession.__new__(AsyncClientSession))  # type: ignore[call-overload]


# Settings, clients, ends


def test_writes_are_majority_and_journaled_whatever_the_client_is_set_to(
    make: Make, server: EmbeddedMongo, database: str
) -> None:
    async def work(client: AsyncClient) -> None:
        loose = client.get_database(database, write_concern=WriteConcern(0))
        async with make(loose) as manager:
            connection: Any = manager.store._connection
            assert connection.jobs.write_concern == WriteConcern("majority", j=True)
            job = await manager.create("a", {"at": datetime(2026, 1, 2, tzinfo=UTC)})
            assert (await manager.get(job.id)).data["at"].tzinfo is not None
            assert "AsyncJobManager" in repr(manager)
        assert (await client.admin.command("ping"))["ok"] == 1, "a client that was given is not closed"

    drive(with_client(server, work))


def test_a_closed_manager_says_so(make: Make) -> None:
    async def close() -> None:
        manager = make()
        await manager.create("a")
        await asyncio.gather(manager.close(), manager.close())
        await manager.close()
        calls: tuple[Any, ...] = (manager.create("a"), manager.create_many([]), manager.get("x"), manager.count())
        calls += manager.wait_many([]), anext(manager.as_completed(["x"])), manager.last_changes(1)
        calls += (manager.import_jobs(Togedo(), database="x"),)
        for call in (*calls, manager.find(), manager.wait("x"), manager.remove("x"), manager.ensure_indexes()):
            with pytest.raises(PoolStateError, match="closed"):
                await call

    drive(close())


def test_a_manager_that_never_was_used_is_closed_in_peace(make: Make) -> None:
    drive(make().close())
    assert repr(make())


def test_a_forked_child_is_refused(make: Make) -> None:
    async def create() -> None:
        async with make() as manager:
            await manager.create("a", 1)

            def act() -> None:
                refused(lambda: run(manager.create("a", 2)), lambda: run(manager.count()))
                refused(lambda: run(manager.ensure_indexes()), lambda: run(manager.wait("x")))
                run(manager.close())  # says nothing: the client is the parent's

            in_child(act)
            assert (await manager.create("a", 3)).created

    assert issubclass(ForkedProcess, PoolStateError)
    drive(create())


def test_managers_of_both_kinds_count_on_one_registry(make: Make, make_manager: MakeManager) -> None:
    registry = CollectorRegistry()
    make_manager(registry=registry).create("a", 1)

    async def create() -> str:
        async with make(registry=registry) as manager:
            await manager.create("a", 1)
            await manager.create_many([{"type": "a", "data": n} for n in range(3)])
            return manager.exposition()[1].decode()

    body = drive(create())
    assert 'jobpool_jobs_created_total{result="inserted",type="a"} 3.0' in body
    assert 'jobpool_jobs_created_total{result="duplicate",type="a"} 2.0' in body


def test_the_backlog_is_that_of_a_job_manager(make: Make, make_manager: MakeManager) -> None:
    blocking = make_manager()

    async def look() -> None:
        async with make() as manager:
            await manager.create_many([{"type": "a", "data": n, "delay": 60 * (n % 2)} for n in range(6)])
            backlog = await manager.backlog()
            assert (backlog.of("a").due, backlog.of("a").scheduled) == (3, 3)
            beside = await asyncio.to_thread(blocking.backlog)
            assert beside.types.keys() == backlog.types.keys()
            assert (beside.of("a").due, beside.pools_alive) == (3, backlog.pools_alive)

    drive(look())


def test_creates_that_are_gathered_store_each_its_own_trace(make: Make, jobs: Jobs) -> None:
    tracer = Tracer()

    async def create() -> None:
        async with make(tracer_provider=tracer.provider) as manager:
            await asyncio.gather(*(manager.create("a", number) for number in range(20)))

    drive(create())
    spans = {
        dict(span.attributes or {})["messaging.message.id"]: f"{span.get_span_context().span_id:016x}"  # type: ignore[union-attr]
        for span in tracer.spans("create")
    }
    stored = {document["_id"]: document["trace"]["traceparent"].split("-")[2] for document in jobs.find()}
    assert len(set(stored.values())) == 20
    assert stored == spans


# Faults


def test_nobody_there_is_said_in_time_and_changes_nothing(make: Make) -> None:
    async def create() -> None:
        async with make("x", uri="mongodb://me:hunter2@127.0.0.1:1/?authSource=admin", timeout=0.3) as manager:
            for call in (manager.create("a"), manager.create_many([{"type": "a"}]), manager.wait("x")):
                with pytest.raises(StoreUnavailable, match="connecting to MongoDB") as caught:
                    await call
                assert "hunter2" not in str(caught.value)

    drive(create())


def test_a_refused_operation_says_so(make: Make, client: Client, jobs: Jobs) -> None:
    async def create() -> None:
        async with make() as manager:
            await manager.ensure_indexes()
            client[jobs.database.name].command("collMod", "jobs", validator={"type": "allowed"})
            with pytest.raises(StoreRefused, match="refused"):
                await manager.create("a")
            with pytest.raises(StoreRefused, match="refused"):
                await manager.create_many([{"type": "a"}, {"type": "allowed"}])
            assert (await manager.create("allowed")).state is State.PENDING

    drive(create())


def test_create_survives_one_lost_reply(make: Make, proxy: Proxy, jobs: Jobs) -> None:
    async def create() -> None:
        async with make(uri=proxy.uri) as manager:
            await manager.ensure_indexes()
            proxy.lose_reply_of("insert")
            assert (await manager.create("a", 1)).created
            proxy.lose_reply_of("insert")
            answer = await manager.create_many([{"type": "b", "data": n} for n in range(50)])
            assert answer.inserted == 50

    drive(create())
    assert proxy.lost == ["insert", "insert"]
    assert jobs.count_documents({}) == 51


def test_create_after_many_lost_replies_says_that_it_may_have_happened(
    make: Make, proxy: Proxy, jobs: Jobs
) -> None:
    async def create() -> None:
        async with make(uri=f"{proxy.uri}&retryWrites=false") as manager:
            await manager.ensure_indexes()
            proxy.lose_reply_of("insert")
            with pytest.raises(StoreUnavailable, match="may or may not"):
                await manager.create("a", 1)
            assert jobs.count_documents({}) == 1, "it did happen"
            again = await manager.create("a", 1)
            assert (again.created, again.state) == (False, State.PENDING)

    drive(create())
    assert proxy.lost == ["insert"]
    assert jobs.count_documents({}) == 1


@pytest.mark.parametrize("command", ["hello", "find", "delete", "aggregate", "listIndexes"])
def test_reads_and_removals_survive_a_lost_reply(make: Make, proxy: Proxy, command: str) -> None:
    async def look() -> None:
        async with make(uri=proxy.uri) as manager:
            await manager.create("a", 1)
            proxy.lose_reply_of(command)
            if command == "listIndexes":
                assert await manager.ensure_indexes() == []
            elif command == "hello":
                manager.store._connection.clock.forget()
                assert (await manager.create("a", 2)).created
            elif command == "delete":
                id = (await manager.find())[0].id
                assert await manager.remove(id) in (True, False)  # repeated by the driver, or found to be gone
                assert await manager.count() == 0
            else:
                assert (await manager.count(), len(await manager.find())) == (1, 1)

    drive(look())
    assert proxy.lost == [command]


def test_a_task_cancelled_while_its_reply_is_on_the_way_leaves_the_others_theirs(
    make: Make, server: EmbeddedMongo, client: Client, jobs: Jobs
) -> None:
    """Its connection, on which a reply is still to come, is nobody else's."""

    async def create() -> None:
        async with make(uri=f"{server.uri}&maxPoolSize=1") as manager:
            await manager.create("warm")
            for number in range(10):
                with fail_command(client, ["insert"], times=1, block_ms=500) as point:
                    creating = asyncio.create_task(manager.create("a", number))
                    while not point.struck:  # the server has it and does not answer yet
                        await asyncio.sleep(0.005)
                    for _ in range(
                        10
                    ):  # the task has sent it, but may not know yet: until Python 3.12, `wait_for`
                        await asyncio.sleep(
                            0
                        )  # ignores whoever cancels it between the end of its work and its own
                    creating.cancel()
                    with pytest.raises(asyncio.CancelledError):
                        await creating
                mine = await manager.create("b", number)
                assert (mine.type, mine.data, mine.created) == ("b", number, True)
                again = await manager.create("a", number)
                assert (again.type, again.data, again.state) == ("a", number, State.PENDING)

    drive(create())
    assert jobs.count_documents({"type": "a"}) == 10
    assert jobs.count_documents({"type": "b"}) == 10


class Cancelling(Awaited):
    """Cancels the task that calls, at one of its calls: before it is sent, or when its reply is there."""

    def __init__(self, at: int, when: str) -> None:
        self.at, self.when = at, when
        self.calls = 0

    async def call(self, method: Any, *args: Any, **options: Any) -> Any:
        struck = self._strikes()
        if struck and self.when == "before":
            self._cancel()
            await asyncio.sleep(0)
        try:
            return await super().call(method, *args, **options)
        finally:
            if struck:
                self._cancel()
                await asyncio.sleep(0)

    async def pause(self, seconds: float) -> None:
        if self._strikes():
            self._cancel()
        await super().pause(seconds)

    def _strikes(self) -> bool:
        self.calls += 1
        return self.calls == self.at

    def _cancel(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("call", ["create", "revive", "create_many", "remove", "import"])
def test_a_task_cancelled_at_any_point_can_be_repeated(
    make: Make,
    make_manager: MakeManager,
    jobs: Jobs,
    client: Client,
    server: EmbeddedMongo,
    monkeypatch: pytest.MonkeyPatch,
    call: str,
    when: str,
) -> None:
    """At each call of the driver in turn, from the first contact on, until one comes to its end."""
    blocking = make_manager()
    fill(client, jobs.database.name, 5)

    def ask(manager: AsyncJobManager) -> Coroutine[Any, Any, object]:
        if call == "create_many":
            return manager.create_many([{"type": "a", "data": n} for n in range(5)], batch_size=2)
        if call == "remove":
            return manager.remove("x")
        if call == "import":  # through a client of its own, which is closed in any case
            return manager.import_jobs(Togedo(), database=jobs.database.name, collection="theirs", uri=server.uri)
        return manager.create("a", 1, id="x", on_duplicate="revive" if call == "revive" else "keep")

    async def attempt(at: int) -> bool:
        driver = Cancelling(at, when)
        monkeypatch.setattr("jobpool.store.awaited.AWAITED", driver)
        async with make() as manager:
            task = asyncio.create_task(ask(manager))
            (ended,) = await asyncio.gather(task, return_exceptions=True)
            struck = driver.calls >= at
            assert isinstance(ended, asyncio.CancelledError) == struck
            driver.at = 0
            again = await ask(manager)
            if call == "create_many":
                assert again.inserted + again.duplicates == 5  # type: ignore[attr-defined]
            elif call == "import":
                assert again.inserted + again.already == 5  # type: ignore[attr-defined]
            elif call == "remove":
                assert again in (True, False)
            else:
                assert again.id == "x"  # type: ignore[attr-defined]
                assert again.state is State.PENDING  # type: ignore[attr-defined]
        return struck

    at = 1
    while True:
        jobs.delete_many({})
        if call in ("revive", "remove"):
            blocking.create("a", 1, id="x")
            blocking.cancel("x")
        struck = drive(attempt(at))
        expected = {"create_many": 5, "import": 5, "remove": 0}.get(call, 1)
        assert jobs.count_documents({}) == expected
        assert jobs.count_documents({"state": "pending"}) == expected
        if not struck:
            break
        at += 1
    assert at > 4, "hello, the indexes, and what was asked for"


@pytest.mark.parametrize("when", ["before", "after"])
def test_changes_are_told_once_to_a_task_that_is_cancelled_at_any_point(
    make: Make, make_manager: MakeManager, jobs: Jobs, monkeypatch: pytest.MonkeyPatch, when: str
) -> None:
    """At each call of the driver and each turn of others, the look at a job from before among them."""
    monkeypatch.setattr(following, "TURN", 1)
    blocking = make_manager()

    async def attempt(at: int) -> bool:
        driver = Cancelling(0, when)
        monkeypatch.setattr("jobpool.store.awaited.AWAITED", driver)
        async with make() as manager, manager.changes(max_await=0.05) as changes:
            await asyncio.to_thread(blocking.cancel, "old")
            await asyncio.to_thread(lambda: [blocking.create("a", id=id) for id in "xyz"])
            driver.calls, driver.at = 0, at
            heard: list[tuple[str, str | None]] = []
            struck = 0
            while len(heard) < 4 or heard[-1][0] != "z":
                (found,) = await asyncio.gather(asyncio.create_task(changes.read()), return_exceptions=True)
                if isinstance(found, asyncio.CancelledError):
                    struck += 1
                else:
                    assert not isinstance(found, BaseException)
                    heard += [(change.id, change.type) for change in found]
            assert heard == [("old", "b"), ("x", "a"), ("y", "a"), ("z", "a")]
            driver.at = 0
            assert await changes.read() == []
        return struck > 0

    at = 0
    while True:
        jobs.delete_many({})
        blocking.create("b", id="old")
        at += 1
        if not drive(attempt(at)):
            break
    assert at > 4, "the reads, and the look"


# A service


def service(runner: JobManager, make: Make) -> FastAPI:
    """A service that creates jobs without threads, beside a pool of the same process that runs them."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with make() as jobs:
            app.state.jobs = jobs
            with WorkerPool(runner, threads=2):
                yield

    app = FastAPI(lifespan=lifespan)

    @app.post("/squares/{n}")
    async def square(n: int) -> dict[str, Any]:
        job = await app.state.jobs.create("square", {"n": n})
        return {"id": job.id, "new": job.created}

    @app.get("/squares/{id}")
    async def result(id: str) -> dict[str, Any]:
        job = await app.state.jobs.wait(id, timeout=PATIENCE)
        return {"state": job.state, "result": job.result}

    return app


def test_a_fastapi_service_creates_jobs_and_waits_for_them(make: Make, make_manager: MakeManager) -> None:
    runner = make_manager(executors={"square": lambda data: data["n"] ** 2})
    with TestClient(service(runner, make)) as web:
        made = [web.post(f"/squares/{n}").json() for n in (12, 12, 13)]
        assert [item["new"] for item in made] == [True, False, True]
        found = [web.get(f"/squares/{item['id']}").json() for item in made]
    assert found == [{"state": "succeeded", "result": result} for result in (144, 144, 169)]
    until(lambda: runner.count(state="succeeded") == 2, "the jobs")
