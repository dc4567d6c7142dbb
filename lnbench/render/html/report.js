"use strict";
(() => {
  const NARROW = 620; // pixels of a drawing below which names are shorter and figures beside rows are left out
  const found = JSON.parse(document.getElementById("plots").textContent);
  const choices = document.getElementById("choices");
  const chosenCase = document.getElementById("case");
  const records = {};
  for (const [name, columns] of Object.entries(found.records)) {
    const fields = Object.entries(columns).map(([field, column]) =>
      [field, Array.isArray(column) ? column : column.at.map((place) => column.each[place])]);
    const count = fields.length ? fields[0][1].length : 0;
    records[name] = Array.from({ length: count }, (_, row) =>
      Object.fromEntries(fields.map(([field, column]) => [field, column[row]])));
  }

  const chosen = () => Object.fromEntries(new FormData(choices));
  const current = () => found.cases.find((it) => it.case === Number(chosenCase.elements.implementation.value));
  const known = (value) => value !== null && value !== undefined && value !== "";

  function matching(plot, wanted) {
    const all = records[plot.dataset].filter((it) => plot.showsStatus || known(it[plot.needs]));
    if (plot.dataset === "points") {
      return all.filter((it) => it.phase === wanted.phase &&
        (!wanted.device || it.device === wanted.device) && (!wanted.dtype || it.dtype === wanted.dtype));
    }
    const shown = chosenCase && current();
    if (!shown) return [];
    if (plot.dataset === "conditions") return all.filter((it) => it.workload === shown.workload);
    return all.filter((it) => it.phase === wanted.phase && (it.case === shown.case || it.case === shown.reference));
  }

  // What a drawing shows, in words: on paper the choices are not there to say it.
  function caption(plot) {
    const wanted = chosen();
    if (plot.dataset === "points") {
      return [wanted.phase, wanted.device || "every device", wanted.dtype || "every dtype"].join(", ");
    }
    const shown = current();
    if (!shown) return "";
    if (plot.dataset === "conditions") return shown.workload;
    const reference = found.cases.find((it) => it.case === shown.reference);
    const beside = reference && reference !== shown ? ` beside ${reference.implementation}` : "";
    return `${shown.implementation}${beside}, ${wanted.phase}, ${shown.workload}`;
  }

  function specification(plot, values, room) {
    const narrow = room < NARROW;
    const made = structuredClone(narrow ? plot.narrow : plot.wide);
    made.spec.width = Math.max(room - plot.beside[narrow ? 1 : 0], 90);
    made.datasets = { [plot.dataset]: values };
    made.config = found.config;
    if (plot.name === "samples") {
      const names = [...new Set(values.map((it) => it.implementation))];
      for (const layer of made.spec.layer) {
        if (layer.encoding.color.legend) layer.encoding.color.legend.values = names;
      }
    }
    return made;
  }

  // Layers that leave out what was not measured make Vega-Lite warn that a panel's height may be wrong; it is right.
  const warn = console.warn;
  console.warn = (...told) => { if (!String(told).includes("faceted independent scales")) warn(...told); };

  async function draw(plot) {
    const section = document.querySelector(`[data-plot="${plot.name}"]`);
    const place = section.querySelector(".drawing");
    const values = matching(plot, chosen());
    const something = values.some((it) => known(it[plot.needs]));
    section.querySelector(".nothing").hidden = something;
    section.querySelector(".shown").textContent = caption(plot);
    place.hidden = !something;
    if (plot.view) plot.view.finalize();
    plot.view = null;
    if (!something) return;
    const made = await vegaEmbed(place.firstElementChild, specification(plot, values, place.clientWidth), {
      actions: false, renderer: "svg", loader: { load: () => Promise.reject(new Error("a report loads nothing")) },
    });
    plot.view = made.view;
  }

  let asked = 0;
  async function drawAll(plots) {
    const mine = ++asked;
    document.body.dataset.drawing = "yes";
    for (const plot of plots) {
      await draw(plot);
      if (mine !== asked && plots === found.plots) return; // another choice came in between
    }
    if (mine === asked) document.body.dataset.drawing = "no";
  }

  function filterTables() {
    const wanted = chosen();
    for (const section of document.querySelectorAll(".workload")) {
      section.hidden = (wanted.device && section.dataset.device !== wanted.device) ||
        (wanted.dtype && section.dataset.dtype !== wanted.dtype);
    }
    const parts = ["device", "dtype", "phase"].map((name) => wanted[name] || `every ${name}`);
    document.getElementById("said").textContent = `Shown: ${parts.join(", ")}`;
  }

  function option(text, value) {
    const made = document.createElement("option");
    made.textContent = text;
    made.value = value;
    return made;
  }

  function fillImplementations() {
    const { workload, implementation } = chosenCase.elements;
    const before = implementation.selectedOptions[0]?.textContent;
    const cases = found.cases.filter((it) => it.workload === workload.value);
    implementation.replaceChildren(...cases.map((it) => option(it.implementation, it.case)));
    const same = cases.find((it) => it.implementation === before);
    const other = cases.find((it) => it.case !== it.reference);
    const first = same ?? other ?? cases[0];
    if (first) implementation.value = first.case;
  }

  if (chosenCase) {
    const names = [...new Set(found.cases.map((it) => it.workload))];
    chosenCase.elements.workload.replaceChildren(...names.map((name) => option(name, name)));
    fillImplementations();
    chosenCase.addEventListener("change", (event) => {
      if (event.target.name === "workload") fillImplementations();
      drawAll(found.plots.filter((plot) => plot.dataset !== "points"));
    });
    chosenCase.addEventListener("submit", (event) => event.preventDefault());
  }
  choices.addEventListener("change", () => { filterTables(); drawAll(found.plots); });
  choices.addEventListener("submit", (event) => event.preventDefault());

  let width = document.documentElement.clientWidth;
  let waiting;
  addEventListener("resize", () => {
    if (document.documentElement.clientWidth === width) return;
    width = document.documentElement.clientWidth;
    clearTimeout(waiting);
    waiting = setTimeout(() => drawAll(found.plots), 150);
  });
  filterTables();
  drawAll(found.plots);
})();
