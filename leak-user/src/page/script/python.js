// What interpreters hold: who keeps what grows, which lines add to it, and the types of all objects.

function interpreters(section) {
  section.hidden = data.python.length === 0;
  byId("python-link").hidden = section.hidden;
  byId("python-told").replaceChildren(...data.python.flatMap((python) => [
    el("p", { class: "dim" }, unbroken(python.about)),
    ...(python.held.length > 0 ? python.held.map(heldCard) : python.nothing ? [el("p", null, python.nothing)] : []),
    ...(python.types.length > 0 ? [typesTable(python.types)] : []),
  ]));
}

function heldCard(held) {
  return el("div", { class: "held" },
    el("p", null, el("span", { class: "tag " + held.verdict }, held.verdict + (held.sure ? " " + held.sure : "")), " ", el("b", null, unbroken(held.what))),
    el("p", { class: "dim" }, unbroken(held.why)),
    ...(held.frames.length > 0
      ? [el("ol", { class: "held-frames" }, ...held.frames.map(([name, at]) => el("li", null, el("code", null, unbroken(name)), " ", el("span", { class: "dim" }, unbroken(at)))))]
      : []));
}

function typesTable(types) {
  const head = ["Type", "Objects", "Bytes", "Objects/s", "Rate"];
  const cell = (tag, text, place) => el(tag, place === 0 ? null : { class: "figure" }, unbroken(text));
  return el("div", { class: "scroll" }, el("table", { class: "types" },
    el("thead", null, el("tr", null, ...head.map((name, place) => cell("th", name, place)))),
    el("tbody", null, ...types.map((row) => el("tr", null, ...row.map((text, place) => cell("td", text, place)))))));
}
