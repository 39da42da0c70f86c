"""The faults by number: what is done, and how long its test takes (u: seconds, r: up to a minute, s: minutes)."""

from __future__ import annotations

from typing import NamedTuple


class Fault(NamedTuple):
    """One line of the catalogue."""

    tier: str
    title: str


CATALOGUE = {
    "F01": Fault("r", "worker killed in the middle of jobs"),
    "F02": Fault("r", "worker killed between claim and hand-over"),
    "F03": Fault("r", "worker killed after the executor returned, before the finish"),
    "F06": Fault("u", "SIGTERM, jobs shorter than the grace"),
    "F07": Fault("r", "SIGTERM, jobs longer than the grace, queue full"),
    "F09": Fault("r", "second SIGTERM, SIGKILL in a drain"),
    "F10": Fault("u", "stop() twice, at once, before start, from a job, a signal handler, atexit"),
    "F13": Fault("u", "limits of memory, files and threads"),
    "F14": Fault("u", "exceptions of 10 MB, cyclic causes, deep tracebacks"),
    "F16": Fault("u", "SystemExit, KeyboardInterrupt, GeneratorExit, CancelledError in a job"),
    "F18": Fault("r", "job longer than many leases"),
    "F20": Fault("r", "interpreter lock held longer than a heartbeat, busy host"),
    "F21": Fault("u", "job that never returns"),
    "F22": Fault("u", "job that stops its pool, creates, cancels or runs jobs"),
    "F23": Fault("u", "hostile metrics, hooks and logging handlers"),
    "F24": Fault("u", "slow consumer, full queue, two types"),
    "F25": Fault("u", "every driver error in every store call"),
    "F26": Fault("u", "100 starts and stops, pools dropped without a stop"),
    "F28": Fault("u", "started from another thread, from an event loop, under pytest"),
    "F30": Fault("r", "fork storm under load"),
    "F32": Fault("u", "host changes logging, time.time and the socket timeout"),
    "F33": Fault("s", "an hour of load, compressed"),
    "F34": Fault("u", "wheel without extras, -O, -W error, dev mode"),
    "F35": Fault("u", "newest Python at hand"),
    "F36": Fault("r", "mongod restarted cleanly, idle and busy"),
    "F37": Fault("r", "mongod killed and restarted, jobs in flight"),
    "F38": Fault("r", "primary steps down again and again"),
    "F39": Fault("r", "primary killed, election, old primary returns"),
    "F45": Fault("r", "every server error code in every command"),
    "F46": Fault("r", "connections closed by the server"),
    "F47": Fault("r", "slow, black, half-closed, resetting and dribbling network"),
    "F48": Fault("r", "create storm on one id, replies lost"),
    "F49": Fault("r", "server absent at the start"),
    "F51": Fault("r", "batch claim torn in the middle"),
    "F52": Fault("r", "rights revoked, collection dropped, index missing or other"),
    "F53": Fault("s", "disk full"),
    "F54": Fault("r", "every heartbeat slower than the lease"),
    "F56": Fault("r", "clocks that step by hours"),
    "F58": Fault("u", "16 MiB edge of data, result and history"),
    "F59": Fault("s", "backlog of a million, purge and admin queries beside"),
    "F60": Fault("r", "herd of 30 workers after an outage"),
    "F61": Fault("u", "random walks of the store against a model"),
    "F62": Fault("u", "exhaustive model of the protocol"),
    "L01": Fault("r", "workers killed while jobs snooze, are retried by rule and cancelled from elsewhere"),
    "L02": Fault("u", "replies to snoozes and cancels lost"),
    "L03": Fault("u", "worker killed between a checkpoint and the finish"),
    "L04": Fault("u", "executor that hangs past its timeout and grace"),
    "L05": Fault("u", "worker killed before it knows that its job is cancelled"),
    "L06": Fault("r", "worker frozen while a timeout runs"),
    "L07": Fault("u", "worker killed whose executor runs in a child process"),
    "L08": Fault("r", "workers killed while jobs are completed in transactions of their executors"),
}
