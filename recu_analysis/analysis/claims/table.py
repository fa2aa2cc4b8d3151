"""The claims table: every claim of the paper in a sentence, and what runs show about it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.arms import apart, check_once, differing_beside_clamp, labeled, uneven
from recu_analysis.analysis.claims import distribution, laws, movement, outcome
from recu_analysis.analysis.claims.finding import Finding, cannot_tell
from recu_analysis.analysis.kinds import Kind, kind_of, sides, stops_gradients
from recu_analysis.analysis.query import attempt, gathered, require_signs, value
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import moving_windows, select_windows, span_of
from recu_analysis.errors import InputError, NotRecordedError, WindowNotFoundError
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.analysis.selection import Windows
    from recu_analysis.store.run import Run

    Runs = Sequence[Run]

#: Claims by id: the sentence, and its place in the paper.
CLAIMS = {
    "C1a": ("weights in the tails are barely updated", "Fig. 2"),
    "C1b": ("weights in the tails barely change their sign", "Fig. 2"),
    "C2": ("latent weights follow a zero-mean Laplace distribution", "Eq. 10, 11"),
    "C3a": ("ReCU lowers the quantization error", "Eq. 15"),
    "C3b": ("the quantization error is least at tau = 0.82", "Eq. 14, Fig. 3"),
    "C4": ("entropy rises with tau where b > 1/e", "Eq. 17, Fig. 4"),
    "C5": ("standardization holds b at b*", "Eq. 22, 23"),
    "C6": ("ReCU revives dead weights", "title, Eq. 8"),
    "C7": ("ReCU trains faster", "Fig. 5"),
    "C8": ("quantization error and entropy pull tau in opposite directions", "Eq. 24"),
    "C9": ("tau and b* change what the network computes", "ours"),
    "C10": ("most of a weight's place is left from the start", "Fig. 2"),
    "C11": ("the optimizer's equilibrium forecasts mobility", "Kosson et al."),
    "C12": ("more than half of the signs never change", "OvSW"),
    "C13": ("flips follow from density at zero and mobility", "ours"),
}


def claims(
    runs: SeveralRuns,
    *,
    windows: Windows | None = None,
    layers: Patterns = None,
    baseline: SeveralRuns | None = None,
) -> pd.DataFrame:
    """Test the paper's claims on recorded runs.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Trainings with ReCU, one per seed. If some of them do not clamp, those are added to the baseline.
    windows : int, slice, str or WindowSpan, optional
        Windows by their numbers, the same in every run: movement (C1, C6, C11, C13) is measured over them, and
        distributions (C2 to C5, C8) at their end. By default the final windows, and the end of the run. C7, C9, C10 and
        C12 are of the whole run.
    layers : str or sequence of str, optional
        Patterns of layer names. The final windows are those of the whole network.
    baseline : run or path, sequence, or mapping, optional
        Trainings without the clamp, with the same seeds. Without a baseline, a run that does not clamp is its own.

    Returns
    -------
    DataFrame
        One row per claim:

        - id, claim, place (in the paper)
        - estimate, low, high: value and 95 % interval, unless `why` says otherwise
        - verdict: supported, contradicted, intermediate, undecided, algebra or cannot tell
        - why: what the estimate is, and the reason for the verdict

        The thresholds are ours; they are in `recu_analysis.analysis.claims`. The interval of one run resamples the
        output channels of every layer; that of three or more seeds is Student's. A median over layers leaves out layers
        with fewer than 8 channels if others have more, and `why` says so. Runs that are not seeds of one experiment,
        see `recu_analysis.analysis.arms.arms`, are pooled without a verdict.

    Raises
    ------
    InputError
        If `windows` is not valid, a run or a seed of one experiment is given twice, or a run of the baseline clamps.
    LayerNotFoundError
        If a pattern matches no layer of a run.
    WindowNotFoundError
        If a run holds no window with updates, or none of `windows`.
    """
    others = list(as_runs(baseline).values()) if baseline else []
    return claims_query(list(as_runs(runs).values()), others, windows, layers).run()


def claims_query(
    given: Runs, baseline: Runs = (), windows: Windows | None = None, layers: Patterns = None
) -> Query[pd.DataFrame]:
    """The query of `claims`; it raises the same errors."""
    runs, others = _sides(given, baseline, windows, layers)
    findings = {name: _found(find) for name, find in _evidence(runs, others, windows, layers).items()}
    return gathered(findings).then(lambda found: pd.DataFrame([_row(name, each) for name, each in found.items()]))


def _sides(given: Runs, baseline: Runs, windows: Windows | None, layers: Patterns) -> tuple[list[Run], list[Run]]:
    """The runs that are tested and their baseline, checked; it raises the errors of `claims`."""
    runs, unasked = sides(given)
    others = [*baseline, *unasked]
    for each in (*runs, *others):
        moving_windows(each)
        if windows is not None:
            select_windows(each, span_of(each, windows))
        require_signs(select_layers(each, layers))
    check_once([*runs, *others])
    for side in (runs, others):
        apart(labeled(side))  # refuses a seed that is given twice
    clamping = next((each for each in others if stops_gradients(each)), None)
    if clamping:
        raise InputError(
            f"{clamping.name} stops gradients, so it cannot be a baseline; give runs trained without the clamp, or use "
            "recu-analyze compare"
        )
    return runs, others


def _unclamped(runs: Runs, others: Runs) -> list[Run]:
    return [each for each in (*others, *runs) if not stops_gradients(each)]


def _evidence(
    runs: Runs, others: Runs, windows: Windows | None, layers: Patterns
) -> dict[str, Callable[[], Query[Finding]]]:
    """For each claim, a function that makes its query."""
    unclamped = _unclamped(runs, others)
    over_tau = partial(distribution.over_tau_query, runs[0], layers, windows)

    def of_first(find: Callable[[pd.DataFrame], Finding]) -> Query[Finding]:
        return over_tau().then(lambda table: _of_first(find(table), runs))

    def of_one_kind(query: Query[Finding], kind: Runs) -> Query[Finding]:
        return query.then(lambda finding: _of_one_kind(finding, kind))

    return {
        "C1a": lambda: of_one_kind(movement.barely_updated(unclamped, layers, windows), unclamped),
        "C1b": lambda: of_one_kind(movement.barely_flips(unclamped, layers, windows), unclamped),
        "C2": lambda: of_one_kind(distribution.laplace(runs, layers, windows), runs),
        "C3a": lambda: of_first(distribution.error_falls),
        "C3b": lambda: of_first(distribution.least_error),
        "C4": lambda: of_first(distribution.entropy_rises),
        "C5": lambda: of_one_kind(distribution.scale_held(runs, layers, windows), runs),
        "C6": lambda: _of_pairs(partial(movement.revived, layers=layers, windows=windows), runs, others),
        "C7": lambda: _of_pairs(lambda ours, theirs: value(outcome.trains_faster(ours, theirs)), runs, others),
        "C8": lambda: of_first(partial(distribution.tension, run=runs[0], layers=layers)),
        "C9": lambda: outcome.changes_output(runs, layers),
        "C10": lambda: of_one_kind(laws.start_left(unclamped or runs, layers), unclamped or runs),
        "C11": lambda: of_one_kind(laws.forecast(unclamped or runs, layers, windows), unclamped or runs),
        "C12": lambda: of_one_kind(laws.never_change(unclamped or runs, layers), unclamped or runs),
        "C13": lambda: of_one_kind(laws.flip_law(unclamped or runs, layers, windows), unclamped or runs),
    }


def _found(find: Callable[[], Query[Finding]]) -> Query[Finding]:
    """What the runs show about one claim; an error becomes its reason, so that other claims still get a verdict."""
    return attempt(find, *_UNANSWERABLE).then(
        lambda found: found if isinstance(found, Finding) else cannot_tell(str(found))
    )


def _of_first(finding: Finding, runs: Runs) -> Finding:
    """A finding that was measured on the first run only; its reason says so if there are several runs."""
    return replace(finding, why=f"{finding.why}; measured on {runs[0].name} only") if runs[1:] else finding


def _of_pairs(claim: Callable[[Runs, Runs], Query[Finding]], runs: Runs, others: Runs) -> Query[Finding]:
    """What runs that clamp show about a claim in comparison with runs that do not."""
    if not _clamp(runs):
        return value(cannot_tell(_NEEDS_CLAMP))
    why = _mixed(runs) or _mixed(others)
    if why:  # the pairs are not known
        return value(cannot_tell(why))
    return claim(runs, others).then(lambda finding: _of_both_sides(finding, runs, others))


def _of_both_sides(finding: Finding, runs: Runs, others: Runs) -> Finding:
    """The finding of a comparison, with other differences between the two sides in its reason."""
    found = _with_lengths(finding, [*runs, *others])
    also = differing_beside_clamp([runs[0], *others[:1]])
    found = _qualified(found, f"the two sides also differ in {', '.join(also)}" if also else "")
    if any(kind_of(each) is Kind.RANDOM_MASK for each in runs):
        return replace(found, why=f"tested on the random mask in place of ReCU's clamp: {found.why}")
    return found


def _of_one_kind(finding: Finding, runs: Runs) -> Finding:
    """The finding of several runs, without a verdict if they are not seeds of one experiment."""
    why = _mixed(runs)
    if why and finding.verdict != "cannot tell":
        return cannot_tell(f"{why}; pooled nevertheless, {finding.why}", finding.value)
    return _with_lengths(finding, runs)


def _with_lengths(finding: Finding, runs: Runs) -> Finding:
    """A finding whose reason says if the runs ended after different numbers of updates."""
    return _qualified(finding, uneven(labeled(runs)))


def _qualified(finding: Finding, clause: str) -> Finding:
    """A finding with a clause added to its reason, if there is a clause and the finding has a value."""
    if not clause or math.isnan(finding.value.estimate):
        return finding
    return replace(finding, why=f"{finding.why}; {clause}")


def _mixed(runs: Runs) -> str:
    """Why some runs allow no common verdict, and what to do; empty if they are seeds of one experiment."""
    why = apart(labeled(runs))
    return f"{why}; give one experiment at a time" if why else ""


_UNANSWERABLE = (InputError, NotRecordedError, WindowNotFoundError)
_NEEDS_CLAMP = "needs runs that clamp their weights, and runs that do not; give the latter as --baseline"


def _clamp(runs: Runs) -> bool:
    return all(stops_gradients(run) for run in runs)


def _row(name: str, found: Finding) -> dict[str, object]:
    claim, place = CLAIMS[name]
    value = found.value
    return {
        "id": name,
        "claim": claim,
        "place": place,
        "estimate": value.estimate,
        "low": value.low,
        "high": value.high,
        "verdict": found.verdict,
        "why": found.why,
    }
