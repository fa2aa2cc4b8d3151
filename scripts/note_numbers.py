"""The numbers of paper/note.tex as LaTeX commands, from the closed forms and the runs in checkpoints/.

python scripts/note_numbers.py > paper/numbers.tex
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
from scipy.optimize import minimize_scalar

import recu_analysis as ra
from recu_analysis.analysis.mask import signs_changed
from recu_analysis.theory import quantization

if TYPE_CHECKING:
    from collections.abc import Iterator

CHECKPOINTS = Path(__file__).parents[1] / "checkpoints"
ARMS = {"baseline": "no clamp", "recu": "ReCU", "random": "random mask"}
SCALE = 2.0


def main() -> None:
    """Print one LaTeX command for each number and each table."""
    print("% Written by scripts/note_numbers.py; make paper writes it again.")
    for parts in (sign_error(), mask(), silence(), restored(), interventions()):
        for name, text in parts:
            print(f"\\newcommand{{\\{name}}}{{{text}}}")


def sign_error() -> Iterator[tuple[str, str]]:
    """The quantization errors of Eq. 14, as printed and exact, and where the printed one is least."""
    found = minimize_scalar(lambda tau: float(quantization.printed(tau, SCALE)), bounds=(0.6, 0.99), method="bounded")
    yield "printedOptimum", f"{found.x:.4f}"
    for name, error in (("printed", quantization.printed), ("exact", quantization.exact)):
        yield f"{name}AtOptimum", f"{float(error(found.x, SCALE)):.4f}"
        yield f"{name}AtNinetyNine", f"{float(error(0.99, SCALE)):.4f}"


def mask() -> Iterator[tuple[str, str]]:
    """How many signs the clamp changes, over levels and scales."""
    table = signs_changed(CHECKPOINTS / "mask" / "recu")
    yield "signsCounted", f"{int(table['weights'].sum()):,}".replace(",", "\\,")
    yield "signsChanged", str(int(table["changed"].sum()))


def silence() -> Iterator[tuple[str, str]]:
    """Silent shares of tail and core beside noise alone, in per cent."""
    names = [f"silent_fraction_{part}{null}" for part in ("tail", "core") for null in ("", "_null")]
    rows = []
    for arm, label in ARMS.items():
        total = ra.dead_weights_over_seeds(seeds("fashion", arm)).iloc[-1]
        rows.append(f"{label} & " + " & ".join(interval(total, name, 100.0, 1) for name in names))
    yield "silenceRows", table_rows(rows)


def restored() -> Iterator[tuple[str, str]]:
    """The restored fraction of tail and core, and of the controls without a signal."""
    rows = []
    for arm, label in ARMS.items():
        table = ra.earned_over_seeds(seeds("causes", arm), windows="4:7", network=True).set_index("group")
        cells = [interval(table.loc[group], "rho", 1.0, 2) for group in ("all", "tail", "core")]
        inherited = f"{table.loc['all', 'inherited']:.2f} of {table.loc['all', 'autocorrelation']:.2f}"
        rows.append(" & ".join([label, *cells, inherited]))
    yield "restoredRows", table_rows(rows)
    controls = {path.name: path for path in sorted((CHECKPOINTS / "causes").glob("*-labels-0"))}
    controls["baseline-signs-0"] = CHECKPOINTS / "causes" / "baseline-signs-0"
    windows = [
        ra.earned(path, windows=f"{window}:{window + 1}", network=True).set_index("group").loc["all"]
        for path in controls.values()
        for window in (4, 5, 6)
    ]
    yield "controlWindows", str(len(windows))
    yield "controlsHoldZero", str(sum(each["rho_low"] <= 0.0 <= each["rho_high"] for each in windows))


def interventions() -> Iterator[tuple[str, str]]:
    """The rise of the loss if binary weights of a group are negated, in thousandths of a nat."""
    tables = {path.stem: pd.read_csv(path) for path in sorted((CHECKPOINTS / "interventions").glob("*.csv"))}
    rises = ra.rises_over_seeds({name: CHECKPOINTS / "causes" / name for name in tables}, tables)
    total = rises[(rises["row"] == "total") & (rises["batch_norm"] == "fixed")]
    means = total[total["run"].isna()].set_index(["arm", "group", "reference"])
    rows = []
    for arm, label in ARMS.items():
        key = ", ".join(name for name in tables if name.startswith(arm))
        groups = ("tail-silent", "tail-flipped", "random")
        cells = [interval(means.loc[key, group, "unchanged"], "rise", 1000.0, 0) for group in groups]
        rows.append(" & ".join([label, *cells]))
    yield "interventionRows", table_rows(rows)
    single = total[total["run"].notna() & (total["group"] == "tail-silent")]
    for name, reference in (("Flipped", "tail-flipped"), ("Random", "random")):
        above = single[single["reference"] == reference]["rise_low"] > 0.0
        yield f"silentAbove{name}", f"{int(above.sum())} of {len(above)}"


def seeds(folder: str, arm: str) -> list[Path]:
    """The runs of an arm in checkpoints/, one per seed."""
    return sorted((CHECKPOINTS / folder).glob(f"{arm}-?"))


def interval(row: pd.Series[float], name: str, factor: float, digits: int) -> str:
    """A mean over seeds with its 95 % interval."""
    value, low, high = (factor * float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{value:.{digits}f} ({low:.{digits}f} to {high:.{digits}f})".replace("-", "$-$")


def table_rows(rows: list[str]) -> str:
    """The rows of a tabular."""
    return " \\\\ ".join(rows) + " \\\\"


if __name__ == "__main__":
    main()
