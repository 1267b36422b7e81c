"""The style that all pages share: light, dark and paper, wide and narrow; one set of colours, as CSS variables."""

STYLE = """
:root { --page: #fdfdfc; --ink: #1b1b1c; --muted: #66676b; --grid: #dedee0; --tile: #f1f2f4;
  --c0: #0072b2; --c1: #d55e00; --c2: #00805c; --c3: #b4589a; --c4: #b87a00; --c5: #2e8fc7; }
@media screen and (prefers-color-scheme: dark) { :root { --page: #16181b; --ink: #e9e9ea; --muted: #a3a5aa; --grid: #34373c;
  --tile: #212429; --c0: #5cb3ea; --c1: #f0883e; --c2: #35c79a; --c3: #dd92c4; --c4: #e9b949; --c5: #93d3f5; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 66rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { margin: 0; font-size: 1.7rem; line-height: 1.2; overflow-wrap: anywhere; }
h2 { margin: 2.2rem 0 .6rem; padding-top: .8rem; border-top: 1px solid var(--grid); font-size: 1.2rem; }
h3 { margin: 1.2rem 0 .5rem; font-size: 1rem; }
p { margin: .6rem 0; max-width: 46rem; }
.about, .note, .absent, figcaption, footer { color: var(--muted); font-size: .875rem; }
.absent { font-style: italic; }
dl { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 12rem), 1fr)); gap: .75rem; margin: 1.2rem 0; }
dl div { display: flex; flex-direction: column; background: var(--tile); border-radius: .5rem; padding: .75rem 1rem; }
dt, dd + dd { color: var(--muted); font-size: .875rem; }
dd { margin: 0; }
dt + dd { margin-top: auto; font-size: 1.7rem; font-weight: 600; line-height: 1.3; }
figure { margin: 0; min-width: 0; }
svg { display: block; width: 100%; height: auto; }
svg text { font-family: system-ui, sans-serif !important; }
.plots { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 22rem), 1fr)); gap: 1.25rem 2rem; align-items: start; }
.table { overflow-x: auto; }
table { border-collapse: collapse; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .9rem .3rem 0; border-bottom: 1px solid var(--grid); text-align: left; vertical-align: top; }
th { color: var(--muted); font-weight: 500; }
.facts td { overflow-wrap: anywhere; }
details { margin-top: .75rem; }
summary { cursor: pointer; }
pre { overflow-x: auto; background: var(--tile); border-radius: .5rem; padding: .75rem; font-size: .75rem; }
footer { margin-top: 2.5rem; }
@media print { body { font-size: 11pt; } main { max-width: none; padding: 0; } p, figure, tr, dl div { break-inside: avoid; }
  .table { overflow: visible; } th, td { padding-right: .4rem; }
  h2, h3 { break-after: avoid; } pre { white-space: pre-wrap; } }
"""
