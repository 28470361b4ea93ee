// The page: reads the API of the device that serves it, and shows what it says as text. It can change nothing.

import { candleChart, columnChart, lineChart } from "./charts.js";

const POLL_MS = 5_000, PAGE_MS = 20_000, MOST_ROWS = 300, MOST_EVENTS = 24;
const $ = (id) => document.getElementById(id);
const kept = {
  get: (name, other) => { try { return JSON.parse(localStorage.getItem(name)) ?? other; } catch { return other; } },
  set: (name, value) => { try { localStorage.setItem(name, JSON.stringify(value)); } catch { /* a private window keeps nothing */ } },
};
const state = { session: null, overview: null, readAt: 0, sessions: kept.get("sessions", 63) };

// -- making elements: text is only ever text -----------------------------------------------------------------------

function el(tag, options = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(options)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== false && value !== null) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return made;
}
const card = (title, ...inside) => el("section", { class: "card" }, el("h2", {}, title), ...inside);
const figure = (title, value, below = "", kind = "") =>
  el("section", { class: "card figure" }, el("h2", {}, title), el("b", { class: kind }, value ?? "–"), el("span", {}, below ?? ""));

// -- numbers and words ---------------------------------------------------------------------------------------------

const usd = (value, digits = 2) =>
  value === null || value === undefined || value === "" ? "–" : Number(value).toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
const signed = (value) => (value === null || value === undefined ? "–" : `${Number(value) > 0 ? "+" : ""}${usd(value)}`);
const share = (value, digits = 2) => (value === null || value === undefined ? "–" : `${(100 * value).toFixed(digits)} %`);
const tone = (value) => (value === null || value === undefined || Number.parseFloat(value) === 0 ? "" : Number.parseFloat(value) > 0 ? "good" : "bad");
const short = (value) => (Math.abs(value) >= 1e6 ? `${(value / 1e6).toFixed(3)}M` : Math.abs(value) >= 1e4 ? `${(value / 1e3).toFixed(1)}k` : value.toFixed(Math.abs(value) < 10 ? 2 : 0));
const number = (value) => (value === null || value === undefined ? null : Number.parseFloat(value));
const TITLES = {
  strength: "strength", pole_katr: "pole, ATR", third: "third by dollars", sees: "the net sees", sim_conf: "likeness of analogs", hist_rr_pct: "analogs made, R", p_target: "P(target first)",
  stop_70: "stop: 70 % stay within", target_60: "target: 40 % go beyond", entry: "entry", mean_r: "mean R", error: "± error of it", realised_r: "made, R", mfe_r: "most for it, R", mae_r: "most against it, R",
  bars_to_target: "sessions to target", bars_to_stop: "sessions to stop", asof: "close of", known: "known at",
};
const words = (name) => TITLES[name] ?? name.replaceAll("_", " ");

// -- asking --------------------------------------------------------------------------------------------------------

class Refused extends Error {}

async function api(path, query = {}) {
  const asked = new URLSearchParams(Object.entries(query).filter(([, value]) => value !== null && value !== ""));
  const answer = await fetch(`v1/${path}${asked.size ? `?${asked}` : ""}`, { headers: { authorization: `Bearer ${kept.get("token", "")}` } });
  if (answer.status === 401) { askForToken(); throw new Refused("The token of this device is needed."); }
  const said = await answer.json();
  if (!answer.ok) throw new Refused([said.what, said.fix].filter(Boolean).join(". "));
  if (said.columns && said.session) Object.assign(state, { shown: said.session, before: said.before, after: said.after });
  return said;
}

function askForToken() {
  if ($("ask").open) return;
  $("ask").showModal();
  $("ask").onclose = () => { kept.set("token", $("token").value.trim()); $("token").value = ""; look(); open(); };
}

// -- tables --------------------------------------------------------------------------------------------------------

