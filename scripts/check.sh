#!/usr/bin/env bash
# All checks, for people and for CI: style, types, layers, tests. Arguments go to pytest (scripts/check.sh -m "not slow").
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

ruff format --check .
ruff check .
pyright
lint-imports
python -m pytest "$@"
