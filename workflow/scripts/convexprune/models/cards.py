"""Model cards: what a folder holds and where it comes from, in Markdown with front matter for the hub."""

from __future__ import annotations

import importlib.metadata
from typing import TYPE_CHECKING, Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData

from convexprune.data import corpus
from convexprune.models import sources
from convexprune.models.architectures import layout_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, SequenceFeatureExtractor

PRUNED = """---
{{ card_data }}
---

# {{ base.id }} with {{ layers }} of {{ base_model_layers }} transformer layers

`{{ base.id }}`{% if base.revision %} at revision `{{ base.revision }}`{% endif %}, of whose
{{ base_model_layers }} transformer layers the first {{ layers }} are kept:
{{ parameters }} parameters. Licence of the base model: {{ base.licence or "not known" }}.
"""
FOLDED = (
    PRUNED
    + """
Nothing was trained: the projector was computed so that it makes up for the layers left out, from
{{ clips }} clips of {{ seconds }} s (shorter ones {{ padding }}), by ridge regression from the mean
states after layer {{ layers }} to those after layer {{ base_model_layers }} (convexprune {{ version }},
`fold`). It has exactly the parameters of the model that is cut only. On {{ tested }} test clips:

| | full | cut only | folded |
|---|---:|---:|---:|
{% for name, shares in rows.items() -%}
| {{ name }} | {{ shares | join(" | ") }} |
{% endfor %}"""
)
FINETUNED = (
    PRUNED
    + """
Fine-tuned to tell {{ labels | length }} {{ task }} from {{ clip }} of speech at 16 kHz, by the method of
Dorszewski, Tětková and Hansen, *Convexity-based Pruning of Speech Representation Models* (who count layers
from 0: the last one kept is their layer {{ layers - 1 }}).

| | |
|---|---|
{% for name, value in rows.items() -%}
| {{ name }} | {{ value }} |
{% endfor %}
Labels: {{ labels | join(", ") }}. {{ padding }}

```python
import soundfile
from transformers import pipeline

samples, rate = soundfile.read("speech.wav", dtype="float32")  # at 16 kHz
print(pipeline("audio-classification", model="this/folder")({"raw": samples, "sampling_rate": rate}))
```

`model.onnx` needs no PyTorch. It takes the output of the feature extractor and returns `logits`, in the order
of the labels above. The feature extractor {{ preparation }}.

```python
import numpy
import onnxruntime
import soundfile
from transformers import AutoFeatureExtractor

samples, rate = soundfile.read("speech.wav", dtype="float32")  # at 16 kHz
{{ cut }}
extract = AutoFeatureExtractor.from_pretrained("this/folder")
session = onnxruntime.InferenceSession("this/folder/model.onnx")
name = session.get_inputs()[0].name
inputs = extract(samples, sampling_rate=rate, return_tensors="np")
[logits] = session.run(None, {name: inputs[name]{{ real }}})
print({{ labels }}[logits.argmax()])
```
"""
)


def fill(
    template: str,
    model: PreTrainedModel,
    base: dict[str, Any],
    fields: dict[str, Any],
    content: dict[str, Any],
) -> str:
    """The card of a model pruned from `base`. `fields` go into its front matter, `content` into its text."""
    classifies = "Classification" in type(model).__name__
    head = ModelCardData(
        license=base["licence"] or "unknown",
        base_model=base["id"] if sources.is_hub_id(base["id"]) else None,
        base_model_revision=base["revision"],
        library_name="transformers",
        pipeline_tag="audio-classification" if classifies else "feature-extraction",
        tags=["speech", "pruning", "convexity", model.config.model_type],
        **fields,
    )
    content |= {"base": base, "parameters": f"{model.num_parameters():,}"}
    return f"{ModelCard.from_template(head, template_str=template, **content)}\n"


def describe_pruned(model: PreTrainedModel, base: dict[str, Any], layers: int, full_layers: int) -> str:
    """The card of a pruned model: front matter and a paragraph.

    `base` has id, revision and licence of the model that was pruned; None where not known.
    """
    return fill(PRUNED, model, base, {"layers": layers, "base_model_layers": full_layers}, {})


def describe_folded(
    model: PreTrainedModel,
    base: dict[str, Any],
    layers: int,
    full_layers: int,
    facts: dict[str, Any],
) -> str:
    """The card of a folded model, as `describe_pruned`.

    `facts` are `clips` that it was folded on, their `seconds` and `padding`, `tested` clips, and `rows` of
    shares in %: of the full model, the one that is cut only, and the folded one, by what they are of.
    """
    fields = {"layers": layers, "base_model_layers": full_layers}
    return fill(FOLDED, model, base, fields, facts | {"version": importlib.metadata.version("convexprune")})


def describe_preparation(feature_extractor: SequenceFeatureExtractor) -> str:
    """What a feature extractor does to a clip, in words that follow it."""
    if feature_extractor.model_input_names[0] != "input_values":
        return f"computes a log-mel spectrum (`{type(feature_extractor).__name__}`)"
    if getattr(feature_extractor, "do_normalize", False):
        return "subtracts the mean of the clip and divides by its standard deviation"
    return "leaves the samples as they are"


