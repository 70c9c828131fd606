"""Orders of toy runs, and a real Slurm of one node on this machine, for as long as the tests run."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from launched import Made
from slurm_commands import end_all_jobs, said, until

from sklab.store.records import RunOrder
from sklab.store.run_folder import RunFolder

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue")

# Preemption by partition puts jobs back in the queue; everything listens on the loopback device only. The socket's
# cred_expire is also how long a job waits when it is put back (120 s by default).
CONFIGURATION = """\
ClusterName=sklab
SlurmctldHost={host}(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CryptoType=crypto/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SchedulerParameters=batch_sched_delay=0,sched_interval=1,sched_min_interval=0,bf_interval=1,preempt_youngest_first
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SchedulerType=sched/backfill
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
MpiDefault=none
SwitchType=switch/none
KillWait=5
SlurmdTimeout=60
JobRequeue=1
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=60 State=UP PriorityTier=1 PreemptMode=REQUEUE
PartitionName=high Nodes={host} MaxTime=60 State=UP PriorityTier=10 PreemptMode=OFF
"""


@pytest.fixture
def made(tmp_path: Path, toy_order: Callable[..., RunOrder]) -> Made:
    """Writes the order of a toy run into a folder of its own."""

    def make(**changes: object) -> RunFolder:
        order = toy_order(**changes)
        run = RunFolder(tmp_path / order.key)
        run.write_order(order)
        return run

    return make


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The folder of a running Slurm; commands find it by SLURM_CONF."""
    _ask()
    folder = tmp_path_factory.mktemp("slurm")
    _configure(folder)
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as daemons:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        files = {name: f"--{name}={folder}/munge.{name}" for name in ("socket", "seed-file", "pid-file", "log-file")}
        _daemon(daemons, "munged", "--foreground", "--force", f"--key-file={folder}/munge.key", *files.values())
        until((folder / "munge.socket").exists)
        _daemon(daemons, "slurmctld", "-D", "-c")
        until(lambda: said("sinfo", "-h") != "")
        _daemon(daemons, "slurmd", "-D")
        until(lambda: "idle" in said("sinfo", "-h", "-o", "%T"))
        yield folder
        end_all_jobs()


def _ask() -> None:
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing or os.geteuid() != 0 or (os.cpu_count() or 1) < 2:
        reason = f"without {', '.join(missing)}" if missing else "not root, or a single core"
        pytest.skip(f"needs Slurm on this machine ({reason}): as root, apt-get install slurm-wlm munge")


def _configure(folder: Path) -> None:
    for name in ("state", "spool", "log"):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(os.urandom(1024))
    key.chmod(0o400)
    host = socket.gethostname().partition(".")[0]
    (folder / "slurm.conf").write_text(CONFIGURATION.format(folder=folder, host=host, ports=_free_ports()))


def _free_ports() -> tuple[int, int]:
    with socket.socket() as one, socket.socket() as other:
        one.bind(("127.0.0.1", 0))
        other.bind(("127.0.0.1", 0))
        return one.getsockname()[1], other.getsockname()[1]


def _daemon(daemons: contextlib.ExitStack, *command: str) -> None:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def end() -> None:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    daemons.callback(end)
