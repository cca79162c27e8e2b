"""A split of a corpus, aligned in shards and put together."""

import shutil
from types import SimpleNamespace

import align_shard
import merge_alignments
import numpy as np
import pandas as pd
import pytest
from convexprune.alignment import shards
from convexprune.data import corpus, synthesis
from convexprune.jobs import progress


@pytest.fixture(scope="module")
def voices(spoken, tmp_path_factory):
    """A corpus of the first two voices in validation, with a clip of noise, silence, and another split."""
    folder = tmp_path_factory.mktemp("corpus")
    output = SimpleNamespace(samples=folder / "c.h5", table=folder / "c.csv", fingerprint=folder / "c.sha256")
    with corpus.write_corpus(output.samples, output.table, output.fingerprint) as writer:
        writer.add("s.wav", "", "", "validation", np.zeros(16_000, np.int16))
        for number, (word, clip, _) in enumerate(spoken[:12]):
            writer.add(f"{number}.wav", word, "007", "validation", clip[: 15_000 + number])
        writer.add(
            "noise.wav", "yes", "b", "validation", synthesis.make_noise("white", 1, np.random.default_rng(0))
        )
        writer.add("other.wav", "xyzzy", "c", "train", spoken[0][1])
    return output


def align(folder, voices, threads=1, shards=1, **changes):
    """Run the scripts of all shards and of the merge, the shards in reverse order."""
    settings = {"aligner": "pocketsphinx", "split": "validation"} | changes
    parts = []
    for shard in range(shards, 0, -1):
        name = f"{shard}-of-{shards}"
        parts.append(SimpleNamespace(phones=folder / f"{name}.phones.csv", failures=folder / f"{name}.csv"))
        align_shard.main(
            SimpleNamespace(
                input=voices,
                output=parts[-1],
                wildcards=SimpleNamespace(shard=str(shard), shards=str(shards)),
                params=SimpleNamespace(
                    settings=settings,
                    store={"folder": folder / "store"},
                    service={"contact": "", "max_requests": 1, "timeout": 1},
                ),
                threads=threads,
                log=[folder / f"{name}.log"],
            )
        )
    output = SimpleNamespace(phones=folder / "phones.csv", failures=folder / "failures.csv")
    merge_alignments.main(
        SimpleNamespace(
            input=SimpleNamespace(
                phones=[part.phones for part in parts],
                failures=[part.failures for part in parts],
                table=voices.table,
            ),
            output=output,
            params=SimpleNamespace(settings={"split": settings["split"]}),
            log=[folder / "merge.log"],
        )
    )
    return output


def test_a_split_is_aligned_in_the_order_of_the_corpus(tmp_path, voices, spoken, pocketsphinx, monkeypatch):
    monkeypatch.setattr(progress, "EVERY", 0)
    output = align(tmp_path, voices)
    assert "progress: align 1 of 1: 0 of 13, " in (tmp_path / "1-of-1.log").read_text(encoding="utf-8")
    table = corpus.read_table(voices.table).set_index("path")
    expected = []
    for number, (word, clip, _) in enumerate(spoken[:12]):
        item = f"{number}.wav"
        row = table.loc[item]
        part = clip[: row.n_samples]
        for segment in pocketsphinx.parse(pocketsphinx.ask(part, word), part):
            span = (row.offset + segment.start, row.offset + segment.end)
            assert span[1] <= row.offset + row.n_samples
            expected.append((item, *span, segment.label, "007", "validation"))
    found = pd.read_csv(output.phones, dtype={"speaker": str}, keep_default_na=False)
    assert found.columns.tolist() == corpus.ITEM_COLUMNS
    assert list(found.itertuples(index=False, name=None)) == expected
    assert output.failures.read_text(encoding="utf-8").splitlines()[0] == "item,word,reason"
    assert [line.split(",")[:2] for line in output.failures.read_text(encoding="utf-8").splitlines()[1:]] == [
        ["noise.wav", "yes"]
    ]


def test_threads_and_shards_change_nothing(tmp_path, voices):
    results = []
    for threads, count in ((1, 1), (2, 1), (1, 3)):
        folder = tmp_path / f"{threads}-{count}"
        folder.mkdir()
        output = align(folder, voices, threads=threads, shards=count)
        results.append((output.phones.read_bytes(), output.failures.read_bytes()))
    assert results[0] == results[1] == results[2]


def test_another_number_of_shards_aligns_nothing_again(tmp_path, voices, monkeypatch):
    first = align(tmp_path, voices, shards=2).phones.read_bytes()
    monkeypatch.setattr(
        shards.PocketsphinxAligner, "ask", lambda *_: pytest.fail("asked for what was answered")
    )
    assert align(tmp_path, voices, shards=3).phones.read_bytes() == first


def test_shards_of_another_corpus_are_refused(tmp_path, voices):
    align(tmp_path, voices, shards=2)
    parts = [tmp_path / "1-of-2.phones.csv", tmp_path / "2-of-2.phones.csv"]
    failures = [tmp_path / "1-of-2.csv", tmp_path / "2-of-2.csv"]
    for lost_or_twice in (parts[:1], [*parts, parts[0]]):
        with pytest.raises(ValueError, match="shards are those of another corpus"):
            shards.merge_shards(lost_or_twice, failures, voices.table, split="validation")


def test_failures_are_told_with_their_reason(tmp_path, voices):
    align(tmp_path, voices)
    log = (tmp_path / "merge.log").read_text(encoding="utf-8")
    assert "WARNING convexprune.alignment.shards: 1 of 13 recordings (7.7 %) could not be aligned" in log
    assert ", such as noise.wav (yes)" in log


def test_words_that_are_not_in_the_dictionary_are_failures(tmp_path, voices):
    table = corpus.read_table(voices.table)
    table.loc[table["path"] == "3.wav", "word"] = "qwertz"
    table.loc[table["path"] == "4.wav", "word"] = "xyzzy"
    table.to_csv(tmp_path / "corpus.csv", index=False)
    shutil.copy(voices.samples, tmp_path / "corpus.h5")
    shutil.copy(voices.fingerprint, tmp_path / "corpus.sha256")
    files = SimpleNamespace(samples=tmp_path / "corpus.h5", table=tmp_path / "corpus.csv")
    output = align(tmp_path, files)
    failures = pd.read_csv(output.failures).set_index("item")
    assert failures.loc[["3.wav", "4.wav"], "word"].tolist() == ["qwertz", "xyzzy"]
    assert set(failures.loc[["3.wav", "4.wav"], "reason"]) == {"the word is not in the aligner's dictionary"}
    assert pd.read_csv(output.phones)["item"].nunique() == 10


def test_settings_that_name_nothing_are_refused(tmp_path, voices):
    with pytest.raises(ValueError, match="aligner 'mfa' is neither maus nor pocketsphinx"):
        align(tmp_path, voices, aligner="mfa")
    with pytest.raises(ValueError, match="no recordings in the test split"):
        align(tmp_path, voices, split="test")
