"""Throughput of fine-tuning, against Transformers' own loop and with stored convolutional features.

    python benchmarks/finetuning.py                    # about five minutes on two cores
    python benchmarks/finetuning.py --steps 2 --rounds 1

wav2vec2-base's architecture with random weights, batches of random clips, float32; evaluations are part of
the run, in the share that they have in one for the paper's words (every 500 steps). Writes finetune.json
beside this file. What is compared is measured in turn, several times, each time in a process of its own; the
best of each counts, since whatever else the machine does can only make a run slower. CPU time is measured
too, which with one thread hardly depends on what else runs.

Needs the package (pip install -e .), torch, transformers and, for Transformers' loop, accelerate.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
WORDS = 35
VALIDATED = 9982 / (500 * 32)  # clips that a run for words evaluates, a clip of training
SETTINGS = {
    "cache_features": "none",
    "eval_steps": 10**6,
    "freeze_feature_encoder": True,
    "full_layers": 12,
    "layerdrop": 0.0,
    "learning_rate": 2e-5,
    "lr_scheduler": "linear",
    "max_grad_norm": 1.0,
    "patience": 5,
    "precision": "float32",
    "projector_size": 256,
    "spec_augment": True,
    "warmup_ratio": 0.1,
    "weight_decay": 0.0,
}
# what, layers, how it is trained
VARIANTS = {
    "full model, ours, clips from the corpus file": (12, "ours"),
    "full model, Transformers' Trainer, clips in memory": (12, "trainer"),
    "3 layers, ours, clips from the corpus file": (3, "ours"),
    "3 layers, Transformers' Trainer, clips in memory": (3, "trainer"),
    "3 layers, ours, stored features": (3, "features"),
}


def build_model(layers):
    import torch
    from convexprune.models import encoders
    from transformers import Wav2Vec2Config, Wav2Vec2ForSequenceClassification

    torch.manual_seed(0)
    config = Wav2Vec2Config(num_hidden_layers=layers, num_labels=WORDS, layerdrop=0.0)
    model = Wav2Vec2ForSequenceClassification(config)
    encoders.freeze_front_end(model)
    return model


def write_inputs(folder, n):
    """A corpus of `n` random clips, their dataset, and the features of wav2vec2-base's front end for them."""
    import pandas as pd
    from convexprune.data import corpus
    from convexprune.finetuning import features
    from convexprune.models import devices, encoders
    from transformers import Wav2Vec2FeatureExtractor

    generator = np.random.default_rng(0)
    with corpus.write_corpus(folder / "corpus.h5", folder / "corpus.csv", folder / "corpus.sha256") as writer:
        for index in range(n):
            clip = (3000 * generator.standard_normal(16000)).astype(np.int16)
            writer.add(f"{index}.wav", f"word{index % WORDS}", "speaker", "train", clip)
    table = corpus.read_table(folder / "corpus.csv").rename(columns={"path": "item", "word": "label"})
    table = table.assign(start=table["offset"], end=table["offset"] + table["n_samples"])
    pd.DataFrame(table)[corpus.ITEM_COLUMNS].to_csv(folder / "words.csv", index=False)
    origin = {"source": "path", "id": "random", "revision": None}
    encoders.save_encoder(folder / "base", build_model(0).base_model, Wav2Vec2FeatureExtractor(), origin)
    features.cache_features(
        folder / "features.h5",
        folder=folder / "base",
        recordings=corpus.Corpus(folder / "corpus.h5"),
        dataset=folder / "words.csv",
        stored=features.Stored("float32"),
        batch_size=32,
        machine=devices.begin(0, 1),
    )


def train_ours(model, clips, validation, steps, batch_size, folder):
    from convexprune.finetuning import trainer
    from convexprune.finetuning.recipe import Recipe
    from convexprune.jobs import memory
    from convexprune.models import positions
    from convexprune.models.devices import Machine
    from transformers.trainer_utils import SaveStrategy

    trainer = trainer.make_trainer(
        model,
        clips,
        validation,
        Recipe(**SETTINGS | {"batch_size": batch_size, "max_steps": steps, "eval_steps": steps}),
        seed=0,
        machine=Machine("cpu"),
        folder=folder / "ours",
    )
    trainer.args.load_best_model_at_end = False  # no checkpoints: the rival writes none
    trainer.args.save_strategy = SaveStrategy.NO
    # As finetune.finetune does on a CPU.
    memory.keep_memory("cpu")
    with positions.by_fourier(model):
        trainer.train()


