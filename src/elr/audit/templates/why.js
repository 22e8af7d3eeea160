// Why a label is suspect: its course, networks that never saw it, the nearest rows, the columns that differ.
"use strict";
const Why = (() => {
  const SVG = document.getElementById("pen").namespaceURI;
  const [WIDTH, HEIGHT, EDGE] = [260, 64, 3];

  function drawn(tag, properties, ...children) {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(properties)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  }

  const percent = (value) => (value === null ? "not said" : `${value} %`);

  /** A line through what was said; where nothing was, it has a gap. */
  function path(values) {
    const step = (WIDTH - 2 * EDGE) / Math.max(1, values.length - 1);
    let pen = "M";
    const parts = values.map((value, place) => {
      if (value === null) {
        pen = "M";
        return "";
      }
      const part = `${pen}${(EDGE + place * step).toFixed(1)} ${(HEIGHT - EDGE - (value / 100) * (HEIGHT - 2 * EDGE)).toFixed(1)}`;
      pen = "L";
      return part;
    });
    return parts.join("");
  }

  function course(why, [given, favored], { element, classNamed }) {
    if (!why.epochs.length) return [];
    const [first, last] = [why.epochs[0], why.epochs[why.epochs.length - 1]];
    const ends = (values) => `${percent(values[0])} to ${percent(values[values.length - 1])}`;
    const line = (kind, label, values) => element(
      "span", { className: `line ${kind}` }, label, " ", classNamed(kind === "given" ? given : favored), `: ${ends(values)}`,
    );
    const figure = drawn(
      "svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "course", "aria-hidden": "true", preserveAspectRatio: "none" },
      drawn("path", { class: "middle", d: `M0 ${HEIGHT / 2}H${WIDTH}` }),
      drawn("path", { class: "given", d: path(why.given) }),
      drawn("path", { class: "favored", d: path(why.favored) }),
    );
    const whose = why.blind ? "all networks that never saw this label" : "networks that were trained on it";
    return [
      element("h4", {}, `Course, epochs ${first} to ${last}, by ${whose}`),
      figure,
      element("p", {}, line("given", "given", why.given), line("favored", "suggested", why.favored)),
    ];
  }

  function votes(why, [given], { element, name, classNamed }) {
    if (!why.votes.length) return [];
    const same = why.votes.filter(([, says]) => says === given).length;
    const list = why.votes.map(([network, says, value, chosen]) =>
      element("li", {}, name(network, 60), chosen ? " (chosen: decides): " : ": ", element("strong", {}, classNamed(says)), ` ${percent(value)}`),
    );
    const title = `${same} of ${why.votes.length} networks that never saw this label agree with it`;
    return [element("h4", {}, title), element("ul", { className: "votes" }, ...list)];
  }

  function neighbors(why, _, { element, name, rowName, classNamed, pictureOf }) {
    if (!why.neighbors.length) return [];
    const rows = why.neighbors.map(([row, id, label, issue, distance, contents]) => {
      const about = [`row ${row}`];
      if (id !== null) about.push(", ", rowName(id));
      const image = pictureOf(row);
      return element(
        "li", {}, ...(image ? [image] : []),
        element("strong", {}, classNamed(label)), issue ? " (itself a suspect)" : "", ", ", ...about, `, distance ${distance}`,
        ...(contents ? [element("span", { className: "contents" }, name(contents, 300))] : []),
      );
    });
    return [element("h4", {}, `Nearest rows, by ${why.space}`), element("ol", { className: "near" }, ...rows)];
  }

  function differences(why, [given, favored], { element, name, classNamed }) {
    if (!why.differences.length) return [];
    const cell = (tag, ...children) => element(tag, {}, ...children);
    const head = cell(
      "tr", cell("th", "column"), cell("th", "value, and what is like it"),
      cell("th", "of ", classNamed(given)), cell("th", "of ", classNamed(favored)),
    );
    const rows = why.differences.map(([column, value, alike, few, many]) => cell(
      "tr", cell("td", name(column, 40)), cell("td", name(value, 60), ...(alike === value ? [] : [" (", name(alike, 60), ")"])),
      cell("td", percent(few)), cell("td", percent(many)),
    ));
    const text = "Columns that differ: how many of either class, suspects left out, have a value like it";
    const table = element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows));
    return [element("h4", {}, text), element("div", { className: "scroll" }, table)];
  }

  /** All that is known, as an element; `classes` are the names of the given and the suggested one. */
  function panel(why, classes, tools) {
    const { element } = tools;
    const parts = [course, votes, neighbors, differences].flatMap((part) => {
      const made = part(why, classes, tools);
      return made.length ? [element("div", {}, ...made)] : [];
    });
    return element("div", { className: "why" }, ...parts, ...why.notes.map((note) => element("p", {}, note)));
  }

  return { panel };
})();
