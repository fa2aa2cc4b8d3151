"""The paper's claims against runs: what each says, what the runs show, and a verdict."""

from recu_analysis.analysis.claims.table import claims

__all__ = ["claims"]
