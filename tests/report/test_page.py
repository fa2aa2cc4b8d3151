"""The report's page: whole, small, the same each time, and closed to whatever a run directory holds."""

import base64
import hashlib
import html
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest

import recu_analysis as ra
from recu_analysis.errors import InputError, LayerNotFoundError, WindowNotFoundError
from recu_analysis.report import embedded_figures, report, sampling
from recu_analysis.report.page import embedded
from recu_analysis.testing import random_walk, synthetic_run
from recu_analysis.theory.standardize import WeightTransform
from tests.editing import edit_run, run_json
from tests.messages import says
from tests.report.conftest import HOSTILE


class Skeleton(HTMLParser):
    """The elements of a page in order, each with the names of its attributes, and its texts."""

    def __init__(self, page):
        super().__init__()
        self.elements, self.texts = [], []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag != "wbr":  # long names may break at more places
            self.elements.append((tag, tuple(name for name, _ in attrs)))

    def handle_data(self, data):
        self.texts.append(data.strip())


@pytest.fixture(scope="module")
def page(tame):
    return report({"mine": tame})


@pytest.fixture(scope="module")
def hostile_page(hostile):
    return report({"mine": hostile})


@pytest.fixture
def without_figures(monkeypatch):
    """Figures take most of a page's time; tests of other things do without."""
    monkeypatch.setattr(embedded_figures, "FIGURES_SHOWN", ())


def data_of(page):
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)[1])


def section(page, name):
    found = re.search(rf'<section id="{name}".*?</section>', page, re.DOTALL)
    return found[0] if found else ""


def warnings_of(page):
    return section(page, "warnings")


def text_of(markup):
    """The text without tags, with single spaces."""
    return html.unescape(" ".join(re.sub("<[^>]*>", "", markup).split()))


def test_the_same_run_gives_the_same_page(tame, page):
    assert report({"mine": tame}) == page


def test_it_loads_nothing_and_allows_nothing_but_its_own_script(page):
    assert page.startswith("<!doctype html>")
    assert not re.findall(r'(?:src|href)="(?!data:|#)', page)
    assert not re.findall(r"url\(|@import|<link(?! rel=\"icon\")", page)
    assert " style=" not in page
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)[1].replace("&#39;", "'")
    script = page.rsplit("<script>", 1)[1].split("</script>")[0]
    style = page.split("<style>", 1)[1].split("</style>")[0]
    for kind, text in (("script", script), ("style", style)):
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_nothing_of_a_run_becomes_markup(page, hostile_page):
    tame, hostile = Skeleton(page), Skeleton(hostile_page)
    assert hostile.elements == tame.elements
    for text in HOSTILE:
        assert text in hostile.texts, "shown as it is"
    assert data_of(hostile_page)["layers"] == list(HOSTILE)
    assert not re.search("[<>&\u2028\u2029]", hostile_page.split('id="data">')[1].split("</script>")[0])


@pytest.mark.usefixtures("without_figures")
def test_labels_are_escaped(tame):
    label = "<b onclick=x>'\""
    labeled = report({label: tame})
    assert label not in labeled
    assert label in Skeleton(labeled).texts


def test_embedded_json_reads_back():
    value = {"a</script>": ["<!--", "\u2028&\u2029", None, 1.5]}
    text = embedded(value)
    assert json.loads(text) == value
    assert not re.search("[<>&\u2028\u2029]", text)


def test_histograms_count_the_weights(tame, page):
    histogram = data_of(page)["runs"][0]["histogram"]
    weight = tame.windows[-1][tame.layer_names[0]].weight.astype(float)
    rows = weight.reshape(len(weight), -1)
    z = (rows - rows.mean(1, keepdims=True)) / rows.std(1, ddof=1, keepdims=True)
    assert histogram["counts"][1][-1] == np.histogram(z, np.linspace(-5, 5, 81))[0].tolist()
    by_layer = np.array([counts[-1] for counts in histogram["counts"][1:]])
    assert histogram["counts"][0][-1] == by_layer.sum(0).tolist()
    assert histogram["windows"] == [0, 1, 2, 3, 4]


def test_charts_show_the_layer_table(tame, page):
    data = data_of(page)["runs"][0]
    table = ra.layer_table(tame)
    rows = table[table["window"] == 2]
    assert data["time"] == [0, 1, 2, 3]
    for place, name in enumerate(tame.layer_names, start=1):
        for column in {*data["series"]} & {*rows}:
            values = data["series"][column]
            factor = 1e3 if column.startswith(("mobility", "flip_ratio")) else 1.0
            expected = factor * rows[rows["layer"] == name][column].item()
            assert values[place][1] == pytest.approx(expected, rel=1e-4), column
    whole = ra.layer_table(tame, network=True).set_index("window")
    for column, factor in [("autocorrelation", 1), ("mobility_core", 1e3), ("flip_ratio_tail", 1e3)]:
        assert data["series"][column][0][1] == pytest.approx(factor * whole[column][2], rel=1e-4), column
    # The walk of this run is no motion of noise that decays, so what noise leaves silent is refused.
    for column in ("silent_fraction_tail_null", "silent_fraction_core_null", "dead_fraction_null"):
        assert data["series"][column][0] == [None] * 4, column


