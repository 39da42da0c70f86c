"""``python -m jobpool``: the same as ``jobpool``."""

import sys

from .cli import main

sys.exit(main())
