"""How a child lives with its parent: its group, its signals, its end, its log."""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import threading

from ..job_logs import JobLogFilter, TextFormatter

#: Seconds after which the child looks whether its parent is there, if nothing told it: a process that
#: the parent forked may hold open what should have closed.
LOOK_AGAIN = 1.0

#: What reaches all processes of a terminal or a service, and what Python does about it.
_IGNORED = (signal.SIGINT, signal.SIGTERM)
#: The signals that a thread had blocked when it forked.
_before_fork = threading.local()


def settle() -> None:
    """Become a child that ends with its parent, by its parent's will, and by nothing else."""
    os.setpgrp()  # so that it can be killed with all that it starts
    threading.Thread(target=_follow, name="jobpool-parent", daemon=True).start()
    for number in _IGNORED:
        signal.signal(number, _ignore)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _IGNORED)
    _obey_signals_in_forks()
    multiprocessing.current_process().daemon = False  # or an executor could not use multiprocessing
    _log_to_stderr()


def _ignore(number: int, frame: object) -> None:
    """Do nothing about Ctrl-C, or a SIGTERM to all processes of a service: the parent drains.

    A handler, and not SIG_IGN, which programs that the executor starts would inherit.
    """


def _obey_signals_in_forks() -> None:
    """Let the processes that an executor forks end as usual, from their first instant on."""
    os.register_at_fork(before=_hold_signals, after_in_parent=_let_signals, after_in_child=_restore_signals)


def _hold_signals() -> None:
    _before_fork.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)


def _let_signals() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _before_fork.mask)


def _restore_signals() -> None:
    if signal.getsignal(signal.SIGINT) is _ignore:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if signal.getsignal(signal.SIGTERM) is _ignore:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _let_signals()


def _follow() -> None:
    """End this process, and what it has started, as soon as its parent has ended."""
    parent = multiprocessing.parent_process()
    if parent is None:  # no child of multiprocessing
        return
    while parent.is_alive() and os.getppid() == parent.pid:
        parent.join(LOOK_AGAIN)
    os.killpg(0, signal.SIGKILL)


def _log_to_stderr() -> None:
    """Send warnings to stderr, with the job's id, unless the executor's module configures logging itself.

    What the program of the parent configures behind its main guard is not done here.
    """
    handler = logging.StreamHandler()
    handler.setLevel(logging.WARNING)
    handler.setFormatter(TextFormatter())
    handler.addFilter(JobLogFilter())
    logging.lastResort = handler
    ours = logging.getLogger("jobpool")
    for silent in [one for one in ours.handlers if isinstance(one, logging.NullHandler)]:
        ours.removeHandler(silent)
