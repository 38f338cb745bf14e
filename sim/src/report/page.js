"use strict";
// Draws a run from the JSON in this page, without network access. `data-lanes` on the body is set when the lanes are drawn;
// `data-error` when an error occurred.
window.addEventListener("error", (event) => { document.body.dataset.error = event.message; });

const run = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const element = (tag, attributes = {}, ...children) => {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== null && value !== false) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null));
  return made;
};
const many = (count) => count.toLocaleString("en-US").replace(/,/g, "\u2009");
const size = (bytes) => {
  for (const unit of ["B", "kB", "MB", "GB"]) {
    if (bytes < 1000 || unit === "GB") return `${unit === "B" || bytes >= 100 ? Math.round(bytes) : bytes.toFixed(1)} ${unit}`;
    bytes /= 1000;
  }
};
const seconds = (micros, digits = 3) => `${(micros / 1e6).toFixed(digits)} s`;
const span = (ms) => (ms < 1000 ? `${ms} ms` : `${(ms / 1000).toFixed(ms < 10000 ? 2 : 1)} s`);

// ---------------------------------------------------------------- colours

const STRONG = ["#3d7edb", "#e58f2f", "#2ba58c", "#b266cc", "#c6a524", "#db5a82", "#4fb0d0", "#7f9f38", "#8d7be0", "#b97648"];
const PALE = ["#3d7edb", "#e58f2f", "#2ba58c", "#b266cc", "#c6a524", "#db5a82"];
let look = {};
const mix = (one, two, share) => {
  const part = (hex, at) => parseInt(hex.slice(at, at + 2), 16);
  return "#" + [1, 3, 5].map((at) => Math.round(part(one, at) * share + part(two, at) * (1 - share)).toString(16).padStart(2, "0")).join("");
};
function readLook() {
  const style = getComputedStyle(document.documentElement);
  const of = (name) => style.getPropertyValue(`--${name}`).trim();
  look = Object.fromEntries(["bg", "card", "ink", "quiet", "line", "faint", "good", "bad", "warn", "accent", "stopped", "alone", "cut", "power", "delay", "net", "step", "sans"].map((name) => [name, of(name)]));
  look.lane = [null, look.alone, ...STRONG.map((colour) => mix(colour, look.card, 0.86)), ...PALE.map((colour) => mix(colour, look.card, 0.5))];
}
const FAMILY = { partition: "cut", cut: "cut", hold: "cut", clog: "cut", "swizzle-clog": "cut", crash: "power", "power-loss": "power", restart: "power", stop: "power", leave: "step", pause: "delay", slow: "delay", clock: "delay", loss: "net", latency: "net" };
const family = (word) => look[FAMILY[word] || "step"];
const REPORT = { "peer-down": "bad", "peers-down": "bad", unreachable: "warn", "address-undialable": "bad", "name-taken": "bad", isolated: "bad", rejected: "bad", "peer-suspected": "warn", "wrong-peer": "warn", "dial-failed": "warn", "link-down": "warn", paused: "warn", "peer-up": "good", "peer-cleared": "good", rejoined: "good", refuted: "good" };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  readLook();
  legend();
  draw();
}
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
let chosenTheme = new URLSearchParams(location.search).get("theme");
systemDark.addEventListener("change", () => { if (!chosenTheme) setTheme(systemDark.matches ? "dark" : "light"); });

// ---------------------------------------------------------------- the lanes

const canvas = byId("lanes");
const pen = canvas.getContext("2d");
// The causes of a failure are drawn in the lanes from the start; other causes when one is selected.
const view = { from: 0, to: run.end, node: null, cause: run.causes_of_failure ? run.causes.length - 1 : null, drag: null, hover: null };
const failures = [...run.failures].sort((one, two) => one.at_ms - two.at_ms);
const count = run.nodes.length;
// The strip of colours that the lanes show: by membership, or by the whole states.
let strip = run.strip;
const laneHeight = Math.max(0.7, Math.min(26, 620 / count));
const gap = laneHeight >= 5 ? Math.min(3, laneHeight * 0.15) : 0;
const longest = run.nodes.reduce((longest, name) => Math.max(longest, name.length), 0);
const GUTTER = Math.min(150, Math.max(74, longest * 7 + 18));
const AXIS = 22;
const ROW = 17;
const CHART = 64;

// Assigns faults to rows without overlaps; instantaneous steps share one row, but a few steps of clocks have room for
// their names among the faults.
const NAMED_CLOCKS = 12;
const clocks = run.bands.filter((band) => band.once && band.word === "clock").length;
const rows = [];
for (const band of run.bands) {
  band.point = band.once || band.to <= band.from;
  const named = band.point && band.word === "clock" && clocks <= NAMED_CLOCKS;
  if (band.point && !named) { band.row = -1; continue; }
  let row = rows.findIndex((end) => end <= band.from);
  if (row < 0) row = rows.length < 8 ? rows.push(0) - 1 : 7;
  rows[row] = Math.max(rows[row], named ? band.from + run.end / 5 : band.to);
  band.row = row;
}
const instants = run.bands.some((band) => band.row < 0);
// The next fault or step in the row of each, which ends the room for its label.
const latest = [];
for (const band of run.bands) {
  const before = latest[band.row + 1];
  if (before) before.next = band;
  latest[band.row + 1] = band;
}
const nextInstant = (band) => {
  while (band.next && band.next.from === band.from) band = band.next;
  return band.next ? x(band.next.from) : Infinity;
};
const faultsHeight = (rows.length + (instants ? 1 : 0)) * ROW;
const lanesTop = AXIS + faultsHeight + 8;

// The lanes in the order in which they are drawn, with a heading above each group.
const HEADING = 17;
const layout = { order: [], tops: [], headings: [], height: 0 };
function arrange(grouping) {
  layout.order = [];
  layout.headings = [];
  let top = 0;
  for (const group of grouping ? grouping.groups : [{ label: null, nodes: run.nodes.map((_, node) => node) }]) {
    if (group.label !== null) {
      layout.headings.push({ top, label: `${group.label}  (${group.nodes.length})` });
      top += HEADING;
    }
    for (const node of group.nodes) {
      layout.order.push(node);
      layout.tops[node] = top;
      top += laneHeight;
    }
  }
  layout.height = Math.ceil(top);
}
arrange(run.groupings[0]);
const lanesHeight = () => layout.height;
const chartTop = () => lanesTop + lanesHeight() + 14;
const fullHeight = () => chartTop() + CHART + 8;

