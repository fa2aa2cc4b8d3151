"""recu-analyze report as a user types it: the file, its name, and what goes wrong in one sentence."""

import pytest

from tests.cli_runner import refusal, run_cli, wrong_usage
from tests.messages import says


def test_it_writes_one_small_file_and_says_where(synthetic, tmp_path):
    output = tmp_path / "page.html"
    output.write_text("before")
    done = run_cli("report", synthetic.path, "-o", output)
    assert done.exit_code == 0, done
    assert done.stdout == ""
    assert done.stderr.startswith(f"wrote {output}, ")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert output.stat().st_size < 2**20
    assert output.read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("arguments", "facts"),
    [
        (["nowhere"], ["nowhere", "does not exist", "recu-analyze train"]),
        (["RUN", "RUN"], ["RUN", "twice"]),
        (["RUN", "--layer", "nothing"], ["'nothing'", "known are"]),
        (["RUN", "--windows", "77"], ["none of the windows 77"]),
        (["RUN", "-o", "/dev/null/page.html"], ["/dev/null/page.html", "cannot be written"]),
        (["RUN", "-o", "/proc/page.html"], ["/proc/page.html", "cannot be written"]),
    ],
)
def test_what_goes_wrong_is_one_sentence(synthetic, tmp_path, monkeypatch, arguments, facts):
    monkeypatch.chdir(tmp_path)
    sentence = refusal("report", *[synthetic.path if each == "RUN" else each for each in arguments])
    says(sentence.replace(str(synthetic.path), "RUN"), *facts)
    assert not list(tmp_path.iterdir())


def test_windows_and_layers_are_chosen(synthetic, tmp_path):
    layer = next(iter(synthetic.history))
    done = run_cli("report", synthetic.path, "--windows", "1:2", "--layer", layer, "-o", tmp_path / "page.html")
    assert done.exit_code == 0, done
    page = (tmp_path / "page.html").read_text()
    assert f'"layers":["{layer}"]' in page
    assert "Window 1, epoch 0" in page


def test_folders_above_it_are_made(synthetic, tmp_path):
    assert run_cli("report", synthetic.path, "-o", tmp_path / "a" / "b" / "page.html").exit_code == 0
    assert (tmp_path / "a" / "b" / "page.html").exists()


def test_a_folder_is_no_output(synthetic, tmp_path):
    says(wrong_usage("report", synthetic.path, "-o", tmp_path), tmp_path, "directory")


def test_another_ending_than_that_of_a_page_is_wrong_usage(synthetic, tmp_path):
    says(wrong_usage("report", synthetic.path, "-o", tmp_path / "r.pdf"), ".html", "r.pdf")
    assert not list(tmp_path.glob("r.pdf"))
