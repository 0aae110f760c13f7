// What the maps know of one place.
import { element, spoken } from "./legend.js";

const ORIGINS = {
  s2_and_s1: "Sentinel-2 and Sentinel-1",
  s2_only: "Sentinel-2 only",
  s1_only: "Sentinel-1 only",
  s2_and_s1_other_orbit: "Sentinel-2 and Sentinel-1 of the other orbit",
  s1_only_other_orbit: "Sentinel-1 of the other orbit only",
};

export function placeText(lat, lng) {
  const turned = ((((lng + 180) % 360) + 360) % 360) - 180;
  const north = `${Math.abs(lat).toFixed(5)}° ${lat < 0 ? "S" : "N"}`;
  return `${north}, ${Math.abs(turned).toFixed(5)}° ${turned < 0 ? "W" : "E"}`;
}

export function showPixel(box, site, found, { lat, lng }) {
  // found: what each map knows, null outside it
  const parts = [element("p", placeText(lat, lng), "faint")];
  site.maps.forEach((map, i) => {
    const pixel = found[i];
    if (site.maps.length > 1) parts.push(element("h3", map.label));
    if (pixel === null) {
      parts.push(element("p", "Outside this map."));
    } else if (pixel.value === null) {
      parts.push(element("p", "Not mapped."));
    } else {
      parts.push(facts(map, pixel));
    }
  });
  box.replaceChildren(...parts);
}

function facts(map, pixel) {
  const list = element("dl");
  const add = (name, content) => {
    const value = element("dd", typeof content === "string" ? content : "");
    if (typeof content !== "string") value.append(...content);
    list.append(element("dt", name), value);
  };
  const swatch = element("span", "", "swatch");
  const cover = map.legend.find((one) => one.id === pixel.value);
  swatch.style.background = cover?.colour ?? "none";
  add("Class", [swatch, spoken(pixel.class)]);
  if (pixel.confidence !== undefined) add("Confidence", `${pixel.confidence}%`);
  if (pixel.margin !== undefined) add("Margin", `${pixel.margin}% ahead of the second`);
  if (pixel.likely?.length) {
    add("Likeliest", pixel.likely.map((one) => `${spoken(one.class)} ${one.percent}%`).join(", "));
  }
  if (pixel.origin !== undefined) add("Mapped from", ORIGINS[pixel.origin] ?? spoken(pixel.origin));
  if (pixel.s2_count !== undefined) {
    add("Observations", `${pixel.s2_count} clear of Sentinel-2, ${pixel.s1_count ?? 0} of Sentinel-1`);
  }
  for (const [name, value] of map.facts) {
    if (name === "Period" || name === "Scenes") add(name === "Scenes" ? "Dates" : name, value);
  }
  return list;
}
