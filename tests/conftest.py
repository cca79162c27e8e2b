"""Paths that the tests share. The library is imported from workflow/scripts (see pyproject.toml)."""

import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from convexprune.jobs import logs

ROOT = Path(__file__).resolve().parent.parent


def pytest_configure(config):
    """Warnings of encodings are for these tests, not for the programs that they start."""
    if not config.getoption("numprocesses", None) or hasattr(config, "workerinput"):
        os.environ.pop("PYTHONWARNDEFAULTENCODING", None)


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT


@pytest.fixture(autouse=True, scope="session")
def logs_end_with_their_test():
    """Adapters that a test calls in its own process must not log when that process ends."""
    ignore = SimpleNamespace(register=lambda function: None, unregister=lambda function: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "excepthook", sys.excepthook)
        patch.setattr(logs, "atexit", ignore)
        yield
