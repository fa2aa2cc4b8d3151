"""The report in headless Chromium: no errors, no requests, nothing cut off, controls that work, at three widths."""

import re
import shutil
import zlib
from itertools import pairwise

import pytest

import recu_analysis as ra
from recu_analysis.report import report
from recu_analysis.testing import random_walk, synthetic_run
from tests.report.conftest import HOSTILE

pytestmark = pytest.mark.browser
WIDTHS = (360, 1000, 1400)
PHONE = 360
#: The elements whose content is wider than they are, without those that may scroll.
OVERFLOWING = """scrolls => [...document.querySelectorAll('body *')].filter(e => e.clientWidth
    && e.scrollWidth > e.clientWidth + 1 && getComputedStyle(e).display !== 'inline')
    .filter(e => !(scrolls && e.matches('.scroll')))
    .map(e => `${e.tagName} ${e.id} ${e.className}: ${e.textContent.trim().slice(0, 40)}`)"""


@pytest.fixture(scope="module")
def browser():
    playwright = _playwright()
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if path is None:
        pytest.fail("these tests need Chromium: install your system's package, such as apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


def _playwright():
    try:
        from playwright import sync_api
    except ImportError:
        pytest.fail("these tests need playwright: make test-browser installs it")
    return sync_api


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """A page of two runs."""
    folder = tmp_path_factory.mktemp("browser")
    runs = {}
    for seed, label in enumerate(("recu", "baseline")):
        history = {f"layer{n}.conv": random_walk((8, 5 * n + 5, 3, 3), 40, seed=9 * seed + n) for n in (1, 2, 3)}
        runs[label] = ra.open_run(synthetic_run(folder / label, history, windows=8).path)
    (folder / "page.html").write_text(report(runs), encoding="utf-8")
    return folder / "page.html"


@pytest.fixture(params=WIDTHS)
def page(browser, file, request):
    """The page, open; whatever it says or asks for is kept, and must be nothing."""
    page = browser.new_page(viewport={"width": request.param, "height": 800})
    heard, asked = listen(page)
    page.goto(file.as_uri())
    yield page
    page.close()
    assert heard == []
    assert asked == [file.as_uri()]


def listen(page):
    heard, asked = [], []
    page.on("console", lambda message: heard.append(message.text))
    page.on("pageerror", lambda error: heard.append(str(error)))
    page.on("dialog", lambda dialog: (heard.append(dialog.message), dialog.dismiss()))
    page.on("request", lambda request: None if request.url.startswith("data:") else asked.append(request.url))
    return heard, asked


def overflowing(page):
    """What is wider than its place; tables may scroll on a phone."""
    return page.evaluate(OVERFLOWING, page.viewport_size["width"] == PHONE)


def test_it_fits_its_width(page):
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert overflowing(page) == []
    for chart in page.locator(".plot > svg").all():
        box = chart.bounding_box()
        assert box["width"] > 240
        assert box["x"] + box["width"] <= page.viewport_size["width"]
    page.locator("#configuration summary").click()
    assert overflowing(page) == []
    page.evaluate("document.querySelector('#words dd').append('x'.repeat(9), document.createElement('pre'))")
    page.evaluate("document.querySelector('#words pre').textContent = 'planted '.repeat(99)")
    assert any("PRE" in each for each in overflowing(page)), "a planted overflow is found"


def test_text_of_charts_lies_inside_and_apart(page):
    """Labels of an axis must neither leave the chart nor overlap each other."""
    bad = page.evaluate(
        """() => [...document.querySelectorAll('.plot > svg')].flatMap(svg => {
            const frame = svg.getBoundingClientRect();
            const boxes = [...svg.querySelectorAll('text')].map(t => [t.textContent, t.getBoundingClientRect()]);
            const out = boxes.filter(([, b]) => b.left < frame.left - 1 || b.right > frame.right + 1).map(([t]) => t);
            boxes.forEach(([t, a], i) => boxes.slice(i + 1).forEach(([u, b]) => {
                const apart = a.left >= b.right || b.left >= a.right || a.top + 2 >= b.bottom || b.top + 2 >= a.bottom;
                if (!apart) out.push(`${t} on ${u}`);
            }));
            return out;
        })"""
    )
    assert bad == []


def test_the_picker_changes_the_charts(page):
    paths = "[...document.querySelectorAll('#chart-mobility .plot > svg .trace')].map(p => p.getAttribute('d')).join()"
    before = page.evaluate(paths)
    page.select_option("#layer", label="layer2.conv")
    assert page.evaluate(paths) != before
    page.select_option("#layer", label="all layers")
    assert page.evaluate(paths) == before


def test_the_slider_changes_the_histogram(page):
    path = "document.querySelector('#histogram .plot > svg .trace').getAttribute('d')"
    slider = page.locator("#window")
    assert page.locator("#window-name").inner_text() == "8, epoch 7"
    last = page.evaluate(path)
    slider.focus()
    page.keyboard.press("Home")
    assert page.locator("#window-name").inner_text() == "0, before training"
    assert slider.get_attribute("aria-valuetext") == "window 0, before training"
    assert page.evaluate(path) != last


def test_sorting_sorts(page):
    button = page.get_by_role("button", name="silent weights, core (%)")
    cells = "[...document.querySelectorAll('#layer-table tbody tr')].map(r => +r.cells[5].textContent)"
    button.click()
    values = page.evaluate(cells)
    assert values == sorted(values, reverse=True)
    assert len(set(values)) > 1
    button.focus()
    page.keyboard.press("Enter")
    assert page.evaluate(cells) == sorted(values)
    assert page.locator("#layer-table th[aria-sort]").get_attribute("aria-sort") == "ascending"


def test_the_filter_hides_rows(page):
    page.fill("#filter", "LAYER3")
    assert page.locator("#layer-table tbody tr:visible").count() == 2
    assert page.locator("#filtered").inner_text() == "2 of 6 rows"
    page.fill("#filter", "")
    assert page.locator("#layer-table tbody tr:visible").count() == 6


def test_charts_are_read_and_zoomed_by_keyboard(page):
    chart = page.locator("#chart-autocorrelation .plot > svg")
    chart.focus()
    page.keyboard.press("End")
    reading = page.locator("#chart-autocorrelation .reading")
    assert re.fullmatch(
        r"epoch 7: recu [\d.]+; recu, noise alone [\d.]+; baseline [\d.]+; baseline, noise alone [\d.]+",
        reading.inner_text(),
    )
    shown = "document.querySelector('#chart-autocorrelation .plot > svg .trace').getAttribute('d')"
    whole = page.evaluate(shown)
    page.keyboard.press("+")
    assert page.evaluate(shown) != whole
    page.keyboard.press("0")
    assert page.evaluate(shown) == whole


def test_charts_are_read_and_zoomed_by_pointer(page):
    chart = page.locator("#chart-autocorrelation .plot > svg")
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    shown = "document.querySelector('#chart-autocorrelation .plot > svg .trace').getAttribute('d')"
    whole = page.evaluate(shown)
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + 0.5 * box["width"], middle)
    assert page.locator("#chart-autocorrelation .reading").inner_text().startswith("epoch ")
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=4)
    page.mouse.up()
    assert page.evaluate(shown) != whole
    page.get_by_role("button", name="Show everything: Autocorrelation").click()
    assert page.evaluate(shown) == whole


