import pytest
from tones import write_tones


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """A folder with a corpus of tones, its dataset words.csv, and a random encoder in tiny/."""
    folder = tmp_path_factory.mktemp("tones")
    write_tones(folder)
    return folder
