"""write_report: the page is put in its place, runs are opened and told apart, and what is wrong is said."""

import re

import pytest

import recu_analysis as ra
from recu_analysis.errors import InputError
from recu_analysis.testing import synthetic_run


def test_runs_given_as_paths_become_one_page_in_a_new_folder(tmp_path):
    one, two = (synthetic_run(tmp_path / name / "run", seed=seed).path for seed, name in enumerate("ab"))
    page = ra.write_report(one, tmp_path / "new" / "page.html", baseline=str(two))
    assert page == tmp_path / "new" / "page.html"
    title = re.search("<title>(.*?)</title>", page.read_text(encoding="utf-8"))[1]
    assert "a/run" in title
    assert "b/run" in title
    assert [path.name for path in page.parent.iterdir()] == ["page.html"]
    for arguments, fact in [((None,), "not None"), ((one, 12), "not int 12"), (([one, one],), "one run")]:
        with pytest.raises(InputError, match=fact):
            ra.write_report(*arguments)
