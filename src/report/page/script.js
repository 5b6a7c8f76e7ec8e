const nonce = document.currentScript.nonce;
const language = document.documentElement.lang;
const words = JSON.parse(document.getElementById("words").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const make = (tag, text, attributes = {}) => {
  const element = document.createElement(tag);
  if (text !== undefined && text !== "") element.textContent = text;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  return element;
};
// "{n} of {all}" with its places filled
const fill = (text, places) => text.replace(/\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
const number = (value, digits) => value.toLocaleString(language, digits === undefined
  ? { maximumFractionDigits: 3 } : { minimumFractionDigits: digits, maximumFractionDigits: digits });
// control characters would be invisible: their pictures are not
const visible = text => text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/g,
  c => c === "\u007f" ? "\u2421" : String.fromCharCode(0x2400 + c.charCodeAt(0)));

// light, dark, or as the system has it
all("[data-theme-button]").forEach(button => {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  button.hidden = false;
  button.addEventListener("click", () => {
    const root = document.documentElement;
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });
});

// what stands beside each value of a table
all(".comparison .choice input").forEach(input => input.addEventListener("change", () => {
  input.closest(".comparison").dataset.show = input.value;
}));

// sorting by a column: numbers by value, text by the language; what is missing comes last
all("[data-sort]").forEach(button => button.addEventListener("click", () => {
  const heading = button.closest("th");
  const table = heading.closest("table");
  const column = heading.cellIndex;
  const falling = heading.getAttribute("aria-sort") === "descending" ? false
    : heading.getAttribute("aria-sort") === "ascending" ? true : heading.classList.contains("number");
  all("th[aria-sort]", table).forEach(other => other.setAttribute("aria-sort", "none"));
  heading.setAttribute("aria-sort", falling ? "descending" : "ascending");
  const value = row => row.cells[column].dataset.value ?? row.cells[column].textContent;
  const missing = text => text === "" || text === "—";
  const rows = all("tbody tr", table);
  const numeric = rows.every(row => missing(value(row)) || !Number.isNaN(Number(value(row))));
  const compare = (one, other) => {
    const [a, b] = [value(one), value(other)];
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, language);
    return falling ? -order : order;
  };
  rows.sort(compare).forEach(row => row.parentElement.append(row));
}));

// the rows whose system has all the words that were typed
all("[data-filter]").forEach(input => {
  const box = input.closest(".comparison");
  const rows = all("tbody tr", box);
  const text = new Map(rows.map(row => [row, all("bdi", row).map(part => part.textContent).join(" ").toLowerCase()]));
  input.addEventListener("input", () => {
    const wanted = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    rows.forEach(row => {
      row.hidden = !wanted.every(word => text.get(row).includes(word));
      shown += !row.hidden;
    });
    const note = box.querySelector("[data-rows]");
    note.textContent = wanted.length ? fill(note.dataset.words, { shown: number(shown), all: number(rows.length) }) : "";
  });
});

// columns that are not looked at can go
all("[data-columns]").forEach(list => {
  const table = list.closest(".comparison").querySelector("table");
  [...table.tHead.rows[0].cells].forEach((heading, index) => {
    if (index === 0) return; // the first column says what a row is
    const name = heading.querySelector("button").firstChild.textContent;
    const label = make("label");
    const box = make("input", "", { type: "checkbox" });
    box.checked = true;
    box.addEventListener("change", () => {
      [...table.rows].forEach(row => { row.cells[index].hidden = !box.checked; });
    });
    label.append(box, make("bdi", name));
    list.append(label);
  });
});

// one metric's charts at a time
all("[data-panels]").forEach(box => {
  const panels = all("[data-panel]", box);
  const inputs = all(".bar-above .choice input", box);
  const show = metric => panels.forEach(panel => { panel.hidden = panel.dataset.panel !== metric; });
  inputs.forEach(input => input.addEventListener("change", () => show(input.value)));
  const chosen = inputs.find(input => input.checked) ?? inputs[0];
  if (chosen) { chosen.checked = true; show(chosen.value); }
});

