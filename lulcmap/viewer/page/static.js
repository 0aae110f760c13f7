// The source of an exported page: everything is in the page or in the folder beside it, nothing is
// asked of anybody.
import { NODATA, TILE_PX } from "./tiles.js";

const CHUNK = 8; // tiles a side of the square that one script of the folder holds
const KEPT_CHUNKS = 48;
const KEPT_TILES = 400;

const MAJOR_M = 6378137;
const E2 = 0.0066943799901413165;

function authalic(lat) {
  // Square metres of the WGS 84 ellipsoid from the equator to a latitude, a radian wide.
  const e = Math.sqrt(E2);
  const s = Math.sin(lat);
  const minor2 = MAJOR_M ** 2 * (1 - E2);
  return (minor2 / 2) * (s / (1 - E2 * s * s) + Math.atanh(e * s) / e);
}

export function rowArea(zoom, row) {
  // Square metres of a pixel of Web Mercator in a row of a zoom, counted from the north.
  const rows = TILE_PX * 2 ** zoom;
  const lat = (y) => Math.atan(Math.sinh(Math.PI * (1 - (2 * y) / rows)));
  return ((authalic(lat(row)) - authalic(lat(row + 1))) * 2 * Math.PI) / rows;
}

async function unpacked(text) {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

class Chunks {
  // Tiles of the folder: browsers read no files of a disk, but they run scripts of it.
  constructor(data) {
    this.folder = data.folder;
    this.names = new Set(data.chunks);
    this.loaded = new Map();
    this.arrived = new Map();
    globalThis.lulcmapTiles = (name, tiles) => this.arrived.set(name, tiles);
  }

  async text(name, z, x, y) {
    const chunk = `${name}/${z}/${Math.floor(x / CHUNK)}-${Math.floor(y / CHUNK)}`;
    return this.names.has(chunk) ? (await this.#load(chunk))[`${name}/${z}/${x}/${y}`] : undefined;
  }

  #load(chunk) {
    let tiles = this.loaded.get(chunk);
    if (tiles === undefined) {
      tiles = this.#run(`${this.folder}/tiles/${chunk}.js`).then(() => {
        const found = this.arrived.get(chunk);
        this.arrived.delete(chunk);
        return found;
      });
      tiles.catch(() => this.loaded.delete(chunk));
      if (this.loaded.size >= KEPT_CHUNKS) this.loaded.delete(this.loaded.keys().next().value);
      this.loaded.set(chunk, tiles);
    }
    return tiles;
  }

  #run(address) {
    return new Promise((done, fail) => {
      const script = document.createElement("script");
      script.src = address;
      script.onload = () => done(script.remove());
      script.onerror = () => {
        script.remove();
        fail(new Error(`${address} cannot be read. Keep the folder ${this.folder} beside the page.`));
      };
      document.head.append(script);
    });
  }
}

export class StaticSource {
  constructor(data) {
    this.data = data;
    this.chunks = data.folder ? new Chunks(data) : null;
    this.empty = new Uint8Array(TILE_PX * TILE_PX).fill(NODATA);
    this.recent = new Map();
  }

  async site() {
    return this.data.site;
  }

  async regions() {
    return this.data.regions;
  }

  async tile(map, z, x, y) {
    return this.#plane(`${map}/class`, z, x, y);
  }

