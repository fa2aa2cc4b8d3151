"""What a path from the user is: a folder, or a URL, and which URLs are refused."""

from pathlib import Path

import pytest

from recu_analysis.errors import InputError
from recu_analysis.store.object_path import ObjectPath
from recu_analysis.store.places import as_place, local
from tests.messages import facts


@pytest.mark.parametrize(
    "text", ["s3://bucket/runs/a", "s3:/bucket/runs/a", "S3://bucket/runs//a/", Path("s3://bucket/runs/a")]
)
def test_a_url_is_a_url_however_it_is_spelled(text):
    place = as_place(text)
    assert isinstance(place, ObjectPath)
    assert str(place) == "s3://bucket/runs/a"


@pytest.mark.parametrize("text", ["runs/a", "/runs/a", "./s3:/a", "a:/b", "s3/a", "s3", "runs/s3://a"])
def test_everything_else_is_a_path(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a:").mkdir()
    place = as_place(text)
    assert not isinstance(place, ObjectPath)
    assert place == Path(text)
    assert as_place("~") == Path.home()


@pytest.mark.parametrize("scheme", ["gs", "az", "http", "https", "file", "s3a"])
def test_other_schemes_are_refused(scheme):
    for text in (f"{scheme}://bucket/runs/a", Path(f"{scheme}://bucket/runs/a")):
        with pytest.raises(InputError, match=facts(f"{scheme}://", "s3://bucket/folder")):
            as_place(text)


@pytest.mark.parametrize(
    "text",
    [
        "s3://",
        "s3://bucket",
        "s3://bucket/",
        "s3://b/a",
        "s3://key:secret@bucket/a",
        "s3://key:sec/ret@bucket/a",
        "s3://ü/a",
    ],
)
def test_a_bucket_and_a_folder_are_needed_and_no_credentials(text):
    with pytest.raises(InputError, match="s3://bucket/folder") as caught:
        as_place(text)
    assert "sec" not in str(caught.value).replace("SECRET", "")


@pytest.mark.parametrize("folder", ["a/../b", "./a", "a\nb", "a\x00b", "a\u202eb", "a" * 900])
def test_folders_that_cannot_be_keys_are_refused(folder):
    with pytest.raises(InputError, match="printable text"):
        as_place(f"s3://bucket/{folder}")


def test_what_is_written_here_needs_a_folder(tmp_path):
    assert local(tmp_path, "a figure") == tmp_path
    with pytest.raises(InputError, match=facts("a figure needs a folder", "s3://bucket/a")):
        local("s3://bucket/a", "a figure")
