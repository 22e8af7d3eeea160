// The review of suspects: filter, decide, keep, export. All text of the data goes in as text, never as markup.
(() => {
  const PAGE_SIZE = 50;
  const MAX_PAIRS = 300; // in the filter; rarer ones share one entry
  const MANY_CLASSES = 50; // above it the choice of other classes is filled when it is first needed
  // Control characters, lone surrogates and what would reorder the page, as in elr.suspects.
  const UNPRINTABLE = new RegExp(
    "[\\u0000-\\b\\u000b\\f\\u000e-\\u001f\\u007f-\\u009f\\u202a-\\u202e\\u2066-\\u2069\\ufffe\\uffff]" +
      "|[\\ud800-\\udbff](?![\\udc00-\\udfff])|(?<![\\ud800-\\udbff])[\\udc00-\\udfff]",
    "g",
  );
  const OTHER = ["skip", "why"]; // buttons that are no decision
  const WORDS = { accept: "accepted", keep: "kept", relabel: "changed" };

  const at = (id) => document.getElementById(id);
  const data = JSON.parse(at("review-data").textContent);
  const { names, columns } = data;
  const suspects = data.rows.map(([row, id, given, predicted, quality, picture, cells, why]) => ({
    row, id, given, predicted, quality, picture: picture || "", cells: cells || null, why: why || null, words: null,
  }));
  const byRow = new Map(suspects.map((suspect) => [suspect.row, suspect]));

  // Text of the data, for people.

  const clip = (text, limit) => (text.length <= limit ? text : text.slice(0, limit - 1) + "…");
  const shown = (text, limit) => clip(text.replace(UNPRINTABLE, "\ufffd"), limit);
  const count = (number) => number.toLocaleString("en-US");
  const quality = (value) => (value < 0.0005 ? "< 0.001" : value.toFixed(3));

  function element(tag, properties = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name in made) made[name] = value;
      else made.setAttribute(name, value);
    }
    made.append(...children);
    return made;
  }

  function name(text, limit) {
    const made = element("bdi", {}, shown(text, limit));
    if (text.length > limit) made.title = shown(text, 1000);
    return made;
  }

  // Classes, in full as far as a card can hold them; what stands for longer ones is different for each.

  const places = new Map(names.map((text, place) => [text, place]));
  const called = (place) => shown(data.short[place] ?? names[place], 1000);
  const spoken = (place) => "\u2068" + called(place) + "\u2069"; // where no element fits
  const classed = (place) => {
    const made = element("bdi", {}, called(place));
    if (place in data.short) made.title = shown(names[place], 1000);
    return made;
  };

  // Of a long name of a row the end counts: that of a path is the file.
  function rowName(text) {
    const [limit, head] = [60, 12];
    if (text.length <= limit) return name(text, limit);
    const made = element("bdi", {}, shown(text.slice(0, head) + "…" + text.slice(head + 1 - limit), limit));
    made.title = shown(text, 1000);
    return made;
  }

  // Decisions: row -> {decision, label}, where label is a place in names. The browser keeps them, if it lets us.

  const decisions = new Map();
  const past = []; // what each decision replaced, for undo
  const KEY = `elr-decisions-${data.key}`;

  function keep() {
    try {
      const plain = [...decisions].map(([row, { decision, label }]) => [row, decision, label]);
      localStorage.setItem(KEY, JSON.stringify(plain));
      at("unkept").hidden = true;
    } catch {
      at("unkept").hidden = false;
    }
  }

  function recall() {
    try {
      for (const [row, decision, label] of JSON.parse(localStorage.getItem(KEY) ?? "[]")) {
        const suspect = byRow.get(row);
        const expected = { accept: suspect?.predicted, keep: suspect?.given, relabel: label }[decision];
        const known = Number.isInteger(label) && label >= 0 && label < names.length;
        if (suspect && known && label === expected) decisions.set(row, { decision, label });
      }
    } catch {
      at("unkept").hidden = false;
    }
  }

  // What is shown: a filtered, sorted view of which one page is in the document; one suspect is the current one.

  let view = suspects;
  let current = 0;
  let items = []; // elements of the page
  const first = () => Math.floor(current / PAGE_SIZE) * PAGE_SIZE;

  function words(suspect) {
    suspect.words ??= [`row ${suspect.row}`, suspect.id ?? "", ...(suspect.cells ?? [])].join("\n").toLowerCase();
    return suspect.words;
  }

  const pairOf = ({ given, predicted }) => `${given},${predicted}`;
  const pairs = new Map();
  for (const suspect of suspects) pairs.set(pairOf(suspect), (pairs.get(pairOf(suspect)) ?? 0) + 1);
  const frequent = [...pairs].sort((one, other) => other[1] - one[1]).slice(0, MAX_PAIRS);

  function fillPairs() {
    const options = frequent.map(([pair, number]) => {
      const [given, predicted] = pair.split(",").map(Number);
      const text = `${spoken(given)} → ${spoken(predicted)} (${count(number)})`;
      return element("option", { value: pair }, text);
    });
    const rare = suspects.length - frequent.reduce((sum, [, number]) => sum + number, 0);
    if (rare) options.push(element("option", { value: "rare" }, `rarer pairs (${count(rare)})`));
    at("pair").append(element("option", { value: "" }, `all (${count(suspects.length)})`), ...options);
  }

  function fits(suspect, { pair, status, search, common }) {
    if (pair && (pair === "rare" ? common.has(pairOf(suspect)) : pairOf(suspect) !== pair)) return false;
    if (status && decisions.has(suspect.row) !== (status === "decided")) return false;
    return !search || words(suspect).includes(search);
  }

  const ORDERS = {
    quality: (one, other) => one.quality - other.quality || one.row - other.row,
    row: (one, other) => one.row - other.row,
    given: (one, other) => one.given - other.given || ORDERS.quality(one, other),
  };

  function refresh() {
    const wanted = {
      pair: at("pair").value,
      status: at("status").value,
      search: at("search").value.trim().toLowerCase(),
      common: new Set(frequent.map(([pair]) => pair)),
    };
    view = suspects.filter((suspect) => fits(suspect, wanted)).sort(ORDERS[at("order").value]);
    current = 0;
    draw();
    say(`${count(view.length)} suspects`);
  }

  function draw() {
    const page = view.slice(first(), first() + PAGE_SIZE);
    items = page.map((suspect, place) => item(suspect, first() + place));
    at("items").replaceChildren(...items);
    at("none").hidden = view.length > 0;
    const last = Math.max(1, Math.ceil(view.length / PAGE_SIZE));
    at("page").textContent = `page ${first() / PAGE_SIZE + 1} of ${last}`;
    at("previous").disabled = first() === 0;
    at("next").disabled = first() + PAGE_SIZE >= view.length;
    mark();
    progress();
  }

  function progress() {
    at("progress").value = decisions.size / suspects.length;
    at("count").textContent = `${count(decisions.size)} of ${count(suspects.length)} decided`;
    at("export").disabled = decisions.size === 0;
    at("undo").disabled = past.length === 0;
  }

  const say = (text) => (at("said").textContent = text);

  // Only the current suspect and its controls are stops of the tab key.
  function mark() {
    items.forEach((made, place) => {
      const is = first() + place === current;
      made.tabIndex = is ? 0 : -1;
      if (is) made.setAttribute("aria-current", "true");
      else made.removeAttribute("aria-current");
      for (const control of made.querySelectorAll("button, select")) control.tabIndex = is ? 0 : -1;
    });
  }

  function go(place, { focus = true } = {}) {
    const before = first();
    current = Math.max(0, Math.min(place, view.length - 1));
    if (first() === before) mark();
    else draw();
    if (focus && items.length) items[current - first()].focus();
  }

  // One suspect.

  function item(suspect, place) {
    const pictured = at("items").classList.contains("cards");
    const where = [`quality ${quality(suspect.quality)}, row ${suspect.row}`];
    if (suspect.id !== null) where.push(", ", rowName(suspect.id));
    const made = element(
      "li",
      { className: "item" },
      ...(pictured ? [picture(suspect)] : []),
      element("p", { className: "flip" }, struck(suspect), " → ", element("strong", {}, classed(suspect.predicted))),
      element("p", { className: "where" }, ...where),
      ...cells(suspect, pictured),
      element("p", { className: "verdict" }),
      controls(suspect, place),
    );
    made.addEventListener("focusin", () => {
      if (current !== place) go(place, { focus: false });
    });
    paint(made, suspect);
    return made;
  }

  const struck = ({ given, predicted }) => element(given === predicted ? "span" : "del", {}, classed(given));

  function picture(suspect) {
    if (!suspect.picture) {
      const text = suspect.cells ? "no picture" : "No picture: the page has room for the worst ones only.";
      return element("div", { className: "blank" }, text);
    }
    const kind = suspect.picture.startsWith("iVBOR") ? "png" : "jpeg";
    const image = element("img", { alt: `Row ${suspect.row}`, src: `data:image/${kind};base64,${suspect.picture}` });
    image.addEventListener("load", () => {
      if (kind === "png" && image.naturalWidth <= 64) image.classList.add("pixels");
    });
    return image;
  }

  function cells(suspect, pictured) {
    if (!suspect.cells) {
      const text = "Its cells found no room on this page: look it up in the data.";
      return columns.length && !pictured ? [element("p", { className: "where" }, text)] : [];
    }
    const list = element("dl", { className: "cells" });
    suspect.cells.forEach((text, place) => {
      if (!text) return;
      const parts = [element("dt", {}, name(columns[place], 32)), element("dd", {}, name(text, 300))];
      list.append(element("div", { className: text.length > 60 ? "long" : "" }, ...parts));
    });
    return [list];
  }

  function controls(suspect, place) {
    const button = (decision, text, label) => {
      const made = element("button", { type: "button", value: decision, title: label }, text);
      made.addEventListener("click", () => act(place, decision));
      return made;
    };
    const other = element("select", { "aria-label": `Another class for row ${suspect.row}` });
    other.append(element("option", { value: "" }, "other class…"));
    const fill = () => {
      if (other.length > 1) return;
      for (let label = 0; label < data.classes; label++) {
        other.append(element("option", { value: String(label) }, spoken(label)));
      }
    };
    if (data.classes <= MANY_CLASSES) fill();
    for (const event of ["focus", "pointerenter", "pointerdown"]) other.addEventListener(event, fill);
    other.addEventListener("change", () => {
      if (other.value !== "") act(place, "relabel", Number(other.value));
    });
    return element(
      "div",
      { className: "acts" },
      button("accept", "Accept", "Accept the suggestion (a)"),
      button("keep", "Keep", "Keep the given label (x)"),
      button("skip", "Skip", "Leave it undecided (s)"),
      ...(suspect.why ? [why(place)] : []),
      other,
    );
  }

  function why(place) {
    const made = element("button", { type: "button", value: "why", title: "Why it is suspect (e)" }, "Why?");
    made.setAttribute("aria-expanded", "false");
    made.addEventListener("click", () => explain(place));
    return made;
  }

  /** Open what explains a suspect, or close it. */
  function explain(place) {
    const [made, suspect] = [items[place - first()], view[place]];
    const button = made.querySelector('button[value="why"]');
    if (!button) return;
    const open = made.querySelector(".why");
    if (open) open.remove();
    else made.append(Why.panel(suspect.why, [names[suspect.given], names[suspect.predicted]], { element, name, rowName, classNamed, pictureOf }));
    button.setAttribute("aria-expanded", String(!open));
    made.classList.toggle("explained", !open);
  }

  const classNamed = (text) => (places.has(text) ? classed(places.get(text)) : name(text, 300));
  const pictureOf = (row) => (byRow.get(row)?.picture ? picture(byRow.get(row)) : null);

  /** Show the decision on a suspect in its element. */
  function paint(made, suspect) {
    const taken = decisions.get(suspect.row);
    made.classList.remove(...Object.keys(WORDS));
    if (taken) made.classList.add(taken.decision);
    made.querySelector(".verdict").replaceChildren(
      ...(taken ? [`${WORDS[taken.decision]}: `, classed(taken.label)] : []),
    );
    for (const button of made.querySelectorAll("button")) {
      if (!OTHER.includes(button.value)) button.setAttribute("aria-pressed", String(button.value === taken?.decision));
    }
    const other = made.querySelector("select");
    other.value = "";
    const [given, predicted] = [spoken(suspect.given), spoken(suspect.predicted)];
    const told = taken ? `${WORDS[taken.decision]}: ${spoken(taken.label)}` : "not decided";
    made.setAttribute("aria-label", `Row ${suspect.row}: given ${given}, suggested ${predicted}, ${told}`);
  }

  // Deciding.

  function act(place, decision, label) {
    const suspect = view[place];
    const before = decisions.get(suspect.row);
    if (decision === "skip") decisions.delete(suspect.row);
    else {
      // Another class that is one of the two has a decision of its own.
      const wanted = { accept: suspect.predicted, keep: suspect.given, relabel: label }[decision];
      let meant = decision;
      if (decision === "relabel" && wanted === suspect.predicted) meant = "accept";
      if (decision === "relabel" && wanted === suspect.given) meant = "keep";
      decisions.set(suspect.row, { decision: meant, label: wanted });
    }
    const after = decisions.get(suspect.row);
    if (before || after) past.push({ row: suspect.row, before });
    settle(suspect.row);
    const told = after ? `${WORDS[after.decision]}, ${spoken(after.label)}` : "skipped";
    say(`Row ${suspect.row} ${told}. ${count(decisions.size)} of ${count(suspects.length)} decided.`);
    go(place + 1);
  }

  function undo() {
    const last = past.pop();
    if (!last) return;
    if (last.before) decisions.set(last.row, last.before);
    else decisions.delete(last.row);
    settle(last.row);
    const place = view.indexOf(byRow.get(last.row));
    if (place >= 0) go(place);
    say(`Row ${last.row} is as before. ${count(decisions.size)} of ${count(suspects.length)} decided.`);
  }

  /** After a decision has changed: keep it, show it. */
  function settle(row) {
    keep();
    const place = view.indexOf(byRow.get(row)) - first();
    if (items[place]) paint(items[place], byRow.get(row));
    progress();
  }

  // decisions.csv: RFC 4180, every text in quotes, exactly as in the data.

  const quoted = (text) => `"${text.replaceAll('"', '""')}"`;

  function csv() {
    const run = data.run ? [data.run] : []; // elr clean holds it against the run that it is given
    const lines = ["row,id,given_label,decision,label" + (data.run ? ",run" : "")];
    for (const [row, { decision, label }] of [...decisions].sort(([one], [other]) => one - other)) {
      const { id, given } = byRow.get(row);
      lines.push([row, quoted(id ?? ""), quoted(names[given]), decision, quoted(names[label]), ...run].join(","));
    }
    return lines.join("\r\n") + "\r\n";
  }

  function save() {
    const address = URL.createObjectURL(new Blob([csv()], { type: "text/csv;charset=utf-8" }));
    const link = element("a", { href: address, download: "decisions.csv" });
    document.body.append(link);
    link.click();
    link.remove();
    setTimeout(() => URL.revokeObjectURL(address), 10000);
    say(`${count(decisions.size)} decisions exported`);
  }

  // Keys, for the current suspect: also while nothing has the focus, or a button elsewhere, but never in a field.

  function above(place, step) {
    const { left, top } = items[place - first()].getBoundingClientRect();
    for (let other = place + step; other >= first() && other < first() + items.length; other += step) {
      const box = items[other - first()].getBoundingClientRect();
      if (box.top !== top && Math.abs(box.left - left) < 2) return other;
    }
    return step < 0 ? Math.max(0, first() - 1) : Math.min(view.length - 1, first() + PAGE_SIZE);
  }

  const KEYS = {
    ArrowRight: () => go(current + 1),
    ArrowLeft: () => go(current - 1),
    ArrowDown: () => go(above(current, 1)),
    ArrowUp: () => go(above(current, -1)),
    Home: () => go(first()),
    End: () => go(first() + items.length - 1),
    j: () => go(current + 1),
    k: () => go(current - 1),
    n: () => go(first() + PAGE_SIZE < view.length ? first() + PAGE_SIZE : current),
    p: () => go(first() - PAGE_SIZE),
    a: () => act(current, "accept"),
    x: () => act(current, "keep"),
    s: () => act(current, "skip"),
    u: undo,
    e: () => explain(current),
    o: () => items[current - first()].querySelector("select").focus(),
    "/": () => at("search").focus(),
  };

  const isField = (target) => target.isContentEditable || ["INPUT", "SELECT", "TEXTAREA"].includes(target.tagName);

  /** Whether one sees the current suspect: what is not seen is not decided on. */
  function isSeen() {
    const { top, bottom, height } = items[current - first()].getBoundingClientRect();
    return Math.min(bottom, innerHeight) - Math.max(top, 0) >= Math.min(height, innerHeight) / 2;
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !view.length) return;
    const inside = event.target.closest?.(".item");
    if (event.target.tagName === "SELECT" && inside) {
      if (event.key === "Escape") items[current - first()].focus();
      return;
    }
    if (event.target === at("search") && event.key === "Enter") go(0);
    const loose = !inside && !isField(event.target) && event.key.length === 1; // arrows scroll the page there
    if (!(inside || loose) || !Object.hasOwn(KEYS, event.key)) return;
    event.preventDefault();
    const enters = event.key === "j" || (!["u", "/"].includes(event.key) && !isSeen());
    if (loose && enters) go(current);
    else KEYS[event.key]();
  });

  for (const id of ["pair", "status", "order"]) at(id).addEventListener("change", refresh);
  at("search").addEventListener("input", refresh);
  at("previous").addEventListener("click", KEYS.p);
  at("next").addEventListener("click", KEYS.n);
  at("undo").addEventListener("click", undo);
  at("export").addEventListener("click", save);
  at("reset").addEventListener("click", () => {
    for (const id of ["pair", "status", "search"]) at(id).value = "";
    refresh();
  });

  const issues = Number(at("review").dataset.issues);
  if (issues > suspects.length) {
    at("extent").textContent = `Here are the worst ${count(suspects.length)} of ${count(issues)}; issues.csv has the rest.`;
  }
  recall();
  fillPairs();
  if (suspects.length) {
    draw();
    at("review").hidden = false;
    at("worst").hidden = true;
  }
})();
