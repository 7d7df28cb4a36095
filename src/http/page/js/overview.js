// The figures: what /stats, /readyz and /metrics say, and what became of it since the last look.

const TIERS = [
  { key: "l1", name: "L1", field: "l1_hits", hit: true },
  { key: "l2", name: "L2", field: "l2_hits", hit: true },
  { key: "negative", name: "negative", field: "negative", hit: true },
  { key: "stale", name: "stale", field: "stale", hit: true },
  { key: "collapsed", name: "joined a load", field: "collapsed", hit: false },
  { key: "misses", name: "loaded", field: "misses", hit: false },
];
const LAG = "coherd_invalidation_lag_seconds";
/** Over how long a quantile is taken: of a look alone there would often be a handful of events. */
const LAG_WINDOW_MS = 20_000;
/** Over how long the figures are taken: long enough to be read. */
const NOW_MS = 9000;
/** Between looks that are further apart the charts have a gap: the tab was away. */
const GAP_MS = 15_000;

const tiersChart = new Chart("tiers", {
  name: "Share of reads by the tier that answered", kind: "stack", top: 1, height: 190, spell: percent, series: TIERS,
});
const ratesChart = new Chart("rates", {
  name: "Invalidations applied here", kind: "stack", height: 90,
  spell: (value) => (value === null ? "–" : `${perSecond(value)} /s`), series: [{ key: "rate", name: "applied" }],
});
const lagsChart = new Chart("lags", {
  name: "Lag from log to here", kind: "trace", height: 70, spell: time,
  series: [{ key: "p50", name: "lag p50" }, { key: "p99", name: "p99" }],
});

let [looks, points] = [[], []];

/** The buckets of a histogram in Prometheus' text: `[upper bound, count below it]`, ascending. */
function histogram(text, name) {
  const buckets = new Map();
  for (const line of text.split("\n")) {
    if (!line.startsWith(`${name}_bucket{`)) continue;
    const found = /le="([^"]+)"[^}]*\}\s+(\S+)/.exec(line);
    if (found === null) continue;
    const bound = found[1] === "+Inf" ? Infinity : Number(found[1]);
    buckets.set(bound, (buckets.get(bound) ?? 0) + Number(found[2]));
  }
  return [...buckets].sort(([a], [b]) => a - b);
}

const total = (buckets) => buckets.at(-1)?.[1] ?? 0;

/** The quantile of what came between two looks, in seconds; null if nothing did. */
function quantile(before, now, q) {
  const counts = now.map(([bound, value], index) => [bound, value - (before[index]?.[1] ?? 0)]);
  const wanted = total(counts) * q;
  if (!(wanted > 0)) return null;
  let [floor, below] = [0, 0];
  for (const [bound, value] of counts) {
    if (value >= wanted) {
      return bound === Infinity ? floor : floor + ((bound - floor) * (wanted - below)) / (value - below);
    }
    [floor, below] = [bound, value];
  }
  return null;
}

const sum = (namespaces, field) => Object.values(namespaces).reduce((all, one) => all + one[field], 0);

/** What one look says, for the next to be compared with. */
function lookOf(at, stats, metrics) {
  const counts = Object.fromEntries([...TIERS.map(({ field }) => field), "loads"].map((field) => [field, sum(stats.namespaces, field)]));
  return { at, counts, lag: histogram(metrics, LAG), uptime: stats.uptime_s };
}

/** What was between two looks; null where they cannot be compared. */
function between(before, now) {
  const seconds = (now.at - before.at) / 1000;
  const grew = (field) => now.counts[field] - before.counts[field];
  // Another process, or counts that were reset.
  const other = now.uptime < before.uptime || Object.keys(now.counts).some((field) => grew(field) < 0) || total(now.lag) < total(before.lag);
  if (other) return null;
  const reads = TIERS.reduce((all, { field }) => all + grew(field), 0);
  const shares = Object.fromEntries(TIERS.map(({ key, field }) => [key, reads > 0 ? grew(field) / reads : null]));
  const hits = TIERS.filter(({ hit }) => hit).reduce((all, { field }) => all + grew(field), 0);
  return {
    ...shares, reads: reads / seconds, hits: reads > 0 ? hits / reads : null, loads: grew("loads") / seconds,
    rate: (total(now.lag) - total(before.lag)) / seconds,
  };
}

