"""The requests to a bucket: the extra that they need, and credentials, before anything is sent."""

import os
import sys
from types import SimpleNamespace

import pytest

from recu_analysis import open_run
from recu_analysis.errors import MissingExtraError, StoreError
from recu_analysis.store import bucket
from recu_analysis.store.bucket import CREDENTIALS, Bucket
from tests.messages import facts


@pytest.fixture
def credentials(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "tester")


def test_without_obstore_the_extra_is_named(monkeypatch, credentials):
    monkeypatch.setitem(sys.modules, "obstore", None)
    with pytest.raises(MissingExtraError, match=r'pip install "recu-analysis\[s3\]"'):
        open_run("s3://bucket/runs/a")


def test_without_credentials_nothing_is_sent(monkeypatch):
    for name in CREDENTIALS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(bucket, "_library", lambda: SimpleNamespace(list=None))
    with pytest.raises(StoreError, match=facts("s3://bucket needs credentials", "AWS_ACCESS_KEY_ID")):
        Bucket("bucket").objects("runs")


@pytest.mark.parametrize(
    "text", ["not a URL", "ftp://host", "http://", "http://[::1", "http://a b", "http://h:99999", "http://ü"]
)
def test_an_address_that_cannot_be_one_is_refused(monkeypatch, credentials, text):
    monkeypatch.setattr(bucket, "_library", lambda: SimpleNamespace(list=None))
    monkeypatch.setenv("AWS_ENDPOINT_URL", text)
    with pytest.raises(StoreError, match=facts("AWS_ENDPOINT_URL", "https://host")):
        Bucket("bucket").objects("runs")


def test_a_forked_process_is_told_so(monkeypatch, credentials):
    monkeypatch.setattr(bucket, "_library", lambda: SimpleNamespace(list=None))
    monkeypatch.setattr(bucket, "_PROCESS", {"number": os.getpid() + 1})
    with pytest.raises(StoreError, match=facts("forked", "spawn")):
        Bucket("bucket").objects("runs")


def test_a_fault_within_the_library_is_an_error_that_a_thread_survives():
    class PanicException(BaseException):
        pass

    request = Bucket("bucket")._request("key", "cannot be read")
    with pytest.raises(StoreError, match=facts("s3://bucket/key", "cannot be read", "500 Internal")), request:
        raise PanicException("status code: 500 Internal")
    with pytest.raises(TypeError, match="ours"), Bucket("bucket")._request("key", "cannot be read"):
        raise TypeError("ours")
