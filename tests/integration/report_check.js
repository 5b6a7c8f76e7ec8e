// Runs inside a report's page in a real browser, and leaves what it found in <pre id="verdict">.
(async () => {
  const found = [];
  const expect = (what, holds) => { if (!holds) found.push(what); };
  const all = (selector, root = document) => [...root.querySelectorAll(selector)];
  const one = (selector, root = document) => root.querySelector(selector);
  const wait = milliseconds => new Promise(resolve => setTimeout(resolve, milliseconds));
  const until = async (what, holds) => {
    for (let turn = 0; turn < 200; turn++) { if (holds()) return; await wait(25); }
    found.push(`waited in vain: ${what}`);
  };
  const set = (element, value, event) => { element.value = value; element.dispatchEvent(new Event(event, { bubbles: true })); };
  const seen = element => element.checkVisibility({ visibilityProperty: true, contentVisibilityAuto: true }) && element.getBoundingClientRect().width > 0;

  // every colour that a browser computes, as [red, green, blue, alpha] from 0 to 255 and 0 to 1
  const colour = text => {
    const numbers = (text.match(/[\d.]+(?:e-?\d+)?/g) ?? []).map(Number);
    if (text.startsWith("color(srgb")) return [...numbers.slice(0, 3).map(part => part * 255), numbers[3] ?? 1];
    return [...numbers.slice(0, 3), numbers[3] ?? 1];
  };
  const over = ([r, g, b, a], [R, G, B]) => [r * a + R * (1 - a), g * a + G * (1 - a), b * a + B * (1 - a), 1];
  const ground = element => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(colour(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const luminance = parts => parts.slice(0, 3).map(part => part / 255)
    .map(part => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const contrast = (one, other) => {
    const [low, high] = [luminance(one), luminance(other)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  // WCAG 2.2, 1.4.3: text that is seen, against what is behind it
  const readable = theme => {
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    const told = new Set();
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      if (!texts.currentNode.data.trim() || !seen(element) || element.closest("script, style, .unseen, .skip, :disabled")) continue;
      const style = getComputedStyle(element);
      const inSvg = element instanceof SVGElement;
      const behind = ground(inSvg ? element.closest("svg").parentElement : element);
      // the boxes of the graph have a ground of their own
      const box = inSvg && element.closest(".node") ? colour(getComputedStyle(element.closest(".node").querySelector("rect:not(.behind)")).fill) : behind;
      const ink = over(colour(inSvg ? style.fill : style.color), box);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      const ratio = contrast(ink, box);
      if (ratio < (large ? 3 : 4.5)) told.add(`${theme}: contrast ${ratio.toFixed(2)} of ${element.tagName}.${element.getAttribute("class") ?? ""} “${texts.currentNode.data.trim().slice(0, 30)}”`);
    }
    found.push(...told);
  };
  // names, roles, headings, labels, identifiers, focus: what axe-core's rules of levels A and AA find on such pages
  const accessible = () => {
    const text = element => (element.getAttribute("aria-label") ?? "").trim() || element.textContent.trim();
    const labelled = element => text(element) || (element.labels && [...element.labels].some(label => label.textContent.trim())) || element.getAttribute("aria-labelledby");
    all("button, a[href], input, select, summary, [role=region], [role=img], [role=group], nav").forEach(element =>
      expect(`no name: ${element.outerHTML.slice(0, 120)}`, labelled(element) || element.closest("label")?.textContent.trim()));
    const levels = all("h1, h2, h3, h4, h5, h6").filter(heading => heading.checkVisibility()).map(heading => Number(heading.tagName[1]));
    expect("one h1", levels.filter(level => level === 1).length === 1);
    levels.forEach((level, index) => expect(`heading ${index} jumps to ${level}`, index === 0 ? level === 1 : level <= levels[index - 1] + 1));
    const ids = all("[id]").map(element => element.id);
    expect(`identifiers are unique: ${ids.filter((id, index) => ids.indexOf(id) !== index).slice(0, 5)}`, new Set(ids).size === ids.length);
    all("[aria-labelledby]").forEach(element => expect("a label that is not there", document.getElementById(element.getAttribute("aria-labelledby"))));
    all("th").forEach(cell => expect(`a heading cell without scope: ${cell.textContent}`, cell.scope));
    all("table").forEach(table => expect("a table without headings", one("th", table)));
    all("fieldset").forEach(set => expect("a fieldset without a legend", one("legend", set)));
    all("[tabindex]").forEach(element => expect("a positive tabindex", element.tabIndex <= 0));
    all("[aria-hidden=true]").forEach(element => expect("focus in what is hidden", !one("a, button, input, select, [tabindex]", element)));
    all(".scroll").forEach(box => expect("a scrolling box without the keyboard", box.tabIndex === 0));
    expect("a language", document.documentElement.lang.length === 2);
    expect("landmarks", one("main") && one("header") && one("nav[aria-label]") && one("footer"));
    const handlers = all("*").flatMap(element => [...element.attributes]).filter(attribute => /^on/i.test(attribute.name));
    expect("no handler in an attribute", handlers.length === 0);
    // what has the focus shows it: a page without a window has no focus, so its style is asked
    const rules = [...document.styleSheets].flatMap(sheet => [...sheet.cssRules]).filter(rule => rule.selectorText?.includes(":focus-visible") && rule.style.outlineStyle !== "none");
    const shows = element => rules.some(rule => rule.selectorText.split(",").map(part => part.trim())
      .some(part => part.includes(":focus-visible") && element.matches(part.split(":focus-visible")[0] || "*")));
    all("button, a[href], select, summary, input, [tabindex]").forEach(element => expect(`focus is not seen: ${element.outerHTML.slice(0, 100)}`, shows(element)));
  };

  const facts = {};
  try {
    await until("samples", () => all("[data-samples]").every(box => "ready" in box.dataset));
    // the table: sorting by raw values, what is missing last
    const box = one(".comparison");
    const head = all("th[aria-sort]", box);
    const leading = one("th.leading", box);
    const column = leading.cellIndex;
    const values = () => all("tbody tr", box).map(row => row.cells[column].dataset.value);
    one("button", leading).click();
    const falling = values().filter(Boolean).map(Number);
    expect("sorted falling", leading.getAttribute("aria-sort") === "descending" && falling.every((value, index) => index === 0 || falling[index - 1] >= value));
    expect("missing comes last", values().slice(falling.length).every(value => value === ""));
    one("button", leading).click();
    const rising = values().filter(Boolean).map(Number);
    expect("sorted rising", leading.getAttribute("aria-sort") === "ascending" && rising.every((value, index) => index === 0 || rising[index - 1] <= value));
    expect("one column sorts", head.filter(heading => heading.getAttribute("aria-sort") !== "none").length === 1);
    const filter = one("[data-filter]", box);
    if (filter) {
      const rows = all("tbody tr", box);
      const word = one("bdi", rows[0]).textContent;
      set(filter, word, "input");
      expect("filtered", rows.every(row => row.hidden || row.textContent.toLowerCase().includes(word.toLowerCase())) && rows.some(row => !row.hidden));
      set(filter, "no such system", "input");
      expect("nothing fits", rows.every(row => row.hidden));
      set(filter, "", "input");
      expect("all again", rows.every(row => !row.hidden));
    }
    const boxes = all("[data-columns] input", box);
    boxes[boxes.length - 1].click();
    const last = one("thead tr", box).cells.length - 1;
    expect("a column goes", all("tr", box).every(row => row.cells[last].hidden));
    boxes[boxes.length - 1].click();
    expect("a column comes back", all("tr", box).every(row => !row.cells[last].hidden));
    // charts
    const panels = all("[data-panels] .bar-above .choice input");
    if (panels.length > 1) {
      panels[0].click();
      expect("one metric's charts", all("[data-panel]", panels[0].closest("[data-panels]")).filter(panel => !panel.hidden).length === 1);
      panels.find(input => input.defaultChecked)?.click();
    }
    const lines = one("#training [data-lines]");
    if (lines) {
      one("input[value=log]", lines).click();
      expect("a logarithmic axis", seen(one("[data-scale=log]", lines)) && !seen(one("[data-scale=linear]", lines)));
      const plot = one(".plot", lines);
      plot.dispatchEvent(new KeyboardEvent("keydown", { key: "End", bubbles: true }));
      const before = one(".readout", lines).textContent;
      plot.dispatchEvent(new KeyboardEvent("keydown", { key: "Home", bubbles: true }));
      expect("arrow keys read values", before !== "" && one(".readout", lines).textContent !== before);
      const area = one("[data-scale=log] svg[data-range]", lines).getBoundingClientRect();
      plot.dispatchEvent(new PointerEvent("pointermove", { clientX: area.left + area.width * 0.9, clientY: area.top + 20, bubbles: true }));
      expect("a pointer reads values", one(".readout b", lines));
    }
    all(".drawing").forEach(drawing => {
      if (!seen(drawing)) return;
      const shown = all(".wide, .narrow", drawing).filter(seen);
      expect("one drawing for the width", shown.length === 1);
    });
    // samples
    const samples = one("[data-samples]");
    const titles = () => all("article", samples).map(article => article.dataset.row);
    const status = () => one("[data-status]", samples).textContent;
    facts.samples = status();
    const first = titles();
    expect("samples are shown", first.length > 0);
    const next = one("[data-pager] button[data-step='1']", samples);
    if (!one("[data-pager]", samples).hidden) {
      next.click();
      await until("the next page", () => titles()[0] !== first[0]);
      set(one("[data-page]", samples), one("[data-page]", samples).max, "change");
      await until("the last page", () => next.disabled);
      facts.last = titles();
    }
    for (const order of ["high", "low", "spread"]) {
      set(one("[data-order]", samples), order, "change");
      await wait(100);
      await until(`order ${order}`, () => all("article", samples).length > 0 && one("[data-page]", samples).value === "1");
      if (order !== "spread") {
        const scores = all("article", samples).map(article => all(".value", article).map(value => parseFloat(value.textContent.replace(",", "."))).filter(Number.isFinite))
          .map(scores => scores.reduce((sum, score) => sum + score, 0) / scores.length);
        const sorted = scores.every((score, index) => index === 0 || (order === "high" ? scores[index - 1] >= score - 0.002 : scores[index - 1] <= score + 0.002));
        expect(`samples in order ${order}: ${scores}`, sorted);
      }
    }
    set(one("[data-order]", samples), "data", "change");
    await until("the data's order", () => titles()[0] === first[0]);
    if (window.NEEDLE) {
      set(one("[data-search]", samples), window.NEEDLE, "input");
      await until("the search", () => all("article", samples).length === 1 && !status().includes("%"));
      facts.found = titles();
      set(one("[data-search]", samples), "no sample has this text", "input");
      await until("nothing found", () => all("article", samples).length === 0 && !status().includes("%"));
      set(one("[data-search]", samples), "", "input");
      await until("all samples again", () => titles()[0] === first[0]);
    }
    const systems = all("[data-systems] input", samples);
    if (systems.length > 1) {
      const outputs = all("article ul.outputs > li", samples).length;
      systems[0].click();
      await until("a system goes", () => all("article ul.outputs > li", samples).length !== outputs);
      systems[0].click();
      await until("a system comes back", () => all("article ul.outputs > li", samples).length === outputs);
    }
    // a model of a dozen updates may write nothing, and nothing that is right
    if (window.NEEDLE) {
      expect("differences are marked", all("article ins, article del", samples).length > 0);
      set(one("[data-marks]", samples), "common", "change");
      await until("common words are marked", () => all("article mark", samples).length > 0 && all("article ins", samples).length === 0);
    }
    set(one("[data-marks]", samples), "difference", "change");
    await wait(100);
    const more = one("article button.more", samples);
    if (more) {
      const text = more.previousElementSibling;
      const before = text.textContent.length;
      more.click();
      expect("a long text is shown whole", text.textContent.length > before);
      facts.whole = text.textContent.length;
    }
    // accessibility in both themes
    all("details").forEach(details => { details.open = !details.classList.contains("pick"); });
    accessible();
    const root = document.documentElement;
    const button = one("[data-theme-button]");
    const paper = () => getComputedStyle(document.body).backgroundColor;
    const before = paper();
    readable("as it opens");
    button.click();
    expect("the theme changes", paper() !== before && root.dataset.theme);
    readable(root.dataset.theme);
    facts.themes = [before, paper()];
    facts.overflow = root.scrollWidth - root.clientWidth;
    expect(`the page is wider than the window by ${facts.overflow}`, facts.overflow <= 0);
    // nothing from a network
    facts.resources = performance.getEntriesByType("resource").map(entry => entry.name).filter(name => !name.startsWith("file:"));
    expect(`from a network: ${facts.resources}`, facts.resources.length === 0);
    facts.alerts = window.ALERTS ?? 0;
    expect("no text ran as a script", facts.alerts === 0 && !window.HURT);
  } catch (error) {
    found.push(`${error}\n${error.stack}`);
  }
  const verdict = document.createElement("pre");
  verdict.id = "verdict";
  verdict.textContent = JSON.stringify({ found, facts });
  document.body.append(verdict);
})();
