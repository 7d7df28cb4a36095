// The two forms: why a key is answered as it is, and dropping what is no longer true.

/** The longest `wait=all` that the instance itself would allow is its own; this only ends what hangs. */
const WAIT_MS = 60_000;

const pair = (name, value) => (value === null || value === undefined || value === "" ? [] : [el("dt", "", name), el("dd", "", String(value))]);

function refusal(error) {
  const code = error.problem?.code ? `${error.problem.code}: ` : "";
  const why = error instanceof Refused ? `${code}${error.message}` : "the instance does not answer";
  return el("p", "bad lead", why);
}

function tierOf(name, tier) {
  if (tier === null) return [el("h3", "", name), el("p", "muted", "holds nothing")];
  const good = { valid: "ok", soft: "warn", stale: "warn" }[tier.standing] ?? "bad";
  return [
    el("h3", "", `${name} `, el("span", `tag ${good}`, tier.standing), el("span", `tag ${tier.usable === "fresh" ? "ok" : "muted"}`, `usable: ${tier.usable.replace("_", " ")}`)),
    el("dl", "pairs",
      ...pair("holds", tier.holds === "value" ? bytes(tier.bytes) : "that the origin has none"),
      ...pair("age", `${time(tier.age_s)}, fresh for ${time(tier.ttl_s)}, kept for ${time(tier.kept_s)}`),
      ...pair("loaded by", `${tier.loaded_by.instance ?? "somebody"}${tier.loaded_by.took_s > 0 ? ` in ${time(tier.loaded_by.took_s)}` : ""}`),
      ...pair("has seen", tier.stamp), ...pair("tags", tier.tags.join(", ")), ...pair("depends on", tier.depends_on.join(", "))),
  ];
}

function lastOf(event, since) {
  if (event === null) return [el("p", "muted", since === null ? "not known" : `none since ${since}`)];
  const came = event.path === null ? null : `${event.path}, ${time(event.lag_ms / 1000)} after it was logged`;
  return [el("dl", "pairs", ...pair("id", event.id), ...pair("at", event.at), ...pair("named", event.named.join(", ")),
    ...pair("source", event.source), ...pair("reason", event.reason), ...pair("kind", event.soft ? "soft" : null), ...pair("came by", came))];
}

function explanation(told) {
  const good = { l1: "ok", l2: "ok", pending_write: "ok", unavailable: "bad" }[told.answer.from] ?? "warn";
  const raw = el("details", "", el("summary", "", "as JSON"), el("pre", "", JSON.stringify(told, null, 2)));
  const lease = told.lease && `${told.lease.instance ?? "somebody"}, for ${time(told.lease.left_s)} at the most`;
  return el("div", "answer",
    el("p", "lead", el("span", `tag ${good}`, told.answer.from.replace("_", " ")), told.answer.why),
    el("p", "muted", `${told.namespace}/${told.key}, asked of ${told.instance}`),
    ...tierOf("L1, this process", told.l1), ...tierOf("L2, Valkey", told.l2),
    el("h3", "", "Last invalidation"), ...lastOf(told.last_invalidation, told.searched_since),
    el("dl", "pairs", ...pair("lease", lease), ...pair("pending write", told.pending_write), ...pair("not known", told.unknown.join("; "))),
    raw);
}

async function busy(form, work) {
  const button = form.querySelector("[type=submit]");
  button.disabled = true;
  try { await work(); } finally { button.disabled = false; }
}

$("explain-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const path = [$("explain-namespace").value, $("explain-key").value].map(encodeURIComponent).join("/");
  busy(event.target, async () => {
    const answer = await ask(`/v1/explain/${path}`).then(explanation, (error) => el("div", "answer", refusal(error)));
    $("explained").replaceChildren(answer);
  });
});

// What can be dropped, and what a form of it says.

const kind = () => document.querySelector("[name=kind]:checked").value;

function showKind() {
  $("in-namespace").hidden = kind() === "tags";
  $("targets-field").hidden = kind() === "all";
  say("targets-name", { keys: "Keys", prefixes: "Prefixes", tags: "Tags", all: "" }[kind()]);
}

/** The event, in the form that publishers send. */
function drafted() {
  const targets = [...new Set($("targets").value.split("\n").map((it) => it.replace(/\r$/, "")).filter((it) => it !== ""))];
  const event = { soft: $("soft").checked, source: "status-page" };
  if ($("reason").value !== "") event.reason = $("reason").value;
  if (kind() !== "tags") event.namespace = $("invalidate-namespace").value;
  if (kind() === "all") event.all = true;
  else event[kind()] = targets;
  return { event, targets };
}

