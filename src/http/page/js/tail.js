// The live tail: /events, read as a stream because an EventSource cannot send a token.

const LINES_MAX = 200;
/** Lines that come faster than anybody reads are shown together. */
const DRAW_MS = 200;
const AGAIN_MS = [1000, 10_000];
/** The longest event that is taken: 1,000 targets of 512 bytes, and what is around them. */
const FRAME_MAX = 2_000_000;

let [paused, waiting, dropped, drawing] = [false, [], 0, false];

function state(text) {
  say("tail-state", paused ? `paused, ${many(waiting.length + dropped, "line")} waiting` : text);
}

/** At most so many of a list, and how many more there are. */
const some = (list, most) => list.length <= most ? list.join(", ") : `${list.slice(0, most).join(", ")} and ${list.length - most} more`;

/** What an event names, in words. */
function named({ namespace, keys = [], prefixes = [], tags = [], all }) {
  const parts = [];
  if (keys.length > 0) parts.push(`${keys.length > 1 ? "keys" : "key"} ${some(keys, 5)}`);
  if (prefixes.length > 0) parts.push(`below ${some(prefixes, 5)}`);
  if (all) parts.push(namespace ? "everything in it" : "everything");
  const inNamespace = parts.length > 0 && namespace ? `${namespace}: ${parts.join("; ")}` : parts.join("; ");
  return [inNamespace, tags.length > 0 ? `${tags.length > 1 ? "tags" : "tag"} ${some(tags, 5)}` : ""].filter(Boolean).join(" · ");
}

function line(kind, event) {
  const at = el("time", "", (event.at ?? new Date().toISOString()).slice(11, 23));
  if (kind === "invalidation") {
    const why = [event.source, event.reason].filter(Boolean).join(": ");
    return el("li", "", at, el("span", "id", event.id), el("span", "what", event.soft ? el("span", "mark", "soft ") : null, named(event)), el("span", "why", why));
  }
  const what = kind === "attachment" ? (event.attached ? "attached to the log" : "detached: cut off from the log")
    : `task ${event.task} is ${event.up ? "up" : "down"}, ${many(event.restarts, "restart")}${event.given_up ? ", given up" : ""}`;
  return el("li", "", at, el("span", "mark", kind), el("span", "what", what));
}

function draw() {
  drawing = false;
  if (paused || waiting.length === 0) return;
  const lines = waiting.map(([kind, event]) => line(kind, event)).reverse();
  for (const one of lines) one.classList.add("new");
  $("tail").querySelector(".empty")?.remove();
  $("tail").prepend(...lines);
  while ($("tail").children.length > LINES_MAX) $("tail").lastElementChild.remove();
  [waiting, dropped] = [[], 0];
}

function take(kind, event) {
  waiting.push([kind, event]);
  if (waiting.length > LINES_MAX) {
    waiting.shift();
    dropped += 1;
  }
  if (paused) state("");
  if (!drawing) {
    drawing = true;
    setTimeout(draw, DRAW_MS);
  }
}

/** Server-sent events out of a stream of text; comments are heartbeats. */
async function read(stream) {
  let rest = "";
  const reader = stream.pipeThrough(new TextDecoderStream()).getReader();
  for (let step = await reader.read(); !step.done; step = await reader.read()) {
    rest += step.value;
    const frames = rest.split("\n\n");
    rest = frames.pop();
    if (rest.length > FRAME_MAX) throw new Error("an event is too long");
    for (const frame of frames) {
      const fields = Object.fromEntries(frame.split("\n").map((it) => [it.slice(0, it.indexOf(":")), it.slice(it.indexOf(":") + 1).trimStart()]));
      if (fields.data) take(fields.event, JSON.parse(fields.data));
    }
  }
}

/** Follows the log while the tab is in view, and tries again after each end. */
async function follow(signal) {
  for (let pause = AGAIN_MS[0]; !signal.aborted; pause = Math.min(pause * 2, AGAIN_MS[1])) {
    try {
      const response = await send("/events", { signal, patience: null });
      if (response.ok) {
        state("following");
        pause = AGAIN_MS[0] / 2;
        await read(response.body);
      }
    } catch { /* Cut off, by either side: the next try tells. */ }
    if (signal.aborted) return;
    state("cut off, trying again");
    await new Promise((done) => { setTimeout(done, pause); });
  }
}

function emptyTail() {
  $("tail").replaceChildren(el("li", "empty", "nothing was invalidated since this page was opened"));
}

$("tail-pause").addEventListener("click", () => {
  paused = !paused;
  $("tail-pause").setAttribute("aria-pressed", paused);
  $("tail-pause").textContent = paused ? "Resume" : "Pause";
  state("following");
  draw();
});
$("tail-clear").addEventListener("click", () => {
  [waiting, dropped] = [[], 0];
  emptyTail();
  state("following");
});
