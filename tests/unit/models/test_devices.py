"""Devices: no GPU unless one was given, and never the GPU of another job."""

import os
import subprocess
import sys
from types import SimpleNamespace

import pytest
from convexprune.jobs import locks
from convexprune.models import devices


@pytest.fixture
def claims(monkeypatch, tmp_path):
    monkeypatch.setattr(locks.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_claims", [])


def test_a_job_without_a_gpu_sees_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert devices.claim_device(0) == "cpu"
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == ""


@pytest.fixture
def machine(monkeypatch, claims):
    """A machine with two GPUs by a stand-in for CUDA, which notes what was visible when it was asked."""
    import torch

    found = SimpleNamespace(asked=[], usable=True, capability=(8, 0))

    def ask():
        found.asked.append(os.environ.get("CUDA_VISIBLE_DEVICES"))
        return 2 * found.usable

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # to be as it was in the end
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch._C, "_cuda_getDeviceCount", ask)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: ask() or 2)  # the driver may know more than CUDA
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda: found.capability)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "Some GPU")
    monkeypatch.setattr(torch.cuda, "get_arch_list", lambda: ["sm_120", "sm_75", "sm_90a", "compute_120"])
    return found


def test_a_machine_without_gpus_falls_back_to_the_cpu(monkeypatch):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # to be as it was in the end
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices.claim_device(1) == "cpu"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert devices.claim_device(1) == "cpu"


@pytest.mark.parametrize(("given", "claimed"), [(None, "0"), ("2,3", "2"), ("MIG-1/2", "MIG-1/2")])
def test_a_gpu_job_sees_one_gpu_before_it_asks_for_any(monkeypatch, machine, given, claimed):
    """CUDA keeps to what it saw when it was first asked: a job would train on every GPU of the machine."""
    if given:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", given)
    assert devices.claim_device(1) == "cuda"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == claimed
    assert set(machine.asked) == {claimed}


def test_a_gpu_that_torch_cannot_use_is_an_error(machine):
    """A job that took the CPU instead would run for days, and go on from no checkpoint of a GPU's."""
    machine.usable = False
    with pytest.raises(ValueError, match=r"torch cannot use GPU 0: update its driver .* or set gpus: 0"):
        devices.claim_device(1)


def test_a_gpu_that_is_too_old_for_torch_is_an_error(machine):
    machine.capability = (7, 0)
    with pytest.raises(ValueError, match=r"Some GPU, has compute capability 7.0, and torch needs 7.5"):
        devices.claim_device(1)


def test_float32_on_a_gpu_is_not_tf32():
    code = (
        "import torch; from convexprune.models import devices; before = torch.backends.cudnn.allow_tf32; "
        "devices.use_float32(); print(before, torch.backends.cudnn.allow_tf32)"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, encoding="utf-8"
    ).stdout
    assert printed.split() == ["True", "False"]


def test_another_process_gets_another_gpu_until_the_first_ends(claims, tmp_path):
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]; from convexprune.models import devices; "
        "print(devices.claim_one(['0', '1']), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
        encoding="utf-8",
    )
    assert other.stdout.readline() == "0\n"
    assert devices.claim_one(["0", "1"]) == "1"
    other.kill()
    other.communicate()
    assert devices.claim_one(["0", "1"]) == "0"


def test_a_gpu_whose_lock_somebody_else_made_is_left_to_them(claims, monkeypatch):
    def take(path):
        if "gpu-0" in path.name:
            raise PermissionError(13, "Permission denied", str(path))
        return locks.take(path)

    monkeypatch.setattr(devices, "locks", SimpleNamespace(take=take, make_path=locks.make_path))
    assert devices.claim_one(["0", "1"]) == "1"


def test_a_mac_gives_its_gpu_to_a_job_that_asks_for_one(monkeypatch):
    """With torch's answers of a Mac: no job ran on one."""
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")  # to be as it was in the end
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert devices.claim_device(1) == "mps" and devices.name_device("mps").endswith("(mps)")
    assert devices.claim_device(0) == "cpu"


def test_a_cpu_is_named_as_the_system_does(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU: 9 GHz\n" * 2, encoding="utf-8")
    monkeypatch.setattr(devices, "CPU_INFORMATION", tmp_path / "cpuinfo")
    assert devices.name_device("cpu") == "Some CPU: 9 GHz"
    monkeypatch.setattr(devices, "CPU_INFORMATION", tmp_path / "missing")
    assert devices.name_device("cpu")


@pytest.mark.parametrize(
    ("wanted", "device", "has_bfloat16", "expected"),
    [
        ("auto", "cpu", False, "float32"),
        ("auto", "cuda", True, "bfloat16"),
        ("auto", "cuda", False, "float16"),
        ("float32", "cuda", True, "float32"),
        ("bfloat16", "cpu", False, "bfloat16"),
        ("auto", "mps", True, "float32"),
    ],
)
def test_precision_is_chosen_by_device(monkeypatch, wanted, device, has_bfloat16, expected):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert devices.choose_precision(wanted, device) == expected


@pytest.mark.parametrize("device", ["cpu", "mps"])
def test_float16_without_cuda_is_refused(device):
    with pytest.raises(ValueError, match="float16 needs a GPU with CUDA"):
        devices.choose_precision("float16", device)
