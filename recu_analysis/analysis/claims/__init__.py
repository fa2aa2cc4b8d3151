"""The paper's claims against runs: what each says, what the runs show, and a verdict."""

from recu_analysis.analysis.claims.table import asked_claims, claims

__all__ = ["asked_claims", "claims"]
