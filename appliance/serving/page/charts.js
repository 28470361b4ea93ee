// Charts as SVG elements, drawn for the width they have. Only attributes and text are set: nothing is parsed as markup.

const SPACE = "http://www.w3.org/2000/svg";
const [TOP, BOTTOM, RIGHT] = [8, 20, 58];

export function svg(tag, attributes = {}, text = "") {
  const made = document.createElementNS(SPACE, tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== "") made.textContent = text;
  return made;
}

function ticks(low, high, most) {
  const rough = (high - low) / most || 1;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].map((n) => n * power).find((n) => n >= rough);
  const found = [];
  for (let at = Math.ceil(low / step) * step; at <= high + step * 1e-9; at += step) found.push(at);
  return found;
}

function path(values, x, y) {
  let drawn = "", isDown = false;
  values.forEach((value, i) => {
    if (value === null) { isDown = false; return; }
    drawn += `${isDown ? "L" : "M"}${x(i).toFixed(1)} ${y(value).toFixed(1)}`;
    isDown = true;
  });
  return drawn;
}

// lines: [{kind, values}] with null where nothing is known; band: {low, high}; marks: [{at, value, kind}]
export function lineChart({ width, height, labels, lines, band = null, marks = [], format, isFilled = false, show }) {
  const all = [...lines.flatMap((line) => line.values), ...(band ? [...band.low, ...band.high] : []), ...marks.map((m) => m.value)];
  const known = all.filter((value) => value !== null && Number.isFinite(value));
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  if (known.length < 2) return root;
  let [low, high] = [Math.min(...known), Math.max(...known)];
  const pad = (high - low || Math.abs(high) || 1) * 0.06;
  [low, high] = isFilled ? [low - pad, Math.max(high, 0)] : [low - pad, high + pad];
  const x = (i) => (labels.length < 2 ? 0 : (i / (labels.length - 1)) * (width - RIGHT));
  const y = (value) => TOP + (1 - (value - low) / (high - low || 1)) * (height - TOP - BOTTOM);
  for (const at of ticks(low, high, Math.max(2, Math.floor(height / 55)))) {
    root.append(svg("line", { class: "rule", x1: 0, x2: width - RIGHT, y1: y(at), y2: y(at) }), svg("text", { x: width - RIGHT + 6, y: y(at) + 4 }, format(at)));
  }
  const count = width < 460 ? 2 : 4;
  for (let n = 0; n < count; n += 1) {
    const i = Math.round((n / (count - 1)) * (labels.length - 1));
    root.append(svg("text", { x: x(i), y: height - 4, "text-anchor": n === 0 ? "start" : n === count - 1 ? "end" : "middle" }, labels[i]));
  }
  if (band) {
    const back = band.low.map((value, i) => [value, i]).reverse().filter(([value]) => value !== null);
    root.append(svg("path", { class: "area", d: `${path(band.high, x, y)}${back.map(([v, i]) => `L${x(i).toFixed(1)} ${y(v).toFixed(1)}`).join("")}Z` }));
  }
  for (const line of lines) {
    const drawn = path(line.values, x, y);
    if (isFilled) root.append(svg("path", { class: `area ${line.kind}`, d: `${drawn}L${x(labels.length - 1)} ${y(0)}L0 ${y(0)}Z` }));
    root.append(svg("path", { class: `line ${line.kind}`, d: drawn }));
  }
  for (const mark of marks) {
    const [cx, cy, up] = [x(mark.at), y(mark.value), mark.kind === "buy" ? -1 : 1];
    root.append(svg("path", { class: `mark ${mark.kind}`, d: `M${cx} ${cy}l-5 ${-up * 9}h10Z` }));
  }
  const cursor = svg("line", { class: "cursor", y1: TOP, y2: height - BOTTOM, visibility: "hidden" });
  root.append(cursor);
  const look = (event) => {
    const box = root.getBoundingClientRect();
    const i = Math.max(0, Math.min(labels.length - 1, Math.round(((event.clientX - box.left) / (box.width - RIGHT)) * (labels.length - 1))));
    for (const name of ["x1", "x2"]) cursor.setAttribute(name, x(i));
    cursor.setAttribute("visibility", "visible");
    show(i);
  };
  root.addEventListener("pointermove", look);
  root.addEventListener("pointerdown", look);
  root.addEventListener("pointerleave", () => { cursor.setAttribute("visibility", "hidden"); show(labels.length - 1); });
  show(labels.length - 1);
  return root;
}

export function columnChart({ width, height, columns, show }) {
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, height, role: "img" });
  const most = Math.max(1, ...columns.map((column) => column.value));
  const each = width / columns.length;
  columns.forEach((column, i) => {
    const tall = (column.value / most) * (height - TOP - BOTTOM);
    const drawn = svg("rect", { class: "column", x: i * each + 2, y: height - BOTTOM - tall, width: Math.max(1, each - 4), height: tall, rx: 3 });
    drawn.append(svg("title", {}, `${column.label}: ${column.value}`));
    drawn.addEventListener("pointerenter", () => show(i));
    root.append(drawn, svg("text", { x: (i + 0.5) * each, y: height - 5, "text-anchor": "middle" }, column.label));
  });
  return root;
}

// pixels: RGBA of a picture of 64 bars and 64 levels, whose first channel holds the candles: wick 85, body 255 where it rises, else 170
export function candleChart(pixels, label) {
  const drawn = { rising: ["", ""], falling: ["", ""] };
  for (let bar = 0; bar < 64; bar++) {
    const inks = Array.from({ length: 64 }, (_, level) => pixels[4 * (64 * level + bar)]);
    const kind = inks.includes(255) ? "rising" : "falling";
    [(ink) => ink > 0, (ink) => ink > 85].forEach((isOf, i) => { drawn[kind][i] += `M${bar + 0.5} ${inks.findIndex(isOf)}V${inks.findLastIndex(isOf) + 1}`; });
  }
  const root = svg("svg", { viewBox: "0 0 64 64", preserveAspectRatio: "none", role: "img", "aria-label": label });
  for (const [kind, [wicks, bodies]] of Object.entries(drawn)) root.append(svg("path", { class: `wick ${kind}`, d: wicks }), svg("path", { class: `body ${kind}`, d: bodies }));
  return root;
}
