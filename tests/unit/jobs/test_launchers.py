"""Started from within torchrun, mpirun or a cluster's shell, a job is one process all the same."""

import dataclasses
import os
import re
from pathlib import Path

import accelerate
import numpy as np
import pytest
import torch
import transformers
from convexprune.finetuning import trainer
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import launchers, logs
from convexprune.models.devices import Machine
from encoder_factory import make_encoder

TORCHRUN = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
LAUNCHED = {
    "torchrun": TORCHRUN | {"MASTER_ADDR": "localhost", "MASTER_PORT": "1", "TORCHELASTIC_RUN_ID": "none"},
    "one process of torchrun": {"LOCAL_RANK": "0"},
    "a number of processes alone": {"WORLD_SIZE": "4"},
    "accelerate": {"ACCELERATE_MIXED_PRECISION": "bf16", "ACCELERATE_DYNAMO_BACKEND": "INDUCTOR"},
    "accelerate with a device": {"ACCELERATE_TORCH_DEVICE": "cuda:7", "ACCELERATE_USE_CPU": "no such"},
    "accelerate with DeepSpeed": {"ACCELERATE_USE_DEEPSPEED": "true", "LOCAL_RANK": "0"},
    "accelerate with FSDP": {"ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2"},
    "accelerate in a notebook": {"FORK_LAUNCHED": "1", **TORCHRUN},
    "Open MPI": {
        "OMPI_COMM_WORLD_SIZE": "2",
        "OMPI_COMM_WORLD_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_RANK": "1",
        "OMPI_COMM_WORLD_LOCAL_SIZE": "2",
    },
    "MPICH, srun": {"PMI_SIZE": "2", "PMI_RANK": "1", "SLURM_NTASKS": "2", "SLURM_PROCID": "1"},
    "MVAPICH": {"MV2_COMM_WORLD_SIZE": "2", "MV2_COMM_WORLD_RANK": "1", "MV2_COMM_WORLD_LOCAL_RANK": "1"},
    "Intel MPI": {"PMI_SIZE": "2", "MPI_LOCALNRANKS": "2", "MPI_LOCALRANKID": "1"},
    "SageMaker": {
        "ACCELERATE_USE_SAGEMAKER": "true",
        "ACCELERATE_SAGEMAKER_DISTRIBUTED_TYPE": "DATA_PARALLEL",
    },
    "services that follow trainings": {"WANDB_MODE": "online", "MLFLOW_RUN_ID": "1", "COMET_API_KEY": "x"},
}
SETTINGS = {
    "batch_size": 2,
    "eval_steps": 1,
    "learning_rate": 1e-2,
    "lr_scheduler": "linear",
    "max_grad_norm": 1.0,
    "max_steps": 1,
    "patience": 1,
    "warmup_ratio": 0.0,
    "weight_decay": 0.0,
}


class Clips:
    heard = None

    def __len__(self):
        return 2

    def __getitems__(self, indices):
        return {"input_values": np.ones((len(indices), 1600), np.float32), "labels": np.array(indices)}


@pytest.mark.parametrize("launcher", LAUNCHED)
def test_a_training_is_one_process_whoever_started_it(tmp_path, monkeypatch, launcher):
    for name, value in LAUNCHED[launcher].items():
        monkeypatch.setenv(name, value)
    logs.start_log(tmp_path / "job.log")
    torch.set_num_threads(1)
    loop = trainer.make_trainer(
        make_encoder(head=True, apply_spec_augment=False),
        Clips(),
        Clips(),
        Recipe(**dict.fromkeys(field.name for field in dataclasses.fields(Recipe)) | SETTINGS),
        seed=0,
        machine=Machine("cpu"),
        folder=tmp_path / "checkpoint",
    )
    accelerator = loop.accelerator
    assert (accelerator.num_processes, accelerator.process_index) == (1, 0)
    assert (accelerator.device.type, accelerator.mixed_precision) == ("cpu", "no")
    assert accelerator.state.dynamo_plugin.backend.value == "NO"
    trainer.train(loop, patience=1)
    assert loop.state.global_step == 1
    log = (tmp_path / "job.log").read_text(encoding="utf-8")
    for name in LAUNCHED[launcher]:
        assert (name in log) == (name not in os.environ)


# What accelerate and the Trainer read that says nothing about processes or settings of a training.
HARMLESS = {"NCCL_IB_DISABLE", "NCCL_P2P_DISABLE", "OMP_NUM_THREADS", "PYTORCH_ENABLE_MPS_FALLBACK"}
HARMLESS |= {"XLA_DOWNCAST_BF16", "XLA_USE_BF16"}
READ = r"""(?:environ(?:\.get)?[(\[]|getenv\(|_from_env\()\s*(\[[^]]*\]|"\w+")"""


def test_all_that_the_trainer_takes_from_the_environment_is_known():
    files = [
        Path(accelerate.__file__).with_name("state.py"),
        Path(transformers.__file__).with_name("training_args.py"),
    ]
    text = "".join(path.read_text(encoding="utf-8") for path in files)
    names = {name for found in re.findall(READ, text) for name in re.findall(r'"(\w+)"', found)}
    assert {"LOCAL_RANK", "PMI_SIZE", "ACCELERATE_MIXED_PRECISION"} <= names
    known = {name for name in names if name in launchers.NAMES or name.startswith(launchers.PREFIXES)}
    assert names - known <= HARMLESS
