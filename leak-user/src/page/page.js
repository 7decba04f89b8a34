// Fills the page from top to bottom.

function verdictAndFacts() {
  const names = { good: "All is well", warning: "Worth a look", critical: "Leak" };
  if (data.judged) byId("verdict").classList.add(data.severity);
  byId("severity").textContent = data.judged ? names[data.severity] : "No verdict yet";
  byId("headline").textContent = unbroken(data.headline);
  byId("next").replaceChildren(...data.next.map((step) => el("li", null, unbroken(step))));
  byId("facts").replaceChildren(...data.facts.flatMap(([name, text]) => [el("dt", null, name), el("dd", null, unbroken(text))]));
  const who = data.processes.length === 1 ? data.processes[0] : count(data.processes.length) + " processes";
  byId("who").textContent = who;
  document.title = "leaktrace: " + who;
}

function memoryLines() {
  if (data.processes.length > 1) byId("memory-title").append(", of " + count(data.processes.length) + " processes together");
  const lines = [
    { name: "RSS", values: data.memory.rss },
    { name: "PSS", values: data.memory.pss },
    { name: "swap", values: data.memory.swap },
    { name: "cgroup", values: data.memory.cgroup },
    { name: "held", values: data.memory.held },
  ];
  // What is not known, or nothing throughout, is no line.
  return lines.filter((line) => line.values.some((value) => value !== null && value > 0));
}

verdictAndFacts();
memoryChart(byId("memory-chart"), memoryLines(), data.limit);
interpreters(byId("python"));
growthCards(byId("growth-cards"), stacksTable());
flameGraph();
byId("ages").replaceChildren(ageBars(totalAges(), ["age", "bytes"], binary));
byId("sizes").replaceChildren(sizeBars());
comparison();
document.documentElement.dataset.ready = "yes";
