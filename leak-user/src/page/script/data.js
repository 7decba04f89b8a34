// The document in the page, unpacked.

const data = JSON.parse(byId("data").textContent);
const last = data.snapshots.length - 1;
const times = data.snapshots.map((moment) => moment.elapsed);

const frames = data.frames.map(([name, file, line, module, inlined]) => ({
  name: data.names[name],
  file: data.names[file],
  line,
  module: data.names[module],
  inlined: inlined === 1,
}));

function sums(differences) {
  let sum = 0;
  return differences.map((step) => (sum += step));
}

const stacks = data.stacks.map((stack, number) => {
  const bytes = sums(stack.b);
  const blocks = sums(stack.n);
  const [first, held] = [bytes[0] ?? 0, bytes[bytes.length - 1] ?? 0];
  return {
    ...stack,
    number,
    process: data.processes[stack.p],
    frames: stack.f.map((frame) => frames[frame]),
    why: data.names[stack.why],
    bytes,
    blocks,
    held,
    count: blocks[blocks.length - 1] ?? 0,
    growth: held - first,
  };
});

// A name without its middle, where it is long: a C++ name has its namespace in front and its method at the back.
function short(name) {
  const letters = [...name];
  return letters.length <= 64 ? name : letters.slice(0, 31).join("") + "…" + letters.slice(-32).join("");
}

// The functions of a stack, from the allocator's caller outwards, as far as there is room for.
function chain(stack, most) {
  if (stack.frames.length === 0) return ["no frames"];
  const named = stack.frames.slice(0, most).map((frame) => short(frame.name));
  return stack.frames.length > most ? [...named, "…"] : named;
}

function place(frame) {
  return frame.file ? frame.file + (frame.line ? ":" + frame.line : "") : "";
}

// A snapshot as people choose it.
function moment(snapshot) {
  const label = snapshot.label === null ? "" : " “" + snapshot.label + "”";
  return "#" + snapshot.number + " " + seconds(snapshot.elapsed) + label;
}
