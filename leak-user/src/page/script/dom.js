// Elements, made by code alone: text is set as text, never read as markup.

const byId = (id) => document.getElementById(id);
const SVG = document.querySelector("svg").namespaceURI;

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (typeof value === "function") node.addEventListener(name, value);
    else if (value !== null && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.filter((child) => child !== null));
  return node;
}

function el(tag, attributes, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

function shape(tag, attributes, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

// Calls with the width of a box, now and whenever that changes: in the next frame, for drawing may change it again.
function onWidth(box, draw) {
  let drawn = 0;
  new ResizeObserver(() => requestAnimationFrame(() => {
    const width = Math.floor(box.clientWidth);
    if (width > 0 && width !== drawn) {
      drawn = width;
      draw(width);
    }
  })).observe(box);
}

// Calls a moment after the last of several events.
function afterTyping(input, act) {
  let timer = 0;
  input.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(act, 120);
  });
}

// Buttons of which one is pressed.
function choice(box, options, chosen, act) {
  const buttons = options.map(([value, text]) =>
    el("button", { type: "button", "data-value": value, click: () => press(value) }, text));
  const show = (value) => buttons.forEach((button) =>
    button.setAttribute("aria-pressed", String(button.dataset.value === value)));
  const press = (value) => {
    show(value);
    act(value);
  };
  box.replaceChildren(...buttons);
  show(chosen);
}
