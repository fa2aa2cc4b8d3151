"""A synthetic run that the analysis tests share."""

import pytest

from recu_analysis import open_run
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("synthetic") / "run")


@pytest.fixture(scope="session")
def run(synthetic):
    return open_run(synthetic.path)