function confirmation({ event, targets }) {
  const n = targets.length;
  const what = { keys: many(n, "key"), prefixes: many(n, "prefix", "prefixes"), tags: many(n, "tag"), all: "everything" }[kind()];
  const where = event.namespace === undefined ? "in all namespaces" : `in namespace ${event.namespace}`;
  const verb = event.soft ? "Make stale" : "Drop";
  say("confirm-title", `${verb} ${what} ${where}?`);
  const whose = kind() === "tags" ? "Whatever has one of these tags" : kind() === "prefixes" ? "Whatever is below these prefixes"
    : kind() === "keys" ? "These keys" : `Every key of ${event.namespace}`;
  say("confirm-what", `${whose} will be ${event.soft ? "stale" : "gone"} on all instances of cluster ${$("cluster").textContent}${event.soft ? ", answered once more while it is loaded anew" : ", and loaded anew from the origin"}.`);
  $("confirm-targets").replaceChildren(...targets.map((it) => el("li", "mono", it)));
  $("confirm-targets").hidden = n === 0;
  say("confirm-how", $("wait").checked ? "The answer comes once no instance can answer with anything older." : "The answer comes as soon as the log has it.");
  say("confirm-yes", `${verb} ${what}`);
}

function result(answer, waited, took) {
  const parts = [...pair("id", answer.id)];
  if (waited) parts.push(...pair("applied by", answer.applied.join(", ")), ...pair("missing", answer.missing.join(", ")));
  if (answer.widened) parts.push(...pair("widened", Object.entries(answer.widened).map(([from, to]) => `${from} to ${to || "all"}`).join(", ")));
  const done = !waited ? "It is in the log."
    : answer.missing.length > 0 ? "No instance can answer with anything older: those that did not confirm in time have no lease." : "No instance can answer with anything older.";
  return el("div", "answer", el("p", "lead ok", done, el("span", "muted", ` ${time(took / 1000)}`)), el("dl", "pairs", ...parts));
}

async function invalidate({ event }, waited) {
  const started = performance.now();
  // Prefixes that would be widened are refused: no more is dropped than was confirmed.
  const query = `?exact=true${waited ? "&wait=all" : ""}`;
  try {
    const answer = await ask(`/v1/invalidate${query}`, { method: "POST", body: event, patience: WAIT_MS });
    return result(answer, waited, performance.now() - started);
  } catch (error) {
    const { id, applied, missing } = error.problem ?? {};
    return el("div", "answer", refusal(error), el("dl", "pairs", ...pair("id", id), ...pair("applied by", applied?.join(", ")), ...pair("missing", missing?.join(", "))));
  }
}

$("invalidate-form").addEventListener("change", showKind);
$("invalidate-form").addEventListener("submit", (event) => {
  event.preventDefault();
  const draft = drafted();
  if (kind() !== "all" && draft.targets.length === 0) {
    $("targets").focus();
    return;
  }
  confirmation(draft);
  const waited = $("wait").checked;
  $("confirm-yes").onclick = () => {
    $("confirm").close();
    busy($("invalidate-form"), async () => $("invalidated").replaceChildren(await invalidate(draft, waited)));
  };
  $("confirm").showModal();
  $("confirm-no").focus();
});
$("confirm-no").addEventListener("click", () => $("confirm").close());

/** Offers what the caller may do, where it may. */
function offer(caller, namespaces) {
  const known = caller.namespaces.length > 0 ? namespaces.filter((it) => caller.namespaces.includes(it)) : namespaces;
  for (const select of document.querySelectorAll("select.namespaces")) {
    const had = [...select.options].map((option) => option.value);
    if (had.join() === known.join()) continue;
    const chosen = select.value;
    select.replaceChildren(...known.map((it) => el("option", "", it)));
    if (known.includes(chosen)) select.value = chosen;
  }
  const allowed = may(caller, "invalidate");
  $("invalidate-form").hidden = !allowed;
  $("invalidate-why").hidden = allowed;
  say("invalidate-why", allowed ? "" : `The token ${caller.token} has not the right to invalidate.`);
  // Tags belong to no namespace.
  $("by-tags").hidden = caller.namespaces.length > 0;
}
