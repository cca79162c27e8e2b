"""Alignment of the words of a split of the corpus, divided into shards."""

from __future__ import annotations

import logging
import multiprocessing
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convexprune.alignment.aligner import Aligner, AlignmentError, Segment, UnansweredError
from convexprune.alignment.answers import ANSWERS, FAILURES, REQUESTS, Answers
from convexprune.alignment.pocketsphinx import PocketsphinxAligner
from convexprune.data.corpus import ITEM_COLUMNS, Corpus, open_samples, read_dataset, read_table
from convexprune.data.datasets import count_reasons
from convexprune.jobs import csv_files, processes
from convexprune.jobs.progress import Progress

FAILURE_COLUMNS = ["item", "word", "reason"]

logger = logging.getLogger(__name__)


def make_aligner(name: str, store: Path, **service: Any) -> Aligner:
    """The aligner called `name`; the folder `store` and `service` are for `MausAligner`."""
    if name == "pocketsphinx":
        return PocketsphinxAligner()
    if name == "maus":
        from convexprune.alignment.maus import MausAligner

        return MausAligner(store=store, **service)
    raise ValueError(f"aligner '{name}' is neither maus nor pocketsphinx")


def align(aligner: Aligner, answers: Answers, samples: np.ndarray, word: str) -> list[Segment]:
    """The phones of `word` in `samples`. Asks `aligner` only if `answers` has no answer yet.

    Its answer, or a permanent refusal, is in `answers` before this returns. Raises AlignmentError.
    """
    key = answers.key(samples, word)
    with answers.claimed(key):
        if reason := answers.read(FAILURES, key):
            raise AlignmentError(reason)
        answer = answers.read(ANSWERS, key)
        if answer is None:
            try:
                answer = aligner.ask(samples, word, answers.path(REQUESTS, key))
            except UnansweredError:
                raise
            except AlignmentError as error:
                answers.write(FAILURES, key, str(error))
                raise
            answers.write(ANSWERS, key, answer)
        answers.path(REQUESTS, key).unlink(missing_ok=True)
    return aligner.parse(answer, samples)


# This process and its forked ones use these, so that models are loaded once.
_aligner: Aligner
_answers: Answers


def _align_recording(task: tuple[Path, int, int, str]) -> list[Segment] | str:
    """The phones of one recording, or the reason why there are none."""
    samples_path, start, end, word = task
    if not _aligner.knows(word):
        return "the word is not in the aligner's dictionary"
    with open_samples(samples_path) as all_samples:
        samples = all_samples[start:end]
    try:
        return align(_aligner, _answers, samples, word)
    except AlignmentError as error:
        return str(error)


@contextmanager
def _workers(count: int) -> Iterator[Any]:
    """A `map` over `count` processes; for 1 it runs in this process."""
    if count == 1:
        yield map
        return
    # Forked, since a spawned process would import the main module, under Snakemake the running script.
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(count, fork, processes.end_with_parent) as pool:
        yield lambda function, tasks: pool.map(function, tasks, chunksize=16)


def read_recordings(table_path: Path, split: str) -> pd.DataFrame:
    """The rows of a corpus table to align: those of `split` that have a word."""
    table = read_table(table_path)
    rows = table[(table["split"] == split) & (table["word"] != "")]
    if rows.empty:
        raise ValueError(f"alignment: the corpus has no recordings in the {split} split")
    return rows


def align_shard(
    corpus: Corpus,
    split: str,
    aligner: Aligner,
    *,
    store: Path,
    shard: int,
    shards: int,
    threads: int,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Align every `shards`-th recording of a split, from the `shard`-th on, in `threads` processes.

    The folder `store` keeps the answers; the aligner is asked only for those that it lacks.

    Returns the phones (item, start, end, label, speaker, split; positions in the corpus) and the recordings
    that could not be aligned (item, word, reason), both in the corpus' order. Recordings of words that the
    aligner does not know count as not aligned.
    """
    global _aligner, _answers
    recordings = read_recordings(corpus.table, split)
    rows = recordings.iloc[shard - 1 :: shards]
    ends = rows["offset"] + rows["n_samples"]
    tasks = [(corpus.samples, *span) for span in zip(rows["offset"], ends, rows["word"], strict=True)]
    _aligner = aligner
    _answers = Answers(store, _aligner.identity)
    with _workers(threads) as map_tasks:
        aligned = map_tasks(_align_recording, tasks)
        shown = f"align {shard} of {shards}"
        results = list(Progress(aligned, desc=shown, total=len(tasks), unit="file"))

    phones, failures = [], []
    for row, result in zip(rows.itertuples(), results, strict=True):
        if isinstance(result, str):
            failures.append((row.path, row.word, result))
            continue
        for segment in result:
            span = (row.offset + segment.start, row.offset + segment.end)
            phones.append((row.path, *span, segment.label, row.speaker, row.split))
    return pd.DataFrame(phones, columns=ITEM_COLUMNS), pd.DataFrame(failures, columns=FAILURE_COLUMNS)


def merge_shards(
    phone_paths: Iterable[Path],
    failure_paths: Iterable[Path],
    table_path: Path,
    *,
    split: str,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Phones and failures of all shards in the corpus' order, whatever the order of the shards.

    Raises ValueError if the shards do not hold each recording of the split exactly once.
    """
    recordings = read_recordings(table_path, split)
    order = pd.Series(range(len(recordings)), recordings["path"])
    shards = [read_dataset(path) for path in phone_paths]
    failures = pd.concat([csv_files.read(path) for path in failure_paths])
    found = pd.concat([*(phones["item"].drop_duplicates() for phones in shards), failures["item"]])
    if sorted(found) != sorted(recordings["path"]):
        raise ValueError(
            "alignment: the shards are those of another corpus; delete alignment/shards, run again"
        )
    report_failures(failures, len(recordings))
    # A stable sort keeps the phones of a recording in order of time, as they are in their shard.
    return tuple(
        table.sort_values("item", key=lambda item: item.map(order), kind="stable", ignore_index=True)
        for table in (pd.concat(shards), failures)
    )


def report_failures(failures: pd.DataFrame, total: int) -> None:
    """Log how many recordings are missing from the phonemes, and why."""
    if failures.empty:
        logger.info("all %d recordings are aligned", total)
        return
    logger.warning(
        "%d of %d recordings (%.1f %%) could not be aligned and are left out of the phonemes: %s",
        len(failures),
        total,
        100 * len(failures) / total,
        count_reasons(failures),
    )
