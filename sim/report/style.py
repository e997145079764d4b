"""The look of the page: one style sheet, light or dark as the reader's system is."""

CSS = """
:root {
  color-scheme: light dark;
  --paper: #ffffff; --panel: #f5f7fa; --ink: #1b2430; --soft: #55606e; --line: #d5dbe3;
  --series-1: #0a66c2; --series-2: #c2500a; --series-3: #3c7d22; --series-4: #8a3fb0;
  --good: #1f7a3d; --bad: #b3261e;
  --sans: system-ui, -apple-system, "Segoe UI", "Helvetica Neue", "Noto Sans", Arial, sans-serif;
  --mono: ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #14181e; --panel: #1c222b; --ink: #e4e9f0; --soft: #a3aebb; --line: #36404d;
    --series-1: #6cb2ff; --series-2: #ff9d5c; --series-3: #8fd16f; --series-4: #d39bf2;
    --good: #6fd08c; --bad: #ff8a80;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.55 var(--sans); }
main { max-width: 64rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.25rem; margin: 3rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.6rem 0 .4rem; }
p { max-width: 44rem; margin: .5rem 0; }
.lead, .note, caption { color: var(--soft); }
.note { font-size: .9rem; }
a { color: var(--series-1); }
code, .hash { font: .86em var(--mono); }
code { overflow-wrap: anywhere; }
.hash { white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(11rem, 1fr)); gap: .8rem;
  margin: 1.6rem 0; padding: 0; list-style: none; }
.tiles li { background: var(--panel); border-radius: .5rem; padding: .8rem 1rem; }
.tiles strong { display: block; font-size: 1.5rem; line-height: 1.25;
  font-variant-numeric: tabular-nums; }
.tiles span { color: var(--soft); font-size: .86rem; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding-bottom: .4rem; font-size: .9rem; }
th, td { padding: .3rem .8rem .3rem 0; text-align: left; vertical-align: top;
  border-bottom: 1px solid var(--line); }
thead th { font-weight: 600; white-space: nowrap; }
tbody th { font-weight: 400; white-space: nowrap; }
.number { text-align: right; white-space: nowrap; }
.pair { display: grid; gap: 1rem 2rem;
  grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); }
.confusion td, .confusion th { padding: .16rem .24rem; text-align: right; font-size: .76rem;
  border: 1px solid var(--paper); }
.confusion td {
  background: color-mix(in srgb, var(--series-1) calc(var(--share) * 60%), var(--panel)); }
.confusion th { font-weight: 400; color: var(--soft); white-space: nowrap; }
.grid th { white-space: nowrap; } .grid td { padding: .1rem; border: 0; }
img { image-rendering: pixelated; vertical-align: middle; border-radius: .2rem; }
svg.figure, svg.flow { max-width: 100%; height: auto; display: block; margin: .8rem 0; }
svg.flow text { font: 13px var(--sans); fill: var(--ink); }
svg.flow .small { font-size: 11px; fill: var(--soft); }
svg.flow rect { fill: var(--panel); stroke: var(--line); }
svg.flow rect.absent { stroke-dasharray: 4 3; fill: none; }
svg.flow rect.map { stroke: var(--series-2); }
svg.flow path { stroke: var(--soft); fill: none; stroke-width: 1.3; }
svg.flow path.map { stroke: var(--series-2); }
svg.flow marker path { fill: var(--soft); stroke: none; }
svg.flow marker.map path { fill: var(--series-2); }
.missing { border-left: 3px solid var(--line); padding: .2rem 0 .2rem .9rem; color: var(--soft); }
@media print {
  main { max-width: none; } h2 { break-after: avoid; } svg, table { break-inside: avoid; }
}
"""
