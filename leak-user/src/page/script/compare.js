// Two snapshots side by side.

function comparison() {
  const [from, to] = [byId("compare-from"), byId("compare-to")];
  for (const select of [from, to]) {
    select.append(...data.snapshots.map((snapshot, at) => el("option", { value: at }, moment(snapshot))));
  }
  [from.value, to.value] = ["0", String(last)];
  const mark = (row) => row.isNew ? el("span", { class: "tag growing" }, "new")
    : row.isGone ? el("span", { class: "tag churn" }, "gone") : "";
  const table = sortable(byId("compare-table"), [
    { key: "name", name: "Stack", text: true, value: (row) => chain(row.stack, 1)[0], cell: (row) => stackName(row.stack) },
    { key: "before", name: "From", value: (row) => row.before, cell: (row) => binary(row.before) },
    { key: "after", name: "To", value: (row) => row.after, cell: (row) => binary(row.after) },
    { key: "difference", name: "Difference", value: (row) => row.difference, cell: (row) => el("b", null, signed(row.difference)) },
    { key: "blocks", name: "Blocks", value: (row) => row.blocks, cell: (row) => (row.blocks > 0 ? "+" : row.blocks < 0 ? "-" : "") + count(Math.abs(row.blocks)) },
    { key: "mark", name: "New or gone", text: true, value: (row) => row.isNew ? "new" : row.isGone ? "gone" : "", cell: mark },
  ], { sortBy: "difference", none: "No stack differs between the two." });

  function show() {
    const [a, b] = [Number(from.value), Number(to.value)];
    const rows = stacks.map((stack) => ({
      number: stack.number,
      stack,
      before: stack.bytes[a],
      after: stack.bytes[b],
      difference: stack.bytes[b] - stack.bytes[a],
      blocks: stack.blocks[b] - stack.blocks[a],
      isNew: stack.blocks[a] === 0 && stack.bytes[a] === 0 && stack.bytes[b] > 0,
      isGone: stack.bytes[a] > 0 && stack.blocks[b] === 0 && stack.bytes[b] === 0,
    })).filter((row) => row.difference !== 0 || row.blocks !== 0);
    const sum = (of) => rows.filter(of).reduce((sum, row) => sum + row.difference, 0);
    const many = (of) => rows.filter(of).length;
    const [up, down] = [(row) => row.difference > 0, (row) => row.difference < 0];
    byId("compare-said").textContent = "In " + seconds(Math.abs(times[b] - times[a])) + ": "
      + signed(sum(up)) + " in " + plural(many(up), "stack") + ", " + signed(sum(down)) + " in " + plural(many(down), "stack")
      + "; " + count(many((row) => row.isNew)) + " new, " + count(many((row) => row.isGone)) + " gone"
      + (data.estimates ? "; estimates from samples" : "");
    table.show(rows);
  }

  from.addEventListener("change", show);
  to.addEventListener("change", show);
  show();
}