def test_a_chart_has_its_numbers_as_a_table(page):
    from playwright.sync_api import expect

    page.locator("#chart-dead summary").click()
    expect(page.locator("#chart-dead tbody tr")).to_have_count(8)
    page.select_option("#layer", label="layer1.conv")
    cells = page.locator("#chart-dead tbody tr td").all_inner_texts()
    assert len(cells) == 16
    assert all(re.fullmatch(r"[\d.]+ %", cell) for cell in cells)


def test_runs_can_be_hidden(page):
    page.get_by_role("checkbox", name="baseline").uncheck()
    assert page.locator("#chart-autocorrelation .plot > svg .trace:not(.noise)").count() == 1
    assert page.locator("#histogram .legend").inner_text().split() == ["recu", "Laplace", "normal"]


def test_figures_download(page, tmp_path):
    with page.expect_download() as download:
        page.get_by_role("link", name="fig3.png").click()
    assert download.value.suggested_filename == "fig3.png"
    download.value.save_as(tmp_path / "file")
    assert (tmp_path / "file").read_bytes().startswith(b"\x89PNG")


def test_headings_and_names_for_those_who_do_not_see(page):
    levels = page.evaluate("[...document.querySelectorAll('h1, h2, h3')].map(h => +h.tagName[1])")
    assert page.locator("html[lang='en'] main, header, footer, nav[aria-label]").count() == 4
    assert page.locator("th:not([scope])").count() == 0
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    nameless = page.evaluate(
        """() => [...document.querySelectorAll('input, select, button, svg[tabindex], img')].filter(e =>
            !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label') || e.alt)).length"""
    )
    assert nameless == 0
    ids = page.evaluate("[...document.querySelectorAll('[id]')].map(e => e.id)")
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_contrast(page, scheme):
    """At least 4.5 to 1 everywhere (WCAG AA), by its formula."""
    page.emulate_media(color_scheme=scheme)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    low = page.evaluate(
        """() => {
            const light = c => c.map(v => v / 255).map(v => v <= .04045 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [.2126, .7152, .0722][i], 0);
            const rgb = text => text.match(/[\\d.]+/g).map(Number);
            const ground = e => { for (; e; e = e.parentElement) {
                const c = rgb(getComputedStyle(e).backgroundColor);
                if (c.length < 4 || c[3] === 1) return c.slice(0, 3);
            } return [255, 255, 255]; };
            return [...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
                [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim())).filter(e => {
                const style = getComputedStyle(e);
                const front = e.namespaceURI.endsWith('svg') ? style.fill : style.color;
                const [a, b] = [light(rgb(front)), light(ground(e))];
                return (Math.max(a, b) + .05) / (Math.min(a, b) + .05) < 4.5;
            }).map(e => e.textContent.trim().slice(0, 30));
        }"""
    )
    assert low == []


