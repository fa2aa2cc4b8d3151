"""The synthetic run that the tests of analyses share, opened."""

import pytest

from recu_analysis import open_run


@pytest.fixture(scope="session")
def run(synthetic):
    return open_run(synthetic.path)
