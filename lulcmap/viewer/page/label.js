// The page that labels the points of a sample: puts its parts together.
import { element } from "./legend.js";
import { ServerSource } from "./source.js";
import { LabelApi } from "./labelapi.js";
import { Drawing } from "./drawing.js";
import { Memory } from "./memory.js";
import { Pictures } from "./pictures.js";
import { startTheme } from "./theme.js";

const CLASS_KEYS = [..."1234567890qwertyuiasfgjklvb"];
const STATUS_MS = 4000;

const byId = (id) => document.getElementById(id);

class Page {
  constructor(api, about, site) {
    this.api = api;
    this.about = about;
    this.points = about.points;
    this.at = 0;
    this.ties = new Set();
    this.memory = new Memory(about);
    this.isActing = false;
    this.saved = Promise.resolve(); // when the comments that were left are kept
    byId("title").textContent = about.sample;
    byId("who").textContent = `Interpreter: ${about.interpreter}`;
    this.pictures = new Pictures(new ServerSource(), site, about.max_zoom);
    this.drawing = new Drawing(this.pictures.map, api, about, {
      onMode: (text) => (byId("mode").textContent = text),
      onFault: (error) => this.tellFault(error),
      onStart: () => this.lendFields(),
      onStop: () => this.showFields(),
      comment: () => byId("comment").value,
      isUnsure: () => byId("unsure").checked,
    });
    this.makeClasses();
    this.turnTheme = startTheme(byId("theme"));
    this.addControls();
    this.addKeys();
    this.go(this.firstOpen());
  }

  makeClasses() {
    this.buttons = new Map();
    this.byKey = new Map();
    this.about.classes.forEach(({ name, colour }, number) => {
      const button = element("button");
      const key = CLASS_KEYS[number] ?? "";
      const swatch = element("span");
      swatch.className = "colour";
      swatch.style.background = colour;
      const shown = key ? element("kbd", key.toUpperCase()) : element("span");
      shown.ariaHidden = "true";
      button.type = "button";
      button.className = "class";
      button.append(shown, swatch, element("span", name.replaceAll("_", " ")));
      if (key) {
        button.setAttribute("aria-keyshortcuts", key);
        this.byKey.set(key, name);
      }
      button.addEventListener("click", () => this.choose(name));
      this.buttons.set(name, button);
    });
    byId("classes").replaceChildren(...this.buttons.values());
  }

  addControls() {
    const on = (id, event, act) => byId(id).addEventListener(event, act);
    on("cannot", "click", () => this.choose(null));
    on("back", "click", () => this.step(-1));
    on("next", "click", () => this.step(1));
    on("undo", "click", () => this.undo());
    on("help", "click", () => byId("keys").showModal());
    on("filter", "change", () => this.applyFilter());
    on("skip", "change", () => this.applyFilter());
    on("show-map", "change", () => this.showMapped());
    on("brightness", "input", () => this.brighten(0));
    on("comment", "input", () => this.typeComment());
    on("comment", "change", () => this.saveComment());
    on("draw-point", "click", () => this.drawing.start("Point"));
    on("draw-polygon", "click", () => this.drawing.start("Polygon"));
    on("agreement", "toggle", () => byId("agreement").open && this.showAgreement());
    const keys = byId("keys-on");
    keys.checked = localStorage.getItem("lulcmap-keys") !== "off";
    keys.addEventListener("change", () =>
      localStorage.setItem("lulcmap-keys", keys.checked ? "on" : "off"));
  }

  addKeys() {
    const acts = {
      arrowleft: () => this.step(-1),
      arrowright: () => this.step(1),
      n: () => (byId("unsure").checked = !byId("unsure").checked),
      x: () => this.choose(null),
      z: () => this.undo(),
      c: () => byId("comment").focus(),
      " ": () => this.pictures.next(),
      "[": () => this.pictures.dates.step(-1),
      "]": () => this.pictures.dates.step(1),
      "+": () => this.pictures.zoom(1),
      "=": () => this.pictures.zoom(1),
      "-": () => this.pictures.zoom(-1),
      ",": () => this.brighten(-25),
      ".": () => this.brighten(25),
      h: () => this.pictures.show(this.point(), true),
      m: () => byId("show-map").click(),
      o: () => this.drawing.start("Point"),
      p: () => this.drawing.start("Polygon"),
      d: () => this.turnTheme(),
      "?": () => byId("keys").showModal(),
    };
    addEventListener("keydown", (event) => {
      const field = event.target;
      if (event.key === "Escape") {
        if (field.id === "comment") field.blur();
        else this.drawing.stop();
        return;
      }
      if (event.ctrlKey || event.metaKey || event.altKey || byId("keys").open) return;
      if (!byId("keys-on").checked || field.matches("textarea, select")) return;
      if (field.type === "range" && event.key.startsWith("Arrow")) return;
      if (event.key === " " && field.matches("button, input, summary")) return;
      const key = event.key.toLowerCase();
      const act = this.byKey.has(key) ? () => this.choose(this.byKey.get(key)) : acts[key];
      if (!act || event.repeat) return;
      event.preventDefault();
      act();
    });
  }