  async #plane(name, z, x, y) {
    const key = `${name}/${z}/${x}/${y}`;
    let values = this.recent.get(key);
    if (values === undefined) {
      values = this.#values(name, z, x, y);
      values.catch(() => this.recent.delete(key));
      if (this.recent.size > KEPT_TILES) this.recent.clear();
      this.recent.set(key, values);
    }
    return values;
  }

  async #values(name, z, x, y) {
    const text = this.chunks
      ? await this.chunks.text(name, z, x, y)
      : this.data.tiles[`${name}/${z}/${x}/${y}`];
    return text === undefined ? this.empty : unpacked(text);
  }

  picture(number, z, x, y) {
    const key = `${number}/${z}/${x}/${y}`;
    const kept = this.data.pictures[key];
    if (kept === undefined) return L.Util.emptyImageUrl;
    return this.chunks
      ? `${this.data.folder}/pictures/${key}.webp`
      : `data:image/webp;base64,${kept}`;
  }

  async pixel(lon, lat) {
    return Promise.all(this.data.site.maps.map((map, i) => this.#pixel(map, i, lon, lat)));
  }

  async #pixel(map, number, lon, lat) {
    const z = map.max_zoom;
    const [turnedColumn, row] = place(lon, lat, z);
    const column = mod(turnedColumn, TILE_PX * 2 ** z);
    const [west, south, east, north] = map.bounds;
    const turned = lon + 360 * Math.round(((west + east) / 2 - lon) / 360);
    if (turned < west || turned > east || lat < south || lat > north) return null;
    const at = (row % TILE_PX) * TILE_PX + (column % TILE_PX);
    const read = async (plane) => {
      const [x, y] = [column, row].map((one) => Math.floor(one / TILE_PX));
      return (await this.#plane(`${number}/${plane}`, z, x, y))[at];
    };
    const value = await read("class");
    if (value === NODATA) return { value: null, class: null };
    const cover = map.legend.find((one) => one.id === value);
    const pixel = { value, class: cover?.name ?? `class ${value}` };
    for (const plane of map.planes) {
      const known = await read(plane.name);
      if (known !== NODATA) pixel[plane.name] = plane.meanings?.[known] ?? known;
    }
    return pixel;
  }

  async areas(number, view, region, signal, zoom) {
    const map = this.data.site.maps[number];
    if (region !== null) return this.data.region_areas[region][number];
    const z = Math.min(Math.max(Math.ceil(zoom), map.min_zoom), map.max_zoom);
    const [west, south, east, north] = map.bounds;
    const turn = 360 * Math.round(((west + east) / 2 - (view.west + view.east) / 2) / 360);
    const [left, top] = place(
      Math.max(view.west + turn, west), Math.min(view.north, north), z, Math.round);
    const [right, foot] = place(
      Math.min(view.east + turn, east), Math.max(view.south, south), z, Math.round);
    const sums = new Float64Array(256);
    for (let y = Math.floor(top / TILE_PX); y * TILE_PX < foot; y++) {
      for (let x = Math.floor(left / TILE_PX); x * TILE_PX < right; x++) {
        const values = await this.tile(number, z, mod(x, 2 ** z), y);
        if (signal?.aborted) return null;
        if (values === this.empty) continue;
        const columns = [left - x * TILE_PX, right - x * TILE_PX].map(within);
        const rows = [top - y * TILE_PX, foot - y * TILE_PX].map(within);
        for (let row = rows[0]; row < rows[1]; row++) {
          const area = rowArea(z, y * TILE_PX + row);
          for (let column = columns[0]; column < columns[1]; column++) {
            sums[values[row * TILE_PX + column]] += area;
          }
        }
      }
    }
    const ids = new Set(map.legend.map(({ id }) => id));
    sums.forEach((sum, id) => sum && id !== NODATA && ids.add(id));
    const hectares = Object.fromEntries([...ids].map((id) => [id, sums[id] / 10000]));
    return { hectares, screen: true, coarseness: 1 };
  }
}

function mod(a, b) {
  return ((a % b) + b) % b;
}

function within(value) {
  return Math.min(Math.max(value, 0), TILE_PX);
}

function place(lon, lat, zoom, whole = Math.floor) {
  // Column and row of a place in the pixels of a zoom.
  const side = TILE_PX * 2 ** zoom;
  const s = Math.sin((lat * Math.PI) / 180);
  return [
    whole(((lon + 180) / 360) * side),
    whole((0.5 - Math.atanh(s) / (2 * Math.PI)) * side),
  ];
}