const width = () => canvas.clientWidth;
const x = (at) => GUTTER + ((at - view.from) / (view.to - view.from)) * (width() - GUTTER);
const at = (x) => view.from + ((x - GUTTER) / (width() - GUTTER)) * (view.to - view.from);
const laneY = (node) => lanesTop + layout.tops[node];
const laneMid = (node) => laneY(node) + laneHeight / 2;
const firstAfter = (sorted, value) => {
  let low = 0, high = sorted.length;
  while (low < high) { const mid = (low + high) >> 1; if (sorted[mid] < value) low = mid + 1; else high = mid; }
  return low;
};
// Index in a lane (instant, colour, instant, colour, …) of the state at an instant; -1 for none.
const stateAt = (lane, time) => {
  let low = 0, high = lane.length / 2;
  while (low < high) { const mid = (low + high) >> 1; if (lane[mid * 2] <= time) low = mid + 1; else high = mid; }
  return (low - 1) * 2;
};

let asked = false;
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => { asked = false; paint(); });
}

function paint() {
  const ratio = window.devicePixelRatio || 1;
  const wide = width();
  if (canvas.width !== Math.round(wide * ratio) || canvas.height !== Math.round(fullHeight() * ratio)) {
    canvas.style.height = `${fullHeight()}px`;
    canvas.width = Math.round(wide * ratio);
    canvas.height = Math.round(fullHeight() * ratio);
  }
  pen.setTransform(ratio, 0, 0, ratio, 0, 0);
  pen.fillStyle = look.card;
  pen.fillRect(0, 0, wide, fullHeight());
  paintAxis(wide);
  paintLanes(wide);
  paintHeadings(wide);
  paintFailureLines(wide);
  paintBands(wide);
  if (byId("marks").checked) paintReports();
  paintMessages(wide);
  paintCauses();
  paintChart(wide);
  paintFailures(wide);
  paintSelection(wide);
  byId("window").textContent = view.from === 0 && view.to === run.end ? seconds(run.end, 0) : `${seconds(view.from)} to ${seconds(view.to)}`;
  document.body.dataset.lanes = String(count);
}

function paintAxis(wide) {
  const raw = (view.to - view.from) / Math.max(4, (wide - GUTTER) / 110);
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw);
  const digits = Math.max(0, Math.min(6, 6 - Math.floor(Math.log10(step))));
  pen.font = `11px ${look.sans}`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  for (let tick = Math.ceil(view.from / step) * step; tick <= view.to; tick += step) {
    const here = Math.round(x(tick)) + 0.5;
    pen.strokeStyle = look.line;
    pen.beginPath(); pen.moveTo(here, AXIS); pen.lineTo(here, fullHeight() - 8); pen.stroke();
    pen.fillStyle = look.quiet;
    const label = `${(tick / 1e6).toFixed(Math.min(digits, 6))} s`;
    const half = pen.measureText(label).width / 2;
    pen.fillText(label, Math.min(wide - half, Math.max(GUTTER, here)), AXIS / 2);
  }
}

function paintLanes(wide) {
  // Whole pixels: an edge within a pixel would be blended with the background, and thin lanes would all be pale.
  const ratio = window.devicePixelRatio || 1;
  const edge = (at) => Math.round(at * ratio) / ratio;
  const paintLane = (node, colours) => {
    const lane = strip.lanes[node];
    const top = edge(laneY(node) + gap / 2);
    const high = Math.max(edge((laneY(node) + laneHeight) - gap / 2) - top, 1 / ratio);
    for (let index = Math.max(0, stateAt(lane, view.from)); index < lane.length && lane[index] <= view.to; index += 2) {
      const colour = colours[lane[index + 1]];
      if (!colour) continue;
      const left = Math.max(GUTTER, x(lane[index]));
      const right = Math.min(wide, index + 2 < lane.length ? x(lane[index + 2]) : x(run.end));
      if (right < GUTTER) continue;
      pen.fillStyle = colour;
      pen.fillRect(edge(left), top, Math.max(edge(right) - edge(left), 1 / ratio), high);
    }
  };
  const every = Math.ceil(13 / laneHeight);
  for (let node = 0; node < count; node++) {
    if (laneHeight >= 3) {
      pen.fillStyle = look.faint;
      pen.fillRect(GUTTER, laneMid(node) - 0.5, wide - GUTTER, 1);
    }
    paintLane(node, look.lane);
  }
  // In lanes that share a row of pixels, nodes that are alone or not running take precedence, because the others are many.
  if (laneHeight < 1) for (let node = 0; node < count; node++) paintLane(node, [look.stopped, look.alone]);
  pen.textAlign = "right";
  let free = -Infinity;
  for (const node of layout.order) {
    const chosen = node === view.node, fits = laneMid(node) - free >= 12.5 || every === 1;
    if (!chosen && !fits) continue;
    if (fits) free = laneMid(node);
    pen.font = `${chosen ? "600 " : ""}${laneHeight > 13 ? 12 : 11}px ${look.sans}`;
    pen.fillStyle = chosen ? look.accent : look.quiet;
    pen.fillText(run.nodes[node], GUTTER - 8, laneMid(node));
  }
  pen.font = `11px ${look.sans}`;
}

function paintHeadings(wide) {
  pen.font = `600 11px ${look.sans}`;
  pen.textBaseline = "middle";
  pen.textAlign = "left";
  for (const { top, label } of layout.headings) {
    const y = lanesTop + top;
    pen.fillStyle = look.faint;
    pen.fillRect(0, y + 1, wide, HEADING - 3);
    pen.fillStyle = look.ink;
    pen.fillText(label, 6, y + HEADING / 2 - 0.5);
  }
  pen.font = `11px ${look.sans}`;
}

// A label begins right of the line of a failure that would cross it.
function labelStart(text, start, end) {
  const wide = pen.measureText(text).width;
  for (const failure of failures) {
    const here = x(failure.at_ms * 1000);
    if (here > start - 5 && here < start + wide + 3 && here + 7 + wide < end) start = here + 7;
  }
  return start;
}

