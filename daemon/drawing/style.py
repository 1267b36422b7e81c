"""What only the page of a replay needs of style and script. The script asks nobody for anything."""

STYLE = """
.accept { --own: var(--c2); } .reject { --own: var(--c1); } .unknown { --own: var(--c4); } .gathering { --own: var(--c0); }
.poor { --own: var(--muted); }
.state, .mark { fill: var(--own); } .mark { stroke: var(--page); stroke-width: 2; }
.sign { fill: var(--page); font-size: 13px; font-weight: 700; } .named { fill: var(--page); font-size: 12px; font-weight: 600; }
.tick { fill: var(--muted); font-size: 11.5px; } .lane { fill: var(--ink); font-size: 12.5px; }
.tau { fill: var(--ink); font-size: 11.5px; paint-order: stroke; stroke: var(--page); stroke-width: 3px; }
.flag { fill: var(--own); font-size: 13px; font-weight: 700; }
.grid { fill: none; stroke: var(--grid); stroke-width: 1; } .hit { fill: transparent; }
a:hover .hit, a:focus .hit { fill: var(--ink); fill-opacity: .07; }
.accepting { fill: var(--c2); fill-opacity: .09; }
.threshold { stroke: var(--ink); stroke-width: 1.5; } .hold { stroke: var(--ink); stroke-width: 1.2; stroke-dasharray: 2 4; }
.best { fill: none; stroke: var(--c0); stroke-width: 2.2; stroke-linecap: round; stroke-linejoin: round; }
.best.other { stroke-dasharray: 1 5; }
.rival { fill: none; stroke: var(--c3); stroke-width: 1.6; stroke-dasharray: 6 3; stroke-linecap: round; }
.single { fill: var(--c0); fill-opacity: .55; } .single.other { fill: var(--page); stroke: var(--c3); stroke-width: 1; }
.look { fill: var(--page); stroke: var(--c0); stroke-width: 1.8; } .aside { fill: none; stroke: var(--c1); stroke-width: 1.6; }
.poor-tick { stroke: var(--muted); stroke-width: 1; } .decided { stroke: var(--own); stroke-width: 1.6; }
.cursor { stroke: var(--ink); stroke-width: 1; pointer-events: none; }
.chart { overflow-x: auto; } .chart svg { min-width: 34rem; } .chart:focus-visible { outline: 2px solid var(--c0); outline-offset: 3px; }
.readout { display: block; min-height: 3em; margin-top: .35rem; color: var(--ink); font-size: .875rem; font-variant-numeric: tabular-nums; }
.key { display: flex; flex-wrap: wrap; gap: .2rem 1.1rem; margin: .4rem 0; padding: 0; list-style: none; color: var(--muted);
  font-size: .8rem; }
.key svg { display: inline-block; width: 26px; height: 14px; margin-right: .3rem; vertical-align: -2px; }
.passage { display: grid; grid-template-columns: minmax(0, 1fr) 15.5rem; gap: 1rem 1.5rem; align-items: start; }
.passage.bare { grid-template-columns: minmax(0, 1fr); }
@media (max-width: 40rem) { .chart svg { min-width: 30rem; } .chart .timeline { min-width: 42rem; }
  .similarities .tick, .similarities .tau { font-size: 15px; } .flag, .timeline .tick, .timeline .lane { font-size: 17px; } }
@media (max-width: 56rem) { .passage { grid-template-columns: minmax(0, 1fr); } }
.faces { display: grid; grid-template-columns: repeat(auto-fill, minmax(7rem, 1fr)); gap: .75rem; margin: 0; }
.faces img { display: block; width: 7rem; height: 7rem; border-radius: .35rem; border: 3px solid var(--grid); }
.faces .decision img { border-color: var(--own); }
.faces figcaption { font-size: .75rem; line-height: 1.35; overflow-wrap: anywhere; } .faces b { color: var(--ink); font-weight: 600; }
.chip { display: inline-block; padding: 0 .5rem; border-radius: 1rem; border: 1.5px solid var(--own); color: var(--own); font-weight: 650;
  overflow-wrap: break-word; }
h3 .chip { font-size: .9rem; margin-left: .3rem; } h3 { overflow-wrap: anywhere; font-size: 1.05rem; margin-top: 2rem; }
dl.tally { grid-template-columns: repeat(auto-fit, minmax(min(100%, 8.5rem), 1fr)); }
dl.tally dt + dd { color: var(--own, var(--ink)); } dl.tally .none dd { color: var(--muted); font-weight: 400; }
main a { color: var(--c0); } td .small { display: block; width: 4rem; height: 4rem; border-radius: .25rem; }
@media print { .chart { overflow: visible; } .chart svg { min-width: 0; } .readout { display: none; } .passage { break-inside: avoid; }
  .state, .accepting, .chip, img { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

SCRIPT = """
for (const chart of document.querySelectorAll(".chart[tabindex]")) {
  const data = JSON.parse(chart.querySelector("script").textContent), rows = data.rows, svg = chart.querySelector("svg");
  const cursor = svg.querySelector(".cursor"), readout = chart.parentNode.querySelector(".readout"), idle = readout.textContent;
  const place = (s) => data.left + (s - data.from) / (data.to - data.from || 1) * (data.right - data.left);
  let here = -1;
  const show = (n) => {
    here = Math.max(0, Math.min(rows.length - 1, n));
    const [frame, s, person, fused, rival, single, alone, good, quality, flags] = rows[here];
    const said = ["frame " + frame, s.toFixed(2) + " s"], name = (p) => p < 0 ? "nobody" : data.people[p];
    if (fused !== null) said.push("fused: " + name(person) + " " + fused.toFixed(3) + (rival > -1 ? ", rival " + rival.toFixed(3) : ""));
    if (single !== null) said.push("this frame alone: " + name(alone) + " " + single.toFixed(3));
    said.push(quality ? "poor: " + data.reasons[quality] : good + (good === 1 ? " good frame" : " good frames"));
    if (flags & 1) said.push("the gate searched");
    if (flags & 2) said.push("set aside: not this face");
    if (flags & 4) said.push("decided here");
    readout.textContent = said.join(" \\u00b7 ");
    cursor.setAttribute("x1", place(s)); cursor.setAttribute("x2", place(s));
  };
  const hide = () => { here = -1; readout.textContent = idle; cursor.setAttribute("x1", -9); cursor.setAttribute("x2", -9); };
  chart.addEventListener("pointermove", (event) => {
    const seen = svg.getBoundingClientRect(), x = (event.clientX - seen.left) / seen.width * svg.viewBox.baseVal.width;
    let nearest = 0;
    rows.forEach((row, n) => { if (Math.abs(place(row[1]) - x) < Math.abs(place(rows[nearest][1]) - x)) nearest = n; });
    show(nearest);
  });
  chart.addEventListener("pointerleave", () => { if (document.activeElement !== chart) hide(); });
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, PageDown: here + 10, PageUp: here - 10, Home: 0, End: rows.length }[event.key];
    if (event.key === "Escape") hide();
    else if (to !== undefined) { show(to); event.preventDefault(); }
  });
}
"""
