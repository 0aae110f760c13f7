// Single dates around a point: all small, and one of them large on the map.
import { element } from "./legend.js";

export class Dates {
  constructor(map, mix) {
    // mix: gives the number of the colours that are shown, 0 true and 1 false
    this.map = map;
    this.mix = mix;
    this.place = document.getElementById("dates");
    this.buttons = [];
    this.shown = null;
  }

  show(point) {
    this.point = point;
    this.choose(null);
    const days = point.dates?.days ?? [];
    const missing = point.dates && !point.dates.is_whole ? [this.#missing(days.length)] : [];
    this.place.hidden = !days.length && !missing.length;
    this.buttons = days.map((one, number) => this.#button(one, number));
    this.place.replaceChildren(...this.buttons, ...missing);
    this.recolour();
  }

  #button({ day, clear }, number) {
    const button = element("button", "", clear === false ? "date cloudy" : "date");
    const name = element("span", clear === false ? `${day} cloudy` : day, "name");
    const picture = element("img");
    picture.alt = "";
    button.type = "button";
    button.setAttribute("aria-pressed", "false");
    button.append(picture, element("span", "", "middle"), name);
    button.addEventListener("click", () => this.choose(this.shown === number ? null : number));
    return button;
  }

  #missing(count) {
    const which = count ? "Some dates of this point were not read." : "The dates of this point were not read.";
    return element("p", `${which} Start lulcmap label with --dates again to read them.`, "missing");
  }

  address(point, number) {
    return `api/dates/${point.id}/${number}/${this.mix()}`;
  }

  recolour() {
    this.buttons.forEach((button, number) => {
      button.querySelector("img").src = this.address(this.point, number);
    });
    this.large?.setUrl(this.address(this.point, this.shown));
  }

  choose(number) {
    // Show a date large, over the picture; null for none.
    this.shown = number;
    this.large?.remove();
    this.large = null;
    if (number !== null) {
      const options = { interactive: false };
      this.large = L.imageOverlay(this.address(this.point, number), this.point.dates.bounds, options)
        .addTo(this.map);
    }
    this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", String(i === number)));
    this.buttons[number]?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  step(by) {
    const count = this.buttons.length;
    if (!count) return;
    const next = this.shown === null ? (by > 0 ? 0 : count - 1) : this.shown + by;
    this.choose(next < 0 || next >= count ? null : next);
  }

  prefetch(point) {
    point.dates?.days.forEach((_, number) => (new Image().src = this.address(point, number)));
  }
}
