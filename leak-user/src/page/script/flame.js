// The flame graph: zoomed by click or Enter, searched, and walked by the arrow keys.

const ROW = 19;
const NARROWEST = 0.6;

function flameGraph() {
  const [box, said, search] = [byId("flame-graph"), byId("flame-said"), byId("flame-search")];
  // The tree, the function that is as wide as the box, and the elements of functions.
  let [weight, root, top, colours, drawn, width] = ["outstanding", null, null, null, new Map(), 0];

  const share = (of) => percent(root.bytes > 0 ? of.bytes / root.bytes : 0);
  const say = (of) => {
    said.textContent = of.name + ": " + binary(of.bytes) + ", " + share(of) + (of.module === "" ? "" : " · " + of.module);
  };

  function saySum() {
    const words = search.value.trim();
    if (words !== "") {
      said.textContent = "Found: " + binary(foundBytes()) + " of " + binary(root.bytes) + ", under functions or modules like “" + words + "”";
      return;
    }
    const shrunk = stacks.filter((stack) => stack.growth < 0);
    const less = shrunk.reduce((sum, stack) => sum - stack.growth, 0);
    said.textContent = root.bytes === 0 ? "Nothing to draw: no stack has any bytes of this kind."
      : binary(root.bytes) + " " + WEIGHTS[weight][0].toLowerCase() + "; a function is as wide as the bytes asked for under it"
        + (weight === "growth" && shrunk.length > 0 ? "; left out: " + plural(shrunk.length, "stack") + " that shrank by " + binary(less) : "");
  }

  function isFound(of) {
    const words = search.value.trim().toLowerCase();
    return words !== "" && of !== root && (of.name + "\n" + of.module).toLowerCase().includes(words);
  }

  // Bytes under what is found, none counted twice.
  function foundBytes() {
    let bytes = 0;
    walk(root, (of) => {
      if (isFound(of)) bytes += of.bytes;
      return !isFound(of);
    });
    return bytes;
  }

  function draw() {
    if (width === 0) return;
    drawn = new Map();
    const nodes = [];
    let deepest = 0;
    const put = (of, left, wide) => {
      const classes = "fn m" + (colours.get(of.module) ?? "-none") + (isFound(of) ? " found" : "") + (of.depth < top.depth ? " above" : "");
      const label = of.name + ", " + binary(of.bytes) + ", " + share(of);
      const box = el("div", { class: classes, role: "treeitem", tabindex: -1, "aria-level": of.depth + 1, "aria-label": label,
        title: label + (of.module === "" ? "" : " (" + of.module + ")") }, wide > 24 ? of.name : "");
      box.style.left = left + "px";
      box.style.top = of.depth * ROW + "px";
      box.style.width = Math.max(wide - 1, 0.5) + "px";
      drawn.set(of, box);
      box.of = of;
      nodes.push(box);
      deepest = Math.max(deepest, of.depth);
    };
    const above = [];
    for (let of = top.parent; of; of = of.parent) above.unshift(of);
    above.forEach((of) => put(of, 0, width));
    const waiting = root.bytes > 0 ? [[top, 0, width]] : [];
    while (waiting.length > 0) {
      const [of, left, wide] = waiting.pop();
      put(of, left, wide);
      let from = left;
      for (const child of inOrder(of)) {
        const childWide = (child.bytes / of.bytes) * wide;
        if (childWide < NARROWEST) break;
        waiting.push([child, from, childWide]);
        from += childWide;
      }
    }
    const canvas = el("div", { class: "canvas", role: "none" }, ...nodes);
    canvas.style.height = (deepest + 1) * ROW + "px";
    box.replaceChildren(canvas);
    box.hidden = nodes.length === 0;
    drawn.get(top)?.setAttribute("tabindex", "0");
    byId("flame-reset").disabled = top === root;
  }

  function zoom(of) {
    top = of;
    draw();
    drawn.get(of)?.focus({ preventScroll: true });
    say(of);
  }

  function set(next) {
    weight = next;
    root = treeOf(weight);
    colours = moduleColours(root);
    top = root;
    byId("flame-modules").replaceChildren(...[...colours].map(([module, number]) =>
      el("span", { class: "key" }, el("i", { class: "m" + number }), module)));
    draw();
    saySum();
  }

  function neighbour(of, key) {
    const siblings = of.parent ? inOrder(of.parent).filter((other) => drawn.has(other)) : [of];
    const at = siblings.indexOf(of);
    return {
      ArrowUp: of.parent,
      ArrowDown: inOrder(of)[0],
      ArrowLeft: siblings[at - 1],
      ArrowRight: siblings[at + 1],
    }[key];
  }

  box.addEventListener("click", (event) => event.target.of && zoom(event.target.of));
  box.addEventListener("pointerover", (event) => event.target.of && say(event.target.of));
  box.addEventListener("pointerleave", saySum);
  box.addEventListener("keydown", (event) => {
    const of = event.target.of;
    if (!of) return;
    if (event.key === "Enter") zoom(of);
    else if (event.key === "Escape") zoom(root);
    else if (event.key.startsWith("Arrow")) {
      const next = drawn.get(neighbour(of, event.key));
      if (next) {
        event.target.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
        say(next.of);
      }
    } else return;
    event.preventDefault();
  });
  byId("flame-reset").addEventListener("click", () => zoom(root));
  afterTyping(search, () => {
    draw();
    saySum();
  });
  set(weight);
  choice(byId("weights"), Object.entries(WEIGHTS).map(([name, [text]]) => [name, text]), weight, set);
  onWidth(box, (now) => {
    width = now;
    draw();
  });
}
