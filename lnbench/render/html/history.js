"use strict";
(() => {
  const NARROW = 620; // pixels of a drawing below which commits beside a change are left out
  const { found } = page;
  const form = document.getElementById("choices");
  const records = page.records(found.records);
  const ORDER = ["suite", "workload", "phase", "implementation"];
  const ALL = { phase: "", implementation: "every implementation" };

  const chosen = () => Object.fromEntries(new FormData(form));
  const fits = (it, wanted, names) => names.every((name) => !wanted[name] || it[name] === wanted[name]);

  function fill(after) {
    for (const name of ORDER.slice(after)) {
      const select = form.elements[name];
      const before = select.value;
      const among = records.filter((it) => fits(it, chosen(), ORDER.slice(0, ORDER.indexOf(name))));
      const values = [...new Set(among.map((it) => it[name]))];
      if (name === "phase") values.sort((one, other) => found.phases.indexOf(one) - found.phases.indexOf(other));
      const texts = ALL[name] && values.length > 1 ? ["", ...values] : values;
      select.replaceChildren(...texts.map((value) => page.option(value || ALL[name], value)));
      const changed = among.find((it) => it.kind === "slower") ?? among.find((it) => it.kind);
      const usual = texts.includes("") ? "" : changed?.[name] ?? (name === "phase" ? values.at(-1) : values[0]);
      select.value = texts.includes(before) && before !== "" ? before : usual ?? "";
    }
  }

  function specification(values, room) {
    const narrow = room < NARROW;
    const made = structuredClone(narrow ? found.narrow : found.wide);
    made.spec.width = Math.max(room - found.beside, 90);
    made.datasets = { history: values };
    // A layer without a value is an axis without an end to Vega.
    const isDrawn = (layer) => (!layer.transform || values.some((it) => it.kind)) &&
      (layer.mark.type !== "area" || values.some((it) => it.low !== null));
    made.spec.layer = made.spec.layer.filter(isDrawn);
    made.config = found.config;
    return made;
  }

  let view = null;
  let asked = 0;
  async function draw() {
    const mine = ++asked;
    document.body.dataset.drawing = "yes";
    const section = document.querySelector("[data-plot]");
    const place = section.querySelector(".drawing");
    const values = records.filter((it) => fits(it, chosen(), ORDER));
    const something = values.some((it) => it.speedup !== null && it.at !== null);
    section.querySelector(".nothing").hidden = something;
    place.hidden = !something;
    if (something) {
      const made = await page.embed(place.firstElementChild, specification(values, place.clientWidth));
      if (view) view.finalize();
      view = made.view;
    }
    if (mine === asked) document.body.dataset.drawing = "no";
  }

  function filterTables() {
    const wanted = chosen();
    for (const section of document.querySelectorAll(".track")) {
      section.hidden = section.dataset.suite !== wanted.suite || section.dataset.workload !== wanted.workload;
      for (const row of section.querySelectorAll("tbody tr")) {
        row.hidden = Boolean(wanted.implementation) && row.dataset.implementation !== wanted.implementation;
      }
    }
    const parts = ORDER.map((name) => wanted[name] || `every ${name}`);
    document.getElementById("said").textContent = `Shown: ${parts.join(", ")}`;
  }

  form.addEventListener("change", (event) => { fill(ORDER.indexOf(event.target.name) + 1); filterTables(); draw(); });
  form.addEventListener("submit", (event) => event.preventDefault());

  page.onWidth(draw);
  fill(0);
  filterTables();
  draw();
})();
