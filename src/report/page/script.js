"use strict";
(() => {
  const RUN_WORDS = {
    en: { run: "Run", started: "Started", took: "Took", device: "Device", cpu: "Processor", memory: "Memory", system: "System", commit: "Commit", dirty: "with changes", command: "Command" },
    es: { run: "Ejecución", started: "Inicio", took: "Duración", device: "Dispositivo", cpu: "Procesador", memory: "Memoria", system: "Sistema", commit: "Commit", dirty: "con cambios", command: "Orden", executed: "ejecutada", cached: "ya conocida" },
  };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const make = (tag, text, attributes = {}) => {
    const element = document.createElement(tag);
    element.textContent = text;
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return element;
  };
  const language = document.documentElement.lang;

  // what stands beside each value of a table
  all(".choice input").forEach(input => input.addEventListener("change", () => {
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
    const rows = all("tbody tr", table);
    const numeric = rows.every(row => value(row) === "" || !Number.isNaN(Number(value(row))));
    const compare = (one, other) => {
      const [a, b] = [value(one), value(other)];
      if (a === "" || b === "") return (a === "") - (b === "");
      const order = numeric ? Number(a) - Number(b) : a.localeCompare(b, language);
      return falling ? -order : order;
    };
    rows.sort(compare).forEach(row => row.parentElement.append(row));
  }));

  // one sample at a time
  all(".samples").forEach(box => {
    const pager = box.querySelector(".pager");
    const output = pager.querySelector("output");
    const samples = all(".sample", box);
    let order = samples.slice();
    let at = 0;
    const show = () => {
      samples.forEach(sample => { sample.hidden = sample !== order[at]; });
      output.textContent = `${box.dataset.sample} ${at + 1} ${box.dataset.of} ${order.length}`;
    };
    const move = by => { at = (at + by + order.length) % order.length; show(); };
    all("button", pager).forEach(button => button.addEventListener("click", () => move(Number(button.dataset.step))));
    pager.addEventListener("keydown", event => {
      if (event.target.tagName === "SELECT") return;
      if (event.key === "ArrowLeft") move(-1);
      if (event.key === "ArrowRight") move(1);
    });
    pager.querySelector("select").addEventListener("change", event => {
      const by = event.target.value === "spread"
        ? (a, b) => Number(b.dataset.spread) - Number(a.dataset.spread) || a.dataset.index - b.dataset.index
        : (a, b) => a.dataset.index - b.dataset.index;
      order = samples.slice().sort(by);
      at = 0;
      show();
    });
    all(".nojs", box).forEach(word => { word.hidden = true; });
    pager.hidden = samples.length < 2;
    show();
  });

  // reading a loss curve by pointer or arrow keys
  all(".plot[tabindex]").forEach(plot => {
    const area = plot.querySelector(".area");
    const dots = all(".dot", plot);
    const readout = plot.querySelector(".readout");
    let now = dots.length - 1;
    const read = index => {
      now = Math.max(0, Math.min(dots.length - 1, index));
      dots.forEach((dot, i) => dot.classList.toggle("now", i === now));
      readout.textContent = dots[now].dataset.title;
    };
    plot.addEventListener("pointermove", event => {
      const box = area.getBoundingClientRect();
      const x = 100 * (event.clientX - box.left) / box.width;
      const far = dot => Math.abs(parseFloat(dot.style.left) - x);
      read(dots.reduce((best, dot, i) => far(dot) < far(dots[best]) ? i : best, 0));
    });
    plot.addEventListener("focus", () => read(now));
    plot.addEventListener("keydown", event => {
      if (event.key === "ArrowLeft") { read(now - 1); event.preventDefault(); }
      if (event.key === "ArrowRight") { read(now + 1); event.preventDefault(); }
    });
  });

  // a link to a step opens it
  const open = () => {
    const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    if (target && target.tagName === "DETAILS") target.open = true;
  };
  addEventListener("hashchange", open);
  open();

  // the facts of the run, which fragua run fills into the page that it exports
  const facts = JSON.parse(document.getElementById("run-facts").textContent);
  if (!facts) return;
  const duration = seconds => {
    if (seconds === null || seconds === undefined) return "";
    if (seconds < 60) return `${seconds.toLocaleString(language, { maximumFractionDigits: 1 })} s`;
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
  const list = make("dl", "");
  const fact = (name, value) => {
    if (value === null || value === undefined || value === "") return;
    const entry = make("div", "");
    entry.append(make("dt", name), make("dd", String(value)));
    list.append(entry);
  };
  const words = RUN_WORDS[language] ?? RUN_WORDS.en;
  const machine = facts.environment ?? {};
  fact(words.run, facts.run);
  fact(words.started, facts.started && !Number.isNaN(Date.parse(facts.started)) ? new Date(facts.started).toLocaleString(language) : facts.started);
  fact(words.took, duration(facts.seconds));
  fact(words.device, machine.device);
  fact(words.cpu, [machine.cpu, machine.cores && `× ${machine.cores}`, machine.simd].filter(Boolean).join(" "));
  fact(words.memory, bytes(machine.memory));
  fact(words.system, [machine.os, machine.arch].filter(Boolean).join(", "));
  fact("fragua", machine.fragua);
  fact(words.commit, machine.commit && machine.commit.slice(0, 12) + (machine.dirty ? ` (${words.dirty})` : ""));
  fact(words.command, Array.isArray(facts.command) ? facts.command.join(" ") : facts.command);
  document.getElementById("facts-here").replaceChildren(list);

  const table = document.getElementById("instances");
  const known = new Map((facts.instances ?? []).map(instance => [instance.name, instance]));
  const head = table.tHead.rows[0];
  [["state", ""], ["seconds", "number"], ["memory", "number"]].forEach(([name, kind]) =>
    head.append(make("th", table.dataset[name], { scope: "col", class: kind })));
  all("tbody tr", table).forEach(row => {
    const instance = known.get(row.dataset.instance) ?? {};
    row.append(
      make("td", words[instance.state] ?? instance.state ?? ""),
      make("td", duration(instance.seconds), { class: "number" }),
      make("td", bytes(instance.peak_bytes), { class: "number" }));
  });
})();
