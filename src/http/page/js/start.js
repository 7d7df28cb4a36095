// Who asks, how often, and what is said when nobody answers.

const EVERY_MS = 2000;

/** It came as a refusal: without a token there is no use in asking. */
const needsToken = document.documentElement.hasAttribute("data-sign-in");

let [caller, heard, running] = [null, null, null];

function unreachable(since) {
  const text = since === null ? "This instance does not answer." : `This instance has not answered since ${clock(since)}. Below is what it said then.`;
  if ($("unreachable").hidden) {
    $("verdict").className = "verdict bad";
    say("verdict-text", "cannot be reached");
    document.title = "! unreachable · coherd";
  }
  say("unreachable", text);
  $("unreachable").hidden = false;
  $("main").classList.add("stale");
}

function reachable(at) {
  heard = at;
  say("asked", `asked at ${clock(at)}`);
  for (const id of ["where", "footer"]) $(id).hidden = false;
  // A link cannot carry a token.
  $("stats").hidden = token !== null;
  $("unreachable").hidden = true;
  $("main").classList.remove("stale");
}

function signIn(why) {
  $("main").hidden = true;
  $("sign-in").hidden = false;
  $("forget").hidden = token === null;
  $("verdict").className = "verdict";
  say("verdict-text", "not signed in");
  say("sign-in-why", why);
}

/** Learns what the caller may do; false if that is not enough. */
async function known() {
  if (token === null && needsToken) {
    signIn("");
    return false;
  }
  try {
    caller = await rights();
  } catch (error) {
    if (!(error instanceof Refused) || error.status !== 401) throw error;
    signIn(token === null ? "" : "That token is not known here.");
    return false;
  }
  if (may(caller, "admin")) {
    $("forget").hidden = token === null;
    $("sign-in").hidden = true;
    $("main").hidden = false;
    return true;
  }
  signIn(`The token ${caller.token} lacks the right admin.`);
  return false;
}

async function look() {
  if (caller === null && !(await known())) return false;
  const [stats, ready, metrics] = await Promise.all([
    ask("/stats"), ask("/readyz", { any: true }), send("/metrics").then((response) => response.text()),
  ]);
  const at = Date.now();
  reachable(at);
  offer(caller, Object.keys(stats.namespaces));
  show(at, stats, ready, metrics);
  return true;
}

/** Looks again and again until it is stopped, or somebody has to sign in. */
async function run(signal) {
  let tail = false;
  while (!signal.aborted) {
    try {
      if (!(await look())) return;
      if (!tail) follow(signal);
      tail = true;
    } catch (error) {
      if (error instanceof Refused && [401, 403].includes(error.status)) {
        // Started anew with other tokens; or a name that the listener does not answer to.
        caller = null;
        if (token === null && error.status === 403) {
          unreachable(heard);
          say("unreachable", error.message);
        }
      } else {
        unreachable(heard);
      }
    }
    await new Promise((done) => { setTimeout(done, EVERY_MS); });
  }
}

function start() {
  stop();
  running = new AbortController();
  run(running.signal);
}

function stop() {
  running?.abort();
  running = null;
}

$("sign-in-form").addEventListener("submit", (event) => {
  event.preventDefault();
  storeToken($("token").value.trim());
  $("token").value = "";
  caller = null;
  start();
});
$("forget").addEventListener("click", () => {
  storeToken(null);
  // Nothing that it opened stays behind.
  location.reload();
});
document.addEventListener("visibilitychange", () => (document.hidden ? stop() : start()));

emptyTail();
showKind();
if (!document.hidden) start();
