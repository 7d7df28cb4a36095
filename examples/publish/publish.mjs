#!/usr/bin/env node
// publish.mjs NAMESPACE KEY...: tells coherd that keys are no longer true, and prints the event's id.
// COHERD_URL is any instance, COHERD_TOKEN a token with the right `invalidate`, if there are tokens.
// Only what Node 18 and later bring along.
import { randomUUID } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";

/** Says it until an instance has logged it; the id of the event. */
export async function publish(event, { url = "http://127.0.0.1:8080", token, attempts = 5 } = {}) {
  // With a request_id it is logged once, however often it is said.
  const body = JSON.stringify({ request_id: randomUUID(), ...event });
  const headers = { "content-type": "application/json" };
  if (token) headers.authorization = `Bearer ${token}`;
  for (let attempt = 1; ; attempt += 1) {
    let pause = 100 * 2 ** attempt;
    try {
      const signal = AbortSignal.timeout(30_000);
      const answer = await fetch(`${url}/v1/invalidate`, { method: "POST", headers, body, signal });
      if (answer.ok) return (await answer.json()).id;
      const refusal = Object.assign(new Error(`refused: ${answer.status} ${await answer.text()}`), { refused: true });
      if (answer.status !== 503 || attempt >= attempts) throw refusal;
      pause = 1000 * Number(answer.headers.get("retry-after") ?? 1);
    } catch (error) {
      if (error.refused || attempt >= attempts) throw error;
    }
    await sleep(pause);
  }
}

const [namespace, ...keys] = process.argv.slice(2);
if (keys.length === 0) {
  console.error("publish.mjs NAMESPACE KEY...");
  process.exit(2);
}
const { COHERD_URL: url, COHERD_TOKEN: token } = process.env;
try {
  console.log(await publish({ namespace, keys, source: "publish.mjs" }, { url, token }));
} catch (error) {
  console.error(error.cause ? `${error.message}: ${error.cause.message}` : error.message);
  process.exit(1);
}
