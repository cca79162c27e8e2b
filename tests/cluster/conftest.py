"""A Slurm of one node on this machine, started by hand for the tests and gone after them."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

import pytest

CONFIGURED = Path("/etc/slurm/slurm.conf")  # the one place where a job step finds it: it loses SLURM_CONF
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "squeue", "scancel", "scontrol")

# More processors and memory than the machine may have: the node is only told to believe in them.
CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthInfo=socket={folder}/munge.socket
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
JobAcctGatherType=jobacct_gather/linux
JobAcctGatherFrequency=task=1
JobAcctGatherParams=OverMemoryKill
AccountingStorageType=accounting_storage/none
SlurmdParameters=config_overrides
GresTypes=gpu
MinJobAge=3600
KillWait=2
ReturnToService=2
NodeName={host} NodeAddr=127.0.0.1 CPUs=20 RealMemory=64000 Gres=gpu:4
PartitionName=cpu Nodes={host} Default=YES MaxTime=INFINITE State=UP
PartitionName=gpu Nodes={host} MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


def run(*command: str) -> str:
    return subprocess.run(
        command, capture_output=True, text=True, check=True, timeout=30, encoding="utf-8"
    ).stdout


def wait_for(condition, seconds: float, what: str) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what} took more than {seconds} s"
        time.sleep(0.2)


def stop(daemon: subprocess.Popen) -> None:
    daemon.terminate()
    try:
        daemon.wait(timeout=5)
    except subprocess.TimeoutExpired:
        daemon.kill()
        daemon.wait()


def node_is_idle() -> bool:
    answer = subprocess.run(
        ("sinfo", "--noheader", "--format=%T"),
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        encoding="utf-8",
    )
    return "idle" in answer.stdout


@pytest.fixture(scope="session")
def slurm(tmp_path_factory):
    """The running Slurm's folder, where its own logs are."""
    if missing := [program for program in PROGRAMS if shutil.which(program) is None]:
        pytest.skip(f"no {missing[0]} here: apt-get install --no-install-recommends slurm-wlm munge")
    if os.geteuid() != 0:
        pytest.skip("only root can start a Slurm of its own")
    if CONFIGURED.exists():
        pytest.skip(f"{CONFIGURED} is there: this machine has a Slurm already")
    folder = tmp_path_factory.mktemp("slurm")
    ports = {"controller_port": free_port(), "node_port": free_port()}
    (folder / "slurm.conf").write_text(
        CONF.format(host=socket.gethostname(), folder=folder, **ports), encoding="utf-8"
    )
    (folder / "gres.conf").write_text(f"Name=gpu File={folder}/gpu[0-3]\n", encoding="utf-8")
    for index in range(4):
        (folder / f"gpu{index}").touch()
    (folder / "state").mkdir()
    (folder / "spool").mkdir()
    (folder / "munge.key").write_bytes(os.urandom(128))
    (folder / "munge.key").chmod(0o400)
    CONFIGURED.parent.mkdir(exist_ok=True)
    links = [CONFIGURED, CONFIGURED.with_name("gres.conf")]
    for link in links:
        link.unlink(missing_ok=True)
        link.symlink_to(folder / link.name)
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    daemons = []
    try:
        for command in (
            ["munged", "--force", "--foreground", f"--socket={folder}/munge.socket", *munge],
            ["slurmctld", "-D", "-c"],
            ["slurmd", "-D"],
        ):
            with open(folder / f"{command[0]}.out", "w", encoding="utf-8") as output:
                daemons.append(subprocess.Popen(command, stdout=output, stderr=output))
            if command[0] == "munged":
                wait_for((folder / "munge.socket").exists, 10, "starting munged")
        wait_for(node_is_idle, 30, "starting Slurm")
        yield folder
    finally:
        subprocess.run(("scancel", "--user", "root"), check=False, timeout=30)
        time.sleep(3)  # KillWait
        for daemon in reversed(daemons):
            stop(daemon)
        for link in links:
            link.unlink()
