"""Paths that the tests share. The library is imported from workflow/scripts (see pyproject.toml)."""

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from convexprune import provenance

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(autouse=True, scope="session")
def logs_end_with_their_test():
    """Adapters that a test calls in its own process must not log when that process ends."""
    ignore = SimpleNamespace(register=lambda function: None, unregister=lambda function: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(provenance, "atexit", ignore)
        yield