  point() {
    return this.points[this.at];
  }

  isShown(point) {
    // Whether a point is one of those that are gone through.
    if (!point.square) return false; // off the map
    if (byId("skip").checked && point.by_others && !point.answer) return false;
    switch (byId("filter").value) {
      case "open": return !point.answer;
      case "unsure": return Boolean(point.answer) && !point.answer.sure;
      case "ties": return this.ties.has(point.id);
      default: return true;
    }
  }

  firstOpen() {
    const open = this.points.findIndex((one) => this.isShown(one) && !one.answer);
    return open < 0 ? Math.max(this.points.findIndex((one) => this.isShown(one)), 0) : open;
  }

  async alone(act) {
    // Act when the comment that was left is kept. Who acts again meanwhile has not seen what comes
    // next: that is dropped.
    if (this.isActing) return;
    this.isActing = true;
    try {
      await this.saved;
      await act();
      await this.keepComment(); // it was typed on meanwhile
    } finally {
      this.isActing = false;
    }
  }

  step(by) {
    return this.alone(() => this.move(by));
  }

  async move(by) {
    await this.keepComment();
    const { id, answer } = this.point();
    const at = this.nextAt(by);
    if (at !== null) this.go(at);
    else this.say(by > 0 ? "This is the last point." : "This is the first point.");
    if (at !== null && !answer && this.memory.comments.get(id)?.trim()) {
      this.say(`The comment to point ${id} waits for its answer.`);
    }
  }

  nextAt(by) {
    // Place of the next point that is shown, after or before this one; null if there is none.
    for (let at = this.at + by; at >= 0 && at < this.points.length; at += by) {
      if (this.isShown(this.points[at])) return at;
    }
    return null;
  }

  async applyFilter() {
    if (byId("filter").value === "ties") {
      const result = await this.attempt(() => this.api.agreement());
      this.ties = new Set(result?.ties ?? []);
    }
    if (!this.points.some((one) => this.isShown(one))) {
      this.say("There are no such points.");
      return;
    }
    if (!this.isShown(this.point())) this.alone(() => this.go(this.firstOpen()));
  }

  go(at) {
    this.at = at;
    const point = this.point();
    this.isUnsure = Boolean(point.answer?.class) && !point.answer.sure;
    if (!this.drawing.isReady()) this.showFields();
    byId("show-map").checked = false;
    this.showMapped();
    this.showAnswer();
    this.showSaid();
    this.pictures.show(point);
    const next = this.nextAt(1);
    if (next !== null) this.pictures.prefetch(this.points[next]);
  }

  showAnswer() {
    const { answer, id } = this.point();
    for (const [name, button] of this.buttons) {
      button.setAttribute("aria-pressed", String(answer?.class === name));
    }
    byId("cannot").setAttribute("aria-pressed", String(Boolean(answer) && answer.class === null));
    byId("question").textContent = `Point ${id}: what is in the square?`;
    const total = this.points.filter((one) => one.square).length;
    const done = this.points.filter((one) => one.square && one.answer).length;
    byId("progress").max = total;
    byId("progress").value = done;
    byId("progress-text").textContent = `${done} of ${total} points answered`;
  }

  choose(name) {
    // The answer to the point, or the class of what is being drawn.
    return this.alone(() => (this.drawing.isReady() ? this.classDrawing(name) : this.answer(name)));
  }

  async classDrawing(name) {
    if (name !== null) await this.drawing.finish(name);
  }

  async answer(name) {
    const point = this.point();
    if (!point.square) return;
    const sure = name !== null && !byId("unsure").checked;
    if (await this.save(point, name, sure)) {
      const spoken = name === null ? "not sure" : name.replaceAll("_", " ");
      const done = this.points.every((one) => !one.square || one.answer);
      this.say(`Point ${point.id}: ${spoken}.${done ? " All points are answered." : ""}`);
      if (!done) await this.move(1);
    }
  }

  async save(point, name, sure) {
    // Whether the server has the answer on its disk.
    const comment = this.commentOf(point);
    const result = await this.attempt(() => this.api.answer({
      point: point.id,
      class: name,
      sure,
      comment,
      map_shown: this.memory.looks.has(point.id),
    }));
    if (!result) return false;
    point.answer = result.answer;
    this.memory.forget(point.id, comment);
    this.showAnswer();
    return true;
  }

  commentOf(point) {
    return this.memory.comments.get(point.id) ?? point.answer?.comment ?? "";
  }

