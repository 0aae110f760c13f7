// Where the page gets its data: from the server, or from the page itself where it was exported.

export class ServerSource {
  async site() {
    return this.#json("api/site");
  }

  async regions() {
    return this.#json("api/regions");
  }

  async tile(map, z, x, y, signal) {
    const answer = await this.#ask(`api/tiles/${map}/${z}/${x}/${y}`, signal);
    return new Uint8Array(await answer.arrayBuffer());
  }

  picture(number, z, x, y) {
    return `api/pictures/${number}/${z}/${x}/${y}`;
  }

  async pixel(lon, lat) {
    return this.#json(`api/pixel?lon=${lon}&lat=${lat}`);
  }

  async areas(map, view, region, signal) {
    const { west, south, east, north } = view;
    const asked = region === null
      ? `west=${west}&south=${south}&east=${east}&north=${north}`
      : `region=${region}`;
    return this.#json(`api/areas/${map}?${asked}`, signal);
  }

  async #json(path, signal) {
    return (await this.#ask(path, signal)).json();
  }

  async #ask(path, signal) {
    let answer;
    try {
      answer = await fetch(path, { signal });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new Error("The server does not answer. Is lulcmap view still running?");
    }
    if (!answer.ok) {
      const told = await answer.json().catch(() => ({}));
      throw new Error(told.error ?? `The server answered ${answer.status}.`);
    }
    return answer;
  }
}