function paintBands(wide) {
  pen.textBaseline = "middle";
  for (const band of run.bands) {
    if (band.to < view.from || band.from > view.to) continue;
    const colour = family(band.word);
    const left = x(band.from), right = x(band.to);
    if (band.point) {
      const top = AXIS + (band.row < 0 ? rows.length : band.row) * ROW;
      pen.fillStyle = colour;
      pen.beginPath(); pen.moveTo(left, top + 11); pen.lineTo(left - 4, top + 4); pen.lineTo(left + 4, top + 4); pen.fill();
      const text = `${band.word} ${band.text}`;
      const room = Math.min(wide, nextInstant(band)) - 6;
      const start = labelStart(text, left + 7, room);
      if (start + pen.measureText(text).width < room) {
        pen.textAlign = "left";
        pen.fillStyle = look.ink;
        pen.fillText(text, start, top + 8);
      }
      continue;
    }
    const begin = Math.max(GUTTER, left), end = Math.min(wide, right);
    const top = AXIS + band.row * ROW;
    pen.globalAlpha = 0.16;
    pen.fillStyle = colour;
    pen.fillRect(begin, top, Math.max(end - begin, 2), ROW - 3);
    pen.globalAlpha = 1;
    pen.fillRect(begin, top, 3, ROW - 3);
    pen.save();
    // A label may run over the end of its fault, up to the next one in the row.
    const free = Math.max(end, Math.min(wide, band.next ? x(band.next.from) : wide)) - 4;
    pen.beginPath(); pen.rect(begin, top, Math.max(free - begin, 0), ROW); pen.clip();
    pen.textAlign = "left";
    pen.fillStyle = look.ink;
    const text = `${band.word}  ${band.text}`;
    pen.fillText(text, labelStart(text, begin + 9, free), top + (ROW - 3) / 2 + 0.5);
    pen.restore();
    // Over the lanes: edges for faults that affect all nodes, hatching for faults of single nodes.
    pen.strokeStyle = colour;
    if (band.hosts.length === 0) {
      pen.globalAlpha = 0.75;
      pen.setLineDash([3, 3]);
      for (const edge of [left, right]) {
        if (edge < GUTTER || edge > wide || (edge === right && band.to >= run.end)) continue;
        pen.beginPath(); pen.moveTo(edge, top + ROW - 3); pen.lineTo(edge, lanesTop + lanesHeight()); pen.stroke();
      }
      pen.setLineDash([]);
      pen.globalAlpha = 1;
    } else if (laneHeight >= 3) {
      pen.globalAlpha = 0.8;
      pen.lineWidth = laneHeight > 8 ? 2 : 1;
      for (const host of band.hosts) {
        pen.beginPath(); pen.moveTo(begin, (laneY(host) + laneHeight) - gap / 2 - 0.5); pen.lineTo(end, (laneY(host) + laneHeight) - gap / 2 - 0.5); pen.stroke();
      }
      pen.lineWidth = 1;
      pen.globalAlpha = 1;
    }
  }
  if (faultsHeight > 0) {
    pen.textAlign = "right";
    pen.fillStyle = look.quiet;
    if (rows.length) pen.fillText("faults", GUTTER - 8, AXIS + ROW / 2 - 1);
    if (instants) pen.fillText("steps", GUTTER - 8, AXIS + rows.length * ROW + ROW / 2 - 1);
  }
}

function paintReports() {
  const reports = run.reports;
  const high = laneHeight >= 4 ? laneHeight - gap : Math.max(laneHeight, 1.4);
  // A rim, because a lane may have the colour of the mark.
  pen.strokeStyle = look.card;
  pen.lineWidth = 1;
  // Reports of down members are drawn over those of suspects.
  for (const kind of laneHeight < 4 ? ["bad"] : ["warn", "bad"]) for (let index = firstAfter(reports.at, view.from); index < reports.at.length && reports.at[index] <= view.to; index++) {
    if (REPORT[reports.words[reports.word[index]]] !== kind) continue;
    pen.fillStyle = look[kind];
    const here = x(reports.at[index]);
    const node = reports.node[index];
    if (laneHeight >= 8) {
      pen.beginPath(); pen.arc(here, laneMid(node), kind === "bad" ? 3.2 : 2.2, 0, 7); pen.fill(); pen.stroke();
    } else {
      pen.globalAlpha = 0.7;
      pen.fillRect(here - 0.5, laneY(node) + gap / 2, 1.3, high);
    }
  }
  pen.globalAlpha = 1;
}

const LINES_MAX = 8000;
function paintMessages(wide) {
  const how = byId("lines").value;
  if (how === "none" || (how === "node" && view.node === null)) return;
  const messages = run.messages;
  pen.save();
  pen.beginPath(); pen.rect(GUTTER, lanesTop, wide - GUTTER, lanesHeight()); pen.clip();
  const chosen = [];
  for (let index = firstAfter(messages.took, view.from); index < messages.took.length && messages.sent[index] <= view.to; index++) {
    if (how === "news" && !messages.news[index]) continue;
    if (view.node !== null && messages.from[index] !== view.node && messages.to[index] !== view.node) continue;
    chosen.push(index);
  }
  const every = Math.ceil(chosen.length / LINES_MAX);
  pen.globalAlpha = Math.max(0.08, Math.min(0.8, 250 / (chosen.length / every)));
  for (let position = 0; position < chosen.length; position += every) {
    const index = chosen[position];
    const own = view.node !== null && messages.from[index] === view.node;
    pen.strokeStyle = messages.news[index] ? (own ? look.accent : look.ink) : look.quiet;
    const y0 = laneMid(messages.from[index]), y1 = laneMid(messages.to[index]);
    const x0 = x(messages.sent[index]), x1 = x(messages.took[index]);
    pen.lineWidth = messages.news[index] ? 1.1 : 0.6;
    pen.beginPath(); pen.moveTo(x0, y0); pen.lineTo(x1, y1); pen.stroke();
    if (view.to - view.from < 3e6 && chosen.length < 2000) {
      pen.fillStyle = pen.strokeStyle;
      pen.beginPath(); pen.arc(x1, y1, 1.8, 0, 7); pen.fill();
    }
  }
  pen.restore();
  pen.globalAlpha = 1;
  pen.lineWidth = 1;
}

function paintCauses() {
  if (view.cause === null) return;
  const colour = run.causes_of_failure ? look.bad : look.accent;
  pen.save();
  pen.beginPath(); pen.rect(GUTTER, AXIS, width() - GUTTER, fullHeight()); pen.clip();
  // First a rim, wider and in the colour of the card, then the chain itself, so that it is visible on lanes of any colour.
  for (const [more, paint] of [[1.5, look.card], [0, colour]]) {
    pen.strokeStyle = pen.fillStyle = paint;
    pen.lineWidth = 1.8 + 2 * more;
    run.causes.forEach((cause, index) => {
      const before = run.causes[index - 1];
      if (cause.node === null) return;
      if (before) {
        const fromY = before.node === null ? lanesTop - 6 : laneMid(before.node);
        pen.beginPath(); pen.moveTo(x(before.at), fromY); pen.lineTo(x(cause.at), laneMid(cause.node)); pen.stroke();
      }
      pen.beginPath(); pen.arc(x(cause.at), laneMid(cause.node), (index === view.cause ? 6 : 3.2) + more, 0, 7); pen.fill();
    });
  }
  pen.restore();
  pen.lineWidth = 1;
}

