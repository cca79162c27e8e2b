"""codemeta.json is what cffconvert makes of CITATION.cff."""

import json
import subprocess
import sys
from pathlib import Path


def test_codemeta_is_that_of_the_citation(root):
    tool = [
        Path(sys.prefix) / "bin/uv",
        "tool",
        "run",
        "--quiet",
        "--from",
        "cffconvert==2.0.0",
        "cffconvert",
    ]
    command = [*tool, "-f", "codemeta", "-i", root / "CITATION.cff"]
    made = subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout
    kept = (root / "codemeta.json").read_text(encoding="utf-8")
    assert json.loads(kept) == json.loads(made) and json.loads(kept)["version"] == "0.2.0"
