"use strict";
(() => {
  const NARROW = 620; // pixels of a drawing below which names are shorter and figures beside rows are left out
  const { found } = page;
  const choices = document.getElementById("choices");
  const chosenCase = document.getElementById("case");
  const records = Object.fromEntries(
    Object.entries(found.records).map(([name, columns]) => [name, page.records(columns)]));

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
    const made = await page.embed(place.firstElementChild, specification(plot, values, place.clientWidth));
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

  function fillImplementations() {
    const { workload, implementation } = chosenCase.elements;
    const before = implementation.selectedOptions[0]?.textContent;
    const cases = found.cases.filter((it) => it.workload === workload.value);
    implementation.replaceChildren(...cases.map((it) => page.option(it.implementation, it.case)));
    const same = cases.find((it) => it.implementation === before);
    const other = cases.find((it) => it.case !== it.reference);
    const first = same ?? other ?? cases[0];
    if (first) implementation.value = first.case;
  }

  if (chosenCase) {
    const names = [...new Set(found.cases.map((it) => it.workload))];
    chosenCase.elements.workload.replaceChildren(...names.map((name) => page.option(name, name)));
    fillImplementations();
    chosenCase.addEventListener("change", (event) => {
      if (event.target.name === "workload") fillImplementations();
      drawAll(found.plots.filter((plot) => plot.dataset !== "points"));
    });
    chosenCase.addEventListener("submit", (event) => event.preventDefault());
  }
  choices.addEventListener("change", () => { filterTables(); drawAll(found.plots); });
  choices.addEventListener("submit", (event) => event.preventDefault());

  page.onWidth(() => drawAll(found.plots));
  filterTables();
  drawAll(found.plots);
})();
