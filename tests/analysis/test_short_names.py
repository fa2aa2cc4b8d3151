"""Names in little room: what is cut from all of them, and that no two look alike."""

from hypothesis import given
from hypothesis import strategies as st

from recu_analysis.analysis.short_names import cells, common_prefix, distinct, shorten, to_left, to_right


def test_wide_and_combining_characters_take_the_columns_that_a_terminal_gives_them():
    for text, width in (("conv", 4), ("层1", 3), ("é", 1), ("😀", 2)):
        assert cells(text) == width
        assert to_left(text, 6) == text + " " * (6 - width)
        assert to_right(text, 6) == " " * (6 - width) + text
    assert shorten("层层层层层层层", 8) == "层…层层"


def test_long_names_keep_both_ends():
    assert shorten("model.encoder.layer.11.attention.query", 20) == "model.e…ention.query"
    assert shorten("short", 5) == "short"


def test_the_common_prefix_ends_at_a_dot_or_a_slash_and_leaves_every_name_something():
    for names, prefix in (
        (["a.b.conv1", "a.b.conv2"], "a.b."),
        (["a.b", "a.b.c"], "a."),
        (["runs/recu-0", "runs/recu-1"], "runs/"),
        (["layer1", "layer2"], ""),
        (["a.b.c"], "a.b."),
        (["a."], ""),
        ([], ""),
    ):
        assert common_prefix(names) == prefix


def test_names_are_cut_only_where_they_do_not_fit_and_first_at_their_common_prefix():
    names = [f"features.stage1.block{at}.conv" for at in (1, 2)]
    assert distinct(names, 30) == ("", names)
    assert distinct(names, 12) == ("features.stage1.", ["block1.conv", "block2.conv"])
    assert distinct([names[0], names[0]], 12)[1] == ["conv", "conv"]


@given(st.lists(st.text("ab.层", min_size=1, max_size=30), min_size=1, max_size=8, unique=True), st.integers(1, 12))
def test_no_two_names_look_alike(names, width):
    prefix, short = distinct(names, width)
    assert len(set(short)) == len(names)
    assert all(name.startswith(prefix) for name in names)
    assert all("…" in form or prefix + form == name for name, form in zip(names, short, strict=True))


def test_names_that_differ_only_in_their_middle_stay_near_the_width():
    middles = [f"backbone_stage{i}_block{j}_conv1_binary" for i in range(3) for j in range(2)]
    for names, width in (
        (["x" * 50, "x" * 51], 8),
        (middles, 16),
        ([f"{'a' * 40}{i}{'b' * 40}" for i in range(12)], 10),
    ):
        short = distinct(names, width)[1]
        assert len(set(short)) == len(names)
        assert max(map(len, short)) <= 2 * width
