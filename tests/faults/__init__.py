"""The fault suite: what is done to jobpool on purpose, and how it is judged.

Harness, each part usable by itself:

- `replicas`: a replica set of three to kill, freeze and elect; `proxy`: what networks do; `failpoints`: what
  servers do; `clocks`: wall clocks that step.
- `processes`: a run of worker processes on one database (`app` is their program); `recording` writes down what
  each asked and was told, `history` keeps it, `oplog` is the server's own account, `checker` and
  `change_judge` judge all three.
- `report`: the `fault` fixture; every test proves that its fault struck and says its figure.
- `catalogue`: the faults by number. `seeds`: bugs on purpose that the suite must find.

Tests are numbered as the catalogue is: ``test_f16_...``, those of what may end a
job or put it off ``test_l01_...``. A short run of every
fault is part of the normal test run; ``--faults=full`` takes the full
lengths, ``-m soak`` what takes minutes whatever is done about it.
"""
