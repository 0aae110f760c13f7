// What is typed and looked at before an answer is kept; it outlives a reload of the page.

export class Memory {
  constructor(about) {
    this.key = `lulcmap-label ${about.sample} ${about.interpreter}`;
    const { comments = [], looks = [] } = this.#load();
    this.comments = new Map(comments); // ids of points and what was typed
    this.looks = new Set(looks); // ids of the points whose class of the map was looked at
    for (const { id, answer } of about.points) if (answer?.map_shown) this.looks.add(id);
  }

  look(id) {
    this.looks.add(id);
    this.#store();
  }

  type(id, text) {
    this.comments.set(id, text);
    this.#store();
  }

  forget(id, text) {
    // Drop what was typed, unless it was typed on since.
    if (this.comments.get(id) !== text) return;
    this.comments.delete(id);
    this.#store();
  }

  #load() {
    try {
      return JSON.parse(sessionStorage.getItem(this.key)) ?? {};
    } catch {
      return {};
    }
  }

  #store() {
    try {
      sessionStorage.setItem(this.key, JSON.stringify(
        { comments: [...this.comments], looks: [...this.looks] }));
    } catch {
      // The browser keeps nothing; then only a reload forgets.
    }
  }
}
