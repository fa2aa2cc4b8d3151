"""What runs are called beside one another."""

from pathlib import Path

import pytest

from recu_analysis.errors import InputError
from recu_analysis.store.labels import folder_names, together


def test_folders_are_named_by_the_shortest_ends_that_differ():
    assert folder_names([Path("runs/recu"), Path("runs/baseline")]) == ["recu", "baseline"]
    assert folder_names([Path("a/recu"), Path("b/recu"), Path("b/c")]) == ["a/recu", "b/recu", "b/c"]
    assert folder_names([]) == []
    with pytest.raises(InputError, match="given twice"):
        folder_names([Path("a"), Path("b/../a")])


def test_labels_with_commas_are_separated_by_semicolons():
    assert (together(["a", "b"]), together(["a, 0", "b"]), together([])) == ("a, b", "a, 0; b", "")
