"""Variables and texts as LaTeX writes them."""

import re

_LETTERS = (
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi rho sigma tau upsilon phi chi psi omega "
    "Gamma Delta Theta Lambda Xi Sigma Upsilon Phi Psi Omega"
)
_GREEK = frozenset(_LETTERS.split())
"""Without pi, which is the number."""
_USUAL = {"lr": r"\eta", "eps": r"\epsilon", "weight_decay": r"\lambda", "momentum": r"\mu", "update": "u"}
_USUAL |= {"value": r"\ell", "noise": r"\xi", "hessian_diagonal": "H"}
_SPECIAL = {
    **{sign: f"\\{sign}" for sign in "#$%&_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "'": r"'{}",  # two of them are no quotation mark
    "`": r"\textasciigrave{}",
    "-": "-{}",  # nor are two of these a dash, or of these one
    ",": ",{}",
}


def escape(text: str) -> str:
    """Returns LaTeX that shows a text as it is, on one line."""
    shown = "".join(sign if sign.isprintable() else " " for sign in text)
    escaped = "".join(_SPECIAL.get(sign, sign) for sign in " ".join(shown.split()))
    return re.sub(r"(?<=[-',])\{\}(?![-',])", "", escaped)


class Symbols:
    """Gives variables symbols, no two the same."""

    def __init__(self) -> None:
        self._taken: set[str] = set()
        self._given: dict[str, str] = {}

    def new(self, name: str) -> str:
        """Returns a symbol: the usual one, else the name in full; for a second variable of one name with primes."""
        symbol = self._given.get(name) or usual(name)
        if symbol in self._taken and name not in self._given and len(name) > 1:
            symbol = _upright(name)
        while symbol in self._taken:
            symbol += "'"
        self._taken.add(symbol)
        self._given.setdefault(name, symbol)
        return symbol


def width(symbol: str) -> int:
    """Returns about how many glyphs a symbol has."""
    return len(re.sub(r"[{}_\\]", "", re.sub(r"\\[A-Za-z]+", "x", re.sub(r"\\(mathrm|hat)", "", symbol))))


def usual(name: str) -> str:
    """Returns how people write a variable of that name; two names may come to the same."""
    if name in _USUAL:
        return _USUAL[name]
    head, index = re.fullmatch(r"(.*?)_?(\d*)", name, re.DOTALL).groups()  # type: ignore[union-attr]
    if head.endswith("_hat") and head[:-4] and not index:
        return rf"\hat{{{usual(head[:-4])}}}"
    base = _USUAL.get(head) or (f"\\{head}" if head in _GREEK else head if len(head) == 1 and head != "_" else "")
    if not base:
        letter, _, word = head.partition("_")
        if word and (len(letter) == 1 or letter in _GREEK) and not index:
            return rf"{usual(letter)}_{{\mathrm{{{escape(word)}}}}}"
        return rf"\mathrm{{{escape(head)}}}_{{{index}}}" if head and index else _upright(name)
    return f"{base}_{{{index}}}" if index else base


def _upright(name: str) -> str:
    return rf"\mathrm{{{escape(name)}}}"
