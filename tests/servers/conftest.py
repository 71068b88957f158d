"""Lets these tests share `s3` and `postgres`, which pytest's importlib mode keeps off the path, and one server of each a session."""

from __future__ import annotations

import itertools
import os
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import s3

os.environ[s3.VARIABLE] = s3.SECRET  # for these tests, and for the workers and nodes that they start

_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def s3_server():
    """A running S3 server."""
    from s3 import s3_server

    with (
        tempfile.TemporaryDirectory(prefix="s3-") as folder,
        s3_server(Path(folder)) as server,
    ):  # short: sockets lie in it
        yield server


@pytest.fixture
def bucket(s3_server):
    """The URL of a new bucket."""
    return s3_server.make_bucket(f"bucket-{next(_numbers)}")


@pytest.fixture(scope="session")
def azure_server():
    """A running Azure Blob server; without one, and without npm to install it, what needs it is skipped."""
    from azurite import NotInstalled, azurite

    try:
        with tempfile.TemporaryDirectory(prefix="azure-") as folder, azurite(Path(folder)) as server:
            yield server
    except NotInstalled as error:
        pytest.skip(str(error))


@pytest.fixture
def container(azure_server):
    """The URL of a new container."""
    return azure_server.make_bucket(f"container-{next(_numbers)}")


@pytest.fixture(scope="session")
def postgres_url():
    """The URL of a running PostgreSQL."""
    from postgres import postgres

    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        Path(folder).chmod(0o755)  # the server is another user
        with postgres(Path(folder) / "server") as url:
            yield url


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes on this machine, with a core each."""
    from ray_cluster import ray_cluster

    with tempfile.TemporaryDirectory(prefix="ray-", dir="/tmp") as folder, ray_cluster(Path(folder)) as started:
        yield started


@pytest.fixture
def losable(cluster):
    """The cluster, for a test that kills a node."""
    yield cluster
    cluster.heal()


@pytest.fixture
def root(tmp_path, s3_server, bucket, cluster):
    """The folder of a project that the cluster can run."""
    from ray_project import make_project

    return make_project(tmp_path, s3_server, bucket, cluster)