/** The look that long before the last, or the oldest that there is. */
const earlier = (ms) => looks.findLast((look) => looks.at(-1).at - look.at >= ms) ?? looks[0];

function lag() {
  const [first, last] = [earlier(LAG_WINDOW_MS), looks.at(-1)];
  return { p50: quantile(first.lag, last.lag, 0.5), p99: quantile(first.lag, last.lag, 0.99) };
}

/** Takes in a look: what was since the one before, for the charts, and over the last seconds, for the figures. */
function remember(look) {
  const before = looks.at(-1);
  const apart = before === undefined || look.at - before.at > GAP_MS;
  const grown = apart ? null : between(before, look);
  points = points.filter(({ to }) => look.at - to <= WINDOW_MS);
  // After a restart, a reset or a while away, nothing before it is a measure.
  looks = grown === null ? [look] : [...looks.filter((it) => look.at - it.at <= 2 * LAG_WINDOW_MS), look];
  if (grown === null) return null;
  points.push({ from: before.at, to: look.at, values: { ...grown, ...lag() } });
  return { ...between(earlier(NOW_MS), look), ...lag() };
}

function figure(name, value, unit, note) {
  return el("div", "", el("dt", "", name), el("dd", "", value, unit ? el("small", "", unit) : null), el("dd", "note", note));
}

function showFigures(stats, now) {
  const values = now ?? { hits: null, l1: null, l2: null, reads: null, loads: null, rate: null, p50: null, p99: null };
  const { pending, oldest_s: oldest, dead } = stats.writes;
  $("figures").replaceChildren(
    figure("Hit ratio", percent(values.hits), "", `L1 ${percent(values.l1)} · L2 ${percent(values.l2)}`),
    figure("Reads", perSecond(values.reads), "/s", "answered by this instance"),
    figure("Origin", perSecond(values.loads), "/s", "requests to the origins"),
    figure("Invalidations", perSecond(values.rate), "/s", `head ${stats.log.head}`),
    figure("Lag p99", time(values.p99), "", stats.log.lag_events > 0 ? `${many(stats.log.lag_events, "event")} behind` : `p50 ${time(values.p50)} · none behind`),
    figure("Write-behind", count(pending), "", `oldest ${pending > 0 ? time(oldest) : "–"} · ${count(dead)} dead`),
  );
}

function namespaceRow(name, of, className) {
  const parts = TIERS.map(({ key, field }) => [key, of[field]]);
  const reads = parts.reduce((all, [, value]) => all + value, 0);
  const hits = TIERS.filter(({ hit }) => hit).reduce((all, { field }) => all + of[field], 0);
  const head = el("th", "", name);
  head.scope = "row";
  return el("tr", className, head, el("td", "", count(reads)), el("td", "bar-cell", stackedBar(parts)),
    el("td", "", percent(reads > 0 ? hits / reads : null)),
    ...["loads", "refreshes", "fills_rejected", "l1_entries"].map((field) => el("td", "wide", count(of[field]))),
    el("td", "wide", bytes(of.l1_bytes)));
}

function showNamespaces(namespaces) {
  const rows = Object.entries(namespaces).map(([name, of]) => namespaceRow(name, of, ""));
  if (rows.length > 1) {
    const fields = Object.keys(Object.values(namespaces)[0]);
    rows.push(namespaceRow("in all", Object.fromEntries(fields.map((field) => [field, sum(namespaces, field)])), "total"));
  }
  $("namespaces").replaceChildren(...rows);
}

/** The number of an event in the first shard, which is what members tell. */
function sequence(id) {
  const first = id.split(",").find((part) => !part.includes("."));
  return first === undefined ? null : Number.parseInt(first, 10);
}

