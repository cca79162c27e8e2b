"""The summary of a run adds up what Snakemake measured."""

import pytest
from convexprune import __main__
from convexprune.results import benchmarks

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"


def write(folder, name, seconds, memory, cpu):
    path = folder / "benchmarks" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:00:01\t{memory}\t0\t0\t0\t0\t0\t0\t{cpu}\n", encoding="utf-8")


def test_jobs_are_added_up_by_rule(tmp_path):
    write(tmp_path, "embed/a/pretrained/words.tsv", 60, 500, 30)
    write(tmp_path, "embed/b/pretrained/words.tsv", 120, 700, 90)
    write(tmp_path, "align_words.tsv", 30, "NA", "NA")  # too short to be sampled
    table = benchmarks.summarise(benchmarks.read_benchmarks(tmp_path / "benchmarks")).set_index("rule")
    assert table.loc["embed"].tolist() == [2, 3.0, 2.0, 2.0, 700]
    assert table.loc["align_words", ["jobs", "minutes", "cpu_minutes"]].tolist() == [1, 0.5, 0]
    assert table.loc["all"].tolist() == [3, 3.5, 2.0, 2.0, 700]
    assert table.index.tolist() == ["embed", "align_words", "all"]


def test_the_command_prints_a_line_a_rule(tmp_path, capsys):
    write(tmp_path, "embed/a/pretrained/words.tsv", 60, 500, 30)
    __main__.main(["summary", str(tmp_path)])
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["rule", "embed", "all"]


def test_a_folder_without_benchmarks_is_named(tmp_path):
    with pytest.raises(SystemExit, match="no benchmark files: run the workflow first"):
        __main__.main(["summary", str(tmp_path)])
