"""The claims table: every claim of the paper, in a sentence, with what runs show of it."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from recu_analysis.analysis.arms import apart, check_once, differing_beside_clamp, labeled, uneven
from recu_analysis.analysis.claims import distribution, movement, outcome
from recu_analysis.analysis.claims.finding import Finding, cannot_tell
from recu_analysis.analysis.kinds import Kind, kind_of, sides, stops_gradients
from recu_analysis.analysis.query import attempt, gathered, value
from recu_analysis.analysis.run_arguments import as_runs
from recu_analysis.analysis.selection import moving_windows
from recu_analysis.errors import InputError, NotRecordedError, WindowNotFoundError
from recu_analysis.store.layer_selection import select_layers

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from recu_analysis.analysis.claims.finding import Patterns
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.run_arguments import SeveralRuns
    from recu_analysis.store.run import Run

    Runs = Sequence[Run]

#: Claims by id: the sentence and where the paper makes it.
CLAIMS = {
    "C1a": ("weights in the tails are barely updated", "Fig. 2"),
    "C1b": ("weights in the tails barely change their sign", "Fig. 2"),
    "C2": ("latent weights follow a zero-mean Laplace distribution", "Eq. 10, 11"),
    "C3a": ("ReCU lowers the quantisation error", "Eq. 15"),
    "C3b": ("the quantisation error is least at tau = 0.82", "Eq. 14, Fig. 3"),
    "C4": ("entropy rises with tau where b > 1/e", "Eq. 17, Fig. 4"),
    "C5": ("standardisation holds the scale b at b*", "Eq. 22, 23"),
    "C6": ("ReCU revives dead weights", "title, Eq. 8"),
    "C7": ("ReCU trains faster", "Fig. 5"),
    "C8": ("quantisation error and entropy pull tau in opposite directions", "Eq. 24"),
    "C9": ("tau and b* change what the network computes", "ours"),
}


def claims(runs: SeveralRuns, *, baseline: SeveralRuns | None = None, layers: Patterns = None) -> pd.DataFrame:
    """Test the paper's claims on recorded runs.

    Parameters
    ----------
    runs : run or path, sequence, or mapping of labels to runs
        Trainings with ReCU, one a seed. Those that do not clamp, beside some that do, count for the baseline.
    baseline : run or path, sequence, or mapping, optional
        Trainings without its clamp, of the same seeds. Without it, a run that does not clamp is its own.
    layers : str or sequence of str, optional
        Patterns of layer names. The windows that are looked at are those of the whole network.

    Returns
    -------
    DataFrame
        One row a claim: id, claim, place (in the paper), estimate, low, high (95 % interval, or what `why` says),
        verdict (supported, not supported, contradicted, by construction, cannot tell) and why. Thresholds are ours;
        they stand in `recu_analysis.analysis.claims`. Intervals of one run resample the output channels of every layer,
        those of three seeds or more are Student's over seeds; medians over layers leave out those of fewer than 8
        channels where others have more, and say so. Runs that are not seeds of one experiment, see
        `recu_analysis.analysis.arms.arms`, are pooled without a verdict.

    Raises
    ------
    InputError
        If a run, or a seed of one experiment, is given twice, which would count as two seeds, or a baseline clamps.
    LayerNotFoundError
        If a pattern matches no layer of a run.
    WindowNotFoundError
        If a run holds no window with updates.
    """
    others = list(as_runs(baseline).values()) if baseline else []
    return claims_query(list(as_runs(runs).values()), others, layers).run()


def claims_query(given: Runs, baseline: Runs = (), layers: Patterns = None) -> Query[pd.DataFrame]:
    """The query of `claims`; it raises what that raises."""
    runs, others = _sides(given, baseline, layers)
    findings = {name: _found(find) for name, find in _evidence(runs, others, layers).items()}
    return gathered(findings).then(lambda found: pd.DataFrame([_row(name, each) for name, each in found.items()]))


def _sides(given: Runs, baseline: Runs, layers: Patterns) -> tuple[list[Run], list[Run]]:
    """The runs that are tested, and the others; the errors of `claims` where they are of no use."""
    runs, unasked = sides(given)
    others = [*baseline, *unasked]
    for each in (*runs, *others):
        moving_windows(each)
        select_layers(each, layers)
    check_once([*runs, *others])
    for side in (runs, others):
        apart(labeled(side))  # refuses one seed as two
    clamping = next((each for each in others if stops_gradients(each)), None)
    if clamping:
        raise InputError(
            f"{clamping.name} stops gradients, so it is no baseline; give runs trained with --no-recu, or see "
            "recu-analyze compare"
        )
    return runs, others


def _unclamped(runs: Runs, others: Runs) -> list[Run]:
    return [each for each in (*others, *runs) if not stops_gradients(each)]


def _evidence(runs: Runs, others: Runs, layers: Patterns) -> dict[str, Callable[[], Query[Finding]]]:
    """What makes the query of each claim."""
    unclamped = _unclamped(runs, others)
    over_tau = partial(distribution.over_tau_query, runs[0], layers)

    def of_first(find: Callable[[pd.DataFrame], Finding]) -> Query[Finding]:
        return over_tau().then(lambda table: _of_first(find(table), runs))

    def of_one_kind(query: Query[Finding], kind: Runs) -> Query[Finding]:
        return query.then(lambda finding: _of_one_kind(finding, kind))

    return {
        "C1a": lambda: of_one_kind(movement.barely_updated(unclamped, layers), unclamped),
        "C1b": lambda: of_one_kind(movement.barely_flips(unclamped, layers), unclamped),
        "C2": lambda: of_one_kind(distribution.laplace(runs, layers), runs),
        "C3a": lambda: of_first(distribution.error_falls),
        "C3b": lambda: of_first(distribution.least_error),
        "C4": lambda: of_first(distribution.entropy_rises),
        "C5": lambda: of_one_kind(distribution.scale_held(runs, layers), runs),
        "C6": lambda: _of_pairs(partial(movement.revived, layers=layers), runs, others),
        "C7": lambda: _of_pairs(lambda ours, theirs: value(outcome.trains_faster(ours, theirs)), runs, others),
        "C8": lambda: of_first(partial(distribution.tension, run=runs[0], layers=layers)),
        "C9": lambda: outcome.changes_output(runs, layers),
    }


def _found(find: Callable[[], Query[Finding]]) -> Query[Finding]:
    """What the runs show of one claim; where they have no weights to show it with, the others still get a verdict."""
    return attempt(find, *_UNANSWERABLE).then(
        lambda found: found if isinstance(found, Finding) else cannot_tell(str(found))
    )


def _of_first(finding: Finding, runs: Runs) -> Finding:
    """What is no estimate, and so measured on one run, says on which where there are several."""
    return replace(finding, why=f"{finding.why}; of {runs[0].name} alone") if runs[1:] else finding


def _of_pairs(claim: Callable[[Runs, Runs], Query[Finding]], runs: Runs, others: Runs) -> Query[Finding]:
    """What runs that clamp show of a claim beside those that do not."""
    if not _clamp(runs):
        return value(cannot_tell(_NEEDS_CLAMP))
    why = _mixed(runs) or _mixed(others)
    if why:  # which run belongs to which is not known
        return value(cannot_tell(why))
    return claim(runs, others).then(lambda finding: _of_both_sides(finding, runs, others))


def _of_both_sides(finding: Finding, runs: Runs, others: Runs) -> Finding:
    """What a comparison shows, and in what else the two sides differ."""
    found = _with_lengths(finding, [*runs, *others])
    also = differing_beside_clamp([runs[0], *others[:1]])
    found = _qualified(found, f"the two sides also differ in {', '.join(also)}" if also else "")
    if any(kind_of(each) is Kind.RANDOM_MASK for each in runs):
        return replace(found, why=f"of the random mask that stands in for ReCU's clamp: {found.why}")
    return found


def _of_one_kind(finding: Finding, runs: Runs) -> Finding:
    """What several runs show of a claim, without a verdict where they are not seeds of one experiment."""
    why = _mixed(runs)
    if why and finding.verdict != "cannot tell":
        return cannot_tell(f"{why}; pooled all the same, {finding.why}", finding.value)
    return _with_lengths(finding, runs)


def _with_lengths(finding: Finding, runs: Runs) -> Finding:
    """What runs show, and that they ended at other points where they did."""
    return _qualified(finding, uneven(labeled(runs)))


def _qualified(finding: Finding, clause: str) -> Finding:
    """A finding with what its reader must know beside it, where there is such a clause and a value to read."""
    if not clause or math.isnan(finding.value.estimate):
        return finding
    return replace(finding, why=f"{finding.why}; {clause}")


def _mixed(runs: Runs) -> str:
    """Why some runs carry no verdict together, and what to do; nothing where they are seeds of one experiment."""
    why = apart(labeled(runs))
    return f"{why}: give one experiment at a time" if why else ""


_UNANSWERABLE = (InputError, NotRecordedError, WindowNotFoundError)
_NEEDS_CLAMP = "needs runs that clamp their weights, and runs without to compare them with"


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