// Messages over time as an area; the number of different states as a line.
function paintChart(wide) {
  const { messages, held } = run.traffic;
  const columns = messages.length;
  const top = Math.max(1, ...messages);
  const base = chartTop() + CHART;
  const column = (index) => x(((index + 0.5) * run.end) / columns);
  pen.save();
  pen.beginPath(); pen.rect(GUTTER, chartTop() - 4, wide - GUTTER, CHART + 8); pen.clip();
  const area = (values, colour, alpha) => {
    pen.beginPath();
    pen.moveTo(column(0), base);
    values.forEach((value, index) => pen.lineTo(column(index), base - (value / top) * (CHART - 4)));
    pen.lineTo(column(columns - 1), base);
    pen.globalAlpha = alpha; pen.fillStyle = colour; pen.fill(); pen.globalAlpha = 1;
  };
  area(messages, look.accent, 0.25);
  area(held, look.cut, 0.6);
  const states = strip.states;
  const most = Math.max(2, ...states);
  pen.strokeStyle = look.ink;
  pen.lineWidth = 1.4;
  pen.beginPath();
  states.forEach((value, index) => {
    const y = base - (value / most) * (CHART - 4);
    const here = x(((index + 1) * run.end) / states.length);
    if (index) pen.lineTo(here, y); else pen.moveTo(here, y);
  });
  pen.stroke();
  pen.lineWidth = 1;
  pen.restore();
  pen.textAlign = "right";
  pen.fillStyle = look.quiet;
  const perSecond = (top * columns * 1e6) / run.end;
  pen.fillText("messages", GUTTER - 8, chartTop() + 8);
  pen.fillText(`≤ ${perSecond >= 1e4 ? `${Math.round(perSecond / 1e3)}k` : Math.round(perSecond)}/s`, GUTTER - 8, chartTop() + 21);
  pen.fillStyle = look.ink;
  pen.fillText("states", GUTTER - 8, base - 19);
  pen.fillText(`≤ ${most}`, GUTTER - 8, base - 6);
}

// The lines of failures. They are drawn below the labels of faults.
function paintFailureLines(wide) {
  for (const failure of failures) {
    const here = x(failure.at_ms * 1000);
    if (here < GUTTER || here > wide) continue;
    for (const [thick, colour] of [[5, look.card], [2.4, look.bad]]) {
      pen.strokeStyle = colour; pen.lineWidth = thick;
      pen.beginPath(); pen.moveTo(here, AXIS - 4); pen.lineTo(here, chartTop() + CHART); pen.stroke();
    }
  }
  pen.lineWidth = 1;
}

// The flags of failures, with the lines of the expectations; instants close to each other share a flag.
function paintFailures(wide) {
  const flags = [];
  for (const failure of failures) {
    const here = x(failure.at_ms * 1000);
    if (here < GUTTER || here > wide) continue;
    const last = flags[flags.length - 1];
    if (last && here - last.here < 100) last.lines.add(failure.line);
    else flags.push({ here, lines: new Set([failure.line]) });
  }
  pen.lineWidth = 1;
  pen.font = `600 11px ${look.sans}`;
  pen.textAlign = "center";
  const texts = flags.map(({ here, lines }) => {
    const known = [...lines].filter((line) => line > 0);
    const text = known.length === 0 ? "✗ failed" : known.length > 3 ? `✗ ${known.length} lines` : `✗ line${known.length > 1 ? "s" : ""} ${known.join(", ")}`;
    const half = pen.measureText(text).width / 2 + 7;
    const middle = Math.max(GUTTER + half, Math.min(wide - half, here));
    pen.fillStyle = look.bad;
    pen.fillRect(middle - half, 1, 2 * half, AXIS - 5);
    pen.fillStyle = look.card;
    pen.fillText(text, middle, AXIS / 2 - 1);
    return text;
  });
  pen.font = `11px ${look.sans}`;
  document.body.dataset.flags = texts.join("; ");
}

function paintSelection(wide) {
  if (view.node !== null) {
    pen.strokeStyle = look.accent;
    pen.lineWidth = 1.5;
    pen.strokeRect(GUTTER - 1, laneY(view.node) - 1, wide - GUTTER, Math.max(laneHeight, 2) + 2);
    pen.lineWidth = 1;
  }
  if (view.drag && view.drag.now !== undefined && !view.drag.move) {
    const left = Math.min(view.drag.x, view.drag.now), right = Math.max(view.drag.x, view.drag.now);
    pen.globalAlpha = 0.15; pen.fillStyle = look.accent;
    pen.fillRect(left, AXIS, right - left, fullHeight() - AXIS);
    pen.globalAlpha = 1;
  }
  if (view.hover !== null) {
    pen.strokeStyle = look.quiet; pen.globalAlpha = 0.6;
    pen.beginPath(); pen.moveTo(view.hover + 0.5, AXIS); pen.lineTo(view.hover + 0.5, chartTop() + CHART); pen.stroke();
    pen.globalAlpha = 1;
  }
}

// ---------------------------------------------------------------- moving about

