"""Locales that are not UTF-8, as variables of the environment."""

import shutil
import subprocess
from pathlib import Path

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


def make_locale(folder: Path) -> dict[str, str]:
    """A German locale in ISO-8859-1, made in `folder`; in ASCII where the sources of locales are missing."""
    made = folder / "de_DE.ISO-8859-1"
    command = ["localedef", "-i", "de_DE", "-f", "ISO-8859-1", str(made)]
    if not shutil.which("localedef") or subprocess.run(command, check=False).returncode:
        return ASCII
    return {"LC_ALL": made.name, "LOCPATH": str(folder)}