// reading a line chart by pointer or arrow keys
all("[data-lines]").forEach(figure => {
  const { x: name, series } = JSON.parse(figure.querySelector("script.points").textContent);
  const plot = figure.querySelector(".plot");
  const readout = figure.querySelector(".readout");
  all(".choice input", figure).forEach(input => input.addEventListener("change", () => {
    all("[data-scale]", figure).forEach(view => { view.hidden = view.dataset.scale !== input.value; });
  }));
  const places = [...new Set(series.flatMap(line => line.points.map(point => point[0])))].sort((a, b) => a - b);
  let now = places.length - 1;
  const nearest = (points, x) => points.reduce((best, point) => Math.abs(point[0] - x) < Math.abs(best[0] - x) ? point : best);
  const view = () => all("svg[data-range]", figure).find(svg => svg.getBoundingClientRect().width > 0);
  const read = index => {
    now = Math.max(0, Math.min(places.length - 1, index));
    const x = places[now];
    const step = places.length > 1 ? (places[places.length - 1] - places[0]) / (places.length - 1) : 1;
    readout.replaceChildren(make("b", `${name} ${number(x)}`));
    series.forEach(line => {
      const point = nearest(line.points, x);
      if (Math.abs(point[0] - x) > 8 * step) return;
      const entry = make("span");
      entry.append(make("i", "", { class: `key ${line.colour}`, "aria-hidden": "true" }), make("bdi", line.label), ` ${point[1].toLocaleString(language, { maximumSignificantDigits: 4 })}`);
      readout.append(entry);
    });
    const svg = view();
    if (!svg) return;
    const [left, right, top, bottom] = svg.dataset.place.split(" ").map(Number);
    const [low, high] = svg.dataset.range.split(" ").map(Number);
    const log = svg.dataset.log[0] === "1";
    const share = log ? Math.log(x / low) / Math.log(high / low) : (x - low) / (high - low);
    let line = svg.querySelector(".cursor");
    if (!line) {
      line = document.createElementNS(svg.namespaceURI, "line");
      line.setAttribute("class", "cursor");
      svg.append(line);
    }
    const at = left + share * (right - left);
    for (const [attribute, value] of Object.entries({ x1: at, x2: at, y1: top, y2: bottom })) line.setAttribute(attribute, value);
  };
  plot.addEventListener("pointermove", event => {
    const svg = view();
    if (!svg) return;
    const box = svg.getBoundingClientRect();
    const [left, right] = svg.dataset.place.split(" ").map(Number);
    const [low, high] = svg.dataset.range.split(" ").map(Number);
    const share = ((event.clientX - box.left) / box.width * svg.viewBox.baseVal.width - left) / (right - left);
    const x = svg.dataset.log[0] === "1" ? low * (high / low) ** share : low + share * (high - low);
    const distance = index => Math.abs(places[index] - x);
    let best = 0;
    places.forEach((_, index) => { if (distance(index) < distance(best)) best = index; });
    if (best !== now || !readout.childElementCount) read(best);
  });
  plot.addEventListener("focus", () => read(now));
  plot.addEventListener("keydown", event => {
    const to = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: places.length - 1 }[event.key];
    if (to === undefined) return;
    read(to);
    event.preventDefault();
  });
});

// a link to a step opens it
const open = () => {
  let target = null;
  try { target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1))); } catch { return; }
  if (target && target.tagName === "DETAILS") target.open = true;
};
addEventListener("hashchange", open);
open();
// a list that is open closes by Escape
all("details.pick").forEach(list => list.addEventListener("keydown", event => {
  if (event.key !== "Escape" || !list.open) return;
  list.open = false;
  list.querySelector("summary").focus();
}));



