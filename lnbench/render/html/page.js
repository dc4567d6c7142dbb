"use strict";
// What the pages share: how records and drawings are made, the theme, and what widths, Escape and paper change.
const page = (() => {
  const theme = document.getElementById("theme");
  const system = matchMedia("(prefers-color-scheme: dark)");
  const isDark = () => (document.documentElement.dataset.theme ?? (system.matches ? "dark" : "light")) === "dark";
  const label = () => { theme.textContent = isDark() ? "Light" : "Dark"; };
  theme.hidden = false;
  theme.addEventListener("click", () => {
    document.documentElement.dataset.theme = isDark() ? "light" : "dark";
    label();
  });
  system.addEventListener("change", label);
  label();

  addEventListener("keydown", (event) => {
    if (event.key === "Escape") document.getElementById("vg-tooltip-element")?.classList.remove("visible");
  });
  addEventListener("beforeprint", () => {
    for (const folded of document.querySelectorAll("details")) folded.open = true;
  });

  // Layers that leave out what was not measured make Vega-Lite warn that a panel's height may be wrong; it is right.
  const warn = console.warn;
  console.warn = (...told) => { if (!String(told).includes("faceted independent scales")) warn(...told); };

  return {
    found: JSON.parse(document.getElementById("plots").textContent),

    // Records of columns; a column of texts holds each once, and their places.
    records(columns) {
      const fields = Object.entries(columns).map(([field, column]) =>
        [field, Array.isArray(column) ? column : column.at.map((place) => column.each[place])]);
      return Array.from({ length: fields.length ? fields[0][1].length : 0 }, (_, row) =>
        Object.fromEntries(fields.map(([field, column]) => [field, column[row]])));
    },

    embed: (place, specification) => vegaEmbed(place, specification, {
      actions: false, renderer: "svg", loader: { load: () => Promise.reject(new Error("a page loads nothing")) },
    }),

    option(text, value) {
      const made = document.createElement("option");
      made.textContent = text;
      made.value = value;
      return made;
    },

    // Where only the height changes, as when a phone's bar slides away, nothing is drawn again.
    onWidth(draw) {
      let width = document.documentElement.clientWidth;
      let waiting;
      addEventListener("resize", () => {
        if (document.documentElement.clientWidth === width) return;
        width = document.documentElement.clientWidth;
        clearTimeout(waiting);
        waiting = setTimeout(draw, 150);
      });
    },
  };
})();
