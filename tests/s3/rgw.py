"""Ceph's S3 gateway with a one-node cluster behind it, in memory, for as long as a block runs.

    monitor (the cluster's memory of itself) ── one OSD, objects in RAM ── radosgw, which speaks S3

The programs come from the Debian packages `radosgw`, `ceph-mon` and `ceph-osd`. They run in the foreground as children
of this process, listen on 127.0.0.1 only, and die with it. Started by hand, `python -m tests.s3.rgw` prints the address
and waits for Enter.

What makes the start fast: the monitors' proposal interval is cut from a second to 20 ms, pools are made in one go and
small, and nothing waits for a step that the next command waits for anyway. `tcp_nodelay` spares every GET 40 ms.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import urllib.error
import urllib.request
import uuid
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tablelog import env
from tests.s3.server import S3Server, free_port, missing_programs

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS: Final = ("radosgw", "radosgw-admin", "ceph-mon", "ceph-osd", "ceph", "ceph-authtool", "monmaptool")

_START_MAX_S: Final = 60.0
_POOLS: Final = (
    ".rgw.root",
    "default.rgw.log",
    "default.rgw.control",
    "default.rgw.meta",
    "default.rgw.buckets.index",
    "default.rgw.buckets.data",
    "default.rgw.buckets.non-ec",
)

_CONFIGURATION: Final = """
[global]
fsid = {cluster_id}
mon host = v2:127.0.0.1:{monitor_port}
ms bind msgr1 = false
public network = 127.0.0.0/8
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = cephx
auth service required = cephx
auth client required = cephx
keyring = {folder}/keyring
run dir = {folder}
admin socket =
pid file =
log file = {folder}/$name.log
mon cluster log file = {folder}/cluster.log
crash dir = {folder}
log flush on exit = false
osd pool default size = 1
osd pool default min size = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon max pg per osd = 1000
mon data avail crit = 1
mon data avail warn = 2
mon osd min up ratio = 0
osd heartbeat grace = 60
paxos propose interval = 0.02
paxos min wait = 0.01

[mon.a]
mon data = {folder}/mon
mon initial members = a

[osd.0]
osd data = {folder}/osd
osd objectstore = memstore
memstore device bytes = 4294967296
osd class update on start = true

[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:{port} tcp_nodelay=1
rgw thread pool size = 64
rgw enable usage log = false
rgw enable ops log = false
rgw gc max objs = 8
rgw lc max objs = 8
rgw usage max shards = 1
rgw md log max shards = 1
rgw data log num shards = 1
rgw override bucket index max shards = 1
rgw dynamic resharding = false
"""


def missing_rgw_programs() -> list[str]:
    """Programs that this machine lacks to run the gateway; empty if it can."""
    return missing_programs(*PROGRAMS)


@contextmanager
def rgw_server() -> Iterator[S3Server]:
    """Run the gateway while the block runs, with a bucket `test`. Starts in two to seven seconds."""
    with tempfile.TemporaryDirectory(prefix="rgw-", ignore_cleanup_errors=True) as name, ExitStack() as running:
        folder = Path(name)
        port = free_port()
        configuration = folder / "ceph.conf"
        configuration.write_text(
            _CONFIGURATION.format(folder=folder, cluster_id=uuid.uuid4(), monitor_port=free_port(), port=port)
        )
        server = S3Server(endpoint_url=f"http://127.0.0.1:{port}")
        _make_keys(folder)
        _make_monitor(folder, configuration)
        running.enter_context(_daemon(folder, "ceph-mon", "-i", "a"))
        _make_osd(folder, configuration)
        running.enter_context(_daemon(folder, "ceph-osd", "-i", "0"))
        _make_pools(configuration)
        _make_user(configuration, server)
        gateway = running.enter_context(_daemon(folder, "radosgw", "-n", "client.rgw"))
        _wait_for(server, gateway, folder)
        server.make_bucket("test")
        yield server


def _make_keys(folder: Path) -> None:
    keyring = str(folder / "keyring")
    everything = ("--cap", "mon", "allow *", "--cap", "osd", "allow *")
    _run("ceph-authtool", "--create-keyring", keyring, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
    for name in ("client.admin", "client.rgw", "osd.0"):
        _run("ceph-authtool", keyring, "--gen-key", "-n", name, *everything)


def _make_monitor(folder: Path, configuration: Path) -> None:
    (folder / "mon").mkdir()
    settings = dict(line.split(" = ", 1) for line in configuration.read_text().splitlines() if " = " in line)
    monitor_map = str(folder / "monmap")
    _run("monmaptool", "--create", "--fsid", settings["fsid"], "--addv", "a", f"[{settings['mon host']}]", monitor_map)
    _run("ceph-mon", "-c", str(configuration), "-i", "a", "--mkfs", "--monmap", monitor_map)


def _make_osd(folder: Path, configuration: Path) -> None:
    (folder / "osd").mkdir()
    osd_id = str(uuid.uuid4())
    _run("ceph", "-c", str(configuration), "--connect-timeout", "20", "osd", "new", osd_id)
    _run("ceph-osd", "-c", str(configuration), "-i", "0", "--mkfs", "--osd-uuid", osd_id)


def _make_pools(configuration: Path) -> None:
    """Send all commands to one `ceph` shell: each start of it costs half a second."""
    commands = "".join(
        f"osd pool create {pool} 4 4 replicated\nosd pool application enable {pool} rgw\n" for pool in _POOLS
    )
    _run("ceph", "-c", str(configuration), "--connect-timeout", "20", stdin=commands)


def _make_user(configuration: Path, server: S3Server) -> None:
    arguments = ("user", "create", "--uid=test", "--display-name=test")
    secrets = (f"--access-key={server.key}", f"--secret={server.secret}")
    _run("radosgw-admin", "-c", str(configuration), "-n", "client.rgw", *arguments, *secrets)


def _run(program: str, *arguments: str, stdin: str = "") -> None:
    """Run a program to its end; raises with what it said if it fails."""
    done = subprocess.run(
        [program, *arguments], input=stdin, capture_output=True, text=True, timeout=_START_MAX_S, check=False
    )
    if done.returncode != 0:
        message = f"{program} failed with {done.returncode}: {done.stderr[-2000:]}"
        raise RuntimeError(message)


@contextmanager
def _daemon(folder: Path, program: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program in the foreground; it is killed when the block ends, or when this process dies in any way."""
    with_us = ["setpriv", "--pdeathsig", "KILL", "--"] if shutil.which("setpriv") else []
    with (folder / f"{program}.out").open("wb") as output:
        process = subprocess.Popen(
            [*with_us, program, "-c", str(folder / "ceph.conf"), "-f", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait(20)


def _wait_for(server: S3Server, gateway: subprocess.Popen[bytes], folder: Path) -> None:
    deadline_s = env.monotonic_s() + _START_MAX_S
    while env.monotonic_s() < deadline_s:
        try:
            urllib.request.urlopen(server.endpoint_url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            if gateway.poll() is not None:
                break
            env.sleep(0.05)
        else:
            return
    said = (folder / "radosgw.out").read_text()[-2000:]
    message = f"radosgw did not come up within {_START_MAX_S} s; it said: {said}"
    raise RuntimeError(message)


if __name__ == "__main__":
    with rgw_server() as started:
        print(started)  # noqa: T201 - for the person who started it
        input("Enter stops it. ")
