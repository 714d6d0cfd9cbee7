"""Promotion: from the elites of a run to entries of the library."""
