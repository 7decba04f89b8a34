// Bytes over time: lines with axes, marks and a read-out; and lines alone.

const ROOM = { left: 64, right: 12, top: 34, bottom: 26 };

// The least of these times a unit that is at least so great.
function stepFor(least, steps) {
  return steps.find((step) => step >= least) ?? steps[steps.length - 1];
}

function byteStep(most, ticks) {
  const unit = 1024 ** Math.max(0, Math.floor(Math.log2(Math.max(most, 1)) / 10));
  return stepFor(most / unit / ticks, [0.1, 0.2, 0.25, 0.5, 1, 2, 4, 5, 8, 10, 16, 20, 32, 50, 64, 100, 128, 200, 256, 512]) * unit;
}

function timeStep(span, ticks) {
  const days = Array.from({ length: 10 }, (_, power) => 86400 * 2 ** power);
  return stepFor(span / ticks, [0.1, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600, 43200, ...days]);
}

// A time of an axis: its seconds are left out where they are none.
function tick(time) {
  return time >= 60 && time < 3600 && time % 60 === 0 ? time / 60 + " m" : seconds(time).replace(" h 00 m", " h");
}

// The pieces of a line through the values that are there.
function path(values, x, y) {
  let pen = "M";
  return values.map((value, at) => {
    if (value === null) {
      pen = "M";
      return "";
    }
    const piece = pen + x(at).toFixed(1) + " " + y(value).toFixed(1);
    pen = "L";
    return piece;
  }).join("");
}

// A line without axes, from 0 up.
function spark(values, width, height) {
  const most = Math.max(...values, 1);
  const span = Math.max(times[last] - times[0], 1e-9);
  const x = (at) => 1 + ((times[at] - times[0]) / span) * (width - 2);
  const y = (value) => height - 2 - (Math.max(value, 0) / most) * (height - 4);
  const line = path(values, x, y);
  return shape("svg", { class: "spark", viewBox: "0 0 " + width + " " + height, width, height, preserveAspectRatio: "none", "aria-hidden": "true" },
    shape("path", { class: "area", d: line + "L" + (width - 1) + " " + height + "L1 " + height + "Z" }),
    shape("path", { class: "line", d: line }));
}

