import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from convexprune.models import devices, encoders, timing
from encoder_factory import LAYERS, make_encoder, make_feature_extractor


def test_models_alternate_with_the_device_waited_for_around_each():
    events = []
    full, pruned = timing.alternate(
        lambda: events.append("full"),
        lambda: events.append("pruned"),
        runs=5,
        warmup=2,
        synchronise=lambda: events.append("wait"),
    )
    assert events == ["wait", "full", "wait", "wait", "pruned", "wait"] * (5 + 2)
    assert full.shape == pruned.shape == (5,)


def test_warm_up_is_not_measured_and_times_are_seconds():
    slow_start = iter([0.1, 0.1] + [0.0] * 3)
    full, pruned = timing.alternate(
        lambda: time.sleep(next(slow_start)),
        lambda: time.sleep(0.02),
        runs=3,
        warmup=2,
        synchronise=lambda: None,
    )
    assert full.max() < 0.02
    assert 0.02 <= pruned.min() < 0.04


def test_waiting_for_the_device_belongs_to_the_time():
    pending = []

    def wait():
        if pending:
            time.sleep(pending.pop())

    full, pruned = timing.alternate(
        lambda: pending.append(0.02), lambda: pending.append(0.0), runs=3, warmup=0, synchronise=wait
    )
    assert full.min() >= 0.02
    assert pruned.max() < 0.02


def test_a_summary_is_median_mean_and_its_error():
    found = timing.summarise(np.array([1.0, 2.0, 3.0, 10.0]))
    assert found == pytest.approx({"median": 2.5, "mean": 4.0, "stderr": np.sqrt((9 + 4 + 1 + 36) / 3 / 4)})


def test_errors_of_the_ratio_are_its_spread_over_repeated_experiments():
    generator = np.random.default_rng(1)
    shape = (300, 100)
    load = generator.gamma(4, 0.25, shape)  # what both models suffer at a moment
    full = 0.010 * load * generator.normal(1, 0.05, shape)
    pruned = 0.006 * load * generator.normal(1, 0.10, shape)
    found = [timing.summarise_ratio(*pair) for pair in zip(full, pruned, strict=True)]
    means = np.array([ratio["mean"] for ratio in found])
    medians = np.array([ratio["median"] for ratio in found])
    assert means.mean() == pytest.approx(0.6, rel=0.01)
    assert medians.mean() == pytest.approx(0.6, rel=0.02)
    assert np.mean([ratio["stderr"] for ratio in found]) == pytest.approx(means.std(), rel=0.2)
    assert np.mean([ratio["median_stderr"] for ratio in found]) == pytest.approx(medians.std(), rel=0.3)


def test_identical_times_give_a_certain_ratio():
    times = np.random.default_rng(0).gamma(2, 1, 50)
    expected = {"median": 0.5, "median_stderr": 0, "mean": 0.5, "stderr": 0}
    assert timing.summarise_ratio(2 * times, times) == pytest.approx(expected, abs=1e-12)


def test_others_are_what_the_machine_did_beside_this_process():
    before, after = np.array([100.0, 5000.0, 7.0]), np.array([110.0, 5025.0, 17.0])
    assert timing.measure_others(before, after) == pytest.approx((25 - 10) / 10)
    assert timing.measure_others(before, np.array([110.0, 5009.0, 17.0])) == 0


BUSY = "import time\nwhile time.process_time() < 0.5: pass\nprint(flush=True)\ninput()"


def test_a_process_that_computes_beside_it_shows():
    """It is no child of this process any more: children belong to the job."""
    start = "import subprocess as s, sys; print(s.Popen([*sys.argv[1:]], stdout=s.DEVNULL).pid)"
    busy = [sys.executable, "-c", "while True: pass"]
    started = subprocess.run([sys.executable, "-c", start, *busy], stdout=subprocess.PIPE, check=True)
    before = timing.read_clocks()
    time.sleep(0.5)
    after = timing.read_clocks()
    os.kill(int(started.stdout), signal.SIGKILL)
    assert timing.measure_others(before, after) > timing.DISTURBED


@pytest.mark.parametrize("ended", [True, False])
def test_what_the_job_itself_started_is_no_other_work(ended):
    """Such as the processes that read clips ahead, whether or not they have ended."""
    before = timing.read_clocks()
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", BUSY], **pipes) as child:
        child.stdout.readline()
        if ended:
            child.communicate(b"\n")
        own = (timing.read_clocks() - before)[2]
        child.kill()
    assert own > 0.45


@pytest.fixture
def folders(tmp_path):
    for layers in (LAYERS, 1):
        model = make_encoder("hubert", head=True, num_hidden_layers=layers)
        encoders.save_folder(tmp_path / str(layers), model, make_feature_extractor())
    return tmp_path


def call(folders, layers=1, full_layers=LAYERS, seconds=1):
    names = {"model": "tiny", "task": "words"}
    pair = folders / str(LAYERS), folders / "1"
    options = {"full_layers": full_layers, "layers": layers, "machine": devices.begin(0, 1)}
    return timing.time_inference(*pair, names, passes=timing.Passes(20, 3, seconds), **options)


@pytest.mark.parametrize("seconds", [0.5, 1, 2.5])
def test_inference_of_both_folders_is_timed(folders, monkeypatch, seconds):
    seen = []
    from transformers import HubertForSequenceClassification

    forward = HubertForSequenceClassification.forward

    def note(self, audio):
        assert torch.is_inference_mode_enabled()
        assert not self.training
        seen.append((self.config.num_hidden_layers, tuple(audio.shape), float(audio.std())))
        return forward(self, audio)

    monkeypatch.setattr(HubertForSequenceClassification, "forward", note)
    found = call(folders, seconds=seconds)
    assert [layers for layers, _, _ in seen] == [LAYERS, 1] * (20 + 3)
    assert {shape for _, shape, _ in seen} == {(1, 16000 * seconds)}
    assert len({spread for _, _, spread in seen}) == 1
    assert seen[0][2] == pytest.approx(1, abs=0.05)
    expected = {
        "model": "tiny",
        "task": "words",
        "layers": 1,
        "full_layers": LAYERS,
        "runs": 20,
        "seconds": seconds,
        "threads": 1,
    }
    assert {key: found[key] for key in expected} == expected
    assert found["device"] == devices.name_device("cpu")
    assert found["device"] in found["machine"]
    assert found["versions"]["torch"] == torch.__version__.partition("+")[0]
    for side in ("full", "pruned"):
        assert len(found[f"{side}_seconds"]) == 20
        assert found[side] == timing.summarise(np.array(found[f"{side}_seconds"]))
    assert found["ratio"]["mean"] == pytest.approx(found["pruned"]["mean"] / found["full"]["mean"])


@pytest.mark.parametrize(("work", "disturbed"), [(0.5, False), (1.5, True)])
def test_a_measurement_beside_other_work_is_marked(folders, monkeypatch, work, disturbed):
    clocks = iter([np.zeros(3), np.array([10.0, 10 * work, 4.0])])
    monkeypatch.setattr(timing, "read_clocks", lambda: next(clocks))
    found = call(folders)
    assert found["disturbed"] is disturbed
    assert found["other_load"] == pytest.approx(work - 0.4)


@pytest.mark.parametrize(("layers", "full_layers"), [(2, LAYERS), (1, LAYERS + 1)])
def test_a_folder_of_other_depth_is_an_error(folders, layers, full_layers):
    with pytest.raises(ValueError, match="transformer layers"):
        call(folders, layers, full_layers)