// the facts of the run, which fragua run fills into the page that it exports
(() => {
  const facts = JSON.parse(document.getElementById("run-facts").textContent);
  if (!facts) return;
  all("[data-no-run]").forEach(note => { note.hidden = true; });
  const duration = seconds => {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 60) return `${number(seconds, 1)} s`;
    const whole = Math.round(seconds);
    const parts = [[Math.floor(whole / 3600), "h"], [Math.floor(whole % 3600 / 60), "min"], [whole % 60, "s"]];
    return parts.filter(([value]) => value > 0).map(([value, unit]) => `${value} ${unit}`).join(" ");
  };
  const bytes = value => {
    if (!value) return "";
    const units = ["B", "kB", "MB", "GB", "TB"];
    const power = Math.min(units.length - 1, Math.floor(Math.log10(value) / 3));
    return `${(value / 1000 ** power).toLocaleString(language, { maximumFractionDigits: 1 })} ${units[power]}`;
  };
  const list = make("dl");
  const fact = (name, value, code) => {
    if (value === null || value === undefined || value === "") return;
    const entry = make("div", "", code ? { class: "whole" } : {});
    const shown = make("dd");
    shown.append(make(code ? "code" : "bdi", visible(String(value)), { dir: "auto" }));
    entry.append(make("dt", name), shown);
    list.append(entry);
  };
  // as a shell takes it
  const quoted = word => /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
  const machine = facts.environment ?? {};
  fact(words.fact_run, facts.run);
  fact(words.fact_started, facts.started && !Number.isNaN(Date.parse(facts.started)) ? new Date(facts.started).toLocaleString(language) : facts.started);
  fact(words.fact_took, duration(facts.seconds));
  fact(words.fact_seed, facts.seed === undefined ? undefined : String(facts.seed));
  fact(words.fact_device, machine.device);
  fact(words.fact_cpu, [machine.cpu, machine.cores && `× ${machine.cores}`, machine.simd].filter(Boolean).join(" "));
  fact(words.fact_memory, bytes(machine.memory));
  fact(words.fact_system, [machine.os, machine.arch].filter(Boolean).join(", "));
  fact("fragua", machine.fragua);
  fact(words.fact_commit, machine.commit && machine.commit.slice(0, 12) + (machine.dirty ? ` (${words.fact_dirty})` : ""));
  if (Array.isArray(facts.command) && facts.command.length > 0) {
    fact(words.fact_command, ["fragua", ...facts.command.slice(1)].map(quoted).join(" "), true);
  }
  document.getElementById("facts-here").replaceChildren(list);

  const table = document.getElementById("instances");
  const known = new Map((facts.instances ?? []).map(instance => [instance.name, instance]));
  const head = table.tHead.rows[0];
  [["state", ""], ["seconds", "number"], ["memory", "number"]].forEach(([name, kind]) =>
    head.append(make("th", table.dataset[name], { scope: "col", class: kind })));
  const steps = new Map();
  all("tbody tr", table).forEach(row => {
    const instance = known.get(row.dataset.instance) ?? {};
    row.append(
      make("td", words[`state_${instance.state}`] ?? instance.state ?? ""),
      make("td", duration(instance.seconds), { class: "number" }),
      make("td", bytes(instance.peak_bytes), { class: "number" }));
    steps.set(row.dataset.step, [...(steps.get(row.dataset.step) ?? []), instance]);
  });
  // times and states in the graph: a step's time is that of all its instances
  all(".node[data-step]").forEach(node => {
    const instances = steps.get(node.dataset.step) ?? [];
    const times = instances.map(instance => instance.seconds).filter(Number.isFinite);
    const states = [...new Set(instances.map(instance => instance.state).filter(Boolean))];
    const time = times.length ? duration(times.reduce((sum, one) => sum + one, 0)) : "";
    const state = states.length > 1 ? words.state_mixed : words[`state_${states[0]}`] ?? "";
    node.querySelector(".run").textContent = [time, state].filter(Boolean).join(" · ");
    if (states.length) node.classList.add(states.length > 1 ? "mixed" : states[0]);
  });
})();
