// The page of maps: puts its parts together.
import { ClassLayer, PictureLayer } from "./tiles.js";
import { Legend, element, spoken } from "./legend.js";
import { ServerSource } from "./source.js";
import { StaticSource } from "./static.js";
import { Swipe } from "./swipe.js";
import { readState, writeState } from "./state.js";
import { showPixel } from "./pixel.js";
import { startTheme } from "./theme.js";

const AREAS_AFTER_MS = 120;
const STATUS_MS = 6000;

const byId = (id) => document.getElementById(id);

class Page {
  constructor(source, site) {
    this.source = source;
    this.site = site;
    this.hidden = new Set();
    this.layers = {};
    this.region = null;
    this.choices = [
      ...site.maps.map((map, i) => ({ key: `map-${i}`, label: map.label, map, number: i })),
      ...site.pictures.map((picture, i) => ({
        key: `picture-${i}`, label: picture.label, picture, number: i,
      })),
    ];
    this.legend = new Legend(byId("legend"), byId("total"), byId("columns"), (name, isShown) =>
      this.toggle(name, isShown));
    this.makeMap();
    const tags = [byId("tag-left"), byId("tag-right")];
    this.swipe = new Swipe(this.map, byId("divider"), tags, () => this.keepState());
    this.fillForms();
    this.turnTheme = startTheme(byId("theme"));
    this.addKeys();
    this.restore(readState(location.hash));
    this.map.on("moveend", () => {
      this.keepState();
      this.askAreas();
    });
    addEventListener("hashchange", () => {
      if (location.hash !== this.written) this.restore(readState(location.hash));
    });
  }

  makeMap() {
    const map = L.map(byId("map"), {
      attributionControl: false,
      zoomControl: false,
      maxZoom: 22,
      zoomSnap: 0.5,
      zoomDelta: 1,
      worldCopyJump: true,
    });
    L.control.zoom({ position: "topright" }).addTo(map);
    L.control.scale({ position: "bottomright", imperial: false }).addTo(map);
    for (const [name, order] of [["base", 200], ["left", 300], ["right", 310]]) {
      map.createPane(name).style.zIndex = order;
    }
    if (this.site.basemap) {
      L.tileLayer(this.site.basemap, { pane: "base", maxNativeZoom: 18, maxZoom: 22 }).addTo(map);
      byId("credit").textContent = `Base map: ${new URL(this.site.basemap).hostname}`;
    }
    map.on("click", (event) => this.inspect(event.latlng));
    map.on("mousemove", (event) => this.hover(event));
    map.on("mouseout", () => (byId("hover").textContent = ""));
    this.map = map;
  }

  fillForms() {
    const [left, right] = [byId("left"), byId("right")];
    const options = () => this.choices.map(({ key, label }) => {
      const option = element("option", label);
      option.value = key;
      return option;
    });
    const alone = element("option", "with nothing");
    alone.value = "";
    left.replaceChildren(...options());
    right.replaceChildren(alone, ...options());
    right.disabled = this.choices.length < 2;
    for (const select of [left, right]) {
      select.addEventListener("change", () => this.show(left.value, right.value));
    }
    byId("opacity").addEventListener("input", (event) => this.setOpacity(+event.target.value));
    byId("all").addEventListener("click", () => this.setHidden([]));
    byId("none").addEventListener("click", () => this.setHidden(this.legend.names()));
    byId("home").addEventListener("click", () => this.home());
    byId("link").addEventListener("click", () => this.copyLink());
    byId("help").addEventListener("click", () => byId("keys").showModal());
    byId("fold").addEventListener("click", () => this.fold());
    byId("region").addEventListener("change", (event) => this.chooseRegion(event.target.value, true));
    byId("notes").replaceChildren(...this.site.notes.map((note) => element("p", note)));
  }

  restore(state) {
    const keys = this.choices.map((choice) => choice.key);
    const left = keys.includes(state.left) ? state.left : keys[0];
    const right = keys.includes(state.right) ? state.right : "";
    this.hidden = new Set(state.off ?? []);
    this.swipe.share = state.swipe ?? 50;
    if (state.view) this.map.setView(state.view, state.view.zoom, { animate: false });
    else this.home();
    this.show(left, right);
    this.setOpacity(state.opacity ?? 100);
    if (state.region) this.wantedRegion = state.region;
  }

  show(left, right) {
    // Show one layer, or two beside each other.
    if (right === left) right = "";
    byId("left").value = left;
    byId("right").value = right;
    this.put("left", left);
    this.put("right", right);
    this.shown = [left, right].filter(Boolean).map((key) => this.choice(key));
    const maps = this.shown.filter((choice) => choice.map);
    this.measured = maps.length ? maps : [this.choices[0]];
    this.legend.show(this.measured.map((choice) => choice.map), this.hidden);
    this.swipe.turn(Boolean(right));
    for (const [name, key] of [["left", left], ["right", right]]) {
      const tag = byId(`tag-${name}`);
      tag.hidden = !right;
      tag.textContent = key ? this.choice(key).label : "";
    }
    this.tell(this.measured[0].map);
    this.setOpacity(this.opacity ?? 100);
    this.askAreas();
  }

