const words = JSON.parse(document.getElementById("words").textContent);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];
const fill = (text, places) => text.replace(/\{(\w+)\}/g, (whole, name) => places[name] ?? whole);
const language = document.documentElement.lang;
const draw = (tag, attributes, text) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  if (text !== undefined) element.textContent = text;
  return element;
};

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

// one head at a time in large, with the tokens beside it: the mouse or the arrow keys point at a cell
const maps = JSON.parse(document.getElementById("maps").textContent);
const shorter = text => [...text].length > 12 ? [...text].slice(0, 11).join("") + "…" : text;
all(".maps").forEach(box => {
  const { queries, keys, layers } = maps[box.dataset.kind];
  const figure = box.querySelector(".large");
  const plot = figure.querySelector(".plot");
  const readout = figure.querySelector("output");
  const longest = texts => Math.max(...texts.map(text => [...shorter(text)].length)) * 7 + 10;
  const left = longest(queries), top = longest(keys);
  const cell = Math.max(13, Math.min(34, Math.floor((1000 - left) / keys.length)));
  let weights, rows, columns, cursor, at;
  const point = (query, key) => {
    at = [Math.max(0, Math.min(queries.length - 1, query)), Math.max(0, Math.min(keys.length - 1, key))];
    [query, key] = at;
    cursor.setAttribute("x", left + key * cell);
    cursor.setAttribute("y", top + query * cell);
    cursor.removeAttribute("visibility");
    rows.forEach((label, index) => label.classList.toggle("here", index === query));
    columns.forEach((label, index) => label.classList.toggle("here", index === key));
    const share = (weights[query * keys.length + key] / 10).toLocaleString(language, { maximumFractionDigits: 1 });
    readout.textContent = fill(words.inspect_cell, { query: queries[query], key: keys[key], share });
  };
  const show = button => {
    weights = layers[button.dataset.layer][button.dataset.head];
    const [width, height] = [left + keys.length * cell + 2, top + queries.length * cell + 2];
    const svg = draw("svg", { width, height, viewBox: `0 0 ${width} ${height}`, "aria-hidden": "true" });
    svg.append(draw("rect", { class: "paper", x: left, y: top, width: keys.length * cell, height: queries.length * cell }));
    weights.forEach((weight, index) => {
      if (weight === 0) return;
      const [query, key] = [Math.floor(index / keys.length), index % keys.length];
      const opacity = Math.sqrt(weight / 1000).toFixed(3);
      svg.append(draw("rect", { class: "weight", x: left + key * cell, y: top + query * cell, width: cell - 1, height: cell - 1, opacity }));
    });
    rows = queries.map((text, index) => draw("text",
      { x: left - 6, y: top + index * cell + cell / 2 + 4, "text-anchor": "end" }, shorter(text)));
    columns = keys.map((text, index) => {
      const [x, y] = [left + index * cell + cell / 2 + 4, top - 6];
      return draw("text", { x, y, transform: `rotate(-90 ${x} ${y})` }, shorter(text));
    });
    cursor = draw("rect", { class: "cursor", width: cell - 1, height: cell - 1, visibility: "hidden" });
    svg.append(...rows, ...columns, cursor);
    svg.addEventListener("pointermove", event => {
      const place = svg.getBoundingClientRect();
      const [key, query] = [(event.clientX - place.left - left) / cell, (event.clientY - place.top - top) / cell];
      if (key >= 0 && query >= 0) point(Math.floor(query), Math.floor(key));
    });
    plot.replaceChildren(svg);
    readout.textContent = "";
    at = undefined;
    figure.querySelector(".name").textContent = button.getAttribute("aria-label").split(". ")[0];
    all("button", box).forEach(other => other.setAttribute("aria-pressed", String(other === button)));
  };
  plot.addEventListener("keydown", event => {
    const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!step) return;
    event.preventDefault();
    const [query, key] = at ?? [queries.length - 1 - step[0], -step[1]];
    point(query + step[0], key + step[1]);
  });
  const buttons = all("button", box);
  buttons.forEach(button => button.addEventListener("click", () => show(button)));
  figure.hidden = false;
  show(buttons[0]);
});
