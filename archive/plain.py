"""Plain data as JSON text: what the store keeps, and what nobody reads on its way there."""

from typing import Any

import pydantic_core


class TextError(ValueError):
    """A text that is no JSON."""


def to_json(value: Any) -> str:
    """Returns compact JSON: floats come back with every bit (NaN and inf as words), tuples as lists, keys as text.

    Sets have no order to come back in, so what is stored must hold none.
    """
    # `json` takes three to six times as long, and every candidate comes through here
    return pydantic_core.to_json(value, inf_nan_mode="constants").decode()


def from_json(text: str) -> Any:
    """Returns the data of a JSON text.

    Raises:
        TextError: it is none.
    """
    try:
        return pydantic_core.from_json(text)
    except ValueError as error:
        raise TextError(str(error)) from None