function show(from, to) {
  const least = Math.max(200, run.end / 1e6);
  let length = Math.min(run.end, Math.max(least, to - from));
  from = Math.max(0, Math.min(run.end - length, from));
  view.from = from;
  view.to = from + length;
  draw();
  detail();
}
function zoom(factor, around = (view.from + view.to) / 2) {
  show(around - (around - view.from) * factor, around + (view.to - around) * factor);
}
function choose(node) {
  view.node = node;
  byId("node").value = node === null ? "" : run.nodes[node];
  if (node !== null && byId("lines").value === "none") byId("lines").value = "node";
  if (node === null && byId("lines").value === "node") byId("lines").value = "none";
  draw();
  detail();
}
const nodeAt = (y) => {
  // The tops rise in the order of the lanes.
  let low = 0, high = count;
  while (low < high) { const mid = (low + high) >> 1; if (laneY(layout.order[mid]) <= y) low = mid + 1; else high = mid; }
  const node = layout.order[low - 1];
  return node !== undefined && y < laneY(node) + laneHeight ? node : null;
};
const beside = (by) => {
  if (view.node === null) return layout.order[by > 0 ? 0 : count - 1];
  const place = layout.order.indexOf(view.node) + by;
  return layout.order[Math.max(0, Math.min(count - 1, place))];
};
const place = (event) => {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
};
canvas.addEventListener("pointerdown", (event) => {
  const [px, py] = place(event);
  canvas.setPointerCapture(event.pointerId);
  view.drag = { x: px, y: py, move: event.shiftKey || event.button === 1, from: view.from, to: view.to };
  canvas.focus({ preventScroll: true });
});
canvas.addEventListener("pointermove", (event) => {
  const [px, py] = place(event);
  view.hover = px >= GUTTER ? Math.round(px) : null;
  if (view.drag) {
    if (view.drag.move) {
      const by = ((view.drag.x - px) / (width() - GUTTER)) * (view.drag.to - view.drag.from);
      show(view.drag.from + by, view.drag.to + by);
    } else if (Math.abs(px - view.drag.x) > 5) view.drag.now = Math.max(GUTTER, px);
  }
  tip(px, py);
  draw();
});
canvas.addEventListener("pointerup", (event) => {
  const [px, py] = place(event);
  const drag = view.drag;
  view.drag = null;
  if (!drag || drag.move) return;
  if (drag.now !== undefined) {
    const [one, two] = [at(Math.max(GUTTER, drag.x)), at(drag.now)];
    show(Math.min(one, two), Math.max(one, two));
  } else {
    const node = nodeAt(py);
    choose(node === view.node ? null : node);
  }
});
canvas.addEventListener("pointerleave", () => { view.hover = null; byId("tip").hidden = true; draw(); });
canvas.addEventListener("wheel", (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  zoom(event.deltaY > 0 ? 1.25 : 0.8, at(Math.max(GUTTER, place(event)[0])));
}, { passive: false });
canvas.addEventListener("dblclick", () => show(0, run.end));
canvas.addEventListener("keydown", (event) => {
  const step = (view.to - view.from) / 8;
  const moves = {
    ArrowLeft: () => show(view.from - step, view.to - step),
    ArrowRight: () => show(view.from + step, view.to + step),
    ArrowDown: () => choose(beside(1)),
    ArrowUp: () => choose(beside(-1)),
    Home: () => show(0, view.to - view.from),
    End: () => show(run.end - (view.to - view.from), run.end),
    "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2), 0: () => show(0, run.end),
    m: () => { const lines = byId("lines"); lines.selectedIndex = (lines.selectedIndex + 1) % lines.options.length; draw(); },
    Escape: () => { view.cause = null; choose(null); },
  };
  const move = moves[event.key];
  if (move && !event.ctrlKey && !event.metaKey && !event.altKey) { event.preventDefault(); move(); }
});
document.addEventListener("keydown", (event) => {
  if (event.key.toLowerCase() === "t" && event.target === document.body) byId("theme").click();
});

const stateName = (colour) => {
  if (colour === 0) return "stopped";
  if (colour === 1) return "a state of a single node, briefly";
  return colour < 12 ? `state ${strip.digests[colour - 2]}` : "a state shared for a short time";
};
function tip(px, py) {
  const box = byId("tip");
  const node = nodeAt(py);
  const lines = [];
  if (px >= GUTTER) {
    const time = at(px);
    lines.push(element("div", { class: "quiet" }, seconds(time)));
    if (node !== null) {
      const lane = strip.lanes[node];
      const index = stateAt(lane, time);
      lines.push(element("div", {}, element("b", {}, run.nodes[node]), `: ${index < 0 ? "not started" : stateName(lane[index + 1])}`));
      const reach = ((view.to - view.from) / width()) * 5;
      const reports = run.reports;
      let shown = 0;
      for (let index = firstAfter(reports.at, time - reach); index < reports.at.length && reports.at[index] <= time + reach && shown < 6; index++) {
        if (reports.node[index] !== node) continue;
        lines.push(element("div", {}, `reports ${reports.words[reports.word[index]]} ${reports.about[index] < 0 ? "" : run.nodes[reports.about[index]]}`));
        shown++;
      }
    }
    for (const band of run.bands) {
      const row = band.row < 0 ? rows.length : band.row;
      const near = band.point ? Math.abs(x(band.from) - px) < 6 : band.from <= time && time <= band.to;
      const over = py >= AXIS + row * ROW && py < AXIS + (row + 1) * ROW;
      if (near && over && lines.length < 12) {
        lines.push(element("div", {}, element("b", {}, band.word), ` ${band.text}`, element("span", { class: "quiet" }, ` ${band.line ? `line ${band.line}, ` : ""}${seconds(band.from)}${band.point ? "" : ` to ${seconds(band.to)}`}`)));
      }
    }
  }
  box.hidden = lines.length === 0;
  box.replaceChildren(...lines);
  const left = canvas.offsetLeft + px + 16;
  box.style.left = `${left + 300 > canvas.offsetLeft + width() ? left - 40 - box.offsetWidth : left}px`;
  box.style.top = `${canvas.offsetTop + py + 14}px`;
}

// The messages and reports of the selected node in the window, as text.
let detailTimer = 0;
function detail() {
  clearTimeout(detailTimer);
  detailTimer = setTimeout(fillDetail, 60);
}
function fillDetail() {
  const box = byId("detail");
  box.hidden = view.node === null;
  if (view.node === null) return;
  const most = 200;
  const said = [], took = [];
  const { reports, messages } = run;
  let saidAll = 0, tookAll = 0;
  for (let index = firstAfter(reports.at, view.from); index < reports.at.length && reports.at[index] <= view.to; index++) {
    if (reports.node[index] !== view.node) continue;
    if (saidAll++ < most) said.push(element("tr", {}, element("td", { class: "n mono" }, seconds(reports.at[index])), element("td", { class: { bad: "no", warn: "maybe", good: "yes" }[REPORT[reports.words[reports.word[index]]]] || "" }, reports.words[reports.word[index]]), element("td", {}, reports.about[index] < 0 ? "" : run.nodes[reports.about[index]])));
  }
  for (let index = firstAfter(messages.took, view.from); index < messages.took.length && messages.took[index] <= view.to; index++) {
    const mine = messages.to[index] === view.node;
    if (!mine && messages.from[index] !== view.node) continue;
    if (tookAll++ < most) took.push(element("tr", {}, element("td", { class: "n mono" }, seconds(messages.took[index])), element("td", {}, mine ? `← ${run.nodes[messages.from[index]]}` : `→ ${run.nodes[messages.to[index]]}`), element("td", {}, `${messages.kinds[messages.kind[index]]}${messages.news[index] ? " · news" : ""}`), element("td", { class: "n" }, `${messages.size[index]} B`), element("td", { class: "n" }, `${((messages.took[index] - messages.sent[index]) / 1000).toFixed(1)} ms`)));
  }
  const list = (title, all, lines) => element("div", {}, element("h2", {}, `${title}: ${many(all)}${all > most ? `, the first ${most} here` : ""}`), element("div", { class: "scroll" }, element("table", {}, element("tbody", {}, ...lines))));
  box.replaceChildren(element("div", { class: "cols" }, list(`${run.nodes[view.node]} reported in this window`, saidAll, said), list("Messages to and from this node", tookAll, took)));
}

// ---------------------------------------------------------------- the cards