  choice(key) {
    return this.choices.find((one) => one.key === key);
  }

  put(side, key) {
    const old = this.layers[side];
    if (old?.key === key) return;
    old?.layer.remove();
    delete this.layers[side];
    if (!key) return;
    const choice = this.choice(key);
    const one = choice.map ?? choice.picture;
    const [west, south, east, north] = one.bounds;
    const options = {
      pane: side,
      source: this.source,
      bounds: [[south, west], [north, east]],
      minNativeZoom: one.min_zoom ?? 0,
      maxNativeZoom: one.max_zoom,
      maxZoom: 22,
      updateWhenZooming: false,
      keepBuffer: 3,
    };
    const layer = choice.map
      ? new ClassLayer({
        ...options,
        map: choice.number,
        legend: choice.map.legend,
        hidden: this.hidden,
        onError: (error) => this.say(error.message),
      })
      : new PictureLayer("", { ...options, picture: choice.number });
    this.layers[side] = { key, layer: layer.addTo(this.map) };
  }

  tell(map) {
    byId("title").textContent = map.title;
    document.title = `${map.title} · lulcmap`;
    const model = map.facts.find(([name]) => name === "Model")?.[1];
    byId("subtitle").textContent = model ? `Model ${model}` : "";
    byId("facts").replaceChildren(
      ...map.facts.flatMap(([name, value]) => [element("dt", name), element("dd", value)]),
    );
    byId("facts-section").hidden = !map.facts.length && !this.site.notes.length;
  }

  toggle(name, isShown) {
    if (isShown) this.hidden.delete(name);
    else this.hidden.add(name);
    this.setHidden(this.hidden);
  }

  setHidden(names) {
    this.hidden = new Set(names);
    this.legend.setHidden(this.hidden);
    for (const { layer } of Object.values(this.layers)) layer.setHidden?.(this.hidden);
    this.keepState();
  }

  setOpacity(percent) {
    this.opacity = Math.min(Math.max(percent, 0), 100);
    byId("opacity").value = this.opacity;
    for (const { layer } of Object.values(this.layers)) layer.setOpacity(this.opacity / 100);
    this.keepState();
  }

  home() {
    const [west, south, east, north] = this.site.bounds;
    this.map.fitBounds([[south, west], [north, east]], {
      animate: false,
      ...this.room(),
    });
  }

  middle() {
    // Of the part of the map that the panel leaves free.
    const { paddingTopLeft: [left, top], paddingBottomRight: [right, bottom] } = this.room();
    const { x, y } = this.map.getSize();
    return this.map.containerPointToLatLng([(left + x - right) / 2, (top + y - bottom) / 2]);
  }

  room() {
    // The part of the map that the panel covers stays free.
    const panel = byId("panel").getBoundingClientRect();
    const size = this.map.getSize();
    if (panel.width > size.x * 0.7) {
      return { paddingTopLeft: [10, 10], paddingBottomRight: [10, Math.min(panel.height, size.y * 0.6)] };
    }
    return { paddingTopLeft: [panel.right + 10, 10], paddingBottomRight: [10, 10] };
  }

  keepState() {
    if (!this.shown) return;
    const { lat, lng } = this.map.getCenter();
    this.written = writeState({
      view: { zoom: this.map.getZoom(), lat, lng },
      left: byId("left").value,
      right: byId("right").value,
      swipe: this.swipe.share,
      opacity: this.opacity,
      off: [...this.hidden],
      region: byId("region").value,
    });
    history.replaceState(null, "", this.written);
  }

  askAreas() {
    clearTimeout(this.areasTimer);
    this.areasTimer = setTimeout(() => this.updateAreas(), AREAS_AFTER_MS);
  }

  async updateAreas() {
    this.areasStop?.abort();
    const stop = (this.areasStop = new AbortController());
    this.legend.total.textContent = "Measuring …";
    const bounds = this.map.getBounds();
    const view = {
      west: bounds.getWest(), south: bounds.getSouth(),
      east: bounds.getEast(), north: bounds.getNorth(),
    };
    const zoom = this.map.getZoom();
    try {
      const found = await Promise.all(this.measured.map((choice) =>
        this.source.areas(choice.number, view, this.region, stop.signal, zoom)));
      if (stop.signal.aborted) return;
      const name = byId("region").selectedOptions[0].textContent;
      this.legend.setAreas(found, name);
    } catch (error) {
      if (error.name !== "AbortError") this.legend.clearAreas(error.message);
    }
  }

