"""What runs in the child process of an isolated executor.

It imports little of jobpool, no driver above all: a child is there sooner and
takes half the memory, unless the executor's own module imports more.

A request is ``(fn, data, facts)``, pickled; an answer is `DONE` and the result,
or `FAILED` and a `Failure`. Both processes run the code of the same user;
nothing that was read from the store is unpickled, only what one of the two
has pickled.
"""

from .failing import Failure
from .serving import DONE, FAILED, HEADER, serve

__all__ = ["DONE", "FAILED", "HEADER", "Failure", "serve"]
