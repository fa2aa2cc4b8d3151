"""The tutorial notebook, run from its first cell to its last in a kernel of its own."""

import os
from pathlib import Path

import pytest

pytestmark = pytest.mark.extras

NOTEBOOK = Path(__file__).parents[2] / "docs" / "tutorial.ipynb"


def test_it_runs_to_its_figure(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat", reason="needs the extra docs")
    nbclient = pytest.importorskip("nbclient", reason="needs the extra docs")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert not any(cell.outputs or cell.execution_count for cell in code), "outputs are not committed"
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parents[1]), os.environ.get("PYTHONPATH", "")]))
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute(cwd=tmp_path)
    printed = "".join(output.get("text", "") for cell in code for output in cell.outputs)
    assert printed.count("% validation") == 2
    assert "distance_ratio_tail_low" in printed
    assert any("image/png" in output.get("data", {}) for output in code[-1].outputs)
    assert [path.name for path in tmp_path.rglob("*.pdf")] == ["dead_weights.pdf"]
