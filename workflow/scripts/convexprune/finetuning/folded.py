"""A classifier folded on a user's recordings, as a Hugging Face folder: the command `fold`."""

from __future__ import annotations

import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from convexprune.data import corpus, datasets
from convexprune.data.ingestion import ingest_table
from convexprune.data.recordings import read_user_table
from convexprune.data.splits import Drawing
from convexprune.finetuning import finetune, folds
from convexprune.jobs import files
from convexprune.jobs.messages import named
from convexprune.models import cards, encoders, exporting, folding, loading, padding
from convexprune.models.architectures import layout_of
from convexprune.models.devices import Machine
from convexprune.setup import findings, model_files

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHARE = 0.1  # of the recordings, for each of validation and test, where the CSV has no splits
BATCH = 8  # clips in a pass


@dataclass(frozen=True)
class Asked:
    """What to fold, and on which recordings.

    Attributes:
        layers: transformer layers to keep; None to keep the fewest that lose at most `within` points.
        within: percentage points, on the validation split: of accuracy, or of agreement with the full model
            if there are no labels.
        label: the column of labels; None for `word`, if the CSV has one, else for no labels.
        seconds: length of a clip; None for that of the model's training, where it is recorded, else one that
            has 95 % of the recordings in full.
        padding: of shorter clips, zeros or mask; None for that of the model's training, else zeros.
    """

    layers: int | None = None
    within: float = 0
    label: str | None = None
    seconds: float | None = None
    padding: str | None = None


@dataclass(frozen=True)
class Exported:
    """A folded model that was written, and how every depth does.

    Attributes:
        layers: those kept.
        depths: `folding.Folding.depths`.
        counts: clips of each split.
        seconds: of a clip.
        masked: whether shorter clips had no padding.
        duration: seconds of folding to all depths, with the passes over train and validation.
    """

    model: PreTrainedModel
    layers: int
    depths: pd.DataFrame
    counts: dict[str, int]
    seconds: float
    masked: bool
    duration: float


def export_folded(
    output: str | os.PathLike[str],
    source: str,
    csv: str | os.PathLike[str],
    asked: Asked,
    machine: Machine,
    revision: str = "main",
) -> Exported:
    """Fold the audio classifier `source` on the recordings of `csv`; write the new folder `output`.

    `source` is a folder or an id of the Hugging Face hub. `csv` has a column `path`, and may have labels (the
    model's), `speaker` and `split`. Without splits, some are drawn: by speaker where three are known and
    there are labels, else by recording. The training split gives the map, validation the strength of the
    ridge and the layers, test what the model card says.

    Raises ValueError if `output` exists, for a model without a classifier or with one that is not linear, for
    layers that it lacks, for bad recordings, and for labels that it does not know.
    """
    output = Path(output)
    with (
        exporting.find_model(output, source, revision) as (folder, origin),
        tempfile.TemporaryDirectory() as scratch,
    ):
        try:
            full = encoders.load_classifier(folder)
        except loading.NoHeadError as error:
            raise ValueError(
                f"{source} has no classifier: fold a model that was fine-tuned ({error})"
            ) from error
        extractor = loading.load_feature_extractor(folder)
        folding.check_head(full)
        full_layers = encoders.count_layers(full)
        if asked.layers is not None and not 0 <= asked.layers <= full_layers:
            raise ValueError(f"--layers {asked.layers}: {source} has {full_layers} layers")
        table, label = read_recordings(Path(csv), Path(scratch), asked.label)
        settings = read_settings(folder)
        lengths = table["n_samples"] / corpus.SAMPLING_RATE
        seconds = asked.seconds or settings.get("seconds") or findings.choose_clip(lengths)
        for problem in model_files.find_clip_problems(full.config.to_dict(), seconds):
            raise ValueError(f"--seconds {seconds:g}: {source} has {problem}")
        splits = split_items(table, label, full.config.label2id, str(csv))
        asked_padding = asked.padding or settings.get("padding", "zeros")
        masked = asked_padding == "mask" and layout_of(full.config).masks
        clips = {}
        for split, items in splits.items():
            samples = corpus.measure_clips(items["start"].to_numpy(), items["end"].to_numpy(), seconds)
            order = np.argsort(-samples, kind="stable") if masked else np.arange(len(items))
            heard = padding.measure_heard(full.config, samples[order]) if masked else None
            corpus_file, known = Path(scratch, "corpus.h5"), full.config.label2id
            clips[split] = finetune.Clips(corpus_file, items.iloc[order], extractor, known, seconds, heard)
        found = folds.fold_clips(full, clips, BATCH, machine, labelled=label is not None)
    layers = choose_layers(found.depths, asked)
    folded = folding.fold(full, layers, found.moments, found.depths.loc[layers, "strength"]).cpu()
    exported = Exported(
        model=folded,
        layers=layers,
        depths=found.depths,
        counts={split: len(items) for split, items in splits.items()},
        seconds=seconds,
        masked=masked,
        duration=found.pass_seconds + found.fold_seconds,
    )
    with files.atomic_folder(output) as temporary:
        encoders.save_folder(temporary, folded, extractor)
        card = cards.describe_folded(folded, origin, layers, full_layers, describe(exported))
        (temporary / "README.md").write_text(card, encoding="utf-8")
    return exported


