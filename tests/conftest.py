"""Paths that the tests share. The library is imported from workflow/scripts (see pyproject.toml)."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
