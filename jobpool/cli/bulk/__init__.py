"""Commands that change many jobs: they count first, ask, go on page by page, and say how far they came.

`given` reads ids, `operation` says what a command does, `look` finds the jobs
meant, `change` changes them, `result` is what comes of it.
"""