def describe_times(timed: dict[str, Any]) -> str:
    """The median times of the full and the pruned model in a timing file."""
    full, pruned = (1000 * timed[name]["median"] for name in ("full", "pruned"))
    beside = " (other work ran beside it: measure it again)" if timed["disturbed"] else ""
    return f"{full:.1f} → {pruned:.1f} ms by PyTorch on {timed['device']}, in turn{beside}"


def describe_padding(model: PreTrainedModel, padding: str, seconds: float) -> dict[str, str]:
    """How clips of `seconds` were padded in training: a sentence, and the Python that prepares one for ONNX.

    `cut` makes it as long as in training, as far as the file can take that; `real` leaves out spectra that
    the feature extractor adds, and that a mask hid in training.
    """
    layout, size = layout_of(model.config), corpus.count_samples(seconds)
    clip = "one second" if seconds == 1 else f"{seconds:g} seconds"
    padded = f"samples = numpy.pad(samples[:{size}], (0, max(0, {size} - len(samples))))"
    if padding == "zeros" or not layout.masks:
        shorter = "a second" if seconds == 1 else clip
        told = f"Clips shorter than {shorter} were padded with zeros in training."
        return {"padding": told, "cut": f"{padded}  # {clip}, as in training", "real": ""}
    told = "Shorter clips were not padded in training: give the model one clip at a time."
    if not layout.any_length:
        told += f" `model.onnx` takes {clip} only: its scores of shorter clips, padded, differ a little."
        return {"padding": told, "cut": f"{padded}  # all that this file takes", "real": ""}
    spectra = model.config.model_type == "wav2vec2-bert"
    real = '[:, : inputs["attention_mask"].sum()]' if spectra else ""
    return {"padding": told, "cut": f"samples = samples[:{size}]  # {clip} at most", "real": real}


def describe_finetuned(
    model: PreTrainedModel,
    feature_extractor: SequenceFeatureExtractor,
    metrics: dict[str, Any],
    base: dict[str, Any],
    data: dict[str, Any],
    timed: dict[str, Any] | None,
    seconds: float = 1,
) -> str:
    """The card of a pruned, fine-tuned classifier.

    `metrics` are those of its metrics.json, `base` its encoder's id, revision and licence. `data` has corpus
    and the split that words were tested on (in words), datasets (of the hub) and language (None if there are
    none), and items by split. `timed` is the timing file of the full and the pruned model; None if nothing
    was pruned. Clips had `seconds`.
    """
    task, layers, onnx = metrics["task"], metrics["layers"], metrics["onnx"]
    # The task of speakers uses only the training recordings, split anew.
    recordings, split = data["corpus"], "test"
    if task == "speakers":
        recordings, split = f"{recordings}, training recordings split anew", "train"
    elif data["tested"]:
        recordings = f"{recordings}, {data['tested']}"
    result = EvalResult(
        task_type="audio-classification",
        task_name=f"Classification of {task}",
        dataset_type=(data["datasets"] or ["own"])[0],
        dataset_name=recordings,
        dataset_split=split,
        metric_type="accuracy",
        metric_name="Test accuracy",
        metric_value=metrics["accuracy"],
    )
    fields = {
        "model_name": f"{metrics['model']}-{task}-{layers}",
        "eval_results": [result],
        "metrics": ["accuracy"],
        "language": data["language"],
        "datasets": data["datasets"],
        "layers": layers,
        "base_model_layers": metrics["full_layers"],
    }
    beside = " (other work ran beside it: measure it again)" if onnx["disturbed"] else ""
    clip = "one second" if seconds == 1 else f"{seconds:g} seconds"
    items = ", ".join(f"{count:,} {split}" for split, count in data["items"].items())
    latency, torch_latency = (1000 * onnx[key]["median"] for key in ("latency", "torch_latency"))
    rows = {
        "Data": f"{recordings}; clips: {items}",
        "Test accuracy": f"{metrics['accuracy']:.2%} ± {metrics['sigma']:.2%} of {metrics['n_test']:,} clips",
        "Validation accuracy": f"{metrics['validation_accuracy']:.2%}",
        "Parameters": f"{metrics['parameters']:,}; the full classifier has {metrics['full_parameters']:,}",
        "Training": f"{metrics['steps']:,} steps, learning rate {metrics['learning_rate']:g}, "
        f"seed {metrics['seed']}",
        f"{clip.capitalize()} on a CPU": f"{latency:.1f} ms by ONNX Runtime, "
        f"{torch_latency:.1f} ms by PyTorch, "
        f"threads: {onnx['threads']}, on {onnx['machine']}{beside}",
        **({f"Full → pruned, {clip}": describe_times(timed)} if timed else {}),
        "ONNX against PyTorch": f"logits differ by {onnx['max_difference']:.1e} at most",
    }
    labels = [model.config.id2label[index] for index in range(model.config.num_labels)]
    preparation = describe_preparation(feature_extractor)
    content = {"task": task, "labels": labels, "rows": rows, "preparation": preparation}
    content |= {"clip": clip, **describe_padding(model, metrics["settings"]["padding"], seconds)}
    return fill(FINETUNED, model, base, fields, content)