@pytest.mark.parametrize("width", WIDTHS)
def test_a_hostile_run_does_nothing(browser, hostile, tmp_path, width):
    (tmp_path / "page.html").write_text(report({"<b>x": hostile, HOSTILE[0]: hostile}), encoding="utf-8")
    page = browser.new_page(viewport={"width": width, "height": 800})
    heard, asked = listen(page)
    page.goto((tmp_path / "page.html").as_uri())
    page.select_option("#layer", index=2)
    page.locator("#chart-autocorrelation summary").click()
    assert page.locator("#layer option").all_inner_texts()[2] == HOSTILE[1]
    assert page.locator("img[src='x'], b, [onerror], [onmouseover]").count() == 0
    assert overflowing(page) == []
    page.close()
    assert heard == []
    assert len(asked) == 1


def shown_on_pages(pdf):
    """How many texts and pictures each page of a PDF draws."""
    contents = re.findall(rb"<</Type /Page\n(?:(?!endobj).)*?/Contents (\d+) 0 R", pdf, re.DOTALL)
    streams = [re.search(rb"\n%s 0 obj\n.*?stream\r?\n(.*?)endstream" % each, pdf, re.DOTALL)[1] for each in contents]
    return [len(re.findall(rb"\b(?:Tj|TJ|Do)\b", zlib.decompress(stream))) for stream in streams]


def test_paper(browser, file, tmp_path):
    """On paper controls are gone, the configuration is there, and nothing is cut off at the side."""
    page = browser.new_page(viewport={"width": 718, "height": 1000}, color_scheme="dark")
    page.goto(file.as_uri())
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    page.emulate_media(media="print")
    assert page.locator("#filter, .buttons, .hint, nav").filter(visible=True).count() == 0
    assert page.locator("#configuration table").is_visible()
    assert overflowing(page) == []
    size = page.locator("#chart-dead .plot > svg text").first.evaluate("t => t.getBoundingClientRect().height")
    assert size > 10, "labels of charts are as large as text"
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    shown = shown_on_pages(page.pdf(format="A4"))
    assert len(shown) > 3
    assert min(shown) > 5, "no page is empty"
    page.close()


def test_short_windows_are_pale_and_told(page):
    """Every window of this run is too short, so that the chart of dead weights is pale and says why."""
    caution = page.locator("#chart-dead .caution")
    assert caution.is_visible()
    assert "too short" in caution.inner_text()
    assert page.locator("#chart-dead .pale").count() == 2
    assert page.locator("#chart-mobility .pale").count() == 0


def test_the_laplace_density_has_its_peak(page):
    """The highest point of its path, on the scale of the lowest two lines of the grid."""
    height, step = page.evaluate(
        """() => {
            const svg = document.querySelector('#histogram .plot > svg');
            const path = svg.querySelectorAll('.trace')[2].getAttribute('d');
            const top = Math.min(...path.match(/ [\\d.]+/g).map(Number));
            const [low, high] = [...svg.querySelectorAll('.grid')].map(line => +line.getAttribute('y1'));
            return [(low - top) / (low - high), +svg.querySelectorAll('text')[1].textContent];
        }"""
    )
    assert height * step == pytest.approx(2**-0.5, abs=0.01)


def test_every_control_is_reached_by_the_keyboard_and_seen(page):
    page.evaluate("document.querySelectorAll('body *').forEach((each, place) => { each.dataset.place = place; })")
    wanted = page.evaluate(
        """() => [...document.querySelectorAll('a[href], button, input, select, summary, [tabindex="0"]')]
            .filter(each => each.checkVisibility()).map(each => each.dataset.place)"""
    )
    reached = []
    for _ in wanted:
        page.keyboard.press("Tab")
        place, outline = page.evaluate(
            "[document.activeElement.dataset.place, getComputedStyle(document.activeElement).outlineStyle]"
        )
        assert outline == "solid", place
        reached.append(place)
    assert reached == wanted, "in the order of the page"
    assert len(wanted) > 50
