// What the page is made of, and how numbers are spelt. Whatever comes from outside is only ever a text node.

const $ = (id) => document.getElementById(id);

/** An element of a class, with texts and elements in it. */
function el(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** An SVG element with attributes; their names and values are this page's own. */
function svg(tag, attributes) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
}

/** Sets a text only where it is another: screen readers are told of every change. */
function say(id, text) {
  if ($(id).textContent !== text) $(id).textContent = text;
}

const dot = (state) => el("span", `dot ${state}`);

const WHOLE = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

function count(number) {
  if (number === null || Number.isNaN(number)) return "–";
  if (number >= 1e9) return `${(number / 1e9).toFixed(1)} G`;
  return number >= 1e7 ? `${(number / 1e6).toFixed(1)} M` : WHOLE.format(number);
}

function perSecond(number) {
  if (number === null) return "–";
  return number > 0 && number < 10 ? number.toFixed(1) : count(number);
}

function percent(share) {
  if (share === null || Number.isNaN(share)) return "–";
  const text = (share * 100).toFixed(1);
  // What is not all is not called all.
  return text === "100.0" ? (share < 1 ? "99.9 %" : "100 %") : `${text} %`;
}

function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = number > 0 ? Math.min(units.length - 1, Math.floor(Math.log2(number) / 10)) : 0;
  return `${(number / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** A time in seconds. */
function time(seconds) {
  if (seconds === null || seconds === undefined) return "–";
  if (seconds < 0.00005) return "< 0.1 ms";
  if (seconds < 0.0095) return `${(seconds * 1000).toFixed(1)} ms`;
  if (seconds < 1) return `${Math.round(seconds * 1000)} ms`;
  if (seconds < 100) return `${seconds.toFixed(1)} s`;
  const [days, hours, minutes] = [seconds / 86400, (seconds / 3600) % 24, (seconds / 60) % 60].map(Math.floor);
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : `${minutes} min`;
}

const clock = (at) => new Date(at).toLocaleTimeString("en-GB");

/** As `count`, of a thing: `1 key`, `2 keys`. */
const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;