function legend() {
  const patch = (colour, text) => element("span", {}, element("i", { style: `background:${colour};border-color:${colour === look.stopped ? look.line : "transparent"}` }), text);
  const strong = strip.digests.map((_, index) => look.lane[index + 2]);
  byId("legend").replaceChildren(
    element("span", {}, ...strong.map((colour) => element("i", { style: `background:${colour}` })), strip === run.strip && run.states !== null ? "the same colour is the same view of membership" : "the same colour is the same state"),
    patch(look.lane[12], "pale: shared for a short time"), patch(look.alone, "grey: held by a single node, briefly"), patch(look.stopped, "not running"),
    element("span", {}, element("i", { style: `background:${look.bad};border-radius:9px;width:8px;height:8px` }), "reports a member as down"),
    laneHeight < 4 ? "" : element("span", {}, element("i", { style: `background:${look.warn};border-radius:9px;width:7px;height:7px` }), "suspects a member, or cannot reach it"),
    run.causes_of_failure ? element("span", {}, element("i", { style: `background:${look.bad};height:2px` }), "causes of the failure") : "",
    element("span", {}, element("i", { style: `background:${look.accent};opacity:.35` }), "messages"),
    element("span", {}, element("i", { style: `background:${look.cut};opacity:.7` }), "delayed or dropped"),
    element("span", {}, element("i", { style: `background:${look.ink};height:2px` }), "different states"));
}

function header() {
  const verdict = byId("verdict");
  verdict.textContent = run.passed ? "Passed" : "Failed";
  verdict.classList.toggle("bad", !run.passed);
  byId("name").textContent = run.scenario;
  byId("about").textContent = run.about.trim().replace(/\s+/g, " ");
  const failed = run.seeds.filter((seed) => !seed.passed).length;
  const facts = [
    ["Seed", run.seed], ["Nodes", many(count)], ["Virtual time", seconds(run.end, 1)],
    ["Recovery", run.metrics["recovery-ms"] === undefined ? "none" : span(run.metrics["recovery-ms"])],
    ["Events", many(run.events)], ["Messages", many(run.messages_sent)], ["Payload", size(run.bytes)], ["Dropped or delayed", many(run.traffic.held_total)], ["Engine", run.engine],
  ];
  if (run.seeds.length > 1) facts.splice(1, 0, ["Seeds run", many(run.seeds.length)], ["Seeds failed", many(failed)]);
  byId("facts").append(...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value)))));
  byId("failures").append(...failures.slice(0, CARDS).map(failureCard));
  if (failures.length > CARDS) byId("failures").append(element("details", {}, element("summary", {}, `${many(failures.length - CARDS)} more`), ...failures.slice(CARDS).map((failure) => failureCard(failure, CARDS))));
}

// The expectation, the actual state, the facts that explain it, and for the first failure the command that reproduces it.
const CARDS = 3;
const LED = 4;
function failureCard(failure, position) {
  const from = Math.max(0, run.causes.length - LED);
  const go = () => {
    // The end of the chain of causes must be in the window, unless it was long before.
    const here = failure.at_ms * 1000, around = run.end / 30;
    const before = position > 0 || from >= run.causes.length ? 0 : here - run.causes[from].at;
    show(here - Math.max(around, before < 6 * around ? before * 1.1 : 0), here + around);
    canvas.scrollIntoView({ block: "nearest" });
  };
  const explained = run.explained[run.failures.indexOf(failure)];
  const facts = explained ? explained.lines.map((line) => element("li", {}, line)) : [];
  const source = failure.line ? element("a", { href: `#source-${failure.line}` }, `${failure.file}:${failure.line}`) : failure.file;
  const links = position === 0 && run.causes_of_failure && run.causes.length ? element("a", { href: "#causes-card" }, `The ${run.causes.length} events that led to it`) : null;
  return element("div", { class: "failure" },
    element("button", { type: "button", onclick: go }, "Show"),
    element("div", { class: "expectation" }, element("b", {}, source), "  ", element("code", {}, failure.expectation)),
    element("div", { class: "why" }, `${failure.why}`, element("span", { class: "quiet" }, `  at ${seconds(failure.at_ms * 1000)}`)),
    facts.length ? element("ul", {}, ...facts) : null, links);
}

