// Small charts of the last minutes. A point is what was between two looks; where there was none the chart has a gap.

const WINDOW_MS = 5 * 60 * 1000;
const WIDE = 600;

/**
 * A chart below `place`. `series` is `[{ key, name }]`, the first at the bottom; `kind` is `stack` or `trace`;
 * `top` is the largest value, or nothing where the largest that is shown decides; `spell` makes a text of a value.
 */
class Chart {
  constructor(place, { name, series, kind, top, height, spell }) {
    Object.assign(this, { name, series, kind, top, height, spell, points: [], end: 0, at: null });
    this.values = series.map(() => el("b"));
    const legend = series.map(({ key, name: label }, index) =>
      el("li", `c-${key}`, el("span", "swatch"), label, " ", this.values[index]));
    this.picture = svg("svg", { viewBox: `0 0 ${WIDE} ${height}`, height, preserveAspectRatio: "none", role: "img" });
    this.most = el("span");
    this.when = el("span", "", "now");
    this.element = el("div", "chart", el("ul", "legend", ...legend), this.picture,
      el("div", "ends", el("span", "", "5 min ago"), this.most, this.when));
    $(place).append(this.element);
    this.picture.addEventListener("pointermove", (event) => this.#point(event));
    this.picture.addEventListener("pointerleave", () => { this.at = null; this.#read(); });
  }

  /** Points are `{ from, to, values }`, times in ms, the oldest first; a value may be null. The chart ends at `end`. */
  draw(points, end) {
    Object.assign(this, { points, end });
    const sums = points.map(({ values }) => this.series.reduce((sum, { key }) =>
      this.kind === "stack" ? sum + (values[key] ?? 0) : Math.max(sum, values[key] ?? 0), 0));
    const top = this.top ?? Math.max(...sums, 0);
    const x = (at) => (WIDE * (1 - (end - at) / WINDOW_MS)).toFixed(1);
    const y = (value) => (this.height - (top > 0 ? value / top : 0) * (this.height - 4)).toFixed(1);
    this.x = x;
    const half = svg("line", { class: "rule", x1: 0, x2: WIDE, y1: y(top / 2), y2: y(top / 2) });
    const paths = this.kind === "stack" ? this.#stack(x, y) : this.#trace(x, y);
    this.needle = svg("line", { class: "cursor", y1: 0, y2: this.height, visibility: "hidden" });
    this.picture.replaceChildren(...(this.kind === "stack" ? [...paths, half] : [half, ...paths]), this.needle);
    this.most.textContent = top > 0 ? `highest ${this.spell(top)}` : "";
    if (this.top) this.most.textContent = "";
    this.#read();
  }

  #stack(x, y) {
    const floors = this.points.map(() => 0);
    return this.series.map(({ key }) => {
      const boxes = this.points.map(({ from, to, values }, index) => {
        const value = values[key] ?? 0;
        if (value <= 0) return "";
        const floor = floors[index];
        floors[index] += value;
        return `M${x(from)} ${y(floor)}V${y(floor + value)}H${x(to)}V${y(floor)}Z`;
      });
      return svg("path", { class: `area c-${key}`, d: boxes.join("") });
    });
  }

  #trace(x, y) {
    return this.series.map(({ key }) => {
      let before = null;
      const steps = this.points.map(({ from, to, values }) => {
        const value = values[key];
        const joined = before === from;
        before = value === null ? null : to;
        if (value === null) return "";
        return joined ? `L${x(to)} ${y(value)}` : `M${x(from)} ${y(value)}L${x(to)} ${y(value)}`;
      });
      return svg("path", { class: `trace c-${key}`, d: steps.join("") });
    });
  }

  #point(event) {
    const box = this.picture.getBoundingClientRect();
    const at = this.end - WINDOW_MS * (1 - (event.clientX - box.left) / box.width);
    this.at = at >= this.end ? null : at;
    this.#read();
  }

  /** What the legend says: now, or where the pointer is. */
  #read() {
    const point = this.at === null ? this.points.at(-1)
      : this.points.find(({ from, to }) => from <= this.at && this.at < to);
    this.series.forEach(({ key }, index) => {
      this.values[index].textContent = this.spell(point?.values[key] ?? null);
    });
    this.when.textContent = this.at === null ? "now" : clock(this.at);
    const shown = this.at !== null && point !== undefined;
    this.needle?.setAttribute("visibility", shown ? "visible" : "hidden");
    if (shown) for (const side of ["x1", "x2"]) this.needle.setAttribute(side, this.x(this.at));
    if (this.at === null) {
      const now = this.series.map(({ name }, index) => `${name} ${this.values[index].textContent}`).join(", ");
      this.picture.setAttribute("aria-label", `${this.name}, the last five minutes; now ${now}`);
    }
  }
}

/** One bar of shares; for those who do not see it the table says the ratio. */
function stackedBar(parts) {
  const whole = parts.reduce((sum, [, value]) => sum + value, 0);
  const bar = svg("svg", { class: "stack", viewBox: "0 0 100 1", preserveAspectRatio: "none", "aria-hidden": "true" });
  let from = 0;
  for (const [key, value] of parts) {
    const width = whole > 0 ? (100 * value) / whole : 0;
    bar.append(svg("rect", { class: `area c-${key}`, x: from, width, y: 0, height: 1 }));
    from += width;
  }
  return bar;
}
