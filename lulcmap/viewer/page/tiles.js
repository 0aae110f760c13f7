// Layers of Leaflet that draw classes in their colours, and pictures.

export const TILE_PX = 256;
export const NODATA = 255;

const OF_NO_CLASS = [255, 0, 255, 255];

export function colourTable(legend, hidden) {
  // Colours of the 256 values as bytes, red first; classes that are hidden are transparent, values
  // of no class stand out.
  const table = new Uint8ClampedArray(256 * 4);
  for (let value = 0; value < NODATA; value++) table.set(OF_NO_CLASS, 4 * value);
  for (const cover of legend) {
    if (hidden.has(cover.name)) {
      table.set([0, 0, 0, 0], 4 * cover.id);
      continue;
    }
    const value = parseInt(cover.colour.slice(1), 16);
    table.set([value >> 16, (value >> 8) & 255, value & 255, 255], 4 * cover.id);
  }
  return table;
}

export const ClassLayer = L.GridLayer.extend({
  // options: source, map (its number), legend, hidden (names), onError
  initialize(options) {
    L.GridLayer.prototype.initialize.call(this, options);
    this._values = new WeakMap();
    this._table = colourTable(options.legend, options.hidden);
  },

  createTile(coords, done) {
    const canvas = document.createElement("canvas");
    canvas.width = canvas.height = TILE_PX;
    canvas.className = "leaflet-tile classes";
    const stop = new AbortController();
    canvas.stop = stop;
    this.options.source
      .tile(this.options.map, coords.z, coords.x, coords.y, stop.signal)
      .then((values) => {
        this._values.set(canvas, values);
        this._paint(canvas);
        done(null, canvas);
      })
      .catch((error) => {
        if (error.name !== "AbortError") this.options.onError(error);
        done(error, canvas);
      });
    return canvas;
  },

  _removeTile(key) {
    this._tiles[key]?.el.stop?.abort();
    L.GridLayer.prototype._removeTile.call(this, key);
  },

  _paint(canvas) {
    const values = this._values.get(canvas);
    if (values === undefined) return;
    const image = new ImageData(TILE_PX, TILE_PX);
    const table = this._table;
    const colours = new Uint32Array(table.buffer);
    const pixels = new Uint32Array(image.data.buffer);
    for (let i = 0; i < values.length; i++) pixels[i] = colours[values[i]];
    canvas.getContext("2d").putImageData(image, 0, 0);
  },

  setHidden(hidden) {
    this._table = colourTable(this.options.legend, hidden);
    for (const tile of Object.values(this._tiles)) this._paint(tile.el);
  },

  valueAt(latlng) {
    // The value shown at a place; null where no tile is there yet.
    const map = this._map;
    const zoom = this._tileZoom;
    if (!map || zoom === undefined) return null;
    const point = map.project(latlng, zoom);
    const x = Math.floor(point.x / this.getTileSize().x);
    const y = Math.floor(point.y / this.getTileSize().y);
    const tile = this._tiles[`${x}:${y}:${zoom}`];
    const values = tile && this._values.get(tile.el);
    if (!values) return null;
    const size = this.getTileSize();
    const column = Math.floor(((point.x - x * size.x) * TILE_PX) / size.x);
    const row = Math.floor(((point.y - y * size.y) * TILE_PX) / size.y);
    const value = values[row * TILE_PX + column];
    return value === NODATA ? null : value;
  },
});

export const PictureLayer = L.TileLayer.extend({
  // options: source, picture (its number)
  getTileUrl(coords) {
    return this.options.source.picture(this.options.picture, coords.z, coords.x, coords.y);
  },

  createTile(coords, done) {
    const tile = L.TileLayer.prototype.createTile.call(this, coords, done);
    tile.classList.add("picture");
    return tile;
  },
});