def train_with_trainer(model, clips, validation, steps, batch_size, folder):
    from transformers import Trainer, TrainingArguments

    def load(clips):
        batch = clips.__getitems__(list(range(len(clips))))
        pairs = zip(batch["input_values"], batch["labels"], strict=True)
        return [{"input_values": values, "labels": int(label)} for values, label in pairs]

    trainer = Trainer(
        model=model,
        train_dataset=load(clips),
        eval_dataset=load(validation),
        args=TrainingArguments(
            output_dir=folder / "trainer",
            per_device_train_batch_size=batch_size,
            per_device_eval_batch_size=batch_size,
            eval_strategy="steps",
            eval_steps=steps,
            max_steps=steps,
            learning_rate=SETTINGS["learning_rate"],
            warmup_steps=round(SETTINGS["warmup_ratio"] * steps),
            save_strategy="no",
            logging_strategy="no",
            use_cpu=True,
            dataloader_pin_memory=False,
            report_to="none",
            disable_tqdm=True,
        ),
    )
    trainer.train()


def measure(variant, steps, batch_size, threads, folder):
    """Training clips a second, and a second of CPU time, in `steps` steps after one that is not counted."""
    import torch
    from convexprune.data import corpus
    from convexprune.finetuning import finetune
    from transformers import Wav2Vec2FeatureExtractor
    from transformers.utils.logging import set_verbosity_error

    set_verbosity_error()
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    layers, how = VARIANTS[variant]
    table = corpus.read_dataset(folder / "words.csv")
    label2id = {f"word{index}": index for index in range(WORDS)}

    def open_clips(rows):
        if how == "features":
            return finetune.CachedClips(folder / "features.h5", rows, label2id)
        return finetune.Clips(folder / "corpus.h5", rows, Wav2Vec2FeatureExtractor(), label2id)

    clips = open_clips(table)
    validation = open_clips(table.head(round(VALIDATED * steps * batch_size)))
    model = build_model(layers)
    if how == "features":
        model.base_model.feature_extractor = torch.nn.Identity()
    run = train_with_trainer if how == "trainer" else train_ours
    run(model, clips, open_clips(table.head(1)), 1, batch_size, folder)
    clocks = time.perf_counter, time.process_time
    started = [clock() for clock in clocks]
    run(model, clips, validation, steps, batch_size, folder)
    return [steps * batch_size / (clock() - start) for clock, start in zip(clocks, started, strict=True)]


def compare(found, clock):
    """The best rate of each variant, and their ratios."""
    best = {variant: max(rates[clock] for rates in measured) for variant, measured in found.items()}
    rates = {VARIANTS[variant]: rate for variant, rate in best.items()}
    ratios = {
        f"{how} / {other}, {layers} layers": rate / rates[layers, other]
        for (layers, how), rate in rates.items()
        for other in {"ours": ["trainer"], "features": ["ours"]}.get(how, [])
    }
    return {"best": best, **ratios}


def main():
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=4, help="steps a measurement (4)")
    parser.add_argument("--batch-size", type=int, default=32, help="clips a step (32, as in the paper)")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each (3)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="threads (all CPUs)")
    parser.add_argument("--layers", type=int, nargs="+", default=[12, 3], help="models measured (12 3)")
    parser.add_argument("--measure", nargs=2, metavar=("VARIANT", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        variant, folder = options.measure
        print(json.dumps(measure(variant, options.steps, options.batch_size, options.threads, Path(folder))))
        return

    import torch
    import transformers

    found = {variant: [] for variant, (layers, _) in VARIANTS.items() if layers in options.layers}
    with tempfile.TemporaryDirectory() as scratch:
        write_inputs(Path(scratch), options.steps * options.batch_size)
        for _ in range(options.rounds):
            for variant in found:
                command = [sys.executable, __file__, *sys.argv[1:], "--measure", variant, scratch]
                answer = subprocess.run(
                    command, check=True, capture_output=True, text=True, encoding="utf-8"
                ).stdout
                rate, cpu_rate = json.loads(answer.splitlines()[-1])
                found[variant].append({"clips_per_second": rate, "clips_per_cpu_second": cpu_rate})
                print(f"{rate:8.2f} clips/s {cpu_rate:8.2f} clips/CPU s  {variant}", flush=True)
    record = {
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} CPUs",
        "threads": options.threads,
        "batch_size": options.batch_size,
        "versions": {"torch": torch.__version__, "transformers": transformers.__version__},
        "measurements": found,
        **{clock: compare(found, clock) for clock in ("clips_per_second", "clips_per_cpu_second")},
    }
    (HERE / "finetuning.json").write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({key: record[key] for key in list(record)[-2:]}, indent=2))


if __name__ == "__main__":
    main()
