// The border between two maps, moved by mouse, finger and keys.

export class Swipe {
  constructor(map, divider, tags, onMove) {
    // tags: what names the map on each side, kept beside the border
    this.map = map;
    this.divider = divider;
    this.tags = tags;
    this.onMove = onMove;
    this.share = 50;
    this.isOn = false;
    map.on("move zoomend resize viewreset", () => this.clip());
    divider.addEventListener("pointerdown", (event) => {
      divider.setPointerCapture(event.pointerId);
      event.preventDefault();
      divider.focus({ preventScroll: true });
    });
    divider.addEventListener("pointermove", (event) => {
      if (!divider.hasPointerCapture(event.pointerId)) return;
      const box = map.getContainer().getBoundingClientRect();
      this.set((100 * (event.clientX - box.left)) / box.width);
    });
    divider.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -2, ArrowRight: 2, PageDown: -10, PageUp: 10 }[event.key];
      const end = { Home: 0, End: 100 }[event.key];
      if (step === undefined && end === undefined) return;
      event.preventDefault();
      event.stopPropagation();
      this.set(end ?? this.share + step);
    });
  }

  turn(isOn) {
    this.isOn = isOn;
    this.divider.hidden = !isOn;
    this.clip();
  }

  set(share) {
    this.share = Math.min(Math.max(share, 0), 100);
    this.clip();
    this.onMove();
  }

  clip() {
    const [left, right] = ["left", "right"].map((name) => this.map.getPane(name));
    this.divider.style.left = `${this.share}%`;
    this.tags[0].style.right = `calc(${100 - this.share}% + 12px)`;
    this.tags[1].style.left = `calc(${this.share}% + 12px)`;
    this.divider.setAttribute("aria-valuenow", Math.round(this.share));
    if (!this.isOn) {
      left.style.clipPath = right.style.clipPath = "";
      return;
    }
    const size = this.map.getSize();
    const corner = this.map.containerPointToLayerPoint([0, 0]);
    const x = corner.x + (size.x * this.share) / 100;
    const cut = (from, to) =>
      `polygon(${from}px ${corner.y}px, ${to}px ${corner.y}px, ` +
      `${to}px ${corner.y + size.y}px, ${from}px ${corner.y + size.y}px)`;
    left.style.clipPath = cut(corner.x, x);
    right.style.clipPath = cut(x, corner.x + size.x);
  }
}