def test_layers_too_small_for_bins_have_no_points_against_z(page):
    magnitude = data_of(page)["runs"][0]["magnitude"]
    assert magnitude["abs_z"][3] == [None] * 20  # 16 weights
    assert None not in magnitude["abs_z"][0]
    counts = [np.bincount(np.arange(weights) * 20 // weights) for weights in (108, 320)]
    expected = np.average(magnitude["silent_fraction"][1:3], axis=0, weights=counts)
    assert magnitude["silent_fraction"][0] == pytest.approx(expected.tolist(), abs=1e-4)


@pytest.mark.usefixtures("without_figures")
def test_two_runs_stand_side_by_side(tame, hostile):
    both = report({"a": tame, "b": hostile})
    data = data_of(both)
    assert [run["label"] for run in data["runs"]] == ["a", "b"]
    assert len(data["layers"]) == 6
    assert data["runs"][1]["series"]["autocorrelation"][1] == [None] * 4, "a layer that only the other run has"
    assert "<strong>●</strong> marks what differs" in both
    assert both.count('<td class="text">') == 6
    says(section(both, "claims"), "a, b", "2 experiments (a; b)")


@pytest.mark.usefixtures("without_figures")
def test_runs_without_clamp_are_the_baseline(tame, tmp_path):
    layers = run_json(tame.path)["layers"]
    for layer in layers:
        layer["transform"]["clamp"] = False
    shutil.copytree(tame.path, tmp_path / "plain")
    edit_run(tmp_path / "plain", layers=layers)
    both = report({"plain": ra.open_run(tmp_path / "plain"), "recu": tame})
    says(text_of(section(both, "claims")), "Tested runs: recu.", "without the clamp: plain.")
    assert [run["color"] for run in data_of(both)["runs"]] == ["#0072b2", "#e69f00"], "that of its arm in figures"


def test_large_runs_are_shown_in_part(tame, monkeypatch):
    monkeypatch.setattr(sampling, "MAX_WINDOWS", 3)
    monkeypatch.setattr(sampling, "MAX_LAYERS", 2)
    part = report({"mine": tame})
    assert data_of(part)["runs"][0]["histogram"]["windows"] == [0, 2, 4]
    assert data_of(part)["layers"] == ["first", "third"]
    says(warnings_of(part), "mine: ", "3 of 5 windows")
    says(warnings_of(part), "mine: ", "2 of 3 layers")
    assert "The figure fliplaw is left out, since it reads every window" in part
    whole = ra.layer_table(tame)
    expected = whole[(whole["window"] == 4) & (whole["layer"] == "third")]["autocorrelation"].item()
    assert data_of(part)["runs"][0]["series"]["autocorrelation"][2][1] == pytest.approx(expected, rel=1e-4)


def test_evenly_keeps_both_ends():
    for count in range(1, 30):
        for limit in range(2, 12):
            kept = sampling.evenly(range(count), limit)
            assert len(kept) == min(count, limit)
            assert (kept[0], kept[-1]) == (0, count - 1)
            assert np.ptp(np.diff(kept)) <= 1 if len(kept) > 1 else True


@pytest.mark.usefixtures("without_figures")
def test_short_sampled_and_unfinished_runs_are_warned_of(tmp_path):
    path = synthetic_run(tmp_path / "run", exact=False).path
    edit_run(path, configuration={"epochs": 9})
    page = report({"mine": ra.open_run(path)})
    assert "mine: sampled from checkpoints" in warnings_of(page)
    assert "mine: unfinished: 4 of 9 epochs" in warnings_of(page)
    says(text_of(section(page, "answer")), "mine", "It is unknown whether", "null autocorrelation", "rates")
    short = report({"mine": ra.open_run(synthetic_run(tmp_path / "short", decay_time=1e-3).path)})
    says(text_of(section(short, "answer")), "mine", "too short to tell dead weights from slow ones", "Train longer")


@pytest.mark.usefixtures("without_figures")
def test_weights_that_are_not_finite_are_warned_of(tmp_path):
    walk = random_walk((4, 30), 20)
    walk[-1, 0, :3] = np.nan
    text = report({"mine": ra.open_run(synthetic_run(tmp_path / "run", {"a": walk}).path)})
    assert re.search(r"mine: \d+ weights are NaN or infinite", warnings_of(text))
    assert "constant" not in warnings_of(text)


@pytest.mark.usefixtures("without_figures")
def test_constant_channels_are_warned_of(tmp_path):
    walk = random_walk((4, 30), 20)
    walk[:, 1:3] = 0.5
    text = report({"mine": ra.open_run(synthetic_run(tmp_path / "run", {"a": walk}).path)})
    says(warnings_of(text), "mine: ", "2 channels", "constant")


@pytest.mark.usefixtures("without_figures")
def test_a_run_that_is_being_written_and_has_lost_a_window(tame, tmp_path):
    shutil.copytree(tame.path, tmp_path / "run")
    segment = tmp_path / "run/history/segment-0000"
    (segment / "window-000002/00001-of-00001.safetensors").write_bytes(b"damaged")
    (segment / "window-000005").mkdir()
    with (segment / "metrics.jsonl").open("a") as file:
        file.write('{"window":5,"upd')
    text = report({"mine": ra.open_run(tmp_path / "run")})
    assert "mine: window 2" in warnings_of(text)
    assert data_of(text)["runs"][0]["histogram"]["windows"] == [0, 1, 4]


def test_runs_without_metrics_count_windows(tmp_path, monkeypatch):
    monkeypatch.setattr(embedded_figures, "FIGURES_SHOWN", ("fig5",))
    path = synthetic_run(tmp_path / "run").path
    (path / "history/segment-0000/metrics.jsonl").unlink()
    text = report({"mine": ra.open_run(path)})
    assert data_of(text)["time"] == "window"
    assert data_of(text)["runs"][0]["time"] == [1, 2, 3, 4]
    assert "The figure fig5 is left out: run mine logged no val_top1" in text


@pytest.mark.usefixtures("without_figures")
def test_no_run_twice_the_same_label_or_no_movement(tame, tmp_path):
    with pytest.raises(InputError, match="at least one run"):
        report({})
    with pytest.raises(InputError, match="different label for every run"):
        report({"a": tame}, {"a": tame})
    path = synthetic_run(tmp_path / "run").path
    for folder in sorted((path / "history/segment-0000").glob("window-*"))[1:]:
        shutil.rmtree(folder)
    with pytest.raises(WindowNotFoundError, match="holds no window with updates"):
        report({"mine": ra.open_run(path)})


def test_every_picture_says_what_it_shows(page):
    pictures = re.findall(r'<img src="data:image/png;base64,[^"]+" alt="([^"]+)"', page)
    assert len(pictures) == len(re.findall("<img ", page))
    assert len(pictures) == 4
    assert '<img src="data' in section(page, "answer"), "the first is beside the answer"
    assert "The figure magnitude is left out" in page  # a layer is too small for its bins
    assert not re.search(r"[$\\]", "".join(pictures))


def test_the_answer_comes_first_and_every_formula_is_mathml(page):
    sections = re.findall(r'<section id="(\w+)"', page)
    assert sections == ["answer", "runs", "charts", "layers", "figures", "claims", "words", "method"]
    assert len(re.findall("<math ", page)) == 7
    assert "memory" not in text_of(page.split("<main")[1].split("</main>")[0]), "its word is autocorrelation"


@pytest.mark.usefixtures("without_figures")
def test_claims_are_for_runs_of_the_method_or_on_request(tmp_path):
    plain = WeightTransform(center=True, target=None, clamp=False)
    run = ra.open_run(synthetic_run(tmp_path / "run", transform=plain).path)
    assert not section(report({"mine": run}), "claims")
    assert section(report({"mine": run}, claims=True), "claims")


@pytest.mark.usefixtures("without_figures")
def test_windows_and_layers_are_chosen(tame):
    page = report({"mine": tame}, windows="2:4", layers="*r*")
    data = data_of(page)
    assert data["layers"] == ["first", "third"]
    assert data["runs"][0]["histogram"]["windows"] == [2, 3]
    says(text_of(section(page, "answer")), "windows 2 to 3")
    says(text_of(section(page, "layers")), "Windows 2 to 3")
    expected = ra.dead_weights(tame, windows=slice(2, 4), layers="*r*")
    cells = re.findall(r'<td data-value="([^"]*)">', page)
    assert float(cells[1]) == pytest.approx(100 * expected["dead_fraction"][0])
    with pytest.raises(LayerNotFoundError):
        report({"mine": tame}, layers="nothing")
    with pytest.raises(WindowNotFoundError):
        report({"mine": tame}, windows=77)


@pytest.mark.usefixtures("without_figures")
def test_many_runs_become_arms_with_bands(tmp_path):
    runs = {}
    for arm, seed in [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("a", 2), ("b", 2), ("a", 3)]:
        walk = {"layer": random_walk((4, 30), 20, seed=seed + 10 * (arm == "b"))}
        path = synthetic_run(tmp_path / f"{arm}{seed}", walk).path
        edit_run(path, configuration={"recu": arm == "a", "tau": arm, "seed": seed})
        runs[f"{arm}{seed}"] = ra.open_run(path)
    page = report(runs)
    data = data_of(page)
    assert len(data["runs"]) == 2
    says(text_of(section(page, "runs")), "a0, a1, a2, a3", "b0, b1, b2")
    tables = [ra.layer_table(runs[f"a{seed}"])["silent_fraction_core"] for seed in range(4)]
    for ending, of in [("", np.mean), ("_low", np.min), ("_high", np.max)]:
        found = data["runs"][0]["series"][f"silent_fraction_core{ending}"][1]
        assert found == pytest.approx(of([table[1:] for table in tables], axis=0).tolist(), abs=1e-5)
    assert sum(data["runs"][0]["histogram"]["counts"][1][0]) == pytest.approx(4 * 120, abs=4)
    assert "Latent weights of 7 runs in 2 arms" in page
    assert page.count('<td class="text">') == 2