const MINOR = new Set(["when", "reason", "entry", "sector", "sleeve", "contribution", "drift", "reference", "filled_at", "note", "opened", "sessions", "detail", "last_trip", "change", "score", "source", "strength", "pole_katr", "third", "sees", "sim_conf", "stop_70", "target_60", "since", "ties", "targets", "stops", "mfe_r", "mae_r", "bars_to_target", "bars_to_stop", "known"]);
const MONEY = new Set(["value", "pnl", "realised", "price", "entry", "reference", "notional_usd"]);
const COLOURED = new Set(["pnl", "realised", "realised_r", "return", "z", "change", "contribution"]);

function cell(name, value) {
  if (value === null || value === undefined || value === "") return "";
  if (MONEY.has(name) && Number.isFinite(Number(value))) return ["pnl", "realised"].includes(name) ? signed(value) : usd(value, Math.abs(value) < 1 ? 4 : 2);
  if (typeof value === "boolean") return value ? "yes" : "no";
  if (name === "p_target") return share(value, 1);
  if (name === "filled_at") return new Date(value).toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
  return typeof value === "number" && !Number.isInteger(value) ? value.toFixed(3) : String(value);
}

function compare(name, turn) {
  return (a, b) => {
    const [x, y] = [a[name], b[name]];
    if (x === null || x === "" || x === undefined) return 1;
    if (y === null || y === "" || y === undefined) return -1;
    const [p, q] = [Number.parseFloat(x), Number.parseFloat(y)];
    const isText = Number.isNaN(p) || Number.isNaN(q) || /^\d{4}-/.test(x);
    return turn * (isText ? String(x).localeCompare(String(y)) : p - q);
  };
}

function table(name, view) {
  if (!view.rows.length) return el("p", { class: "empty" }, view.empty);
  const [by, turn] = kept.get(`sort ${name}`, ["", 1]);
  const rows = by ? [...view.rows].sort(compare(by, turn)) : view.rows;
  const said = (column) => view.rows.map((row) => row[column]).filter((value) => value !== null && value !== undefined && value !== "");
  const isNumber = (column) => said(column).length > 0 && said(column).every((value) => /^[-+]?[\d.,]+(e[-+]?\d+)? ?%?$/.test(String(value)));
  const kinds = new Map(view.columns.map((column) => [column, `${isNumber(column) ? "number" : ""} ${MINOR.has(column) ? "minor" : ""}`]));
  const turned = (column) => () => { kept.set(`sort ${name}`, [column, by === column ? -turn : -1]); holder.replaceWith(table(name, view)); };
  const head = view.columns.map((column) =>
    el("th", { class: kinds.get(column), "aria-sort": by === column ? (turn > 0 ? "ascending" : "descending") : false },
      el("button", { type: "button", onclick: turned(column) }, words(column) + (by === column ? (turn > 0 ? " ↑" : " ↓") : ""))));
  const body = el("tbody");
  const fill = (most) => body.replaceChildren(...rows.slice(0, most).map((row) =>
    el("tr", row.symbol ? { class: "link", onclick: () => { location.hash = `symbol/${encodeURIComponent(row.symbol)}`; } } : {}, view.columns.map((column) =>
      el("td", { class: `${kinds.get(column)} ${COLOURED.has(column) ? tone(row[column]) : ""} ${mood(row[column])}`, title: String(row[column] ?? "") },
        column === "symbol" ? el("a", { href: `#symbol/${encodeURIComponent(row.symbol)}` }, row.symbol) : cell(column, row[column]))))));
  fill(MOST_ROWS);
  const more = rows.length > MOST_ROWS ? el("p", { class: "tools" }, el("button", { type: "button", onclick: (event) => { fill(rows.length); event.target.remove(); } }, `all ${rows.length} rows`)) : null;
  const holder = el("div", { class: "scroll" }, el("table", {}, el("thead", {}, el("tr", {}, head)), body), more);
  return holder;
}

