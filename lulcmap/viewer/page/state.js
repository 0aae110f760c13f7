// What is shown, kept in the address after #, so that a link shows the same again.

export function readState(text) {
  // Place, layers and hidden classes of a fragment; parts that make no sense are left out.
  const [place, ...rest] = text.replace(/^#/, "").split("&");
  const state = {};
  const [zoom, lat, lng] = place.split("/").map(Number);
  if ([zoom, lat, lng].every(Number.isFinite) && Math.abs(lat) <= 90) {
    state.view = { zoom, lat, lng };
  }
  const values = new URLSearchParams(rest.join("&"));
  for (const key of ["left", "right"]) {
    if (values.has(key)) state[key] = values.get(key);
  }
  for (const key of ["swipe", "opacity"]) {
    const value = Number(values.get(key) ?? NaN);
    if (value >= 0 && value <= 100) state[key] = value;
  }
  if (values.has("off")) state.off = values.get("off").split("\n");
  if (values.has("region")) state.region = values.get("region");
  return state;
}

export function writeState(state) {
  const { zoom, lat, lng } = state.view;
  const values = new URLSearchParams({ left: state.left });
  if (state.right) {
    values.set("right", state.right);
    values.set("swipe", Math.round(state.swipe));
  }
  if (state.opacity !== 100) values.set("opacity", state.opacity);
  if (state.off.length) values.set("off", state.off.join("\n"));
  if (state.region) values.set("region", state.region);
  return `#${+zoom.toFixed(2)}/${lat.toFixed(5)}/${lng.toFixed(5)}&${values}`;
}
