"""The report of a promotion as one page of HTML that needs nothing else."""

from collections.abc import Mapping
from typing import Any


def page(report: Mapping[str, Any]) -> str:
    """Returns the page."""
    return f"<!doctype html><title>{report['run']['folder']}</title>"