const mood = (value) => ({ LONG: "good", buy: "good", filled: "good", SHORT: "bad", sell: "bad", TRIPPED: "bad", rejected: "bad", failed: "bad", halted: "bad", expired: "warn", skipped: "warn" })[value] ?? "";
const totals = (...pairs) => el("div", { class: "totals" }, pairs.map(([name, value]) => el("span", {}, `${name} `, el("b", {}, value ?? "–"))));

// -- charts in a card ----------------------------------------------------------------------------------------------

function drawn(place, draw) {
  const again = () => { if (place.clientWidth) place.replaceChildren(draw(place.clientWidth)); };
  new ResizeObserver(again).observe(place);
  return place;
}

function plot({ labels, lines, band, marks, format, height, isFilled, says }) {
  const legend = el("div", { class: "legend" });
  const show = (i) => legend.replaceChildren(el("b", {}, labels[i] ?? ""), ...says(i).map(([text, kind]) => el("span", { class: `key ${kind}` }, text)));
  return [legend, drawn(el("div"), (width) => lineChart({ width, height, labels, lines, band, marks, format, isFilled, show }))];
}

function ranges() {
  const pick = (sessions) => () => { state.sessions = sessions; kept.set("sessions", sessions); open(); };
  return el("span", { class: "range" }, [["1M", 21], ["3M", 63], ["1Y", 252]].map(([name, sessions]) =>
    el("button", { type: "button", "aria-pressed": String(state.sessions === sessions), onclick: pick(sessions) }, name)));
}

// -- pages ---------------------------------------------------------------------------------------------------------

const PAGES = {
  overview: ["Overview", showOverview],
  positions: ["Positions", async () => {
    const view = await api("positions", { session: state.session });
    return [card(`Positions ${view.facts.phase ? `at the ${view.facts.phase} of ${view.session}` : ""}`, totals(["equity", usd(view.facts.equity)], ["cash", usd(view.facts.cash)], ["names", view.rows.length]), table("positions", { ...view, columns: ["symbol", "side", "value", "pnl", "weight", "target", "quantity", "price", "entry", "drift"] }))];
  }],
  orders: ["Blotter", showOrders],
  signals: ["Signals", showSignals],
  events: ["Events", showEvents],
  trades: ["Trades", async () => {
    const view = await api("trades", { session: state.session, sessions: state.sessions });
    const f = view.facts;
    return [card(["Closed trades", ranges()], totals(["closed", f.trades], ["hit rate", share(f.hit_rate, 1)], ["realised", signed(f.realised_usd)], ["mean win", signed(f.mean_win_usd)], ["mean loss", signed(f.mean_loss_usd)], ["fees", signed(f.fees_usd)]), table("trades", view))];
  }],
  limits: ["Limits", async () => {
    const view = await api("tripwires", { session: state.session });
    return [card(`Checks of ${view.session}`, table("limits", view))];
  }],
  bundle: ["Model", showModel],
  log: ["Log", async () => [card("Log", table("log", await api("log")))]],
};