function causeLine(cause, index) {
  const go = () => {
    view.cause = index;
    const around = run.causes.filter((_, other) => Math.abs(other - index) <= 3).map((cause) => cause.at);
    const [from, to] = [Math.min(...around), Math.max(...around)];
    const margin = Math.max((to - from) * 0.3, 5000);
    show(from - margin, to + margin);
    canvas.scrollIntoView({ block: "nearest" });
  };
  const kind = cause.node === null ? "plan" : cause.from === null ? "own" : "";
  const text = cause.text.replace(/^\S+ #\d+ /, "");
  const wait = cause.sent === null ? "" : `${((cause.at - cause.sent) / 1000).toFixed(1)} ms in flight`;
  return element("li", { tabindex: "0", onclick: go, onkeydown: (event) => { if (event.key === "Enter") go(); } },
    element("time", {}, seconds(cause.at, 6)), element("span", { class: "quiet mono" }, `#${cause.event}`), element("span", { class: `dot ${kind}` }), element("span", {}, text), element("span", { class: "quiet" }, wait));
}

function causes() {
  byId("causes-card").hidden = run.causes.length === 0;
  byId("causes-title").textContent = run.causes_of_failure ? "Causes of the first failure" : "Causes of the last change of a view";
  byId("causes-note").textContent = run.causes_of_failure ? "Each event was caused by the one before it; the last one is the closest to the failure. Select one to see it in the lanes." : "The chain of causes behind the last change of any node's view. Select one to see it in the lanes.";
  const list = byId("causes");
  list.append(...run.causes.map(causeLine));
  list.scrollTop = run.causes_of_failure ? list.scrollHeight : 0;
}

const table = (heads, lines) => element("table", {}, element("thead", {}, element("tr", {}, ...heads.map(([text, kind]) => element("th", { class: kind || "" }, text)))), element("tbody", {}, ...lines));
function expected() {
  const seeds = run.seeds.length;
  const lines = run.expected.map((item) => {
    const unmet = run.seeds.filter((seed) => seed.unmet.includes(item.line)).length;
    // A `sometimes` expectation fails only if it held in none of several runs.
    const missed = item.sometimes ? seeds > 1 && unmet === seeds : unmet > 0;
    const mark = item.met ? "✓" : item.sometimes && !missed ? "–" : "✗";
    const how = seeds > 1 ? `${many(seeds - unmet)}/${many(seeds)}` : item.figure !== undefined ? many(item.figure) : "";
    return element("tr", {}, element("td", { class: item.met ? "yes" : mark === "–" ? "quiet" : "no" }, mark), element("td", {}, item.text, element("span", { class: "quiet" }, `  line ${item.line}`)),
      element("td", { class: "n" }, item.at_ms === undefined ? "" : seconds(item.at_ms * 1000, 2)), element("td", { class: `n ${missed ? "no" : ""}` }, how));
  });
  byId("expected").append(table([[""], ["expectation"], ["decided", "n"], [seeds > 1 ? "seeds" : "", "n"]], lines));
}

function effects() {
  const most = Math.max(1, ...run.effects.map((effect) => effect.affected));
  const lines = run.effects.map((effect) => {
    const idle = run.seeds.filter((seed) => seed.idle.includes(effect.line)).length;
    const share = (Math.log1p(effect.affected) / Math.log1p(most)) * 100;
    return element("tr", {}, element("td", {}, effect.step, element("span", { class: "quiet" }, effect.line ? `  line ${effect.line}` : "")), element("td", { class: "n" }, many(effect.orders)),
      element("td", { class: `n ${effect.affected ? "" : "maybe"}` }, effect.affected ? many(effect.affected) : "nothing"), element("td", {}, element("div", { class: "meter" }, element("i", { style: `width:${share}%` }))),
      element("td", { class: `n ${idle ? "maybe" : ""}` }, run.seeds.length > 1 && !effect.chaos ? `${many(run.seeds.length - idle)}/${many(run.seeds.length)}` : ""));
  });
  if (lines.length === 0) byId("effects").append(element("p", { class: "quiet" }, "The scenario has no steps."));
  else byId("effects").append(table([["step"], ["actions", "n"], ["affected", "n"], [""], [run.seeds.length > 1 ? "effective seeds" : "", "n"]], lines), element("p", { class: "quiet" }, "Affected: bytes dropped, segments lost, links ended, inputs delayed. The bar is logarithmic."));
}

const svg = (tag, attributes, text) => {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text !== undefined) made.textContent = text;
  return made;
};
function bars(values, label, title) {
  const wide = 480, high = 110, chart = svg("svg", { viewBox: `0 0 ${wide} ${high + 22}`, class: "chart", role: "img", "aria-label": title });
  const most = Math.max(1, ...values.map((value) => value.count));
  const step = wide / values.length;
  values.forEach((value, index) => {
    const tall = value.count ? Math.max(2, (value.count / most) * (high - 14)) : 0;
    const bar = svg("rect", { x: index * step + 1, y: high - tall, width: Math.max(step - 2, 1), height: tall, rx: 1.5, class: value.bad ? "bad" : "" });
    bar.append(svg("title", {}, `${value.name}: ${value.count}`));
    chart.append(bar);
    if (values.length <= 24 && value.count) chart.append(svg("text", { x: index * step + step / 2, y: high - tall - 4, "text-anchor": "middle" }, many(value.count)));
  });
  chart.append(svg("line", { x1: 0, x2: wide, y1: high + 0.5, y2: high + 0.5 }));
  label.forEach(([place, text, anchor]) => chart.append(svg("text", { x: place * wide, y: high + 16, "text-anchor": anchor }, text)));
  return chart;
}
function histogram() {
  const box = byId("histogram");
  const known = run.seeds.filter((seed) => seed.recovery_ms !== null).map((seed) => seed.recovery_ms).sort((one, two) => one - two);
  const never = run.seeds.length - known.length;
  const quantile = (share) => known[Math.min(known.length - 1, Math.ceil(share * known.length) - 1)];
  if (known.length > 1) {
    const [least, most] = [known[0], known[known.length - 1]];
    const columns = Math.min(24, Math.max(6, Math.ceil(Math.sqrt(known.length) * 1.6)));
    const wide = Math.max(1, (most - least) / columns);
    const values = Array.from({ length: columns }, (_, index) => ({ name: `${Math.round(least + index * wide)} to ${Math.round(least + (index + 1) * wide)} ms`, count: 0 }));
    for (const ms of known) values[Math.min(columns - 1, Math.floor((ms - least) / wide))].count++;
    box.append(bars(values, [[0, span(least), "start"], [1, span(most), "end"]], "Recovery time, over seeds"));
    box.append(element("p", { class: "quiet" }, `median ${span(quantile(0.5))}, 90 % ${span(quantile(0.9))}, 99 % ${span(quantile(0.99))}${never ? `; ${many(never)} seeds never recovered` : ""}`));
  } else {
    box.append(element("p", {}, known.length ? `All views were correct ${span(known[0])} after the last fault or change.` : run.system === "mesh" ? "The mesh did not recover." : "The system did not recover."), element("p", { class: "quiet" }, "Run several seeds (--seed 1..50) to see the distribution."));
  }
  if (run.seeds.length > 1) {
    box.append(element("div", { class: "seeds" }, ...run.seeds.slice(0, 1000).map((seed) => element("i", { class: `${seed.passed ? "" : "bad"} ${seed.seed === run.seed ? "here" : ""}`, title: `seed ${seed.seed}: ${seed.passed ? "passed" : "failed"}`, onclick: () => { if (!seed.passed) byId("seeds-card").scrollIntoView({ block: "nearest" }); } }))));
  }
}

function traffic() {
  const { sent, sent_bytes: bytes, took } = run.traffic;
  const order = [...sent.keys()].sort((one, two) => bytes[two] - bytes[one]);
  const box = byId("traffic");
  const columns = Math.min(count, 60);
  const values = Array.from({ length: columns }, (_, index) => {
    const from = Math.floor((index * count) / columns), to = Math.max(from + 1, Math.floor(((index + 1) * count) / columns));
    const part = order.slice(from, to).map((node) => bytes[node]);
    return { name: to - from === 1 ? run.nodes[order[from]] : `nodes ${from + 1} to ${to} by bytes`, count: Math.round(part.reduce((sum, value) => sum + value, 0) / part.length) };
  });
  if (columns > 24) box.append(bars(values, [[0, "sends most", "start"], [1, "sends least", "end"]], "Bytes sent by node"));
  const shown = columns > 24 ? [...order.slice(0, 3), ...order.slice(-2)] : order.slice(0, 12);
  box.append(table([["node"], ["sent", "n"], ["bytes", "n"], ["B a second", "n"], ["received", "n"]], shown.map((node) => element("tr", { onclick: () => choose(node) }, element("td", {}, run.nodes[node]), element("td", { class: "n" }, many(sent[node])), element("td", { class: "n" }, size(bytes[node])), element("td", { class: "n" }, many(Math.round((bytes[node] * 1e6) / run.end))), element("td", { class: "n" }, many(took[node]))))));
  if (shown.length < count) box.append(element("p", { class: "quiet" }, columns > 24 ? "The three nodes that send most and the two that send least, by delivered payload." : `The first ${shown.length} nodes by delivered payload.`));
  const kinds = Object.entries(run.messages.totals).sort((one, two) => two[1] - one[1]);
  box.append(element("p", { class: "quiet" }, `By content: ${kinds.map(([kind, count]) => `${kind} ${many(count)}`).join(", ")}.`));
}

