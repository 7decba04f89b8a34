// The stacks that grew most, a small line each.

const CARDS = 12;

function growthCards(box, open) {
  const grown = stacks.filter((stack) => stack.growth > 0).sort((a, b) => b.growth - a.growth).slice(0, CARDS);
  if (grown.length === 0) {
    box.replaceChildren(el("p", { class: "dim" }, "No stack holds more at the end than at the beginning."));
    return;
  }
  box.replaceChildren(...grown.map((stack) => {
    const [name, ...callers] = chain(stack, 2);
    return el("button", { type: "button", class: "card", click: () => open(stack) },
      el("span", { class: "card-name" }, el("b", null, name), " ", callers.map((caller) => "← " + caller).join(" ")),
      spark(stack.bytes, 240, 56),
      el("span", { class: "card-figures" }, el("b", null, signed(stack.growth)), " ", rate(stack.rate), " ", verdictTag(stack)));
  }));
}
