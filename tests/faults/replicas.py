"""Mongods to be killed, frozen, restarted and elected, which everybody may reach through proxies."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from jobpool.bench import replicas

from .proxy import Proxy

Client = replicas.Client
#: For failpoints, and for changes of a configuration in the middle of things.
TEST_COMMANDS = ("--setParameter", "enableTestCommands=1")


class Node(replicas.Node):
    """A member that may stand behind a proxy.

    Attributes:
        proxy: What stands before it, if the set was made so; clients and the
            other members know only its port.
    """

    proxy: Proxy | None = None

    @property
    def host(self) -> str:
        """The name under which it is a member."""
        return super().host if self.proxy is None else f"127.0.0.1:{self.proxy.port}"

    def close(self) -> None:
        """Kill it, for good, and what stands before it."""
        super().close()
        if self.proxy is not None:
            self.proxy.close()


class ReplicaSet(replicas.ReplicaSet[Node]):
    """Members that elect fast and know test commands, as a context manager.

    Args:
        nodes: How many.
        proxied: Whether everybody, the members too, reaches each through a `Proxy`.
        oplog_mb: What the oplog may take; the checker reads all of a run from it.
        options: For the command line of every mongod.
        environment: For all of them (a faked clock, say).
        directory: Where the data are; a temporary one if None.
    """

    def __init__(
        self,
        nodes: int = 3,
        *,
        proxied: bool = False,
        oplog_mb: int = 200,
        options: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
        directory: Path | None = None,
    ) -> None:
        every = (*TEST_COMMANDS, *options)
        super().__init__(
            Node, nodes, oplog_mb=oplog_mb, options=every, environment=environment, directory=directory
        )
        for node in self.nodes if proxied else ():
            node.proxy = Proxy(("127.0.0.1", node.port))
            node.proxy.start()


def while_away(node: Node, act: Callable[[], object]) -> None:
    """Freeze `node`, `act`, and let it go on."""
    node.send(signal.SIGSTOP)
    try:
        act()
    finally:
        node.send(signal.SIGCONT)