async function showOverview() {
  const view = await api("performance", { session: state.session, sessions: state.sessions });
  const answer = state.overview ?? await look();
  const now = answer.overview, rows = [...view.rows].reverse();
  const trouble = answer.trouble ? [`${answer.trouble.what}. ${answer.trouble.fix}`] : [];
  const concerns = [...trouble, ...(now?.concerns ?? [])];
  const held = now?.account ?? {}, newest = rows.at(-1) ?? {};
  const labels = rows.map((row) => row.session), fan = new Map((view.facts.path ?? []).map((row) => [row.session, row]));
  const universe = rows.map((row) => number(row.benchmark)), worth = rows.map((row) => number(row.paper_nav)), real = rows.map((row) => number(row.restated_nav)), down = rows.map((row) => number(row.drawdown));
  const side = (name) => labels.map((day) => fan.get(day)?.[name] ?? null);
  const band = fan.size ? { low: side("lower"), high: side("upper") } : null;
  const total = rows.length ? worth.at(-1) / worth[0] - 1 : null;
  const equity = rows.length < 2 ? [el("p", { class: "empty" }, view.empty || "one session more, and there is a curve")] : plot({
    labels, band, height: 260, format: short, lines: [{ kind: "third", values: universe }, { kind: "second", values: real }, { kind: "", values: worth }],
    says: (i) => [[`paper ${usd(worth[i])}`, ""], [`with real costs ${usd(real[i])}`, "second"], [`universe ${usd(universe[i])}`, "third"]],
  });
  const falls = rows.length < 2 ? [] : plot({ labels, height: 110, format: (v) => `${v.toFixed(1)}%`, isFilled: true, lines: [{ kind: "down", values: down }], says: (i) => [[`${down[i]?.toFixed(2)} % below the highest`, "down"]] });
  return [
    concerns.length ? el("section", { class: `card alarm ${now?.mode === "HALTED" || trouble.length ? "" : "warn"}` }, el("ul", {}, concerns.map((text) => el("li", {}, text)))) : null,
    el("div", { class: "grid" },
      figure("Equity, USD", usd(held.equity), held.of),
      figure("Day", signed(held.day_pnl), share(held.day_return), tone(held.day_pnl)),
      figure("These sessions", total === null ? "–" : `${total > 0 ? "+" : ""}${share(total)}`, view.facts.fan ? `${words(view.facts.fan.verdict.toLowerCase())} the expected range` : "", tone(total)),
      figure("Below the top", newest.drawdown ?? "–", "of the highest equity"),
      figure("Gross / net", `${share(held.gross, 0)} / ${share(held.net, 0)}`, `${held.positions ?? 0} positions`),
      figure("Next", now?.next_job ? words(now.next_job.job) : "–", now?.next_job ? new Date(now.next_job.at).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" }) : ""),
      figure("Data", now?.data_status ?? "–", now?.asof ? `of ${now.asof}${now.behind_sessions ? `, ${now.behind_sessions} behind` : ""}` : "", now?.data_status === "RED" ? "bad" : ""),
      figure("Model", now?.bundle_role ?? "–", now?.bundle_age ?? "")),
    card(["Account", ranges()], totals(...(view.facts.during ?? []).map((row) => [`${row.phase} ${new Date(row.at).toLocaleString([], { weekday: "short", hour: "2-digit", minute: "2-digit" })}`, `${usd(row.equity)} (${signed(row.change)})`])), ...equity, ...falls),
    el("div", { class: "wide" },
      card("Nearest to their limits", el("div", { class: "rows" }, (now?.near ?? []).map((row) => {
        const kind = row.tripped === "TRIPPED" ? "bad" : row.used >= 0.8 ? "warn" : "";
        const fill = el("i", { class: kind });
        fill.style.width = `${Math.min(100, 100 * (row.used ?? (kind === "bad" ? 1 : 0)))}%`;
        return el("div", { title: row.detail }, el("span", {}, words(row.name.toLowerCase())), el("span", { class: kind || "soft" }, kind === "bad" ? "TRIPPED" : row.used === null ? "ok" : share(row.used, 0)), el("div", { class: "bar" }, fill));
      }))),
      card(`Jobs of ${now?.session ?? "–"}`, el("div", { class: "rows" }, (now?.jobs ?? []).map((row) =>
        el("div", { title: row.summary }, el("span", {}, `${words(row.job)} `, el("span", { class: "soft" }, row.summary)), el("span", { class: row.status === "done" ? "good" : mood(row.status) || "soft" }, row.status)))))),
  ];
}

async function showOrders() {
  const place = el("div");
  let last = 0;
  const read = async (text) => {
    const mine = ++last;
    const view = await api("orders", { session: state.session, sessions: state.sessions, search: text });
    const f = view.facts;
    if (mine === last) place.replaceChildren(totals(["orders", f.orders], ["filled", f.filled], ["bought", usd(f.bought_usd, 0)], ["sold", usd(f.sold_usd, 0)], ["against reference", f.against_bps === null ? "–" : `${f.against_bps} bps`], ["fees", signed(f.fees_usd)]), table("orders", view));
  };
  const input = el("input", { type: "search", placeholder: "symbol, side, state, session", "aria-label": "Search the blotter", maxlength: 40, oninput: (event) => { read(event.target.value).catch(say); } });
  await read("");
  return [card(["Blotter", ranges()], el("div", { class: "tools" }, input), place)];
}

async function showSignals() {
  const view = await api("signals", { session: state.session });
  const sleeves = [...new Set(view.facts.distribution.map((row) => row.sleeve))];
  const charts = sleeves.map((sleeve) => {
    const columns = view.facts.distribution.filter((row) => row.sleeve === sleeve).map((row) => ({ label: String(row.from), value: row.names }));
    return card(`z of the scores, ${sleeve}`, drawn(el("div"), (width) => columnChart({ width, height: 130, columns, show: () => {} })));
  });
  return [...charts, el("p", {}), card(`Signals behind ${view.session}`, table("signals", view))];
}

function bars(row) {
  const place = el("div", { class: "bars" });
  const content = Uint8Array.from(atob(row.picture), (c) => c.charCodeAt(0));
  createImageBitmap(new Blob([content], { type: "image/png" })).then((bitmap) => {
    const looked = el("canvas", { width: 64, height: 64 }).getContext("2d");
    looked.drawImage(bitmap, 0, 0);
    place.replaceChildren(candleChart(looked.getImageData(0, 0, 64, 64).data, `${row.symbol}, the 64 bars up to the ${row.kind}`));
  });
  return place;
}

function eventCards(rows) {
  const shown = [...rows].sort((a, b) => (b.p_target ?? 0) - (a.p_target ?? 0)).slice(0, MOST_EVENTS);
  const line = (name, value, more = "") => (value === null || value === undefined || value === "" ? [] : [el("dt", {}, name), el("dd", {}, value + more)]);
  const cards = shown.map((row) => el("figure", {},
    row.picture ? bars(row) : null,
    el("figcaption", {},
      el("a", { href: `#symbol/${encodeURIComponent(row.symbol)}` }, row.symbol), ` ${row.kind} `, el("b", { class: mood(row.side) }, row.side),
      el("dl", {},
        line("stop, target", row.stop, `, ${row.target}`), line("P(target first)", cell("p_target", row.p_target), row.pays ? ", which pays" : ", which does not pay"),
        line("70 % stay within", row.stop_70), line("40 % go beyond", row.target_60), line("best entry", row.entry), line("the net sees", row.sees),
        line("analogs made, R", cell("hist_rr_pct", row.hist_rr_pct), `, likeness ${cell("sim_conf", row.sim_conf)}`)))));
  return [el("div", { class: "events" }, cards), rows.length > shown.length ? el("p", { class: "soft" }, `The ${shown.length} likeliest of ${rows.length}; the table has all.`) : null];
}

async function showEvents() {
  const [found, made] = await Promise.all([api("events"), api("outcomes", { sessions: state.sessions })]);
  const kinds = { columns: ["kind", "mean_r", "error", "ended", "targets", "stops", "ties", "events"], rows: made.facts.kinds, empty: made.empty };
  const columns = [...found.columns].sort((a, b) => MINOR.has(a) - MINOR.has(b));
  return [
    card(`Events at the close of ${found.facts.asof ?? "–"}, ${found.facts.note}`, ...(found.rows.length ? eventCards(found.rows) : [el("p", { class: "empty" }, found.empty)]), el("ul", { class: "said" }, (found.facts.said ?? []).map((says) => el("li", {}, says)))),
    card([`What trades of such events would have made, R before costs, since ${made.facts.since ?? "–"}`, ranges()], table("event kinds", kinds)),
    card("All of the evening", table("events", { ...found, columns })),
    card("What became of recorded events", table("outcomes", made)),
  ];
}

async function showModel() {
  const [view, life] = [await api("bundle"), await api("expectation", { session: state.session })];
  const parts = Object.entries(life.facts.sleeves ?? { "": life.facts }).filter(([, facts]) => facts.deciles?.length);
  const charts = parts.flatMap(([sleeve, facts]) => {
    const of = sleeve ? `, ${sleeve}` : "", labels = facts.deciles.map((_, i) => `decile ${i + 1}`), values = facts.deciles.map((value) => 1e4 * value);
    const judged = facts.life.filter((row) => row.ic !== null), ics = judged.map((row) => row.ic), means = ics.map((_, i) => ics.slice(0, i + 1).reduce((sum, ic) => sum + ic, 0) / (i + 1));
    return [
      card(`Mean excess return by decile of score, bps a session${of}`, ...plot({ labels, height: 150, format: (v) => v.toFixed(1), lines: [{ kind: "", values }], says: (i) => [[`${values[i].toFixed(2)} bps`, ""]] })),
      card(`Rank IC of each session${of}`, ...plot({ labels: judged.map((row) => row.session), height: 150, format: (v) => v.toFixed(2), lines: [{ kind: "second", values: ics }, { kind: "", values: means }], says: (i) => [[`IC ${ics[i].toFixed(4)}`, "second"], [`mean so far ${means[i].toFixed(4)}`, ""]] })),
    ];
  });
  return [card(`Lived against promised, ${life.session}`, table("expectation", life)), ...charts, el("p", {}), card("Bundle in force", table("bundle", view))];
}

async function showSymbol(symbol) {
  const view = await api(`symbols/${encodeURIComponent(symbol)}`, { session: state.session, sessions: state.sessions });
  const rows = [...view.rows].reverse(), f = view.facts, labels = rows.map((row) => row.session);
  const prices = rows.map((row) => number(row.price)), zs = rows.map((row) => row.z), now = view.rows[0] ?? {};
  const marks = f.fills.map((fill) => ({ at: labels.indexOf(fill.session), value: Number(fill.price), kind: fill.side })).filter((mark) => mark.at >= 0);
  const on = (day) => f.fills.filter((fill) => fill.session === day).map((fill) => [`${fill.side} ${fill.quantity} at ${usd(fill.price)}`, ""]);
  const known = prices.filter((price) => price !== null).length > 1;
  return [
    el("div", { class: "grid" },
      figure(symbol, usd(now.price), f.sector ?? ""), figure("Held", now.quantity ?? "0", now.weight ? `target ${now.weight}` : "", tone(now.quantity)),
      figure("Score", now.z ?? "–", now.rank ? `rank ${now.rank}` : "", tone(now.z)), figure("Orders", String(f.orders.length), `${f.fills.length} fills`)),
    card(["Price while held or ordered", ranges()], ...(known ? plot({ labels, height: 240, format: short, marks, lines: [{ kind: "", values: prices }], says: (i) => [[`price ${usd(prices[i])}`, ""], ...on(labels[i])] }) : [el("p", { class: "empty" }, "no price was recorded in these sessions")])),
    el("div", { class: "wide" },
      card("z of the score", ...(f.scores.length > 1 ? plot({ labels, height: 140, format: (v) => v.toFixed(1), lines: [{ kind: "", values: zs }], says: (i) => [[`z ${zs[i] ?? "–"}, rank ${rows[i].rank ?? "–"}`, ""]] }) : [el("p", { class: "empty" }, "not scored")])),
      card("Orders", table("symbol orders", { columns: ["session", "side", "quantity", "reference", "state"], rows: [...f.orders].reverse(), empty: "no order of it" }))),
  ];
}

// -- going about ---------------------------------------------------------------------------------------------------

function say(error) {
  if (!(error instanceof Refused || error instanceof TypeError)) throw error;
  $("main").replaceChildren(el("section", { class: "card alarm" }, error instanceof Refused ? error.message : "The device does not answer; it is asked again."));
}

function stepper() {
  const go = (session) => () => { state.session = session; open(); };
  const step = (sign, says, session) => el("button", { type: "button", "aria-label": says, disabled: !session, onclick: go(session) }, sign);
  return el("span", { class: "range stepper" }, step("‹", "Session before", state.before), el("button", { type: "button", title: "Newest session", onclick: go(null) }, state.shown ?? "–"), step("›", "Session after", state.after));
}

let opening = 0;

async function open() {
  const [name, given] = location.hash.slice(1).split("/"), mine = ++opening;
  const page = name === "symbol" ? () => showSymbol(decodeURIComponent(given ?? "")) : (PAGES[name] ?? PAGES.overview)[1];
  const tabs = () => $("tabs").replaceChildren(...Object.entries(PAGES).map(([key, [title]]) => el("a", { href: `#${key}`, "aria-current": key === (PAGES[name] ? name : name === "symbol" ? "" : "overview") ? "page" : false }, title)), stepper());
  tabs();
  $("tabs").scrollLeft = ($("tabs").querySelector("[aria-current]")?.offsetLeft ?? 0) - 80; // on a phone the bar is wider than the page
  try {
    const inside = await page();
    if (mine === opening) { $("main").replaceChildren(...inside.filter(Boolean)); tabs(); }
  } catch (error) { if (mine === opening) say(error); }
}

async function look() {
  const answer = await api("overview");
  state.overview = answer;
  state.readAt = Date.now();
  const now = answer.overview, mode = now?.mode ?? "DOWN";
  $("mode").textContent = now ? (now.concerns.length && mode === "ARMED" ? "ARMED, LOOK" : mode) : "DOWN";
  $("mode").className = `pill ${mode === "ARMED" ? (now.concerns.length ? "warn" : "good") : mode === "REDUCE" ? "warn" : "bad"}`;
  $("worth").replaceChildren(usd(now?.account?.equity), " ", el("span", { class: tone(now?.account?.day_pnl) }, signed(now?.account?.day_pnl)));
  $("session").textContent = now?.session ? `session ${now.session}` : "";
  document.title = `${now?.account?.equity ? `${usd(now.account.equity, 0)} · ` : ""}appliance`;
  return answer;
}

let searching = 0;
$("text").addEventListener("input", async (event) => {
  const text = event.target.value.trim(), mine = ++searching;
  if (!text) { $("found").hidden = true; return; }
  const view = await api("search", { text }).catch(() => null);
  if (mine !== searching || !view) return;
  $("found").replaceChildren(...(view.rows.length ? view.rows.slice(0, 8).map((row) => el("li", {}, el("a", { href: `#symbol/${encodeURIComponent(row.symbol)}` }, row.symbol))) : [el("li", { class: "soft" }, view.empty)]));
  $("found").hidden = false;
});
$("find").addEventListener("submit", (event) => { event.preventDefault(); $("found").querySelector("a")?.click(); });
addEventListener("hashchange", () => { $("found").hidden = true; $("text").value = ""; start(); });
addEventListener("keydown", (event) => { if (event.key === "/" && document.activeElement === document.body) { event.preventDefault(); $("text").focus(); } if (event.key === "Escape") $("found").hidden = true; });

function start() {
  const given = /^#token=([\w-]+)$/.exec(location.hash);
  if (given) { kept.set("token", given[1]); history.replaceState(null, "", "#overview"); }
  open();
}

setInterval(() => { if (!document.hidden && !$("ask").open) look().catch(() => { $("mode").textContent = "NO ANSWER"; $("mode").className = "pill bad"; }); }, POLL_MS);
setInterval(() => { const typing = document.activeElement?.tagName === "INPUT"; if (!document.hidden && !typing && !$("ask").open) open(); }, PAGE_MS);
setInterval(() => { $("age").textContent = state.readAt ? `read ${Math.round((Date.now() - state.readAt) / 1000)} s ago` : ""; }, 1_000);
start();
look().catch(() => {});
