// the samples: a page of them at a time, loaded from the files beside this one as they are needed
const fragua = {};
window.fragua = fragua;
(() => {
  const PAGE = 10;       // outputs times systems would be a wall: fewer samples when many systems are shown
  const KEPT = 24;       // files in memory
  const CUT = 4000;      // characters of a text until it is asked for whole
  const WORDS = 1500;    // words that are compared: time grows with the square
  const groups = new Map();
  // what a file says when it runs
  fragua.chunk = (group, index, rows) => groups.get(group)?.arrived.set(`chunk ${index}`, rows);
  fragua.values = (group, metric, values) => groups.get(group)?.arrived.set(`values ${metric}`, values);
  const load = path => new Promise((resolve, reject) => {
    const script = make("script", "", { src: path });
    script.nonce = nonce;
    script.addEventListener("load", () => { script.remove(); resolve(); });
    script.addEventListener("error", () => { script.remove(); reject(new Error(path)); });
    document.head.append(script);
  });

  class Source {
    constructor(head) {
      this.head = head;
      this.arrived = new Map();
      this.kept = new Map();
      this.valued = new Map();
      groups.set(head.group, this);
    }
    async take(path, name) {
      await load(path);
      const found = this.arrived.get(name);
      this.arrived.delete(name);
      if (found === undefined) throw new Error(path);
      return found;
    }
    chunk(index, keep = true) {
      if (this.kept.has(index)) return this.kept.get(index);
      const rows = this.take(`samples/${this.head.group}/${index}.js`, `chunk ${index}`);
      if (!keep) return rows;
      this.kept.set(index, rows);
      rows.catch(() => this.kept.delete(index));
      if (this.kept.size > KEPT) this.kept.delete(this.kept.keys().next().value);
      return rows;
    }
    async row(at) {
      const { first, chunks } = this.head;
      if (at < first.length) return first[at];
      let [low, high] = [0, chunks.length - 1];
      while (low < high) {
        const middle = (low + high + 1) >> 1;
        if (chunks[middle] <= at) low = middle; else high = middle - 1;
      }
      return (await this.chunk(low))[at - chunks[low]];
    }
    // [system][row], null where there is no score
    values(metric) {
      if (!this.valued.has(metric)) {
        const { head } = this;
        const values = head.chunks.length
          ? this.take(`samples/${head.group}/metric-${metric}.js`, `values ${head.metrics[metric].name}`)
          : Promise.resolve(head.systems.map((_, system) => head.first.map(row => row.o[system]?.[5][metric] ?? null)));
        this.valued.set(metric, values);
        values.catch(() => this.valued.delete(metric));
      }
      return this.valued.get(metric);
    }
    // every row in turn, with its number; the page stays alive in between
    async *rows() {
      const { first, chunks, rows } = this.head;
      if (!chunks.length) { for (let at = 0; at < first.length; at++) yield [at, first[at], (at + 1) / rows]; return; }
      for (let index = 0; index < chunks.length; index++) {
        const found = await this.chunk(index, false);
        for (let at = 0; at < found.length; at++) yield [chunks[index] + at, found[at], (chunks[index] + at + 1) / rows];
        await new Promise(resolve => setTimeout(resolve));
      }
    }
  }

  const parts = text => text.match(/[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)*|\s+|[^\s]/gu) ?? [];
  const isWord = part => /[\p{L}\p{N}]/u.test(part);
  // the longest common subsequence of words: which parts of each text are in it; null when too long
  const compare = (one, other) => {
    const index = list => list.map((part, at) => [part.toLowerCase(), at]).filter(([part]) => isWord(part));
    const [a, b] = [index(one), index(other)];
    if (a.length > WORDS || b.length > WORDS) return null;
    const width = b.length + 1;
    const longest = new Uint16Array((a.length + 1) * width);
    for (let i = a.length - 1; i >= 0; i--) {
      for (let j = b.length - 1; j >= 0; j--) {
        longest[i * width + j] = a[i][0] === b[j][0] ? longest[(i + 1) * width + j + 1] + 1
          : Math.max(longest[(i + 1) * width + j], longest[i * width + j + 1]);
      }
    }
    const pairs = [];
    for (let i = 0, j = 0; i < a.length && j < b.length;) {
      if (a[i][0] === b[j][0]) pairs.push([a[i++][1], b[j++][1]]);
      else if (longest[(i + 1) * width + j] >= longest[i * width + j + 1]) i++;
      else j++;
    }
    return pairs;
  };
  const pre = attributes => make("pre", "", { dir: "auto", ...attributes });
  // a text, whole or cut with a button for the rest
  const block = (text, draw = (into, shown) => { into.textContent = visible(shown); }) => {
    const box = document.createDocumentFragment();
    const into = pre({});
    box.append(into);
    if (text.length <= CUT) { draw(into, text); return box; }
    // never between the halves of a character
    const end = /[\ud800-\udbff]/.test(text[CUT - 1]) ? CUT - 1 : CUT;
    draw(into, `${text.slice(0, end)} …`);
    const more = make("button", fill(words.show_all, { n: number(text.length) }), { type: "button", class: "more" });
    more.addEventListener("click", () => { into.textContent = visible(text); into.tabIndex = 0; more.remove(); into.focus(); });
    box.append(more);
    return box;
  };
  const marked = (references, mode) => (into, text) => {
    const own = parts(text);
    const compared = references.map(reference => [parts(reference), null]).map(([other]) => [other, compare(own, other)]);
    const best = compared.filter(([, pairs]) => pairs).sort((x, y) => y[1].length - x[1].length)[0];
    if (mode === "none" || !best) { into.textContent = visible(text); return; }
    const [other, pairs] = best;
    const pieces = []; // [kind, text]
    const push = (kind, piece) => {
      const last = pieces[pieces.length - 1];
      if (last && last[0] === kind) last[1] += piece; else pieces.push([kind, piece]);
    };
    let [i, j] = [0, 0];
    for (const [p, q] of [...pairs, [own.length, other.length]]) {
      const missing = other.slice(j, q).filter(isWord).join(" ");
      for (; i < p; i++) {
        const between = !isWord(own[i]);
        push(mode === "common" || between ? "" : "ins", own[i]);
      }
      if (mode === "difference" && missing) {
        if (pieces.length && !/\s$/.test(pieces[pieces.length - 1][1])) push("", " ");
        push("del", missing);
        push("", " ");
      }
      if (p < own.length) { push(mode === "common" ? "mark" : "", own[p]); i = p + 1; }
      j = q + 1;
    }
    // a space between two marked words is marked with them
    for (let at = 1; at < pieces.length - 1; at++) {
      const [before, piece, after] = [pieces[at - 1], pieces[at], pieces[at + 1]];
      if (piece[0] === "" && /^\s+$/.test(piece[1]) && before[0] && before[0] === after[0]) {
        pieces.splice(at - 1, 3, [before[0], before[1] + piece[1] + after[1]]);
        at -= 1;
      }
    }
    into.append(...pieces.map(([kind, piece]) => kind ? make(kind, visible(piece)) : visible(piece)));
  };

  all("[data-samples]").forEach(box => {
    const source = new Source(JSON.parse(box.querySelector("[data-head]").textContent));
    const { head } = source;
    const find = name => box.querySelector(`[data-${name}]`);
    const [list, status, pager] = [find("list"), find("status"), find("pager")];
    const shownSystems = new Set(head.shown);
    let order = null;     // rows in their order; null is the data's
    let found = null;     // rows that have the searched text; null is all
    let searching = null; // how far a search is, 0 to 1
    let page = 0;
    let turn = 0;         // what was asked for last wins

    head.metrics.forEach((metric, index) => {
      const option = make("option", metric.label, { value: String(index) });
      option.selected = metric.name === head.leading;
      find("metric").append(option);
    });
    const chosen = () => { find("chosen").textContent = `${shownSystems.size} / ${head.systems.length}`; };
    head.systems.forEach((system, index) => {
      const label = make("label");
      const input = make("input", "", { type: "checkbox" });
      input.checked = shownSystems.has(index);
      input.addEventListener("change", () => {
        if (input.checked) shownSystems.add(index); else shownSystems.delete(index);
        chosen();
        arrange();
      });
      label.append(input, make("i", "", { class: `key ${system.colour}`, "aria-hidden": "true" }), make("bdi", system.label));
      find("systems").append(label);
    });
    chosen();

    const metricAt = () => Number(find("metric").value || 0);
    const systems = () => [...shownSystems].sort((a, b) => a - b);
    const size = () => Math.max(1, Math.min(PAGE, Math.ceil(18 / Math.max(1, shownSystems.size))));
    const rows = () => {
      if (!found) return order;
      if (!order) return found;
      const among = new Set(found);
      return order.filter(at => among.has(at));
    };

    const article = (row, at) => {
      const metric = head.metrics[metricAt()];
      const element = make("article", "", { class: "sample", "data-row": String(at) });
      const title = make("h4", `${words.sample} ${number(at + 1)} `);
      title.append(make("code", visible(row.i), { dir: "auto" }));
      element.append(title);
      const outputs = systems().map(system => [system, row.o[system]]).filter(([, output]) => output);
      const given = make("div", "", { class: "given" });
      const prompts = [...new Set(outputs.map(([, output]) => output[1]))].sort((a, b) => row.p[a].length - row.p[b].length);
      const readers = prompt => outputs.filter(([, output]) => output[1] === prompt);
      const tokens = prompt => `${number(readers(prompt)[0][1][3])} ${words.tokens}`;
      const names = prompt => prompts.length > 1 ? readers(prompt).map(([system]) => head.systems[system].label).join(", ") + " · " : "";
      if (prompts.length) {
        const part = make("div", "", { class: "text prompt" });
        const heading = make("h5", `${words.prompt} `);
        heading.append(make("small", names(prompts[0]) + tokens(prompts[0])));
        part.append(heading, block(row.p[prompts[0]]));
        given.append(part);
      }
      const part = make("div", "", { class: "text reference" });
      part.append(make("h5", words.reference), ...row.r.map(text => block(text)));
      given.append(part);
      element.append(given);
      const score = output => metric ? output[5][metricAt()] : null;
      const values = outputs.map(([, output]) => score(output)).filter(value => value !== null && value !== undefined);
      const best = values.length > 1 && Math.max(...values) > Math.min(...values)
        ? { higher: Math.max(...values), lower: Math.min(...values) }[metric.good] ?? null : null;
      const answers = make("ul", "", { class: "outputs" });
      outputs.forEach(([system, output]) => {
        const value = score(output);
        const isBest = best !== null && value === best;
        const item = make("li", "", isBest ? { class: "best" } : {});
        const heading = make("h5");
        heading.append(make("i", "", { class: `key ${head.systems[system].colour}`, "aria-hidden": "true" }), make("bdi", head.systems[system].label));
        if (metric) {
          const figure = make("span", value === null || value === undefined ? "—" : number(value, metric.decimals), { class: "value", title: metric.label });
          if (isBest) figure.append(make("span", ` (${words.best})`, { class: "unseen" }));
          heading.append(figure);
        }
        item.append(heading, output[0] === "" ? make("p", words.no_output, { class: "quiet" })
          : block(output[0], marked(row.r, find("marks").value)));
        if (output[2] === "length") item.append(make("p", `✂ ${words.cut_at_length}, ${number(output[4])} ${words.tokens}`, { class: "quiet" }));
        answers.append(item);
      });
      element.append(outputs.length ? answers : make("p", words.no_system, { class: "quiet" }));
      prompts.slice(1).forEach(prompt => {
        const more = make("details");
        const summary = make("summary", `${words.prompt}: `);
        summary.append(make("bdi", names(prompt)), make("small", tokens(prompt)));
        more.append(summary);
        // a long prompt is laid out when it is looked at
        more.addEventListener("toggle", () => { if (more.open && more.childElementCount === 1) more.append(block(row.p[prompt])); });
        element.append(more);
      });
      return element;
    };

    const say = (from, to, count) => {
      const text = count === 0 ? words.nothing_found
        : fill(words.samples_shown, { from: number(from + 1), to: number(to), all: number(count) });
      const search = searching === null ? "" : ` ${fill(words.searching, { percent: number(Math.floor(100 * searching)) })}`;
      status.textContent = text + search;
    };
    const show = async () => {
      const mine = ++turn;
      const among = rows();
      const count = among ? among.length : head.rows;
      const pages = Math.max(1, Math.ceil(count / size()));
      page = Math.max(0, Math.min(pages - 1, page));
      const [from, to] = [page * size(), Math.min(count, (page + 1) * size())];
      const wanted = Array.from({ length: to - from }, (_, i) => among ? among[from + i] : from + i);
      let elements;
      try {
        elements = (await Promise.all(wanted.map(at => source.row(at)))).map((row, i) => article(row, wanted[i]));
      } catch {
        elements = [make("p", words.no_files, { class: "quiet" })];
      }
      if (mine !== turn) return;
      list.replaceChildren(...elements);
      say(from, to, count);
      pager.hidden = pages < 2;
      find("page").value = String(page + 1);
      find("page").max = String(pages);
      find("pages").textContent = fill(words.of_pages, { pages: number(pages) });
      const [back, on] = all("button", pager);
      back.disabled = page === 0;
      on.disabled = page === pages - 1;
    };

    const arrange = async () => {
      const by = find("order").value;
      page = 0;
      if (by === "data") { order = null; return show(); }
      let values;
      try { values = await source.values(metricAt()); } catch { order = null; status.textContent = words.no_files; return; }
      const own = systems().map(system => values[system]);
      const key = new Float64Array(head.rows);
      for (let at = 0; at < head.rows; at++) {
        let [sum, count, low, high] = [0, 0, Infinity, -Infinity];
        for (const scores of own) {
          const value = scores[at];
          if (value === null || value === undefined) continue;
          sum += value; count += 1; low = Math.min(low, value); high = Math.max(high, value);
        }
        key[at] = count === 0 ? NaN : by === "spread" ? high - low : sum / count;
      }
      const falling = by !== "low";
      // what has no score comes last; equals stay in the data's order
      order = Array.from(key.keys()).sort((a, b) => {
        if (Number.isNaN(key[a]) || Number.isNaN(key[b])) return Number.isNaN(key[a]) - Number.isNaN(key[b]) || a - b;
        return (falling ? key[b] - key[a] : key[a] - key[b]) || a - b;
      });
      return show();
    };

    let hunt = 0;
    const search = async () => {
      const mine = ++hunt;
      const wanted = find("search").value.trim().toLowerCase();
      page = 0;
      if (!wanted) { found = null; searching = null; return show(); }
      found = [];
      searching = 0;
      await show();
      let drawn = 0;
      let last = performance.now();
      const has = text => text.toLowerCase().includes(wanted);
      try {
        for await (const [at, row, share] of source.rows()) {
          if (mine !== hunt) return;
          searching = share;
          const hit = has(row.i) || row.r.some(has) || row.p.some(has) || systems().some(system => row.o[system] && has(row.o[system][0]));
          if (hit) found.push(at);
          if (performance.now() - last > 250) {
            last = performance.now();
            if (found.length !== drawn && drawn < (page + 1) * size()) { drawn = found.length; await show(); } else {
              status.textContent = fill(words.found_so_far, { n: number(found.length), percent: number(Math.floor(100 * share)) });
            }
          }
        }
      } catch { status.textContent = words.no_files; return; }
      if (mine !== hunt) return;
      searching = null;
      return show();
    };
    let typed = 0;
    find("search").addEventListener("input", () => { clearTimeout(typed); typed = setTimeout(search, 200); });
    find("order").addEventListener("change", arrange);
    find("metric").addEventListener("change", () => find("order").value === "data" ? show() : arrange());
    find("marks").addEventListener("change", show);
    const go = to => { page = to; return show().then(() => box.scrollIntoView({ block: "start" })); };
    all("button", pager).forEach(button => button.addEventListener("click", () => go(page + Number(button.dataset.step))));
    find("page").addEventListener("change", event => go((Number(event.target.value) || 1) - 1));
    show().then(() => { box.dataset.ready = ""; });
  });
})();
