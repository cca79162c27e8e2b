"""In every locale, programs of ours read and write UTF-8: texts, names of files and what is printed."""

import os
import subprocess
import sys

import latin
import pytest
from convexprune.jobs import locales

SHOW = """
import os
import sys

from convexprune.jobs import locales

locales.use_utf8()
os.mkdir("größe – 大")
print(sys.getfilesystemencoding(), sys.stdout.encoding, sys.argv[1:], "größe – 大", open("text").read())
"""


def run(folder, *arguments, **variables):
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env=os.environ | variables,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.mark.parametrize("locale", ["ISO-8859-1", "ASCII", "UTF-8"])
def test_a_program_starts_again_in_utf8(tmp_path, locale):
    variables = {
        "ISO-8859-1": latin.make_locale(tmp_path),
        "ASCII": latin.ASCII,
        "UTF-8": {"LC_ALL": "C.UTF-8"},
    }[locale]
    (tmp_path / "text").write_text("Prüfung – 大", encoding="utf-8")
    (tmp_path / "show.py").write_text(SHOW, encoding="utf-8")
    shown = run(tmp_path, "show.py", "ä b", "--x='1'", **variables)
    assert shown.stdout == "utf-8 utf-8 ['ä b', \"--x='1'\"] größe – 大 Prüfung – 大\n", shown.stderr
    assert (tmp_path / "größe – 大").is_dir()


def test_what_cannot_start_again_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "getfilesystemencoding", lambda: "iso8859-1")
    with pytest.raises(SystemExit, match="iso8859-1 here, not UTF-8: set PYTHONUTF8=1 and run again"):
        locales.use_utf8(restart=False)
    monkeypatch.setenv("PYTHONUTF8", "1")
    with pytest.raises(SystemExit, match="set PYTHONUTF8=1"):
        locales.use_utf8()


def test_the_command_line_knows_names_in_any_locale(tmp_path):
    asked = run(tmp_path, "-m", "convexprune", "summary", "größe – 大", **latin.make_locale(tmp_path))
    assert asked.stderr.startswith("convexprune: größe – 大/benchmarks holds no benchmark files")
