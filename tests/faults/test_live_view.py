"""``jobpool top`` on a replica set that loses members: the view stays, says who is lost, and goes on."""

from __future__ import annotations

import json
from pathlib import Path

from jobpool import JobManager

from ..process.cli import Cli
from .replicas import ReplicaSet


def test_the_view_goes_on_after_an_election_and_names_the_member_that_is_lost(
    replicas: ReplicaSet, tmp_path: Path
) -> None:
    with JobManager("live_view", uri=replicas.uri) as manager:
        manager.create("mail")
        cli = Cli(replicas.uri, "live_view", tmp_path)
        with cli.started("top", "--json", "--every", "0.2", "--timeout", "2") as process:
            assert process.stdout is not None
            frames = (json.loads(line) for line in process.stdout)
            first = next(frames)
            killed = replicas.kill_primary()
            lost = next(frame for frame in frames if frame["unreachable"] and not frame["trouble"])
            manager.create("bill")
            grown = next(frame for frame in frames if frame["documents"] == 2)
            process.kill()
    assert (first["members"], first["unreachable"], first["documents"]) == (3, [], 1)
    assert lost["unreachable"] == [killed.host]
    assert lost["server"] != first["server"] == killed.host
    assert grown["replica_set"] == first["replica_set"]
