"""Random numbers of our own: a host that seeds Python's, or watches them, is not disturbed by our threads."""

from __future__ import annotations

import os
from random import Random

#: Not for secrets. Its methods are safe from any thread.
RANDOM = Random()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=RANDOM.seed)  # children of one process must not march in step