  typeComment() {
    if (!this.drawing.isReady()) this.memory.type(this.point().id, byId("comment").value);
  }

  saveComment() {
    if (this.isActing) return; // what acts keeps it at its end
    this.saved = this.saved.then(() => this.keepComment());
  }

  async keepComment() {
    // Save what was typed at a point that has an answer; at others it waits for the answer.
    const point = this.point();
    for (;;) {
      const typed = this.memory.comments.get(point.id);
      if (typed === undefined || !point.answer) return;
      if (typed.trim() === point.answer.comment) this.memory.forget(point.id, typed);
      else if (!await this.save(point, point.answer.class, point.answer.sure)) return;
    }
  }

  lendFields() {
    // What is ticked and typed while something is drawn belongs to the drawing.
    this.isUnsure = byId("unsure").checked;
    byId("unsure").checked = false;
    byId("comment").value = "";
  }

  showFields() {
    byId("unsure").checked = this.isUnsure;
    byId("comment").value = this.commentOf(this.point());
  }

  undo() {
    return this.alone(() => this.takeBack());
  }

  async takeBack() {
    const result = await this.attempt(() => this.api.undo());
    if (!result) return;
    if (result.point === null) {
      this.say("There is no answer of yours to undo.");
      return;
    }
    const at = this.points.findIndex((one) => one.id === result.point);
    this.points[at].answer = result.answer;
    this.go(at);
    this.say(`The answer to point ${result.point} is undone.`);
  }

  async showMapped() {
    const place = byId("mapped");
    place.textContent = "";
    if (!byId("show-map").checked) return;
    const { id } = this.point();
    const looked = await this.attempt(() => this.api.look(id));
    if (!looked || this.point().id !== id || !byId("show-map").checked) return;
    this.memory.look(id);
    const said = looked.pixels[0]?.class;
    place.textContent = said ? `The map says ${said.replaceAll("_", " ")}.` : "The map has no class here.";
  }

  async showSaid() {
    // What others said, only where the points on which they disagree are gone through.
    const list = byId("said");
    list.hidden = byId("filter").value !== "ties";
    list.replaceChildren();
    if (list.hidden) return;
    const { id } = this.point();
    const answers = await this.attempt(() => this.api.said(id));
    if (!answers || this.point().id !== id) return;
    list.replaceChildren(...answers.map((one) => element(
      "li", `${one.interpreter}: ${one.class ?? "no class"}${one.class && !one.sure ? ", not sure" : ""}`)));
  }

  async showAgreement() {
    const result = await this.attempt(() => this.api.agreement());
    if (!result) return;
    const table = element("table");
    const head = element("tr");
    head.append(...["interpreter", "answered", "unsure", "no class"].map((text) => {
      const cell = element("th", text);
      cell.scope = "col";
      return cell;
    }));
    table.append(head, ...result.interpreters.map((one) => {
      const row = element("tr");
      const name = element("th", one.interpreter);
      name.scope = "row";
      row.append(name, ...[one.answered, one.unsure, one.without_class].map((n) => element("td", n)));
      return row;
    }));
    const lines = [`${result.decided} of ${result.points} points have a class; ties: ${result.ties.length}.`];
    const kappa = (value) => (value === null ? "unknown" : value.toFixed(2));
    if (result.agreement) {
      const { points, all_agree: agree, fleiss_kappa: fleiss, pairs } = result.agreement;
      lines.push(`${points} points with a class from two or more; all agree on ${agree}. Fleiss' kappa: ${kappa(fleiss)}.`);
      for (const pair of pairs) {
        lines.push(`${pair.interpreters.join(" and ")}: ${(100 * pair.agreed).toFixed(1)} % of ${pair.points} points agreed, Cohen's kappa ${kappa(pair.cohen_kappa)}.`);
      }
    }
    byId("people").replaceChildren(table, ...lines.map((line) => element("p", line)));
  }

  brighten(by) {
    const bar = byId("brightness");
    bar.value = Number(bar.value) + by;
    this.pictures.brighten(bar.value);
  }

  async attempt(ask) {
    // What the server says; null, with the fault on the page, if it does not.
    try {
      const result = await ask();
      byId("fault").textContent = "";
      return result;
    } catch (error) {
      this.tellFault(error);
      return null;
    }
  }

  tellFault(error) {
    byId("fault").textContent = `Not saved. ${error.message}`;
  }

  say(text) {
    byId("status").textContent = text;
    clearTimeout(this.saying);
    this.saying = setTimeout(() => (byId("status").textContent = ""), STATUS_MS);
  }
}

const api = new LabelApi();
try {
  const [about, site] = await Promise.all([api.about(), api.site()]);
  globalThis.page = new Page(api, about, site);
} catch (error) {
  byId("fault").textContent = error.message;
}
