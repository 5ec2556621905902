"""Fixtures: S3 servers for tests, started at first use, one of each per session.

moto          `S3Server`, in this process
misbehaving   the same server, and the tricks it can play; reset for every test
rgw           `S3Server`, Ceph's gateway; skipped where it is not installed, unless TABLELOG_REQUIRE_RGW=1
moto_url      a fresh folder on moto, as (url, storage_options)
rgw_url       a fresh folder on Ceph's gateway, as (url, storage_options)
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from tests.s3.moto_server import MotoServer, moto_server
from tests.s3.rgw import missing_rgw_programs, rgw_server

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.s3.server import S3Server


@pytest.fixture(scope="session")
def moto_process() -> Iterator[MotoServer]:
    """moto, and the way to make it misbehave."""
    with moto_server() as running:
        yield running


@pytest.fixture(scope="session")
def moto(moto_process: MotoServer) -> S3Server:
    """moto with atomic conditional writes."""
    return moto_process.server


@pytest.fixture
def misbehaving(moto_process: MotoServer) -> Iterator[MotoServer]:
    """moto, counting requests from zero, to be told what to do wrong."""
    moto_process.misbehaviour.reset()
    yield moto_process
    moto_process.misbehaviour.reset()


@pytest.fixture(scope="session")
def rgw() -> Iterator[S3Server]:
    """Ceph's S3 gateway."""
    missing = missing_rgw_programs()
    if missing:
        reason = f"Ceph's gateway is not installed: no {', '.join(missing)} (Debian: radosgw ceph-mon ceph-osd)"
        if os.environ.get("TABLELOG_REQUIRE_RGW") == "1":
            pytest.fail(reason)
        pytest.skip(reason)
    with rgw_server() as server:
        yield server


@pytest.fixture
def moto_url(moto: S3Server) -> tuple[str, dict[str, Any]]:
    """URL and storage options of an unused folder on moto."""
    return moto.fresh_url(), moto.storage_options


@pytest.fixture
def rgw_url(rgw: S3Server) -> tuple[str, dict[str, Any]]:
    """URL and storage options of an unused folder on Ceph's gateway."""
    return rgw.fresh_url(), rgw.storage_options
