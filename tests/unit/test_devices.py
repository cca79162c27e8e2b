"""Devices: no GPU unless one was given, and never the GPU of another job."""

import subprocess
import sys

import pytest
from convexprune import devices


@pytest.fixture
def claims(monkeypatch, tmp_path):
    monkeypatch.setattr(devices.tempfile, "gettempdir", lambda: str(tmp_path))
    monkeypatch.setattr(devices, "_claims", [])


def test_a_job_without_a_gpu_sees_none(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert devices.claim_device(0) == "cpu"
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == ""


def test_a_machine_without_gpus_falls_back_to_the_cpu(monkeypatch):
    import torch

    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    assert devices.claim_device(1) == "cpu"


def test_a_gpu_job_sees_one_gpu_only(monkeypatch, claims):
    import torch

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert devices.claim_device(1) == "cuda"
    assert devices.os.environ["CUDA_VISIBLE_DEVICES"] == "2"


def test_another_process_gets_another_gpu_until_the_first_ends(claims, tmp_path):
    code = (
        "import sys, tempfile; tempfile.tempdir = sys.argv[1]; from convexprune import devices; "
        "print(devices.claim_one(['0', '1']), flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert other.stdout.readline() == "0\n"
    assert devices.claim_one(["0", "1"]) == "1"
    other.kill()
    other.communicate()
    assert devices.claim_one(["0", "1"]) == "0"


def test_a_cpu_is_named_as_the_system_does(tmp_path, monkeypatch):
    (tmp_path / "cpuinfo").write_text("processor\t: 0\nmodel name\t: Some CPU: 9 GHz\n" * 2)
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
    ],
)
def test_precision_is_chosen_by_device(monkeypatch, wanted, device, has_bfloat16, expected):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: has_bfloat16)
    assert devices.choose_precision(wanted, device) == expected


def test_float16_on_a_cpu_is_refused():
    with pytest.raises(ValueError, match="float16 needs a GPU"):
        devices.choose_precision("float16", "cpu")
