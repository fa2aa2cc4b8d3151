"""The paper's claims tested on runs: the claim, what the runs show, and a verdict."""

from recu_analysis.analysis.claims.table import claims, claims_query

__all__ = ["claims", "claims_query"]
