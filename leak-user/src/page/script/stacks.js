// The table of stacks: sorted, searched, filtered by verdict, and each opened to all that is known of it.

function verdictTag(stack) {
  return el("span", { class: "tag " + stack.verdict }, stack.verdict);
}

function stackName(stack) {
  const [first, ...callers] = chain(stack, 4);
  const where = stack.frames[0] ? [stack.frames[0].module, place(stack.frames[0])] : [];
  if (data.processes.length > 1) where.unshift(stack.process);
  return el("span", { class: "name" },
    el("b", null, first), ...callers.map((caller) => el("span", { class: "caller" }, " ← " + caller)),
    el("small", null, where.filter((text) => text !== "").join(" · ")));
}

function plusMinus(stack) {
  return stack.error > 0 ? el("small", null, " ±" + binary(stack.error)) : null;
}

const stackColumns = [
  { key: "name", name: "Stack", text: true, value: (stack) => chain(stack, 1)[0], cell: stackName },
  { key: "held", name: "Held", value: (stack) => stack.held, cell: (stack) => el("span", null, binary(stack.held), plusMinus(stack)) },
  { key: "blocks", name: "Blocks", value: (stack) => stack.count, cell: (stack) => count(stack.count) },
  { key: "growth", name: "Growth", value: (stack) => stack.growth, cell: (stack) => signed(stack.growth) },
  { key: "rate", name: "Rate", value: (stack) => stack.rate, cell: (stack) => rate(stack.rate) },
  { key: "allocated", name: "Allocated", value: (stack) => stack.allocated, cell: (stack) => binary(stack.allocated) },
  { key: "oldest", name: "Oldest", value: (stack) => stack.oldest, cell: (stack) => stack.count > 0 ? seconds(stack.oldest) : "–" },
  { key: "verdict", name: "Verdict", text: true, value: (stack) => stack.verdict, cell: verdictTag },
  { key: "sure", name: "Sure", value: (stack) => stack.sure, cell: (stack) => stack.verdict === "new" ? "–" : percent(stack.sure) },
];

function stackDetail(stack) {
  const lines = stack.frames.map((frame) => el("li", null,
    el("code", null, frame.name), frame.inlined ? el("small", { class: "inlined" }, "inlined") : null,
    el("span", { class: "where" }, [place(frame), frame.module].filter((text) => text !== "").join(" · "))));
  if (!stack.whole) lines.push(el("li", { class: "dim" }, "The rest of this stack could not be walked."));
  const first = binary(stack.bytes[0] ?? 0);
  return el("div", { class: "more-of-it" },
    el("div", null,
      el("p", { class: "why" }, verdictTag(stack), " ", stack.why),
      lines.length > 0 ? el("ol", { class: "frames" }, ...lines) : el("p", { class: "dim" }, "This stack has no frames."),
      el("p", { class: "dim" }, stack.process + " · stack " + stack.id)),
    el("div", null,
      el("h3", null, "Held: " + first + " to " + binary(stack.held)),
      spark(stack.bytes, 320, 72),
      el("h3", null, "What is held, by age"), ageBars(stack.ages, ["age", "bytes"], binary),
      el("h3", null, "What was freed, by how long it lived"), ageBars(stack.lives, ["lifetime", "blocks"], count)));
}

// Whether a stack has, in its frames, all words of a search.
function matcher(text) {
  const words = text.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const hits = words.map((word) => new Set(frames.filter((frame) =>
    (frame.name + "\n" + frame.file + "\n" + frame.module).toLowerCase().includes(word))));
  return (stack) => hits.every((hit) => stack.frames.some((frame) => hit.has(frame)));
}

function stacksTable() {
  const table = sortable(byId("stacks-table"), stackColumns, { sortBy: "held", detail: stackDetail, none: "No stack is like that." });
  let verdict = "all";
  const show = () => {
    const matches = matcher(byId("search").value);
    const found = stacks.filter((stack) => (verdict === "all" || stack.verdict === verdict) && matches(stack));
    table.show(found);
    const held = found.reduce((sum, stack) => sum + stack.held, 0);
    const [left, bytes] = data.left_out;
    byId("found").textContent = plural(found.length, "stack") + ", " + binary(held)
      + (left > 0 ? "; not on this page: " + plural(left, "smaller stack") + ", " + binary(bytes) : "");
  };
  const verdicts = ["leak", "growing", "plateau", "churn", "new"]
    .map((name) => [name, stacks.filter((stack) => stack.verdict === name).length])
    .filter(([, many]) => many > 0)
    .map(([name, many]) => [name, name + " " + count(many)]);
  const filter = (name) => {
    verdict = name;
    show();
  };
  const filters = (chosen) => choice(byId("verdicts"), [["all", "all " + count(stacks.length)], ...verdicts], chosen, filter);
  filters("all");
  afterTyping(byId("search"), show);
  show();
  // Opens a stack, whatever was searched for.
  return (stack) => {
    byId("search").value = "";
    filters("all");
    filter("all");
    table.open(stack);
  };
}
