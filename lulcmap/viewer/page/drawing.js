// Points and polygons that are drawn by hand.
import { element } from "./legend.js";

const LINE = { color: "#ff3df2", weight: 3, fillOpacity: 0.15 };

export class Drawing {
  constructor(map, api, about, { onMode, onStart, onStop, onFault, comment, isUnsure }) {
    this.map = map;
    this.api = api;
    this.colours = new Map(about.classes.map(({ name, colour }) => [name, colour]));
    this.tell = { onMode, onStart, onStop, onFault, comment, isUnsure };
    this.kind = null;
    this.isKeeping = false; // while the server is asked to keep what was drawn
    this.corners = [];
    this.sketch = L.layerGroup().addTo(map);
    this.kept = L.layerGroup().addTo(map);
    map.on("click", (event) => this.add(event.latlng));
    this.show(about.drawn);
  }

  start(kind) {
    if (this.isKeeping) return;
    if (this.kind) this.clear();
    else this.tell.onStart();
    document.getElementById("drawing").open = true;
    document.body.classList.add("drawing-now");
    this.map.doubleClickZoom.disable();
    this.kind = kind;
    this.hint();
  }

  stop() {
    if (!this.kind || this.isKeeping) return;
    this.kind = null;
    this.clear();
    document.body.classList.remove("drawing-now");
    this.map.doubleClickZoom.enable();
    this.tell.onMode("");
    this.tell.onStop();
  }

  clear() {
    this.corners = [];
    this.sketch.clearLayers();
  }

  add(latlng) {
    if (!this.kind || this.isKeeping) return;
    if (this.kind === "Point") this.corners = [latlng];
    else this.corners.push(latlng);
    this.sketch.clearLayers();
    this.sketch.addLayer(this.kind === "Point"
      ? L.circleMarker(latlng, { ...LINE, radius: 6 })
      : L.polygon(this.corners, LINE));
    this.hint();
  }

  isReady() {
    // While something is drawn, a class is that of the drawing.
    return this.kind !== null;
  }

  isWhole() {
    return this.corners.length >= (this.kind === "Point" ? 1 : 3);
  }

  hint() {
    const what = this.kind === "Point" ? "Click the place" : "Click three corners or more";
    this.tell.onMode(this.isWhole() ? "Now give the class. Escape ends drawing." : `${what}. Escape ends drawing.`);
  }

  async finish(name) {
    if (this.isKeeping) return;
    if (!this.isWhole()) {
      this.hint();
      return;
    }
    const places = this.corners.map(({ lat, lng }) => [lng, lat]);
    const geometry = this.kind === "Point"
      ? { type: "Point", coordinates: places[0] }
      : { type: "Polygon", coordinates: [[...places, places[0]]] };
    this.isKeeping = true;
    let drawn = null;
    try {
      drawn = await this.api.draw({
        geometry, class: name, sure: !this.tell.isUnsure(), comment: this.tell.comment(),
      });
    } catch (error) {
      this.tell.onFault(error);
    }
    this.isKeeping = false;
    if (!drawn) return;
    this.show(drawn);
    this.stop();
  }

  async erase(number) {
    try {
      this.show(await this.api.erase(number));
    } catch (error) {
      this.tell.onFault(error);
    }
  }

  show(drawn) {
    this.kept.clearLayers();
    const rows = drawn.map((one) => {
      const style = { color: this.colours.get(one.class) ?? "#ff3df2", weight: 3, fillOpacity: 0.2 };
      L.geoJSON(one.geometry, {
        style, interactive: false,
        pointToLayer: (_, latlng) => L.circleMarker(latlng, { ...style, radius: 6, interactive: false }),
      }).addTo(this.kept);
      const row = element("li", `${one.number}: ${one.class.replaceAll("_", " ") || "no class"}, ${one.geometry.type.toLowerCase()}`);
      const button = element("button", "Erase");
      button.type = "button";
      button.ariaLabel = `Erase ${one.number}`;
      button.addEventListener("click", () => this.erase(one.number));
      row.append(button);
      return row;
    });
    document.getElementById("drawn").replaceChildren(...rows);
  }
}
