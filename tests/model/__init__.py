"""The protocol as a model small enough to try everything, and the real store held against it.

Read in this order:

- `rules`: what the store does to one job document, operation by operation;
- `model`: two pools, somebody who cancels, the network between, and everything that goes wrong;
- `search`: all states of it, the shortest way to a broken invariant;
- `bugs`: the rules with one mistake each, and the invariant that each breaks.

`test_model` searches, `test_traces` replays ways of the model on a real
mongod, `test_store_machine` walks the real store at random beside the rules.
"""
