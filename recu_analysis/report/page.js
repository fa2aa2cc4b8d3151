// The page's script: charts of the selected layer, the histogram's slider, and a table that sorts and filters.
{
  const data = JSON.parse(document.getElementById("data").textContent);
  const INK = "currentColor";
  const PAPER = 340; // Width in pixels of a chart on paper, where two are side by side.
  const DASHES = ["none", "7 4"];
  const [NOISE, NOISE_DASH] = ["noise alone", "3 2"];
  const several = data.runs.length > 1;
  const shown = new Set(data.runs); // The runs whose boxes are ticked.
  const zip = (xs, ...columns) => xs.map((x, index) => [x, ...columns.map((column) => column[index])]).filter((point) => point[0] !== null);

  /** Name of a line: the run where there are several, and the part of the weights where the chart has several. */
  function lineName(run, part) {
    return [several || !part ? run.label : "", part].filter(Boolean).join(", ");
  }

  // A run has the color of its arm, as in all figures; seeds are distinguished by the values at the pointer and by the table of numbers.
  const runsShown = () => data.runs.filter((run) => shown.has(run));
  const runKeys = () => runsShown().map((run) => ({ name: run.label, run, color: run.color, dash: "none" }));

  /** Points of one quantity of one run for the layer picked, with a band over seeds; layer 0 is the whole network. */
  function values(run, chart, quantity, layer) {
    const numbers = { time: run.series, magnitude: run.magnitude, epoch: run.metrics }[chart.against];
    const row = (name) => (chart.against === "epoch" ? numbers[name] : numbers[name]?.[layer]);
    const xs = { time: run.time, magnitude: row("abs_z"), epoch: run.metrics.epoch }[chart.against];
    const [middle, low, high] = [quantity, `${quantity}_low`, `${quantity}_high`].map(row);
    if (!middle) return { points: [] };
    return { points: zip(xs, middle), band: low && zip(xs, low, high), pale: chart.cautious ? pale(run, chart, layer) : null };
  }

  /** What noise alone would give beside a line, where that is known. */
  function noiseLine(run, chart, quantity, part, layer) {
    const { points } = values(run, chart, `${quantity}_null`, layer);
    return { name: [lineName(run, part), NOISE].filter(Boolean).join(", "), color: run.color, dash: NOISE_DASH, points, noise: true };
  }

  /** Whether the windows behind each point are too short to tell dead weights from slow ones. */
  function pale(run, chart, layer) {
    if (chart.against === "magnitude") return run.magnitude.abs_z[layer].map(() => run.short);
    return zip(run.time, run.series.autocorrelation_null[layer]).map((point) => point[1] > data.enough);
  }

  function showChart(chart, view, layer) {
    const parts = Object.entries(chart.lines);
    const lines = runsShown().flatMap((run) =>
      parts.flatMap(([quantity, part], place) => [
        { name: lineName(run, part), color: run.color, dash: DASHES[place], ...values(run, chart, quantity, layer) },
        noiseLine(run, chart, quantity, part, layer)]));
    const measured = several && parts.length > 1
      ? [...runKeys(), ...parts.map(([, part], place) => ({ name: part, color: INK, dash: DASHES[place] }))]
      : lines.filter((line) => !line.noise);
    const noise = lines.some((line) => line.noise && line.points.some((point) => point[1] !== null));
    const keys = noise ? [...measured, { name: NOISE, color: INK, dash: NOISE_DASH, noise }] : measured;
    const caution = document.querySelector(`#chart-${chart.name} .caution`);
    if (caution) caution.hidden = !lines.some((line) => line.pale?.some(Boolean));
    const x = { time: data.time, epoch: "epoch", magnitude: "|z| at the start, standard deviations" }[chart.against];
    view.show(lines, keys, { x, y: chart.unit, percent: chart.percent, whole: chart.against !== "magnitude", zero: chart.name !== "accuracy" });
  }

  const width = (2 * data.reach) / data.bins;
  const centres = Array.from({ length: data.bins }, (_, index) => Number((-data.reach + (index + 0.5) * width).toFixed(6)));
  const withPeak = [...centres, 0].sort((a, b) => a - b); // The peak of the densities is between two bins.
  const laplace = withPeak.map((z) => [z, Math.exp(-Math.SQRT2 * Math.abs(z)) / Math.SQRT2]);
  const normal = withPeak.map((z) => [z, Math.exp((-z * z) / 2) / Math.sqrt(2 * Math.PI)]);

  /** Density of z of one run at the last of its windows up to a number. */
  function density(run, number, layer) {
    const index = run.histogram.windows.findLastIndex((each) => each <= number);
    const counts = index < 0 ? null : run.histogram.counts[layer][index];
    const total = counts ? counts.reduce((a, b) => a + b, 0) : 0;
    return total ? zip(centres, counts.map((count) => count / total / width)) : [];
  }

  function showHistogram(view, number, layer) {
    const lines = runKeys().map((key) => ({ ...key, points: density(key.run, number, layer) }));
    lines.push({ name: "Laplace", color: INK, dash: "7 4", points: laplace, reference: true });
    lines.push({ name: "normal", color: INK, dash: "2 3", points: normal, reference: true });
    view.show(lines, lines, { x: "z, standard deviations", y: "density", percent: false, whole: false, zero: true });
  }

  /** What the slider's position is called: the window, and its epoch where one was logged. */
  function windowName(number) {
    for (const run of data.runs) {
      const time = run.histogram.time[run.histogram.windows.indexOf(number)];
      if (number === 0) return "0, before training";
      if (time !== undefined && time !== null && data.time === "epoch") return `${number}, epoch ${time}`;
    }
    return String(number);
  }

  /** A box that shows a run's lines while it is ticked. */
  function runBox(run, pick) {
    const box = make("input", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      if (box.checked) shown.add(run);
      else shown.delete(run);
      pick();
    });
    return make("label", { title: run.name }, box, ` ${run.label}`);
  }

  function startCharts() {
    for (const part of document.querySelectorAll("#charts [hidden]")) part.hidden = false;
    const plot = (name) => document.querySelector(`#${name} .plot`);
    const views = data.charts.map((chart) => [chart, new Chart(plot(`chart-${chart.name}`), chart.title)]);
    const histogram = new Chart(plot("histogram"), "Weights by z");
    const picker = document.getElementById("layer");
    picker.append(...["all layers", ...data.layers].map((name, index) => new Option(name, index)));
    const slider = document.getElementById("window");
    const numbers = [...new Set(data.runs.flatMap((run) => run.histogram.windows))].sort((a, b) => a - b);
    slider.max = numbers.length - 1;
    slider.value = slider.max;
    const slide = () => {
      const name = windowName(numbers[slider.value]);
      document.getElementById("window-name").value = name;
      slider.setAttribute("aria-valuetext", `window ${name}`);
      showHistogram(histogram, numbers[slider.value], Number(picker.value));
    };
    const pick = () => {
      for (const [chart, view] of views) showChart(chart, view, Number(picker.value));
      slide();
    };
    if (several) document.getElementById("shown").append(...data.runs.map((run) => runBox(run, pick)));
    slider.addEventListener("input", slide);
    picker.addEventListener("change", pick);
    pick();
    return [histogram, ...views.map(([, view]) => view)];
  }

  /** The name in a cell, which may show a shorter form of it. */
  const fullName = (cell) => cell.querySelector("bdi").title;

  /** Sort by a column: numbers from the largest first, texts from A first, unknown values last; again turns it. */
  function sortBy(table, heading) {
    const column = heading.cellIndex;
    const key = (row) => row.cells[column].dataset.value;
    const rows = [...table.tBodies[0].rows];
    const numeric = key(rows[0]) !== undefined;
    const before = heading.getAttribute("aria-sort");
    const ascending = before ? before === "descending" : !numeric;
    const compare = numeric
      ? (a, b) => (key(a) === "") - (key(b) === "") || (ascending ? 1 : -1) * (key(a) - key(b))
      : (a, b) => (ascending ? 1 : -1) * fullName(a.cells[column]).localeCompare(fullName(b.cells[column]), "en", { numeric: true });
    for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
    heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    table.tBodies[0].append(...rows.sort(compare));
  }

  function startTable() {
    const table = document.getElementById("layer-table");
    for (const heading of table.tHead.rows[0].cells) {
      const button = make("button", { type: "button" }, ...heading.childNodes);
      heading.append(button);
      button.addEventListener("click", () => sortBy(table, heading));
    }
    const input = document.getElementById("filter");
    input.closest("p").hidden = false;
    input.addEventListener("input", () => {
      const wanted = input.value.trim().toLowerCase();
      const rows = [...table.tBodies[0].rows];
      for (const row of rows) row.hidden = ![row.cells[0], row.cells[1]].some((cell) => fullName(cell).toLowerCase().includes(wanted));
      document.getElementById("filtered").value = wanted ? `${rows.filter((row) => !row.hidden).length} of ${rows.length} rows` : "";
    });
  }

  /** On paper nothing can be opened: the configuration is printed. Charts are drawn for the width that they have there. */
  function startPrinting(charts) {
    const folded = document.getElementById("configuration");
    let wasOpen = false;
    addEventListener("beforeprint", () => {
      wasOpen = folded.open;
      folded.open = true;
      for (const chart of charts) chart.draw(PAPER);
    });
    addEventListener("afterprint", () => {
      folded.open = wasOpen;
      for (const chart of charts) chart.draw();
    });
  }

  for (const link of document.querySelectorAll("a.picture")) link.href = link.querySelector("img").src;
  startTable();
  startPrinting(startCharts());
}
