"""Model cards: what a folder holds and where it comes from, in Markdown with front matter for the hub."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def front_matter(fields: dict[str, Any]) -> str:
    """The YAML head of a model card, without the fields that are None. JSON values are YAML."""
    given = {key: value for key, value in fields.items() if value is not None}
    lines = [f"{key}: {json.dumps(value, ensure_ascii=False)}" for key, value in given.items()]
    return "\n".join(["---", *lines, "---", ""])


def describe_pruned(
    model: PreTrainedModel, base: dict[str, Any], layers: int, full_layers: int, **fields: Any
) -> str:
    """The card of a pruned model: front matter and a paragraph.

    `base` has id, revision and licence of the model that was pruned, None where they are not known;
    `fields` are further ones of the front matter.
    """
    classifies = "Classification" in type(model).__name__
    head = front_matter(
        {
            "license": base["licence"] or "unknown",
            **fields,
            "base_model": base["id"],
            "base_model_revision": base["revision"],
            "layers": layers,
            "base_model_layers": full_layers,
            "library_name": "transformers",
            "pipeline_tag": "audio-classification" if classifies else "feature-extraction",
            "tags": ["speech", "pruning", "convexity", model.config.model_type],
        }
    )
    revision = f" at revision `{base['revision']}`" if base["revision"] else ""
    return f"""{head}
# {base["id"]} with {layers} of {full_layers} transformer layers

`{base["id"]}`{revision}, of whose {full_layers} transformer layers the first {layers} are kept:
{model.num_parameters():,} parameters. Licence of the base model: {base["licence"] or "not known"}.
"""


def describe_finetuned(
    model: PreTrainedModel, metrics: dict[str, Any], base: dict[str, Any], data: dict[str, Any]
) -> str:
    """The card of a pruned, fine-tuned classifier.

    `metrics` are those of its metrics.json, `base` its encoder's id, revision and licence. `data`: corpus
    (in words), datasets (of the hub) and language, None where there is none, and items by split.
    """
    accuracy, validation = metrics["accuracy"], metrics["validation_accuracy"]
    task, layers, onnx = metrics["task"], metrics["layers"], metrics["onnx"]
    # Speakers are told apart in training recordings, which are split anew for that.
    recordings, split = data["corpus"], "test"
    if task == "speakers":
        recordings, split = f"{recordings}, training recordings split anew", "train"
    beside = " (other work ran beside it: measure it again)" if onnx["disturbed"] else ""
    result = {
        "task": {"type": "audio-classification", "name": f"Classification of {task}"},
        "dataset": {"type": (data["datasets"] or ["own"])[0], "name": recordings, "split": split},
        "metrics": [{"type": "accuracy", "value": accuracy, "name": "Test accuracy"}],
    }
    head = describe_pruned(
        model,
        base,
        layers,
        metrics["full_layers"],
        language=data["language"],
        datasets=data["datasets"],
        metrics=["accuracy"],
        **{"model-index": [{"name": f"{metrics['model']}-{task}-{layers}", "results": [result]}]},
    )
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    items = ", ".join(f"{count:,} {split}" for split, count in data["items"].items())
    latency, torch_latency = (1000 * onnx[key]["median"] for key in ("latency", "torch_latency"))
    rows = {
        "Data": f"{recordings}; clips: {items}",
        "Test accuracy": f"{accuracy:.2%} ± {metrics['sigma']:.2%} of {metrics['n_test']:,} clips",
        "Validation accuracy": f"{validation:.2%}",
        "Parameters": f"{metrics['parameters']:,}; the full classifier has {metrics['full_parameters']:,}",
        "Training": f"{metrics['steps']:,} steps, learning rate {metrics['learning_rate']:g}, "
        f"seed {metrics['seed']}",
        "One second on a CPU": f"{latency:.1f} ms by ONNX Runtime, {torch_latency:.1f} ms by PyTorch, "
        f"threads: {onnx['threads']}, on {onnx['machine']}{beside}",
        "ONNX against PyTorch": f"logits differ by {onnx['max_difference']:.1e} at most",
    }
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    return f"""{head}
Fine-tuned to tell {len(labels)} {task} from one second of speech at 16 kHz, by the method of Dorszewski,
Tětková and Hansen, *Convexity-based Pruning of Speech Representation Models* (who count layers from 0: the
last one kept is their layer {layers - 1}).

| | |
|---|---|
{table}

Labels: {", ".join(labels)}. Clips shorter than a second were padded with zeros in training.

```python
import soundfile
from transformers import pipeline

samples, rate = soundfile.read("speech.wav", dtype="float32")  # at 16 kHz
print(pipeline("audio-classification", model="this/folder")({{"raw": samples, "sampling_rate": rate}}))
```

`model.onnx` takes what the folder's feature extractor gives (`{model.main_input_name}`) and returns `logits`,
in the order of the labels above.
"""