  async inspect(latlng) {
    const number = (this.asked = (this.asked ?? 0) + 1);
    this.mark ??= L.circleMarker(latlng, {
      radius: 9, color: "#ffffff", weight: 3, fill: false, interactive: false, className: "mark",
    }).addTo(this.map);
    this.mark.setLatLng(latlng);
    try {
      const found = await this.source.pixel(latlng.lng, latlng.lat);
      if (number === this.asked) showPixel(byId("pixel"), this.site, found, latlng);
    } catch (error) {
      byId("pixel").replaceChildren(element("p", error.message));
    }
  }

  hover({ latlng, containerPoint }) {
    const isRight = this.swipe.isOn
      && containerPoint.x > (this.map.getSize().x * this.swipe.share) / 100;
    const side = this.layers[isRight ? "right" : "left"];
    const value = side?.layer.valueAt?.(latlng) ?? null;
    const cover = side && this.choice(side.key).map?.legend.find((one) => one.id === value);
    byId("hover").textContent = cover ? spoken(cover.name) : "";
  }

  async addRegions() {
    if (!this.site.regions) return;
    const found = await this.source.regions();
    const select = byId("region");
    found.features.forEach((feature, i) => {
      feature.properties.number = i;
      const option = element("option", feature.properties.name);
      option.value = String(i);
      select.append(option);
    });
    byId("region-section").hidden = false;
    this.outlines = L.geoJSON(found, {
      style: { color: "#111111", weight: 2, fill: false, interactive: false },
    }).addTo(this.map);
    L.geoJSON(found, { style: { color: "#ffffff", weight: 1, fill: false, interactive: false } })
      .addTo(this.map);
    if (this.wantedRegion) this.chooseRegion(this.wantedRegion, false);
  }

  chooseRegion(value, isMoving) {
    const select = byId("region");
    select.value = value;
    if (select.selectedIndex < 0) select.value = "";
    this.region = select.value === "" ? null : Number(select.value);
    this.outlines.eachLayer((layer) => {
      const isChosen = layer.feature.properties.number === this.region;
      layer.setStyle({ weight: isChosen ? 5 : 2 });
      if (isChosen && isMoving) {
        this.map.fitBounds(layer.getBounds(), { animate: false, ...this.room() });
      }
    });
    byId("legend-title").textContent = this.region === null
      ? "Classes in view" : `Classes in ${select.selectedOptions[0].textContent}`;
    this.keepState();
    this.askAreas();
  }

  fold() {
    const isFolded = byId("panel").classList.toggle("folded");
    byId("fold").setAttribute("aria-expanded", String(!isFolded));
  }

  nextComparison() {
    const keys = ["", ...this.choices.map((choice) => choice.key)]
      .filter((key) => key !== byId("left").value);
    const at = keys.indexOf(byId("right").value);
    this.show(byId("left").value, keys[(at + 1) % keys.length]);
  }

  async copyLink() {
    this.keepState();
    try {
      await navigator.clipboard.writeText(location.href);
      this.say(this.source instanceof ServerSource
        ? "The link is copied. It works while this server runs." : "The link is copied.");
    } catch {
      this.say("The link is in the address bar; copy it there.");
    }
  }

  say(text) {
    byId("status").textContent = text;
    clearTimeout(this.statusTimer);
    this.statusTimer = setTimeout(() => (byId("status").textContent = ""), STATUS_MS);
  }

  addKeys() {
    const keys = {
      a: () => this.setHidden([]),
      s: () => this.nextComparison(),
      ",": () => this.swipe.isOn && this.swipe.set(this.swipe.share - 5),
      ".": () => this.swipe.isOn && this.swipe.set(this.swipe.share + 5),
      "[": () => this.setOpacity(this.opacity - 10),
      "]": () => this.setOpacity(this.opacity + 10),
      i: () => this.inspect(this.middle()),
      h: () => this.home(),
      p: () => this.fold(),
      d: () => this.turnTheme(),
      "?": () => byId("keys").showModal(),
    };
    addEventListener("keydown", (event) => {
      const isTyping = event.target.matches?.("select, input:not([type=checkbox]), textarea");
      if (isTyping || byId("keys").open || event.ctrlKey || event.metaKey || event.altKey) return;
      const key = event.key.toLowerCase();
      const name = /^[1-9]$/.test(key) ? this.legend.names()[key - 1] : undefined;
      if (name !== undefined) this.toggle(name, this.hidden.has(name));
      else if (keys[key]) keys[key]();
      else return;
      event.preventDefault();
    });
  }
}

async function start() {
  try {
    const own = byId("data"); // of a page in one file; that of a folder is a script
    const data = own ? JSON.parse(own.textContent) : globalThis.lulcmapData;
    const source = data ? new StaticSource(data) : new ServerSource();
    const page = new Page(source, await source.site());
    await page.addRegions();
    globalThis.lulcmapPage = page;
  } catch (error) {
    byId("status").textContent = error.message;
    throw error;
  }
}

start();
