"""What the tests of `init` share."""

import pytest
from convexprune.setup import init
from written import record, takes


@pytest.fixture
def recordings(tmp_path, monkeypatch):
    """Ten recordings of each of two words by two speakers, in the current directory."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init, "count_gpus", lambda: 0)
    monkeypatch.setattr(init, "WORKFLOW", tmp_path)
    for label in ("yes", "no"):
        for speaker in ("ann", "bob"):
            record(tmp_path / "mine", *takes(label, speaker, 5))
    return tmp_path / "mine"
