// The legend, which is the chart of areas too: a row for each class, with its share of the view.

export function element(name, text = "", classes = "") {
  // An element with a text: never HTML, for names come from files.
  const made = document.createElement(name);
  made.textContent = text;
  made.className = classes;
  return made;
}

export function spoken(name) {
  return name.replaceAll("_", " ");
}

export function hectaresText(hectares) {
  const km2 = hectares / 100;
  if (hectares === 0) return "0";
  if (km2 >= 1) {
    return `${km2.toLocaleString("en", { maximumSignificantDigits: km2 >= 1000 ? 5 : 3 })} km²`;
  }
  return `${hectares.toLocaleString("en", { maximumSignificantDigits: 3 })} ha`;
}

export function percentText(share) {
  const percent = 100 * share;
  if (percent === 0) return "0%";
  if (percent < 0.1) return "<0.1%";
  return `${percent.toFixed(percent < 10 ? 1 : 0)}%`;
}

export function namedHectares(legend, hectares) {
  // Hectares by name: all values of one name are one class, and one without a name has its number.
  const names = new Map(legend.map((cover) => [cover.id, cover.name]));
  const named = new Map(legend.map((cover) => [cover.name, 0]));
  for (const [id, own] of Object.entries(hectares)) {
    const name = names.get(Number(id)) ?? `class ${id}`;
    named.set(name, (named.get(name) ?? 0) + own);
  }
  return named;
}

export function namedColours(maps) {
  // Of each name, the different colours that its values have in each map.
  const colours = new Map();
  maps.forEach((map, i) => {
    for (const { name, colour } of map.legend) {
      if (!colours.has(name)) colours.set(name, maps.map(() => []));
      const own = colours.get(name)[i];
      if (!own.includes(colour)) own.push(colour);
    }
  });
  return colours;
}

function striped(colours) {
  // One or several colours beside each other.
  const stops = colours.map((colour, i) =>
    `${colour} ${(100 * i) / colours.length}% ${(100 * (i + 1)) / colours.length}%`);
  return `linear-gradient(90deg, ${stops.join(", ")})`;
}

export class Legend {
  constructor(list, total, columns, onToggle) {
    this.list = list;
    this.total = total;
    this.columns = columns;
    this.onToggle = onToggle;
    this.rows = new Map();
  }

  show(maps, hidden) {
    // Show the classes of one map, or of two that are compared.
    this.maps = maps;
    this.rows.clear();
    const two = maps.length === 2;
    this.list.classList.toggle("two", two);
    this.columns.hidden = !two;
    this.columns.textContent = two ? `Shares in ${maps[0].label}, then in ${maps[1].label}` : "";
    this.list.replaceChildren(
      ...[...namedColours(maps)].map(([name, colours]) =>
        this.#row(name, colours, two, !hidden.has(name))),
    );
  }

  #row(name, colours, two, isShown) {
    // colours: those of each map
    const all = [...new Set(colours.flat())];
    const item = element("li");
    const label = element("label");
    const box = element("input");
    box.type = "checkbox";
    box.checked = isShown;
    box.style.setProperty("--swatch", all[0]);
    box.style.setProperty("--swatches", striped(all));
    box.addEventListener("change", () => this.onToggle(name, box.checked));
    const texts = two
      ? [element("span", "", "share"), element("span", "", "share")]
      : [element("span", "", "area"), element("span", "", "share")];
    const bars = (two ? ["bar", "bar second"] : ["bar"]).map((kind, i) => {
      const bar = element("span", "", kind);
      const inner = element("span");
      inner.style.background = striped(colours[i].length ? colours[i] : all);
      bar.append(inner);
      return bar;
    });
    label.append(box, element("span", spoken(name), "name"), ...texts, ...bars);
    item.append(label);
    item.classList.toggle("off", !isShown);
    this.rows.set(name, { item, box, texts, bars: bars.map((bar) => bar.firstChild) });
    return item;
  }

  setHidden(hidden) {
    for (const [name, row] of this.rows) {
      row.box.checked = !hidden.has(name);
      row.item.classList.toggle("off", hidden.has(name));
    }
  }

  names() {
    return [...this.rows.keys()];
  }

  setAreas(found, place) {
    // Areas of each map shown, in their order, and what they are of.
    const tables = found.map((areas, i) => {
      const named = namedHectares(this.maps[i].legend, areas.hectares);
      return { named, sum: [...named.values()].reduce((a, b) => a + b, 0) };
    });
    const shares = (name) =>
      tables.map(({ named, sum }) => (sum ? (named.get(name) ?? 0) / sum : 0));
    const largest = Math.max(...this.names().flatMap(shares), 1e-9);
    for (const [name, row] of this.rows) {
      const own = shares(name);
      row.bars.forEach((bar, i) => {
        bar.style.width = `${(100 * own[i]) / largest}%`;
      });
      if (own.length === 2) own.forEach((share, i) => (row.texts[i].textContent = percentText(share)));
      else {
        row.texts[0].textContent = hectaresText(tables[0].named.get(name) ?? 0);
        row.texts[1].textContent = percentText(own[0]);
      }
      row.item.classList.toggle("absent", own.every((share) => share === 0));
    }
    const sums = tables.map(({ sum }) => hectaresText(sum)).join(" and ");
    this.total.textContent =
      `${sums} mapped in ${place}, ${precision(found)}.${this.#unnamedText(tables)}`;
  }

  #unnamedText(tables) {
    // What is counted, and has no row.
    const others = tables.flatMap(({ named }) => [...named].filter(([name]) => !this.rows.has(name)));
    if (!others.length) return "";
    const told = others.map(([name, own]) => `${hectaresText(own)} of ${name}`);
    return ` The legend lacks ${told.join(", ")}.`;
  }

  clearAreas(text) {
    for (const row of this.rows.values()) {
      row.texts.forEach((one) => (one.textContent = ""));
      row.bars.forEach((bar) => (bar.style.width = "0"));
    }
    this.total.textContent = text;
  }
}

function precision(found) {
  const coarsest = Math.max(...found.map((areas) => areas.coarseness));
  if (found.some((areas) => areas.screen)) return "about, from the pixels on the screen";
  if (coarsest === 1) return "every pixel counted";
  return `about, from an overview ${coarsest} times coarser; zoom in for exact areas`;
}
