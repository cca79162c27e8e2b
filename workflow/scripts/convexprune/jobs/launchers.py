"""Environment variables that launchers of parallel programs (torchrun, accelerate, mpirun, srun) leave."""

from __future__ import annotations

import logging
import os

# A shell inside torchrun, mpirun or an interactive cluster job passes these on to every program it starts.
# They would make the Trainer wait for other processes, and ACCELERATE_* changes precision, device and
# compilation.
NAMES = (
    "FORK_LAUNCHED",
    "LOCAL_RANK",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "RANK",
    "WORLD_SIZE",
)
PREFIXES = (
    *("ACCELERATE_", "FSDP_", "TORCHELASTIC_"),
    *("MPI_LOCAL", "MV2_COMM_", "OMPI_COMM_", "PMI_"),  # of Intel MPI, MVAPICH, Open MPI, MPICH and srun
    *("SM_", "SMDATAPARALLEL_"),  # of SageMaker
)

log = logging.getLogger(__name__)


def ignore_launchers() -> None:
    """Delete the launchers' variables from the environment: a job is one process, and its config decides."""
    found = sorted(name for name in os.environ if name in NAMES or name.startswith(PREFIXES))
    for name in found:
        del os.environ[name]
    if found:
        log.info(
            "a job is one process, by its config alone: %s of the environment not used", ", ".join(found)
        )