def read_recordings(csv: Path, scratch: Path, label: str | None) -> tuple[pd.DataFrame, str | None]:
    """The corpus table of the recordings of a CSV, in `scratch`, and their column of labels, if any."""
    listed = read_user_table(csv, ["path", *([label] if label else [])]).rows
    if label is None and "word" in listed:
        label = "word"
    drawing = None
    if "split" not in listed:
        speakers = listed["speaker"] if label and "speaker" in listed else pd.Series([""])
        by_speaker = (speakers != "").all() and speakers.nunique() >= len(corpus.SPLITS)
        drawing = Drawing([label or "path"], "speaker" if by_speaker else None, SHARE, SHARE, seed=0)
    samples, table, fingerprint = (scratch / f"corpus.{kind}" for kind in ("h5", "csv", "sha256"))
    ingest_table(csv, samples, table, fingerprint, drawing=drawing)
    return corpus.read_table(table), label


def split_items(
    table: pd.DataFrame, label: str | None, known: dict[str, int], csv: str
) -> dict[str, pd.DataFrame]:
    """The recordings of a corpus table by split, with the labels that the model must know.

    Without a `label` column none has one; otherwise those without are left out.
    """
    items = datasets.make_items(table, label or "path")
    items = items[items["label"] != ""]
    if label and (strangers := sorted(set(items["label"]) - known.keys())):
        raise ValueError(
            f"{csv}: its column {label} has labels that the model does not know: {named(strangers)}; it "
            f"knows {named(known)}. Leave these recordings out, or name another column by --label"
        )
    splits = {split: items[items["split"] == split] for split in corpus.SPLITS}
    if empty := [split for split, of_split in splits.items() if of_split.empty]:
        raise ValueError(f"{csv} has no recordings in split {', '.join(empty)}; folding needs all three")
    return splits


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings that a model was fine-tuned with here; none if it was not."""
    record = folder / "metrics.json"
    return json.loads(record.read_text(encoding="utf-8")).get("settings", {}) if record.exists() else {}


def choose_layers(depths: pd.DataFrame, asked: Asked) -> int:
    """The layers asked for, or else the fewest that lose at most `asked.within` points on validation."""
    if asked.layers is not None:
        return asked.layers
    measured = depths[f"validation_{find_measure(depths)}"]
    return int(measured.index[measured >= measured.iloc[-1] - asked.within / 100][0])


def find_measure(depths: pd.DataFrame) -> str:
    """What the depths can be judged by: accuracy or, without labels, agreement with the full model."""
    return "agreement" if depths["accuracy"].isna().any() else "accuracy"


def compare(exported: Exported) -> pd.DataFrame:
    """In %: the full model, the one cut only, and the folded one, on validation and test."""
    measure, rows = find_measure(exported.depths), {}
    for split, prefix in (("validation", "validation_"), ("test", "")):
        column = f"{prefix}{measure}"
        at = exported.depths.loc[exported.layers]
        rows[f"{split} {measure}"] = (
            exported.depths[column].iloc[-1],
            at[f"cut_{column}"],
            at[column],
        )
    return 100 * pd.DataFrame.from_dict(rows, orient="index", columns=["full", "cut only", "folded"])


def as_text(output: str | os.PathLike[str], exported: Exported) -> str:
    """What the command prints: the model, every depth, and full against cut against folded."""
    model, counts = exported.model, exported.counts
    measure, full_layers = find_measure(exported.depths), len(exported.depths) - 1
    lines = [
        f"{output}: {type(model).__name__} of {exported.layers} of {full_layers} layers, "
        f"{model.num_parameters():,} parameters",
        f"folded on {counts['train']:,} clips of {exported.seconds:g} s, strength chosen on "
        f"{counts['validation']:,}, tested on {counts['test']:,}; {exported.duration:.1f} s for all depths",
        "",
        f"{measure} in %" + (", of the class that the full model gives" if measure == "agreement" else ""),
        "layers  validation: cut  folded    test: cut  folded",
    ]
    for layers, row in exported.depths.iterrows():
        numbers = (100 * row[f"{name}{measure}"] for name in ("cut_validation_", "validation_", "cut_", ""))
        kept = "  <" if layers == exported.layers else ""
        lines.append("{:6}  {:15.1f}  {:6.1f}  {:11.1f}  {:6.1f}".format(layers, *numbers) + kept)
    return "\n".join(lines)


def describe(exported: Exported) -> dict[str, Any]:
    """The facts of a folded model's card (`cards.describe_folded`)."""
    rows = {name: [f"{value:.2f}" for value in row] for name, row in compare(exported).T.items()}
    return {
        "clips": f"{exported.counts['train']:,}",
        "seconds": f"{exported.seconds:g}",
        "padding": "not padded" if exported.masked else "padded with zeros",
        "tested": f"{exported.counts['test']:,}",
        "rows": {f"{name} (%)": row for name, row in rows.items()},
    }
