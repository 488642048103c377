"""A Ray cluster of two nodes, private to the tests, to which this process is connected."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .processes import free_port

STORE = 100 * 2**20
NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": STORE}


@pytest.fixture(scope="session")
def ray_nodes() -> Iterator[Any]:
    """Ray's ``Cluster`` of two nodes, each like ``one``; ``ray_client`` is the address for Ray's client."""
    pytest.importorskip("ray", reason="needs Ray: pip install 'memberwise[ray]'")
    import ray
    from ray.cluster_utils import Cluster

    patch, port = pytest.MonkeyPatch(), free_port()
    patch.setenv("RAY_worker_niceness", "0")
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    patch.setenv("GRPC_ENABLE_FORK_SUPPORT", "0")  # else what serves Ray's client dies now and then as it begins
    head = {**NODE, "include_dashboard": False, "ray_client_server_port": port}
    made: Any = Cluster(initialize_head=True, head_node_args=head)
    try:
        made.add_node(**NODE)
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
        ray.init(address=made.address, **quiet)
        made.one = NODE
        made.ray_client = f"ray://127.0.0.1:{port}"
        yield made
    finally:
        ray.shutdown()
        made.shutdown()
        patch.undo()