function memoryChart(box, lines, limit) {
  const shown = new Set(lines.map((line) => line.name));
  const said = el("output", { class: "readout", "aria-live": "polite" });
  const plot = el("div", { class: "plot" });
  let [at, width] = [null, 0];

  const legend = el("p", { class: "legend" }, ...lines.map((line) =>
    el("button", {
      type: "button",
      class: "key",
      "aria-pressed": "true",
      click: (event) => {
        if (!shown.delete(line.name)) shown.add(line.name);
        event.currentTarget.setAttribute("aria-pressed", String(shown.has(line.name)));
        draw();
      },
    }, swatch(line.name), line.name)));

  function swatch(name) {
    return shape("svg", { width: 26, height: 10, "aria-hidden": "true" },
      shape("path", { class: "series " + name, d: "M1 5H25" }));
  }

  function readOut() {
    const snapshot = data.snapshots[at ?? last];
    const figures = lines.filter((line) => shown.has(line.name) && line.values[at ?? last] !== null)
      .map((line) => line.name + " " + binary(line.values[at ?? last]));
    if (limit !== null) figures.push("limit " + binary(limit));
    said.textContent = [moment(snapshot) + ", " + snapshot.time, ...figures].map(unbroken).join(" · ");
  }

  function draw() {
    const height = width < 500 ? 220 : 280;
    const drawn = lines.filter((line) => shown.has(line.name));
    const most = Math.max(1, ...drawn.flatMap((line) => line.values.filter((value) => value !== null)));
    // A limit far above would press all lines to the ground.
    const near = limit !== null && limit < 3 * most;
    const step = byteStep(near ? Math.max(limit, most) : most, 4);
    const top = Math.ceil((near ? Math.max(limit, most) : most) * 1.02 / step) * step;
    const span = Math.max(times[last] - times[0], 1e-9);
    const x = (at) => ROOM.left + ((times[at] - times[0]) / span) * (width - ROOM.left - ROOM.right);
    const y = (value) => height - ROOM.bottom - (value / top) * (height - ROOM.top - ROOM.bottom);
    const right = width - ROOM.right;
    const parts = [];
    for (let value = 0; value <= top * 1.0001; value += step) {
      parts.push(shape("path", { class: "grid", d: "M" + ROOM.left + " " + y(value) + "H" + right }),
        shape("text", { class: "tick", x: ROOM.left - 8, y: y(value) + 4, "text-anchor": "end" }, binary(value).replace(/\.0 /, " ")));
    }
    const every = timeStep(span, Math.max(2, Math.floor(width / 130)));
    for (let time = Math.ceil(times[0] / every) * every; time <= times[last] + 1e-6; time += every) {
      const left = ROOM.left + ((time - times[0]) / span) * (right - ROOM.left);
      parts.push(shape("text", { class: "tick", x: left, y: height - 8, "text-anchor": left > right - 20 ? "end" : "middle" }, tick(time)));
    }
    if (near) {
      parts.push(shape("path", { class: "limit", d: "M" + ROOM.left + " " + y(limit) + "H" + right }),
        shape("text", { class: "tick limit-name", x: ROOM.left + 6, y: y(limit) + 14 }, "limit " + binary(limit)));
    }
    parts.push(...marks(x, height, right));
    for (const line of drawn) {
      parts.push(shape("path", { class: "series " + line.name, d: path(line.values, x, y) }));
    }
    const cursor = shape("g", { class: "cursor" });
    if (at !== null) {
      cursor.append(shape("path", { d: "M" + x(at) + " " + ROOM.top + "V" + (height - ROOM.bottom) }),
        ...drawn.filter((line) => line.values[at] !== null).map((line) =>
          shape("circle", { class: "dot " + line.name, cx: x(at), cy: y(line.values[at]), r: 3.5 })));
    }
    plot.replaceChildren(shape("svg", { width, height, "aria-hidden": "true" }, ...parts, cursor));
    readOut();
  }

  // Labels of snapshots, on two rows, and left out where there is no room for their text.
  function marks(x, height, right) {
    const ends = [-Infinity, -Infinity];
    return data.snapshots.flatMap((snapshot, at) => {
      if (snapshot.label === null) return [];
      const mark = shape("path", { class: "mark", d: "M" + x(at) + " " + ROOM.top + "V" + (height - ROOM.bottom) });
      const text = snapshot.label.length > 24 ? snapshot.label.slice(0, 23) + "…" : snapshot.label;
      const half = text.length * 3.4;
      const middle = Math.min(Math.max(x(at), half), right - half);
      const row = ends.findIndex((end) => middle - half > end + 6);
      if (row < 0) return [mark];
      ends[row] = middle + half;
      return [mark, shape("text", { class: "tick label", x: middle, y: row === 0 ? 28 : 14, "text-anchor": "middle" }, text)];
    });
  }

  function moveTo(next) {
    at = next === null ? null : Math.min(Math.max(next, 0), last);
    draw();
  }

  plot.addEventListener("pointermove", (event) => {
    const time = times[0] + ((event.clientX - plot.getBoundingClientRect().left - ROOM.left)
      / (width - ROOM.left - ROOM.right)) * (times[last] - times[0]);
    const nearest = times.reduce((best, other, at) => Math.abs(other - time) < Math.abs(times[best] - time) ? at : best, 0);
    if (nearest !== at) moveTo(nearest);
  });
  plot.addEventListener("pointerleave", () => moveTo(null));
  plot.addEventListener("keydown", (event) => {
    const next = { ArrowLeft: (at ?? last) - 1, ArrowRight: (at ?? last) + 1, Home: 0, End: last, Escape: null }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    moveTo(next);
  });
  if (last === 0 || lines.length === 0) {
    // One moment makes no line.
    box.replaceChildren(said);
    readOut();
    return;
  }
  fill(plot, { tabindex: 0, role: "group", "aria-label": "Memory over time; arrow keys move the read-out" }, []);
  box.replaceChildren(legend, plot, said);
  onWidth(plot, (now) => {
    width = now;
    draw();
  });
}
