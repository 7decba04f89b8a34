// Stacks merged into a tree, from the outermost function inwards.

const WEIGHTS = {
  outstanding: ["Held at the end", (stack) => stack.held],
  growth: ["Growth", (stack) => Math.max(stack.growth, 0)],
  allocated: ["Allocated", (stack) => stack.allocated],
};

function node(name, module, parent) {
  return { name, module, parent, depth: parent ? parent.depth + 1 : 0, bytes: 0, children: new Map() };
}

function treeOf(weight) {
  const root = node("all", "", null);
  for (const stack of stacks) {
    const bytes = WEIGHTS[weight][1](stack);
    if (bytes <= 0) continue;
    const path = stack.frames.length > 0 ? [...stack.frames].reverse() : [{ name: "no frames", module: "" }];
    if (data.processes.length > 1) path.unshift({ name: stack.process, module: "" });
    let at = root;
    at.bytes += bytes;
    for (const frame of path) {
      const key = frame.name + "\n" + frame.module;
      if (!at.children.has(key)) at.children.set(key, node(frame.name, frame.module, at));
      at = at.children.get(key);
      at.bytes += bytes;
    }
  }
  return root;
}

// Children, the heaviest first.
function inOrder(of) {
  of.sorted ??= [...of.children.values()].sort((a, b) => b.bytes - a.bytes);
  return of.sorted;
}

// Calls with each function under one, itself included, as long as the call says to go on.
function walk(of, visit) {
  const waiting = [of];
  while (waiting.length > 0) {
    const next = waiting.pop();
    if (visit(next)) waiting.push(...next.children.values());
  }
}

// The modules with most bytes in their functions, each with the number of its colour.
function moduleColours(root) {
  const bytes = new Map();
  walk(root, (of) => {
    if (of.module !== "") bytes.set(of.module, (bytes.get(of.module) ?? 0) + of.bytes);
    return true;
  });
  const heaviest = [...bytes.entries()].sort((a, b) => b[1] - a[1]).slice(0, 8);
  return new Map(heaviest.map(([module], number) => [module, number]));
}
