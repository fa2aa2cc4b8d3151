"""Messages by their facts: the names, numbers and options in a sentence, whatever its words."""

from __future__ import annotations

import re


def says(text: str, *facts: object) -> None:
    """Assert that a text holds every one of some facts."""
    missing = [str(fact) for fact in facts if str(fact) not in text]
    assert not missing, f"{missing} not in {text!r}"


def facts(*given: object) -> str:
    """A pattern for `pytest.raises(match=...)` that finds every one of some facts, in any order."""
    return "".join(rf"(?s:(?=.*{re.escape(str(fact))}))" for fact in given)
