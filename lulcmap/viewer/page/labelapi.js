// What the page that labels asks the server.

export class LabelApi {
  about() {
    return this.#ask("api/label");
  }

  site() {
    return this.#ask("api/site");
  }

  agreement() {
    return this.#ask("api/agreement");
  }

  said(point) {
    return this.#ask(`api/answers/${point}`);
  }

  look(point) {
    return this.#ask("api/looks", { point });
  }

  answer(answer) {
    return this.#ask("api/answers", answer);
  }

  undo() {
    return this.#ask("api/undo", {});
  }

  draw(drawn) {
    return this.#ask("api/drawn", drawn);
  }

  erase(number) {
    return this.#ask("api/erase", { number });
  }

  async #ask(path, body) {
    let answer;
    const options = body === undefined ? {} : {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    };
    try {
      answer = await fetch(path, options);
    } catch {
      throw new Error(
        "The server does not answer. Start lulcmap label again and open its new address; " +
        "everything answered before is kept.");
    }
    if (!answer.ok) {
      const told = await answer.json().catch(() => ({}));
      throw new Error(told.error ?? `The server answered ${answer.status}.`);
    }
    return answer.json();
  }
}