function reports() {
  const lines = Object.entries(run.reports.totals).sort((one, two) => two[1] - one[1]).map(([word, count]) => {
    const index = run.reports.words.indexOf(word);
    const first = run.reports.at[run.reports.word.indexOf(index)], last = run.reports.at[run.reports.word.lastIndexOf(index)];
    return element("tr", {}, element("td", { class: { bad: "no", warn: "maybe", good: "yes" }[REPORT[word]] || "" }, word), element("td", { class: "n" }, many(count)), element("td", { class: "n" }, first === undefined ? "" : seconds(first, 2)), element("td", { class: "n" }, last === undefined ? "" : seconds(last, 2)));
  });
  byId("reports").append(table([["report"], ["times", "n"], ["first", "n"], ["last", "n"]], lines));
}

function again() {
  const { reproduce, replay, timeline } = run.commands;
  byId("again").append(...[reproduce, replay, timeline].map(commandLine));
}

// The other failing seeds, with the command that writes the report of each.
const SEEDS = 20;
function seeds() {
  const failed = run.seeds.filter((seed) => !seed.passed && seed.seed !== run.seed);
  byId("seeds-card").hidden = failed.length === 0;
  byId("seeds").append(...failed.slice(0, SEEDS).map((seed) => element("details", {},
    element("summary", {}, element("b", { class: "no" }, `seed ${seed.seed}`), `  ${seed.failure || ""}`),
    commandLine(run.commands.report.replaceAll("{seed}", seed.seed)))));
  if (failed.length > SEEDS) byId("seeds").append(element("p", { class: "quiet" }, `${many(failed.length - SEEDS)} more: ${failed.slice(SEEDS, SEEDS + 200).map((seed) => seed.seed).join(", ")}${failed.length > SEEDS + 200 ? " …" : ""}`));
}

// For each program what never occurred, then what occurred, the rarest first.
function coverage() {
  byId("coverage-card").hidden = run.coverage.length === 0;
  for (const { program, runs, never, rows } of run.coverage) {
    const lines = rows.map((row) => element("tr", {},
      element("td", { class: row.count ? "" : "maybe" }, row.count ? row.kind : `never: ${row.kind}`),
      element("td", {}, row.detail ? `${row.word}: ${row.detail}` : row.word),
      element("td", { class: "n" }, many(row.count)),
      element("td", { class: "n" }, many(row.runs))));
    byId("coverage").append(element("details", {},
      element("summary", {}, `${program} in ${many(runs)} ${runs === 1 ? "run" : "runs"}: ${many(never)} of ${many(rows.length)} never occurred`),
      table([[""], [""], ["occurrences", "n"], ["runs", "n"]], lines)));
  }
}

// The files of the scenario, with the lines of failures and of faults that explain them.
function source() {
  byId("source-card").hidden = run.sources.length === 0;
  run.sources.forEach((source, place) => {
    const failed = new Set(run.failures.filter((failure) => failure.file === source.file).map((failure) => failure.line));
    const at = new Set(place > 0 ? [] : run.explained.flatMap((it) => (it.faults || []).map((fault) => fault.line)));
    // A mark covers the table that begins at the line.
    let marked = "";
    const lines = source.text.replace(/\n$/, "").split("\n").map((line, index) => {
      const number = index + 1;
      if (failed.has(number) || at.has(number)) marked = failed.has(number) ? "failed" : "at";
      else if (line.trim() === "" || line.startsWith("[")) marked = "";
      return element("div", { class: marked, id: failed.has(number) ? `source-${number}` : false }, element("span", {}, String(number)), element("span", {}, line));
    });
    const box = element("div", { class: "source mono" }, ...lines);
    byId("source").append(element("p", { class: "quiet" }, source.file), box);
    const first = box.querySelector(".failed");
    if (first) box.scrollTop = Math.max(0, first.offsetTop - box.offsetTop - 120);
  });
}
function commandLine(command) {
  const copy = element("button", { type: "button", onclick: () => {
    const done = () => { copy.textContent = "Copied"; setTimeout(() => { copy.textContent = "Copy"; }, 1500); };
    if (navigator.clipboard) navigator.clipboard.writeText(command).then(done, () => {});
  } }, "Copy");
  return element("div", { class: "again" }, element("code", {}, command), copy);
}

function footer() {
  const box = byId("footer");
  if (run.left_out.length) box.append("This page omits:", element("ul", {}, ...run.left_out.map((text) => element("li", {}, text))));
  box.append(element("p", {}, `Phalanx ${run.version} · ${run.file} (${run.file_hash}) · trace ${run.trace_hash} · TLS, HTTP/2, TCP and IP add about ${size(run.overhead_bytes)} to the payload.`));
}

byId("nodes").append(...run.nodes.slice(0, 2000).map((name) => element("option", { value: name })));
byId("node").addEventListener("change", () => {
  const node = run.nodes.indexOf(byId("node").value.trim());
  choose(node < 0 ? null : node);
});
byId("by-label").hidden = run.groupings.length === 0;
byId("by").append(...run.groupings.map((grouping) => element("option", { value: grouping.by }, grouping.by)), element("option", { value: "" }, "nothing"));
byId("by").addEventListener("change", () => {
  arrange(run.groupings.find((grouping) => grouping.by === byId("by").value));
  draw();
});
byId("colours-label").hidden = run.states === null;
byId("colours").addEventListener("change", () => {
  strip = run[byId("colours").value];
  legend();
  draw();
});
byId("lines").addEventListener("change", draw);
byId("marks").addEventListener("change", draw);
byId("in").addEventListener("click", () => zoom(0.5));
byId("out").addEventListener("click", () => zoom(2));
byId("whole").addEventListener("click", () => show(0, run.end));
byId("theme").addEventListener("click", () => {
  chosenTheme = document.documentElement.dataset.theme === "dark" ? "light" : "dark";
  setTheme(chosenTheme);
});
window.addEventListener("resize", draw);
canvas.setAttribute("aria-label", `${count} lanes over ${seconds(run.end, 1)}: equal colours are equal states`);
header();
causes();
expected();
effects();
histogram();
traffic();
reports();
again();
seeds();
coverage();
source();
footer();
setTheme(chosenTheme || (systemDark.matches ? "dark" : "light"));
