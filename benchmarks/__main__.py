"""``python -m benchmarks NAME``: the same as ``jobpool bench NAME``, in a checkout."""

import sys

from jobpool.cli import main

sys.exit(main(["bench", *sys.argv[1:]]))
