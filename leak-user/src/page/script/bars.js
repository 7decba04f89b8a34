// Amounts by kind, as bars: a line each, from the first kind that has anything to the last.

function bars(kinds, name, more) {
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
      el("td", { class: "figure" }, kind.text),
      more ? el("td", { class: "figure dim" }, kind.more) : null);
  });
  const heads = [name[0], "", name[1], ...(more ? [more] : [])].map((text) => el("th", { scope: "col" }, text));
  return el("table", { class: "bars" }, el("thead", null, el("tr", null, ...heads)), el("tbody", null, ...lines));
}

function ageBars(amounts, name, text) {
  return bars(data.ages.map((age, at) => {
    const amount = amounts[at] ?? 0;
    return { name: age, amount, text: text(amount) };
  }), name);
}

function sizeBars() {
  return bars(data.sizes.map(([from, , allocated, blocks, held]) => {
    const to = from === 0 ? 1 : from * 2;
    return {
      name: binary(from) + " to " + binary(to - 1),
      amount: held,
      text: binary(held) + " in " + plural(blocks, "block"),
      more: binary(allocated),
    };
  }), ["asked for", "held"], "ever allocated");
}

function totalAges() {
  return data.ages.map((_, at) => stacks.reduce((sum, stack) => sum + (stack.ages[at] ?? 0), 0));
}
