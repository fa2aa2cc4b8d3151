"""The page of commands says what --help says now."""

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
from click.testing import CliRunner

from recu_analysis.analysis.vocabulary import STATISTICS
from recu_analysis.cli import COMMANDS, cli

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "commands.md").read_text(encoding="utf-8")


def script():
    spec = spec_from_file_location("document_commands", ROOT / "scripts" / "document_commands.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_is_up_to_date():
    assert script().page() == PAGE, "run: python scripts/document_commands.py"


def test_the_tables_of_quantities_are_up_to_date():
    text = (ROOT / "docs" / "run-directory.md").read_text(encoding="utf-8")
    assert script().QUANTITIES.sub(script().quantities, text) == text, "run: python scripts/document_commands.py"
    assert text.count("| `") > 40


def test_the_table_of_columns_is_up_to_date():
    text = (ROOT / "docs" / "words.md").read_text(encoding="utf-8")
    assert script().VOCABULARY.sub(script().vocabulary, text) == text, "run: python scripts/document_commands.py"
    assert text.count("| `") == len(STATISTICS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_that_help_lists_is_on_the_page(name):
    done = CliRunner(env={"COLUMNS": "200", "NO_COLOR": "1"}).invoke(cli, [name, "--help"])
    assert done.exit_code == 0
    options = set(re.findall(r"^\W*(--[a-z0-9-]+)", done.output, flags=re.MULTILINE))
    section = PAGE.split(f"\n## {name}\n")[1].split("\n## ")[0]
    assert {"--help", "--quiet", "--color", "--debug"} <= options
    for option in options - {"--help", "--quiet", "--color", "--debug"}:
        assert option in section
    assert section.count("```bash\nrecu-analyze ") == 1, "one example a command"


def test_no_markdown_hides_in_a_help_text():
    assert (
        script().escaped("b* of recu_analysis <a> [default: 1]") == "b\\* of recu\\_analysis &lt;a&gt; \\[default: 1\\]"
    )
