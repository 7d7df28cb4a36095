// Asking the instance. The token, where one is needed, is kept for the tab and sent to nobody else.

const TOKEN = "coherd-token";
const PATIENCE_MS = 5000;

/** The instance answered, and said no. */
class Refused extends Error {
  constructor(status, problem) {
    super(problem?.detail ?? `it answered ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

function storedToken() {
  // A browser may forbid the page to store anything.
  try { return sessionStorage.getItem(TOKEN); } catch { return null; }
}

function storeToken(text) {
  token = text;
  try {
    if (text === null) sessionStorage.removeItem(TOKEN);
    else sessionStorage.setItem(TOKEN, text);
  } catch { /* Then it lasts until the page is left. */ }
}

let token = storedToken();

/** What fetch gives, with the token; throws if nobody answers. */
function send(path, { method = "GET", body, signal, patience = PATIENCE_MS } = {}) {
  const headers = {};
  if (token !== null) headers.Authorization = `Bearer ${token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const limit = patience === null ? signal : AbortSignal.timeout(patience);
  return fetch(path, { method, headers, body: body && JSON.stringify(body), signal: limit, cache: "no-store", redirect: "error" });
}

/** The JSON of an answer, of whatever status where `any` is set. */
async function ask(path, options = {}) {
  const response = await send(path, options);
  const document = await response.json().catch(() => null);
  if (!response.ok && !options.any) throw new Refused(response.status, document);
  return document;
}

/** What the sender may do; refused without a token that is known, where one is needed. */
const rights = () => ask("/v1/rights");

const may = (caller, right) => caller.allow.includes(right);
