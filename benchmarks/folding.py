"""Real Whisper on real digits, speakers apart: cut, folded and trained at every depth.

    python benchmarks/folding.py MODEL RECORDINGS              # 7 splits, 3 seeds: some hours on one core
    python benchmarks/folding.py MODEL RECORDINGS --splits fixed --seeds 0

MODEL is a folder of Whisper's, RECORDINGS one of files named DIGIT_speaker_take.wav. `fixed` is the split of
its README (george, jackson and lucas for training, nicolas for validation, theo and yweweler for test). In
every other split one speaker is left out for test, and the next one in the alphabet is for validation. The
encoder is cut to a second, as its import does, and fine-tuned on the digits by the recipe that `init` writes
for a CPU (in bfloat16, with which new CPUs train twice as fast): the full model, which is then folded to
every depth, and a model of each smaller depth. Nothing is chosen on test. With `--frames`, `frames_accuracy`
is that of maps fitted to frames instead of means over them.

Writes folding.csv beside this file, split by split and seed by seed; what is there is not measured again.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

import pandas as pd
from convexprune.data import corpus, datasets, ingestion
from convexprune.finetuning import finetune, folds
from convexprune.finetuning.recipe import Recipe
from convexprune.jobs import csv_files
from convexprune.models import devices, encoders, folding, sources
from convexprune.setup.experiment import Run

HERE = Path(__file__).parent
FIXED = {"nicolas": "validation", "theo": "test", "yweweler": "test"}
RECIPE = {  # that of `init` for words on a CPU; the rest are the defaults of the schema
    **{"batch_size": 8, "max_steps": 600, "eval_steps": 60, "patience": 5, "learning_rate": 5e-5},
    **{"warmup_ratio": 0.1, "lr_scheduler": "linear", "weight_decay": 0.0, "max_grad_norm": 1.0},
    **{"freeze_feature_encoder": True, "spec_augment": True, "layerdrop": 0.0, "projector_size": 256},
    **{"precision": "bfloat16", "cache_features": "none"},
}
CELL = ["split", "seed"]


def name_splits(speakers):
    """By split: which speakers are for validation and for test."""
    splits = {"fixed": FIXED}
    for place, speaker in enumerate(speakers):
        following = speakers[(place + 1) % len(speakers)]
        splits[f"without {speaker}"] = {speaker: "test", following: "validation"}
    return splits


def write_corpus(folder, recordings):
    """The recordings as a corpus in `folder`, and their speakers."""
    rows = [(str(path.resolve()), *path.stem.split("_")) for path in sorted(recordings.glob("*_*_*.wav"))]
    table = pd.DataFrame(rows, columns=["path", "word", "speaker", "take"]).assign(split="train")
    table.drop(columns="take").to_csv(folder / "digits.csv", index=False)
    paths = [folder / f"corpus.{kind}" for kind in ("h5", "csv", "sha256")]
    ingestion.ingest_table(folder / "digits.csv", *paths, drawing=None)
    return sorted(table["speaker"].unique())


def fit_frames(model, clips, strengths, batch_size):
    """Test accuracy by depth of maps fitted to frames, each with the strength that is best on validation."""

    def pool(states):
        return states.flatten(1, 2)

    moments = folding.start_moments(model)
    for inputs in folds.read_batches(clips["train"], batch_size, "frames", labelled=False):
        moments.add(pool(folding.run_depths(model, inputs)))
    head = folding.whole_head(model)
    depths = range(len(moments.means))
    tried = [[folding.follow(moments, k, strength, *head) for k in depths] for strength in strengths]
    heads = folding.stack(tried)
    validation, test = (
        folding.measure(model, folds.read_batches(clips[split], batch_size, f"frames, {split}"), heads)
        for split in ("validation", "test")
    )
    return test["accuracy"][validation["error"].argmin(axis=0), depths]


def measure(home, split, seed, machine, frames):
    """The rows of folding.csv of a split and a seed: one for each depth."""
    table = corpus.read_table(home / "corpus.csv")
    table["split"] = table["speaker"].map(split).fillna("train")
    datasets.build_labelled("words", table, "word").to_csv(home / "words.csv", index=False)
    layers = encoders.count_layers(encoders.load_encoder(home / "encoder")[0])
    recipe = Recipe(**RECIPE, full_layers=layers)
    data = corpus.open_corpus(home / "corpus.h5"), home / "words.csv"
    trained = {}
    with tempfile.TemporaryDirectory() as scratch:
        for depth in (layers, *range(layers)):
            checkpoint, run = Path(scratch, str(depth)), Run("whisper-tiny.en", "words", depth, seed)
            done = finetune.finetune(
                home / "encoder", *data, recipe, run, machine=machine, checkpoint=checkpoint
            )
            trained[depth] = done.metrics
            if depth == layers:
                done.save(Path(scratch, "full"))
        options = {"batch_size": 32, "machine": machine}
        rows = folds.fold_layers(Path(scratch, "full"), *data, **options)
        model, _, clips = folds.open_splits(Path(scratch, "full"), *data)
    if frames:
        rows["frames_accuracy"] = fit_frames(model, clips, folding.STRENGTHS, 32)
    for name in ("accuracy", "validation_accuracy", "steps", "training_time"):
        rows[f"trained_{name}"] = [trained[depth][name] for depth in rows["layers"]]
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("recordings", type=Path)
    parser.add_argument("--splits", nargs="+", help="fixed, 'without theo' and so on (all)")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--max-steps", type=int, help="steps of a training (600), to try the script")
    parser.add_argument("--frames", action="store_true", help="fit maps to frames too, which takes a minute")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--output", type=Path, default=HERE / "folding.csv")
    options = parser.parse_args()
    if options.max_steps:
        RECIPE["max_steps"] = options.max_steps
    machine = devices.begin(0, options.threads)
    tables = [csv_files.read(options.output)] if options.output.exists() else []
    done = {cell for table in tables for cell in table[CELL].itertuples(index=False, name=None)}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        splits = name_splits(write_corpus(home, options.recordings))
        layers = sources.model_files.read_layers(options.model)
        sources.import_encoder(home / "encoder", path=str(options.model), layers=layers, seconds=1)
        for name in options.splits or splits:
            for seed in options.seeds:
                if (name, seed) not in done:
                    rows = measure(home, splits[name], seed, machine, options.frames)
                    tables.append(rows.assign(split=name, seed=seed))
                    csv_files.write(options.output, pd.concat(tables))
                    told = rows[["layers", "cut_accuracy", "accuracy", "trained_accuracy"]]
                    print(json.dumps([name, seed]), told.round(3).to_string(), flush=True)
    table = pd.concat(tables)
    table["kind"] = table["split"].where(table["split"] == "fixed", "one speaker left out")
    told = [
        name for name in ("cut_accuracy", "accuracy", "frames_accuracy", "trained_accuracy") if name in table
    ]
    print((100 * table.groupby(["kind", "layers"])[told].agg(["mean", "std"])).round(1).to_string())
    return 0


if __name__ == "__main__":
    sys.exit(main())
