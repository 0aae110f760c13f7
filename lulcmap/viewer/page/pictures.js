// The pictures around a point: one large, all small, and the surroundings.
import { Dates } from "./dates.js";
import { element } from "./legend.js";
import { PictureLayer, TILE_PX } from "./tiles.js";

const MAX_ZOOM = 22;
const CLOSER = 3; // zooms beyond that of the map's pixels
const FURTHER = 4; // zooms back, for the surroundings
const SQUARE = { color: "#ffee00", weight: 2, fill: false, interactive: false };
const HALO = { color: "#000000", weight: 4, fill: false, interactive: false, opacity: 0.6 };

export class Pictures {
  constructor(source, site, pixelZoom) {
    this.source = source;
    this.site = site;
    this.first = Math.min(pixelZoom + CLOSER, MAX_ZOOM - 2);
    this.map = this.makeMap(document.getElementById("map"), {});
    L.control.zoom({ position: "topright" }).addTo(this.map);
    L.control.scale({ position: "bottomright" }).addTo(this.map);
    this.choices = site.pictures.map((picture, number) => ({ label: picture.label, number }));
    if (site.basemap) this.choices.push({ label: "base map", number: null });
    this.shown = 0;
    this.small = [];
    this.makeStrip();
    this.dates = new Dates(this.map, () => Number(this.isFalseColour()));
    this.choose(0);
    this.map.on("zoomend", () => this.follow());
    this.map.on("moveend", () => this.follow());
  }

  makeMap(place, options) {
    const map = L.map(place, {
      attributionControl: false,
      zoomControl: false,
      maxZoom: MAX_ZOOM,
      keyboard: false, // arrows go from point to point
      zoomSnap: 0.5,
      zoomAnimation: false,
      fadeAnimation: false,
      ...options,
    });
    map.outline = L.layerGroup().addTo(map);
    return map;
  }

  layer(choice) {
    if (choice.number === null) {
      document.getElementById("credit").textContent =
        `Base map: ${new URL(this.site.basemap).hostname}`;
      return L.tileLayer(this.site.basemap, { maxNativeZoom: 18, maxZoom: MAX_ZOOM });
    }
    const { bounds: [west, south, east, north], max_zoom: maxNativeZoom } =
      this.site.pictures[choice.number];
    return new PictureLayer("", {
      source: this.source,
      picture: choice.number,
      bounds: [[south, west], [north, east]],
      maxNativeZoom,
      maxZoom: MAX_ZOOM,
    });
  }

  makeStrip() {
    const still = {
      dragging: false, scrollWheelZoom: false, doubleClickZoom: false, touchZoom: false,
      boxZoom: false,
    };
    const entries = this.choices.map((choice, number) => ({ choice, number, back: 1 }));
    if (entries.length) entries.push({ ...entries[0], back: FURTHER, isWide: true });
    const strip = document.getElementById("strip");
    for (const { choice, number, back, isWide } of entries) {
      const button = element("button");
      const place = element("span");
      const name = element("span", isWide ? `surroundings, ${choice.label}` : choice.label);
      button.type = "button";
      button.className = "thumb";
      place.className = "small";
      name.className = "name";
      place.ariaHidden = "true";
      button.append(place, name);
      strip.append(button);
      const map = this.makeMap(place, still);
      this.layer(choice).addTo(map);
      this.small.push({ map, back, button, number, isWide });
      button.addEventListener("click", () => {
        this.choose(number);
        if (isWide) this.map.setZoom(this.map.getZoom() - FURTHER + 1);
      });
    }
  }

  choose(number) {
    if (!this.choices.length) return;
    this.shown = number;
    this.large?.remove();
    this.large = this.layer(this.choices[number]).addTo(this.map);
    for (const one of this.small) {
      if (!one.isWide) one.button.setAttribute("aria-pressed", String(one.number === number));
    }
    this.dates.recolour();
  }

  isFalseColour() {
    return this.choices[this.shown]?.label.endsWith("false colour") ?? false;
  }

  next() {
    this.choose((this.shown + 1) % Math.max(this.choices.length, 1));
  }

  brighten(percent) {
    document.documentElement.style.setProperty("--brightness", `${percent}%`);
  }

  zoom(by) {
    this.map.setZoom(this.map.getZoom() + by);
  }

  show(point, isFresh = false) {
    // Go to a point, at the zoom that was chosen before, or at the first one.
    const zoom = isFresh || !this.wasShown ? this.first : this.map.getZoom();
    this.wasShown = true;
    this.centre = [point.lat, point.lon];
    for (const map of [this.map, ...this.small.map((one) => one.map)]) {
      map.outline.clearLayers();
      if (point.square) {
        map.outline.addLayer(L.polygon(point.square, HALO));
        map.outline.addLayer(L.polygon(point.square, SQUARE));
      }
    }
    this.map.setView(this.centre, zoom, { animate: false });
    this.follow();
    if (!isFresh) this.dates.show(point);
  }

  prefetch(point) {
    // Have the browser load the pictures around the next point while this one is looked at.
    this.dates.prefetch(point);
    for (const { number } of this.choices) {
      if (number === null) continue;
      const zoom = this.site.pictures[number].max_zoom;
      const place = this.map.project([point.lat, point.lon], zoom).divideBy(TILE_PX).floor();
      new Image().src = this.source.picture(number, zoom, place.x, place.y);
    }
  }

  follow() {
    if (!this.wasShown) return;
    const zoom = this.map.getZoom();
    for (const { map, back } of this.small) {
      map.setView(this.map.getCenter(), Math.max(zoom - back, 0), { animate: false });
    }
  }
}
