// A table that is sorted by its heads, whose rows are made as they are come to, and open if they have more to show.

const ROWS_AT_ONCE = 60;

// A column: { key, name, value: what it sorts by, cell: what it shows, text: whether that is text }.
function sortable(box, columns, { sortBy, detail, none }) {
  let [rows, made, sorting, descending] = [[], 0, sortBy, true];
  const heads = columns.map((column) => el("th", { scope: "col", class: column.text ? "text" : "figure" },
    el("button", { type: "button", "data-key": column.key, click: () => sort(column) }, column.name)));
  const body = el("tbody");
  const table = el("table", { class: "wide" }, el("thead", null, el("tr", null, ...heads)), body);
  const more = el("button", { type: "button", class: "more", click: () => make() });
  const empty = el("p", { class: "dim" }, none);
  box.replaceChildren(el("div", { class: "scroll" }, table), more, empty);
  new IntersectionObserver((seen) => seen.some((entry) => entry.isIntersecting) && make(), { rootMargin: "400px" }).observe(more);

  function sort(column) {
    descending = sorting === column.key ? !descending : !column.text;
    sorting = column.key;
    order();
  }

  function order() {
    const { value } = columns.find((column) => column.key === sorting);
    const compare = (a, b) => typeof a === "string" ? a.localeCompare(b) : a - b;
    const sign = descending ? -1 : 1;
    rows.sort((a, b) => sign * compare(value(a), value(b)) || a.number - b.number);
    columns.forEach((column, at) => heads[at].setAttribute("aria-sort",
      column.key !== sorting ? "none" : descending ? "descending" : "ascending"));
    made = 0;
    body.replaceChildren();
    make();
  }

  function make() {
    const next = rows.slice(made, made + ROWS_AT_ONCE);
    made += next.length;
    body.append(...next.map(line));
    more.textContent = "Show more of " + count(rows.length);
    more.hidden = made >= rows.length;
    table.hidden = rows.length === 0;
    empty.hidden = rows.length > 0;
  }

  function line(row) {
    const cells = columns.map((column) =>
      el("td", { class: column.text ? "text" : "figure", "data-name": column.name }, column.cell(row)));
    const tr = el("tr", { "data-number": row.number }, ...cells);
    if (detail) {
      const button = el("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": "All of this stack" });
      cells[0].prepend(button);
      tr.addEventListener("click", (event) => {
        // Whoever has just marked some text wants to copy it.
        if (event.target === button || String(getSelection()) === "") toggle(tr, button, row);
      });
    }
    return tr;
  }

  function toggle(tr, button, row) {
    const isOpen = button.getAttribute("aria-expanded") === "true";
    button.setAttribute("aria-expanded", String(!isOpen));
    if (isOpen) tr.nextElementSibling.remove();
    else tr.after(el("tr", { class: "detail" }, el("td", { colspan: columns.length }, detail(row))));
  }

  return {
    show(next) {
      rows = [...next];
      order();
    },
    // Opens a row, which is made first if it was not come to yet.
    open(row) {
      while (made < rows.length && rows.indexOf(row) >= made) make();
      const tr = body.querySelector('tr[data-number="' + row.number + '"]');
      const button = tr?.querySelector("button.open");
      if (!button) return;
      if (button.getAttribute("aria-expanded") === "false") toggle(tr, button, row);
      tr.scrollIntoView({ block: "start" });
      button.focus({ preventScroll: true });
    },
  };
}
