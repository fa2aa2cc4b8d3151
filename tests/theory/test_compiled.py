"""Compilation where nothing can be kept on disk, as in read-only containers and on full disks."""

import errno
import os

import numpy as np
import pytest
from numba.core import caching

from recu_analysis.theory.compiled import compiled


def doubled(values):
    return values * 2.0


def test_without_a_folder_for_machine_code_functions_are_compiled(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    np.testing.assert_array_equal(compiled()(doubled)(np.ones(2)), [2.0, 2.0])


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EDQUOT])
def test_machine_code_that_cannot_be_saved_is_used(monkeypatch, code):
    tried = []

    def full(*_):
        tried.append(code)
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", full)
    np.testing.assert_array_equal(compiled()(doubled)(np.ones(2)), [2.0, 2.0])
    assert tried, "a test in which nothing is saved would say nothing"
