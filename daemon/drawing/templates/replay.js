// Says what the frames of a chart are when they are pointed at. It loads nothing.
for (const chart of document.querySelectorAll(".chart[tabindex]")) {
  const data = JSON.parse(chart.querySelector("script").textContent), rows = data.rows;
  const drawings = [...chart.querySelectorAll("svg")], readout = chart.parentNode.querySelector(".readout"), idle = readout.textContent;
  const width = (svg) => svg.viewBox.baseVal.width;
  const place = (s, svg) => data.left + (s - data.from) / (data.to - data.from || 1) * (width(svg) - data.margin - data.left);
  const mark = (svg, x) => { for (const end of ["x1", "x2"]) svg.querySelector(".cursor").setAttribute(end, x); };
  let here = -1;
  const show = (n) => {
    here = Math.max(0, Math.min(rows.length - 1, n));
    const [frame, s, person, fused, rival, single, alone, good, quality, flags] = rows[here];
    const said = ["frame " + frame, s.toFixed(2) + " s"], name = (p) => p < 0 ? "nobody" : data.people[p];
    if (fused !== null) {
      said.push("fused: " + name(person) + " " + fused.toFixed(3) + (rival !== null && rival > -1 ? ", rival " + rival.toFixed(3) : ""));
    }
    if (single !== null) said.push("this frame alone: " + name(alone) + " " + single.toFixed(3));
    said.push(quality ? "poor: " + data.reasons[quality] : good + (good === 1 ? " good frame" : " good frames"));
    if (flags & 1) said.push("the gate searched");
    if (flags & 2) said.push("set aside: not this face");
    if (flags & 4) said.push("decided here");
    readout.textContent = said.join(" · ");
    for (const svg of drawings) mark(svg, place(s, svg));
  };
  const hide = () => {
    here = -1;
    readout.textContent = idle;
    for (const svg of drawings) mark(svg, -9);
  };
  const point = (event) => {
    const svg = event.target.closest("svg");
    if (svg === null) return;
    const seen = svg.getBoundingClientRect(), x = (event.clientX - seen.left) / seen.width * width(svg);
    const far = (row) => Math.abs(place(row[1], svg) - x);
    let nearest = 0;
    rows.forEach((row, n) => { if (far(row) < far(rows[nearest])) nearest = n; });
    show(nearest);
  };
  chart.addEventListener("pointermove", point);
  chart.addEventListener("pointerdown", point);
  chart.addEventListener("pointerleave", () => { if (document.activeElement !== chart) hide(); });
  chart.addEventListener("blur", hide);
  chart.addEventListener("keydown", (event) => {
    const to = { ArrowRight: here + 1, ArrowLeft: here - 1, PageDown: here + 10, PageUp: here - 10, Home: 0, End: rows.length }[event.key];
    if (event.key === "Escape") hide();
    else if (to !== undefined) { show(to); event.preventDefault(); }
  });
}
