"""What stages write to stderr and to their logs: lines of ours, nothing of Transformers' own."""

import os
import re
import subprocess
import sys

import pytest
from convexprune.models import encoders
from encoder_factory import LAYERS, make_encoder, make_feature_extractor
from tones import write_tones
from transformers import HubertForCTC, Wav2Vec2BertForXVector, WhisperForConditionalGeneration

# In processes of their own: Transformers writes to the stderr that it finds at first.
COMMANDS = """
import sys
from pathlib import Path
from convexprune import __main__ as command_line

folder = Path(sys.argv[1])
command_line.main(["prune", str(folder / "given"), "--layers", "1", str(folder / "pruned")])
command_line.main(["prune", str(folder / "pruned"), "--layers", "0", str(folder / "again")])
"""
JOBS = f"""
import sys
from pathlib import Path
from convexprune.jobs import logs
from convexprune.models import encoders, sources
from tones import train

folder = Path(sys.argv[1])
logs.start_log(folder / "log")
sources.import_encoder(folder / "tiny", path=str(folder / "given"), layers={LAYERS})
encoders.load_encoder(folder / "tiny")
tuned = train(folder, layers=1, max_steps=3, eval_steps=1)
encoders.save_folder(folder / "tuned", tuned.model, tuned.feature_extractor)
encoders.load_classifier(folder / "tuned")
"""
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d (INFO|WARNING) convexprune")


@pytest.mark.parametrize(
    ("family", "head"),
    [
        ("hubert", HubertForCTC),
        ("wav2vec2-bert", Wav2Vec2BertForXVector),
        ("whisper", WhisperForConditionalGeneration),
    ],
)
def test_stages_write_lines_of_ours_alone(tmp_path, root, family, head):
    write_tones(tmp_path)
    config = make_encoder(family).config
    config.vocab_size, config.mask_time_length = 60000, 2
    encoders.save_folder(tmp_path / "given", head(config), make_feature_extractor(family))
    paths = [root / "workflow/scripts", root / "tests/unit"]

    def run(program):
        return subprocess.run(
            [sys.executable, "-c", program, tmp_path],
            capture_output=True,
            encoding="utf-8",
            check=False,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))},
        )

    commands = run(COMMANDS)
    assert (commands.returncode, commands.stderr) == (0, "")
    assert len(commands.stdout.splitlines()) == 2
    jobs = run(JOBS)
    assert jobs.returncode == 0, jobs.stderr
    logged = (tmp_path / "log").read_text(encoding="utf-8").splitlines()
    assert len(logged) > 3
    assert [line for line in logged if not LINE.match(line)] == []
    assert jobs.stderr.splitlines() == [line for line in logged if " WARNING " in line]
