"""The figure of causes: of a run, a path or a table, and what it says of a run without gradient-stats."""

import pytest
from matplotlib.figure import Figure

import recu_analysis as ra
from recu_analysis.errors import NotRecordedError
from recu_analysis.testing import synthetic_run


def test_it_draws_a_run_a_path_or_a_table(tmp_path, synthetic):
    path = synthetic_run(tmp_path / "run", gradient_stats=True).path
    for given in (ra.open_run(path), str(path), ra.causes(path, windows="3:")):
        axes = ra.plot_causes(given, ax=Figure().subplots(), windows="3:", alpha=0.5)
        assert [text.get_text() for text in axes.get_yticklabels()] == ["first", "second", "noise alone"]
        assert axes.patches[0].get_alpha() == 0.5
    with pytest.raises(NotRecordedError, match="gradient-stats"):
        ra.plot_causes(synthetic.path, ax=Figure().subplots())
