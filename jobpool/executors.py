"""Executors: the callables that run jobs, one per type."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from .backoff import Backoff, Delays, delays_of
from .errors import InvalidConfiguration, InvalidData, InvalidJob, UnknownType
from .isolation import check_isolable, check_not_in_starting_child
from .limits import Gate, KeyLike, KeyOf, Limit
from .names import check_int, check_name, check_seconds, shown
from .retention import Retention, retention_of
from .signals import Retry
from .validation import Validator, validator_of, words_of

MAX_ATTEMPTS = 1000
PROCESS = "process"
MAX_SNOOZES = 1_000_000
#: Seconds of `timeout` and of a pool's `stuck_after`.
SHORTEST_LIMIT, LONGEST_LIMIT = 0.1, 365 * 86400.0
#: The most of an attempt's own log lines that are kept with its job.
MAX_LOG_LINES = 200
#: Pending jobs are counted one by one, up to the bound.
MAX_PENDING = 1_000_000

#: What may be given as a rule for the delay between attempts.
BackoffLike = Delays | float | Sequence[float] | Callable[[int, BaseException | None], float]
Classes = type[BaseException] | tuple[type[BaseException], ...]


@dataclass(frozen=True)
class Executor:
    """A callable that runs the jobs of one type, with its rules.

    Args:
        fn: Called with ``(data)``, or with ``(data, manager)`` when it has a
            second parameter without a default. Plain or ``async def``. What it
            returns is the job's result; what it raises fails the attempt.
        max_attempts: How often a job of this type may be started in its life,
            crashes included, 1 to 1000. A job created with its own
            ``max_attempts`` keeps that. The default is 1: at most once.
        backoff: The delay between attempts: a `Backoff`, seconds, a list of
            seconds (the last one holds for all others), or a function of
            attempt and error that returns seconds.
        retry_on: Only errors of these classes are tried again; all if None.
        give_up_on: Errors of these classes are not, whatever `retry_on` says.
        max_snoozes: How often a job may raise `Snooze` in its life; then it fails.
        timeout: Seconds that an attempt may take. A coroutine is cancelled
            then. A thread cannot be ended: its executor is told
            (``current_job().check()`` raises `TimedOut`). A job created with
            its own ``timeout`` keeps that. None: no limit.
        grace: Seconds that a told executor has to end by itself. After that
            its attempt is recorded as timed out, whatever the thread does
            later, and another thread takes its place in the pool.
        keep_succeeded, keep_failed, keep_cancelled: Seconds after which a job
            that ended so is deleted, by MongoDB, within a minute or two. Its
            id may then be created, and run, again. None keeps it for ever.
        keep_result: Seconds after which the result is deleted, and only that.
        log_lines: How many of its last lines, by ``current_job().log`` and
            ``.logger``, are kept with the job; 0 keeps none.
        max_pending: How many of its jobs may be pending, where this executor is known;
            what is created beyond that raises, waits or is dropped, as ``on_full`` of `create`
            says. None: any number. `JobManager.max_pending` says so where it is not.
        isolation: ``"process"`` runs it in a child process, for work that keeps
            a core busy or may crash: it is killed at its timeout or when the
            job is cancelled, and takes nobody along when it dies. `fn` must be
            a function at the top of a module, called with ``(data)``.
        data: What the data must be: a pydantic model class, a dataclass, or a
            function that returns what `fn` is called with or raises; see
            `jobpool.validation`. Checked before a job is created where its
            executor is known, and always before `fn` is called: what does not
            pass then fails the job at once. None: anything.
        aliases: Other names of the type, such as the one it had before it was
            renamed: jobs stored under them are claimed and run here as well,
            by the same rules. A job keeps the name it was created with, in the
            store, in its id (the hash of type and data) and in metrics.
        key: Whose a job is: a function of its data, or the path of a field in
            them, such as ``"tenant"`` or ``"customer.id"``. Keys take turns,
            so that one with many jobs does not keep another waiting.
        limit: How many jobs of the type may run, or begin per time, in all pools together.
        key_limit: The same of each key.
    """

    fn: Callable[..., Any]
    max_attempts: int = field(default=1, kw_only=True)
    backoff: BackoffLike = field(default_factory=Backoff, kw_only=True)
    retry_on: Classes | None = field(default=None, kw_only=True)
    give_up_on: Classes = field(default=(), kw_only=True)
    max_snoozes: int = field(default=1000, kw_only=True)
    timeout: float | None = field(default=None, kw_only=True)
    grace: float = field(default=5.0, kw_only=True)
    keep_succeeded: float | None = field(default=None, kw_only=True)
    keep_failed: float | None = field(default=None, kw_only=True)
    keep_cancelled: float | None = field(default=None, kw_only=True)
    keep_result: float | None = field(default=None, kw_only=True)
    log_lines: int = field(default=0, kw_only=True)
    max_pending: int | None = field(default=None, kw_only=True)
    isolation: str | None = field(default=None, kw_only=True)
    data: Any = field(default=None, kw_only=True)
    aliases: Sequence[str] = field(default=(), kw_only=True)
    key: KeyLike | None = field(default=None, kw_only=True)
    limit: Limit | None = field(default=None, kw_only=True)
    key_limit: Limit | None = field(default=None, kw_only=True)
    delays: Delays = field(init=False, repr=False, compare=False)
    retention: Retention | None = field(init=False, repr=False, compare=False)
    validator: Validator | None = field(init=False, repr=False, compare=False)
    keys: KeyOf | None = field(init=False, repr=False, compare=False)
    wants_manager: bool = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not callable(self.fn):
            raise InvalidConfiguration(f"an executor must be callable, not {type(self.fn).__name__}")
        object.__setattr__(self, "aliases", _names(self.aliases))
        object.__setattr__(self, "delays", delays_of(self.backoff))
        check_int(self.max_attempts, "max_attempts", 1, MAX_ATTEMPTS)
        check_int(self.max_snoozes, "max_snoozes", 0, MAX_SNOOZES)
        check_int(self.log_lines, "log_lines", 0, MAX_LOG_LINES)
        if self.max_pending is not None:
            check_int(self.max_pending, "max_pending", 1, MAX_PENDING)
        _check_classes(self.retry_on, "retry_on")
        _check_classes(self.give_up_on, "give_up_on")
        check_seconds(self.grace, "grace", 0, LONGEST_LIMIT)
        if self.isolation not in (None, PROCESS):
            raise InvalidConfiguration(f"isolation must be None or {PROCESS!r}, not {shown(self.isolation)}")
        keep = retention_of(self.keep_succeeded, self.keep_failed, self.keep_cancelled, self.keep_result)
        object.__setattr__(self, "retention", keep)
        object.__setattr__(self, "validator", validator_of(self.data))
        object.__setattr__(self, "keys", None if self.key is None else KeyOf(self.key))
        for limit, what in ((self.limit, "limit"), (self.key_limit, "key_limit")):
            if not isinstance(limit, Limit | None):
                raise InvalidConfiguration(f"{what} must be a Limit, not {type(limit).__name__}")
        if self.key_limit is not None and self.key is None:
            raise InvalidConfiguration("key_limit needs key=: it limits the jobs of each key")
        if self.timeout is not None:
            check_seconds(self.timeout, "timeout", SHORTEST_LIMIT, LONGEST_LIMIT)
        object.__setattr__(self, "wants_manager", _wants_manager(self.fn))
        if self.isolation is not None:
            check_isolable(self.fn, defined=False)
            if self.wants_manager:
                raise InvalidConfiguration("an executor in a child process takes (data): the manager stays here")

    def __call__(self, data: Any, manager: Any) -> Any:
        """Call the function as it wants to be called; a coroutine comes back as such.

        Raises:
            InvalidData: The data do not pass; the function was not called.
        """
        if self.validator is not None:
            data = self.validator.check(data)
        return self.fn(data, manager) if self.wants_manager else self.fn(data)

    def validated(self, data: Any) -> Any:
        """Return what the function is called with for `data`; raise `InvalidData` if they do not pass."""
        return data if self.validator is None else self.validator.check(data)

    def retries(self, error: BaseException) -> bool:
        """Say whether an attempt that raised `error` may be tried again, if attempts are left."""
        if isinstance(error, Retry):
            return True
        if isinstance(error, InvalidData):
            return False
        return not isinstance(error, self.give_up_on) and (
            self.retry_on is None or isinstance(error, self.retry_on)
        )

    def stored(self, type: str, data: Any) -> Any:
        """Return what is stored for `data` of a job of `type`: as given, or the fields of a model's instance.

        Raises:
            InvalidJob: They do not pass; nothing is to be created.
        """
        if self.validator is None:
            return data
        try:
            plain = self.validator.plain(data)
            seen = _as_stored(plain)
            if seen is not None:
                self.validator.check(seen[0])
        except Exception as error:
            said = error if isinstance(error, InvalidData) else f"the data cannot be read: {words_of(error)}"
            raise InvalidJob(f"type {shown(type)}: {said}; this job was not created") from error
        return plain


def _names(aliases: Sequence[str]) -> tuple[str, ...]:
    """Return the other names of a type, checked."""
    if not isinstance(aliases, list | tuple):  # a str is a sequence of its letters
        raise InvalidConfiguration(f"aliases must be a tuple of names, not {type(aliases).__name__}")
    return tuple(dict.fromkeys(check_name(alias, "alias") for alias in aliases))


def _as_stored(data: Any) -> tuple[Any] | None:
    """Return a copy as an executor will get them; None if they cannot be stored: the request tells why."""
    from .data import as_stored  # imports the driver's BSON, which nobody else here needs

    try:
        return (as_stored(data),)
    except Exception:  # noqa: BLE001
        return None


def _check_classes(value: object, what: str) -> None:
    classes = value if isinstance(value, tuple) else (value,)
    if value is not None and not all(isinstance(one, type) and issubclass(one, BaseException) for one in classes):
        raise InvalidConfiguration(f"{what} must be an exception class or a tuple of them, not {value!r:.80}")


def _wants_manager(fn: Callable[..., Any]) -> bool:
    """Say whether `fn` takes ``(data, manager)``; raise `InvalidConfiguration` if neither form fits."""
    try:
        parameters = inspect.signature(fn).parameters.values()
    except (TypeError, ValueError):
        return False  # a builtin that does not tell: data only
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    required = [p for p in positional if p.default is p.empty]
    keyword = [p for p in parameters if p.kind is p.KEYWORD_ONLY and p.default is p.empty]
    takes_any = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    if len(required) > 2 or keyword or (not positional and not takes_any):
        name = getattr(fn, "__qualname__", repr(fn))
        raise InvalidConfiguration(f"executor {name} must take (data) or (data, manager)")
    return len(required) == 2


class Rules(TypedDict, total=False):
    """The rules of `Executor` as keyword arguments."""

    max_attempts: int
    backoff: BackoffLike
    retry_on: Classes | None
    give_up_on: Classes
    max_snoozes: int
    timeout: float | None
    grace: float
    keep_succeeded: float | None
    keep_failed: float | None
    keep_cancelled: float | None
    keep_result: float | None
    log_lines: int
    max_pending: int | None
    isolation: str | None
    data: Any
    aliases: Sequence[str]
    key: KeyLike | None
    limit: Limit | None
    key_limit: Limit | None


class Executors:
    """The executors of one manager, by type. An alias is a type like any other, with the executor of its type.

    Threads: registration by one at a time, also while pools run (see
    `WorkerPool.add_types`); reading is safe from any at any time (one dict, replaced item by item).
    """

    def __init__(self, executors: Mapping[str, Executor | Callable[..., Any]] | None = None) -> None:
        self._by_type: dict[str, Executor] = {}
        self._named: dict[str, tuple[str, ...]] = {}  # by each name of an executor that has several, all of them
        self._checking: dict[str, Executor] = {}  # those with a validator: most programs have none
        self._bounds: dict[str, int] = {}  # jobs that may be pending
        self._keeping: dict[str, float] = {}  # seconds that cancelled jobs are kept, if not for ever
        self._gates: dict[str, Gate] = {}  # of types with keys or limits
        for type, executor in (executors or {}).items():
            self.register(type, executor)

    def register(self, type: str, executor: Executor | Callable[..., Any]) -> Executor:
        """Make `executor` run the jobs of `type`, and of its aliases. A name has one executor.

        Raises:
            InvalidConfiguration: One of the names is taken; nothing was registered.
        """
        type = check_name(type, "type")
        made = executor if isinstance(executor, Executor) else Executor(executor)
        names = (type, *made.aliases)
        self._check_free(names)
        if made.keys or made.limit or made.key_limit:
            gate = Gate(type, names, made.limit, made.key_limit, made.keys)
            self._gates.update(dict.fromkeys(names, gate))  # first: who finds the executor finds its limits
        for name in names:
            self._register(name, made)
        if made.aliases:  # the last: who finds all names finds an executor for each
            self._named.update(dict.fromkeys(names, names))
        return made

    def _check_free(self, names: tuple[str, ...]) -> None:
        type = names[0]
        if type in names[1:]:
            raise InvalidConfiguration(f"type {shown(type)} cannot be an alias of itself")
        for name in filter(self._by_type.__contains__, names):
            wanted = "" if name == type else f", so it cannot be an alias of {shown(type)}"
            owner = self._named.get(name, (name,))[0]
            there = "" if name == owner else f" as an alias of {shown(owner)}"
            raise InvalidConfiguration(f"type {shown(name)} has an executor already{there}{wanted}")

    def _register(self, name: str, executor: Executor) -> None:
        self._by_type[name] = executor
        if executor.validator is not None:
            self._checking[name] = executor
        if executor.max_pending is not None:
            self._bounds[name] = executor.max_pending
        if executor.retention is not None and executor.retention.cancelled is not None:
            self._keeping[name] = executor.retention.cancelled

    def keeps_cancelled(self, type: str) -> float | None:
        """Return for how many seconds cancelled jobs of `type` are kept; None is for ever, or not known here."""
        return self._keeping.get(type) if self._keeping else None

    @property
    def bounded(self) -> bool:
        """Whether the pending jobs of any type are."""
        return bool(self._bounds)

    def max_pending(self, type: str) -> int | None:
        """Return how many jobs of `type` may be pending; None if that is not bounded, or not known here."""
        return self._bounds.get(type)

    @property
    def limited(self) -> bool:
        """Whether any type has keys or limits."""
        return bool(self._gates)

    def gate(self, type: str) -> Gate | None:
        """Return what a claim of jobs of `type` has to heed; None if it has neither keys nor limits."""
        return self._gates.get(type) if self._gates else None

    def key_of(self, type: str, data: Any) -> str | None:
        """Return the key of a job, if its type is known here to have keys or limits."""
        gate = self.gate(type)
        return None if gate is None else gate.key_of(type, data)

    def stored(self, type: object, data: Any) -> Any:
        """Return what is stored for `data`, as given if its type has no executor here; see `Executor.stored`."""
        if not self._checking or not isinstance(type, str) or type not in self._checking:
            return data
        return self._checking[type].stored(type, data)

    def stored_job(self, job: Any) -> Any:
        """Return a job spelled out as a mapping with its data as they are stored; anything else as it is."""
        if not self._checking or not isinstance(job, Mapping):
            return job
        data = job.get("data")
        plain = self.stored(job.get("type"), data)
        return job if plain is data else {**job, "data": plain}

    def __getitem__(self, type: str) -> Executor:
        return self._by_type[type]

    def __contains__(self, type: object) -> bool:
        return type in self._by_type

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._by_type))

    def select(self, types: tuple[str, ...]) -> tuple[str, ...]:
        """Return the types to claim: those named and their other names, or all that have an executor.

        Raises:
            UnknownType: A named type has no executor here, or there is none at all.
        """
        types = tuple(check_name(type, "type") for type in types)
        for type in types:
            if type not in self._by_type:
                raise UnknownType(f"no executor for type {shown(type)} here; known: {self._known()}")
        if not (types or self._by_type):
            raise UnknownType("no executors are registered, so there is nothing that could run here")
        if types and self._named:
            types = tuple(name for type in types for name in self._named.get(type, (type,)))
        return tuple(dict.fromkeys(types or self._by_type))

    def owner(self, type: str) -> str:
        """Return the type of which `type` is an alias; `type` itself if it is none."""
        return self._named.get(type, (type,))[0]

    def check_isolated(self, types: Iterable[str]) -> None:
        """Raise `InvalidConfiguration` if an executor of `types` cannot run in its child process after all.

        When it was registered its module may not have been complete. In such a
        child `PoolStateError` is raised: it must not run jobs of its own.
        """
        isolated = [executor for type in types if (executor := self._by_type[type]).isolation is not None]
        if isolated:
            check_not_in_starting_child()
        for executor in isolated:
            check_isolable(executor.fn)

    def _known(self) -> str:
        names = sorted(self._by_type)
        return ", ".join(shown(name)[1:-1] for name in names[:20]) + (", ..." if len(names) > 20 else "") or "none"
