"""The style of the page: light and dark, narrow and wide, on paper."""

_LIGHT = """
--ink:#1b1f24; --muted:#5c6670; --paper:#ffffff; --band:#f4f6f8; --rule:#d5dae0; --good:#e3f4ea; --bad:#b3261e;
--c0:#0067b1; --c1:#c2500a; --c2:#0a7d58; --c3:#b0458a; --c4:#7d6200; --c5:#5a50c7; --c6:#2c8fb8; --c7:#6b6b6b;
"""
_DARK = """
--ink:#e4e8ec; --muted:#9aa5b1; --paper:#14171b; --band:#1e2329; --rule:#353c45; --good:#16301f; --bad:#ff8a80;
--c0:#5cb2ff; --c1:#ff9a5c; --c2:#45d3a4; --c3:#ee9fce; --c4:#ddc04f; --c5:#a9a4ff; --c6:#84d2f2; --c7:#b0b0b0;
"""

_CSS = """
:root { color-scheme: light dark; LIGHT }
@media (prefers-color-scheme: dark) { :root { DARK } }
.c0 { color: var(--c0) }
.c1 { color: var(--c1) }
.c2 { color: var(--c2) }
.c3 { color: var(--c3) }
.c4 { color: var(--c4) }
.c5 { color: var(--c5) }
.c6 { color: var(--c6) }
.c7 { color: var(--c7) }
* { box-sizing: border-box }
body { margin: 0; background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif }
main { max-width: 1080px; margin: 0 auto; padding: 24px 20px 64px }
h1 { font-size: 26px; line-height: 1.25; margin: 8px 0 16px; overflow-wrap: anywhere }
h2 { font-size: 20px; margin: 44px 0 8px; padding-top: 12px; border-top: 1px solid var(--rule) }
h2 { overflow-wrap: anywhere }
h3 { font-size: 16px; margin: 24px 0 8px }
h4 { font-size: 14px; font-weight: 600; color: var(--muted); margin: 16px 0 4px }
p, figcaption { max-width: 80ch }
.outcome { background: var(--band); border-left: 4px solid var(--rule); padding: 12px 16px; overflow-wrap: anywhere }
.good { background: var(--good); border-color: var(--c2) }
.bad { color: var(--bad) }
dl { display: grid; grid-template-columns: repeat(auto-fill, minmax(230px, 1fr)); gap: 10px 24px; margin: 20px 0 }
dt { color: var(--muted); font-size: 12px }
dd { margin: 0; overflow-wrap: anywhere }
figure { margin: 8px 0 16px }
figcaption, .small { color: var(--muted); font-size: 13px }
.small { font-size: 12px; font-weight: 400 }
.wide { overflow-x: auto; max-width: 100% }
table { border-collapse: collapse; font-size: 13.5px; font-variant-numeric: tabular-nums; margin: 4px 0 8px }
th, td { padding: 5px 12px 5px 0; text-align: right; vertical-align: top; white-space: nowrap }
th:last-child, td:last-child { padding-right: 4px }
.words { text-align: left }
td.words { white-space: normal; min-width: 9em; max-width: 44em; overflow-wrap: anywhere }
td.words:last-child { min-width: 22em }
thead th { border-bottom: 1px solid var(--ink); font-weight: 400; color: var(--muted); vertical-align: bottom }
thead th b { color: var(--ink) }
tbody th { font-weight: 400 }
.wide tr > :first-child { position: sticky; left: 0; background: var(--paper) }
tbody th .small { white-space: normal; max-width: 20em }
tbody tr + tr > * { border-top: 1px solid var(--rule) }
pre { background: var(--band); padding: 12px 16px; margin: 8px 0; overflow-x: auto }
pre { font: 13px/1.5 ui-monospace, monospace }
code { font: 12.5px ui-monospace, monospace; overflow-wrap: anywhere }
details { margin: 10px 0 }
summary { cursor: pointer; color: var(--c0) }
svg { display: block; font-size: 13px; font-family: system-ui, sans-serif }
svg text { fill: var(--ink) }
svg .muted { fill: var(--muted); font-size: 12px }
svg .strong { font-weight: 600 }
svg .figures { font-variant-numeric: tabular-nums; font-size: 12.5px }
.grid { stroke: var(--rule) }
.axis, .zero { stroke: var(--muted) }
.zero { stroke-dasharray: 4 3 }
.quiet { color: var(--muted) }
.stroke { stroke: currentColor; stroke-width: 1.75 }
.dot { fill: currentColor; stroke: currentColor; stroke-width: 1.75 }
.quiet .dot { fill: var(--paper) }
.curve { fill: none; stroke: currentColor; stroke-width: 1.5; stroke-linejoin: round }
.thick .curve { stroke-width: 2.75 }
.dashed .curve { stroke-dasharray: 6 4 }
.lead { fill: none; stroke: currentColor; stroke-width: 1.5; opacity: .8 }
rect { fill: var(--c0) }
@media print {
:root { color-scheme: light; LIGHT }
body { font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact }
main { max-width: none; padding: 0 }
.wide { overflow: visible }
svg { max-width: 100%; height: auto }
table { font-size: 8pt }
.small { font-size: 7pt }
th, td { padding-right: 6px; white-space: normal }
td.words:last-child { min-width: 0 }
.wide tr > :first-child { position: static }
tr, svg, .outcome { break-inside: avoid }
h2, h3, h4 { break-after: avoid }
pre { white-space: pre-wrap; overflow-wrap: anywhere }
details::details-content { display: block; content-visibility: visible; height: auto }
}
@page { size: landscape; margin: 14mm }
"""

STYLE = _CSS.replace("LIGHT", _LIGHT).replace("DARK", _DARK)
