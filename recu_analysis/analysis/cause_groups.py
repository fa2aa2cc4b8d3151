"""The weights of each cause of silence, as groups that can be changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from recu_analysis.analysis.causes import check_recorded, chosen_before, silent_weights
from recu_analysis.analysis.deadness import TAIL_TAU
from recu_analysis.analysis.query import per_layer
from recu_analysis.theory.causes import CAUSE_GROUPS, CAUSES, THRESHOLDS
from recu_analysis.theory.causes import causes as causes_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from recu_analysis.analysis.deadness import Mask, TailTau
    from recu_analysis.analysis.layer_pass import Answer
    from recu_analysis.analysis.query import Query
    from recu_analysis.analysis.selection import WindowSpan
    from recu_analysis.store.header import LayerSpec
    from recu_analysis.store.run import Run


def cause_groups_query(
    run: Run, tested: WindowSpan, specs: Sequence[LayerSpec], tail_tau: TailTau = TAIL_TAU
) -> Query[dict[str, dict[str, Mask]]]:
    """The query of the weights with each cause: layer -> group -> mask of all weights of the layer, flat.

    As in `recu_analysis.causes`, weights of the tail are chosen that were silent in the windows before the tested ones.
    Each of them is in one group.

    Raises
    ------
    NotRecordedError
        If the run was recorded without gradient-stats.
    WindowNotFoundError
        If there is no window before the tested ones.
    """
    check_recorded(run)
    names = [spec.name for spec in specs]
    masks = per_layer(run, specs, _masks, chosen_before(run, tested), tested, tail_tau)
    return masks.then(lambda found: dict(zip(names, found, strict=True)))


def _masks(
    run: Run, spec: LayerSpec, chosen: WindowSpan, tested: WindowSpan, tail_tau: TailTau
) -> Answer[dict[str, Mask]]:
    silent = yield from silent_weights(run, spec, chosen, tested, tail_tau)
    codes = causes_of(silent.evidence, THRESHOLDS).reshape(-1)
    members = silent.members["tail-silent"]
    return {group: members & (codes == CAUSES.index(cause)) for group, cause in CAUSE_GROUPS.items()}
