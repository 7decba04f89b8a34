// Amounts by kind, as bars: a line each, from the first kind that has anything to the last.

// A kind: { name, amount, figures: texts, the first that of the amount }. Of heads, the first is that of the names.
function bars(kinds, heads) {
  const used = kinds.map((kind) => kind.amount > 0);
  const from = used.indexOf(true);
  if (from < 0) return el("p", { class: "dim" }, "None.");
  const most = Math.max(...kinds.map((kind) => kind.amount));
  const lines = kinds.slice(from, used.lastIndexOf(true) + 1).map((kind) => {
    const bar = el("span", { class: "bar" });
    bar.style.width = (kind.amount / most) * 100 + "%";
    return el("tr", null,
      el("th", { scope: "row" }, kind.name),
      el("td", { class: "track" }, bar),
      ...kind.figures.map((figure, at) => el("td", { class: at > 0 ? "figure extra" : "figure" }, figure)));
  });
  const [name, ...figures] = heads;
  const titles = [el("th", { scope: "col" }, name), el("td"),
    ...figures.map((figure, at) => el("th", { scope: "col", class: at > 0 ? "figure extra" : "figure" }, figure))];
  return el("table", { class: "bars" }, el("thead", null, el("tr", null, ...titles)), el("tbody", null, ...lines));
}

function ageBars(amounts, heads, text) {
  return bars(data.ages.map((name, at) => {
    const amount = amounts[at] ?? 0;
    return { name, amount, figures: [text(amount)] };
  }), heads);
}

function sizeBars() {
  return bars(data.sizes.map(([from, , allocated, blocks, held]) => {
    const to = from === 0 ? 0 : from * 2 - 1;
    return {
      name: (binary(from) + " to " + binary(to)).replaceAll(".0 ", " "),
      amount: held,
      figures: [binary(held), count(blocks), binary(allocated)],
    };
  }), ["asked for", "held", "blocks", "ever allocated"]);
}

function totalAges() {
  return data.ages.map((_, at) => stacks.reduce((sum, stack) => sum + (stack.ages[at] ?? 0), 0));
}
