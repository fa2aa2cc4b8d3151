"""The report's page: whole, small, the same each time, and closed to whatever a run directory holds."""

import json
import re

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.report import report
from recu_analysis.testing import random_walk, synthetic_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return ra.open_run(synthetic_run(tmp_path_factory.mktemp("report") / "run").path)


@pytest.fixture(scope="module")
def page(run):
    return report({"mine": run})


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def test_the_same_run_gives_the_same_page(run, page):
    assert report({"mine": run}) == page


def test_it_loads_nothing(page):
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert "url(" not in page
    assert "default-src &#39;none&#39;" in page or "default-src 'none'" in page


def test_histograms_count_the_weights(run, page):
    histogram = data_of(page)["runs"][0]["histogram"]
    name = run.layer_names[0]
    weight = run.windows[-1][name].weight.astype(float)
    rows = weight.reshape(len(weight), -1)
    z = (rows - rows.mean(1, keepdims=True)) / rows.std(1, ddof=1, keepdims=True)
    assert histogram["counts"][1][-1] == np.histogram(z, np.linspace(-5, 5, 81))[0].tolist()
    assert len(histogram["counts"][0]) == len(run.windows)
    assert random_walk((2, 3), 2).shape == (3, 2, 3)
