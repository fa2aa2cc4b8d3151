"""recu-analyze report as a user types it: the file, its name, and what goes wrong in one sentence."""

import pytest
from click.testing import CliRunner

from recu_analysis.cli import cli
from recu_analysis.testing import synthetic_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return synthetic_run(tmp_path_factory.mktemp("report") / "run").path


def invoke(*arguments):
    return CliRunner().invoke(cli, ["report", *map(str, arguments)])


def test_it_writes_one_small_file_and_says_where(run, tmp_path):
    output = tmp_path / "page.html"
    output.write_text("before")
    done = invoke(run, "-o", output)
    assert done.exit_code == 0, done.output
    assert done.stdout == ""
    assert done.stderr.startswith(f"wrote {output}, ")
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    assert output.stat().st_size < 2**20
    assert output.read_text().rstrip().endswith("</html>")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["nowhere"],
            "Error: nowhere does not exist; recu-analyze train and recu_analysis.record make run directories",
        ),
        (["RUN", "RUN"], "Error: RUN is named twice; give every run once"),
        (["RUN", "-o", "no/page.html"], "Error: no/page.html cannot be written: there is no folder no; make it first"),
        (["RUN", "-o", "/proc/page.html"], "Error: /proc/page.html cannot be written: "),
    ],
)
def test_what_goes_wrong_is_one_sentence(run, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    done = invoke(*[str(run) if each == "RUN" else each for each in arguments])
    assert done.exit_code == 1
    assert done.stderr.startswith(sentence.replace("RUN", str(run)))
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_a_folder_is_no_output(run, tmp_path):
    assert invoke(run, "-o", tmp_path).exit_code == 2