function showMembers(stats) {
  const head = sequence(stats.log.head);
  const rows = stats.members.map(({ id, cursor, lag_ms: heard, alive }) => {
    const behind = Math.max(0, (head ?? 0) - (sequence(cursor) ?? 0));
    const name = el("th", "", dot(alive ? "ok" : "bad"), id);
    name.scope = "row";
    if (id === stats.instance) name.append(el("span", "here", "this one"));
    if (!alive) name.append(el("span", "here bad", "not heard of"));
    return el("tr", "", name, el("td", "mono", cursor), el("td", behind > 0 ? "" : "muted", behind > 0 ? many(behind, "event") : "–"), el("td", "wide muted", heard < 100 ? "now" : `${time(heard / 1000)} ago`));
  });
  $("members").replaceChildren(...rows);
  const alive = stats.members.filter((member) => member.alive).length;
  say("members-count", `${alive} of ${stats.members.length} alive`);
}

function stateLine(state, name, text) {
  return el("li", "", dot(state), el("span", "name", name), el("span", `state ${state === "ok" ? "muted" : state}`, text));
}

function showStates(stats) {
  const breakers = Object.entries(stats.breakers).map(([target, state]) =>
    stateLine({ closed: "ok", half_open: "warn" }[state] ?? "bad", target, state.replace("_", " ")));
  $("breakers").replaceChildren(...(breakers.length > 0 ? breakers : [el("li", "muted", "none")]));
  const tasks = Object.entries(stats.tasks).map(([name, { up, restarts }]) => ({
    rank: up ? (restarts > 0 ? 1 : 2) : 0, name, restarts, state: up ? (restarts > 0 ? "warn" : "ok") : "bad", up,
  }));
  tasks.sort((a, b) => a.rank - b.rank || a.name.localeCompare(b.name));
  $("tasks").replaceChildren(...tasks.map(({ state, name, up, restarts }) =>
    stateLine(state, name, `${up ? "up" : "down"}${restarts > 0 ? ` · ${many(restarts, "restart")}` : ""}`)));
  const up = tasks.filter((task) => task.up).length;
  const restarts = tasks.reduce((all, task) => all + task.restarts, 0);
  say("tasks-count", `${up} of ${tasks.length} up · ${many(restarts, "restart")}`);
  const { pending, oldest_s: oldest, dead } = stats.writes;
  const late = el("dd", dead > 0 ? "bad" : "", count(dead));
  $("writes").replaceChildren(el("dt", "", "pending"), el("dd", "", count(pending)), el("dt", "", "oldest"),
    el("dd", "", pending > 0 ? time(oldest) : "–"), el("dt", "", "dead letters"), late);
}

/** What /readyz calls by a name, in words. */
function trouble(word) {
  const known = {
    detached: "detached: this instance is cut off from the log and answers from no copy that the log could have made stale",
    starting: "starting", catching_up: "catching up with the log for the first time", warming: "warming up", draining: "draining: it was told to stop",
  };
  const [name, of] = word.includes(": ") ? [word.slice(0, word.indexOf(": ")), word.slice(word.indexOf(": ") + 2)] : [word, ""];
  const about = { breaker_open: "the breaker is open of ", task_given_up: "given up is the task " }[name];
  return about === undefined ? (known[word] ?? word) : about + of;
}

/** Readiness first: what holds it back, then what is worse than it should be. */
function showVerdict(stats, ready) {
  const [state, text] = !ready.ready ? ["bad", "not ready"]
    : !stats.attached ? ["warn", "ready, detached"]
    : ready.degraded.length > 0 ? ["warn", "ready, degraded"] : ["ok", "ready and attached"];
  const troubles = [...ready.reasons, ...ready.degraded];
  if ($("troubles").dataset.of !== troubles.join("\n")) {
    $("troubles").dataset.of = troubles.join("\n");
    $("troubles").replaceChildren(...troubles.map((word) => el("li", "", trouble(word))));
  }
  $("troubles").hidden = troubles.length === 0;
  $("troubles").className = `banner troubles ${state}`;
  $("verdict").className = `verdict ${state}`;
  say("verdict-text", text);
  document.title = `${state === "ok" ? "" : "! "}${stats.instance} · coherd`;
}

function show(at, stats, ready, metrics) {
  showFigures(stats, remember(lookOf(at, stats, metrics)));
  for (const chart of [tiersChart, ratesChart, lagsChart]) chart.draw(points, at);
  say("instance", stats.instance);
  say("cluster", stats.cluster);
  $("uptime").textContent = time(stats.uptime_s);
  showVerdict(stats, ready);
  showNamespaces(stats.namespaces);
  showMembers(stats);
  showStates(stats);
}
