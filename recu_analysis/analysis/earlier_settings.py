"""Settings that earlier versions of recu-analyze train did not have, with what they did instead."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from recu_analysis.store.run import Run

#: Settings that a training of ours has always had. Configurations without them are a user's own.
_ALWAYS = frozenset({"network", "dataset", "recu", "tau"})
#: The settings that came later, each with the value that does what a training did before.
LATER = {
    "image_size": 64,
    "augment": False,
    "levels": 2,
    "bits": 1,
    "binarizer": "recu",
    "quantile": "laplace",
    "center": True,
    "alpha": "learned",
    "scale_activations": True,
    "epoch_updates": 0,
    "accumulate": 1,
    "optimizer": "sgd",
    "schedule": "cosine",
    "bfloat16": False,
    "channels_last": False,
    "compile": False,
    "device": "auto",
    "quantities": [],
    "control": "none",
    "revive": None,
    "revive_how": "negate",
    "traces": 0,
}


def configuration_of(run: Run) -> dict[str, Any]:
    """The configuration of a run; one of our training has every setting, also those that came after it."""
    ours = run.configuration.keys() >= _ALWAYS
    return LATER | run.configuration if ours else run.configuration
