//! The calls that lead to the memory, from the outermost inwards.
//!
//! Promises that the figures of a branch are those of the lines one step below it, together. Calls without a choice stand in
//! one line, the biggest branches come first, and those below a share of all or beyond a number are one line. Leaves out
//! lines of source: a function is one branch wherever in it the call is; and the allocator at the inner end of each stack.

mod graph;

use std::io::{self, Write};

use super::{
    Direction, Rows, chain,
    figures::{share, signed},
    head::head,
    label,
    sums::Sums,
};
use crate::{
    report::{
        Style,
        page::{Ink, Page},
    },
    session::View,
    text::{columns, printable},
    units::{bytes, plural},
};
use graph::{Graph, Node};

/// Columns that the figures take at most.
const FIGURES: usize = 36;

/// Columns that a branch needs at least; what is deeper than leaves them is one line.
const LEAST_ROOM: usize = 20;

/// Writes the branches of at least `least_pct` per cent of all held bytes, at most `top` of each call.
pub fn tree(view: &View, style: Style, top: usize, least_pct: f64, out: &mut dyn Write) -> io::Result<()> {
    let mut page = Page::new(style);
    head(&mut page, "tree", view);
    let graph = Graph::new(&view.stacks);
    let all = graph.nodes[0].sums;
    if all.held_bytes == 0 {
        let nothing = "No branches: nothing is held, or the filters keep all of it out.";
        page.paragraph("", nothing, Ink::Plain);
        return out.write_all(page.text.as_bytes());
    }
    let least = all.held_bytes as f64 * least_pct / 100.0;
    let mut lines = Lines { view, graph: &graph, top, least, width: page.width, entered: Vec::new() };
    lines.all();
    lines.write(&mut page);
    out.write_all(page.text.as_bytes())
}

/// A line before it is known how wide the figures are.
struct Line {
    sums: Sums,
    /// Glyphs in front.
    stem: String,
    names: Vec<String>,
    ink: Ink,
}

/// The page as far as it is put together.
struct Lines<'a> {
    view: &'a View,
    graph: &'a Graph<'a>,
    top: usize,
    least: f64,
    width: usize,
    entered: Vec<Line>,
}

impl Lines<'_> {
    /// Enters the root and all below it.
    fn all(&mut self) {
        let root = &self.graph.nodes[0];
        let stacks = plural(self.view.stacks.len() as u64, "stack");
        self.entered.push(Line { sums: root.sums, stem: String::new(), names: vec![stacks], ink: Ink::Bold });
        self.below(root, "");
    }

    /// Enters the branches of a node.
    fn below(&mut self, node: &Node<'_>, margin: &str) {
        let mut branches: Vec<_> = node.children.iter().map(|child| &self.graph.nodes[*child]).collect();
        branches.sort_by_key(|branch| std::cmp::Reverse((branch.sums.held_bytes, branch.sums.growth_bytes)));
        let too_deep = self.width < FIGURES + LEAST_ROOM + columns(margin);
        let shown = if too_deep { 0 } else { branches.len().min(self.top) };
        let shown = branches[..shown].partition_point(|branch| branch.sums.held_bytes as f64 >= self.least);
        let (shown, rest) = branches.split_at(shown);
        let itself = node.own != Sums::default();
        for (n, branch) in shown.iter().enumerate() {
            let last = n + 1 == shown.len() && rest.is_empty() && !itself;
            self.branch(branch, margin, last);
        }
        if itself {
            let names = vec!["(by itself)".to_owned()];
            let stem = format!("{margin}{}", stem(rest.is_empty()));
            self.entered.push(Line { sums: node.own, stem, names, ink: Ink::Dim });
        }
        if !rest.is_empty() {
            let sums = rest.iter().map(|branch| branch.sums).sum();
            let why = if too_deep { ", too deep for this width" } else { "" };
            let names = vec![format!("{} more{why}", rest.len())];
            self.entered.push(Line { sums, stem: format!("{margin}{}", stem(true)), names, ink: Ink::Dim });
        }
    }

    /// Enters a branch: all calls without a choice as one line, then what is below them.
    fn branch(&mut self, branch: &Node<'_>, margin: &str, last: bool) {
        let mut end = branch;
        let mut names = vec![self.name(end)];
        while let [only] = end.children.as_slice()
            && end.own == Sums::default()
        {
            end = &self.graph.nodes[*only];
            names.push(self.name(end));
        }
        self.entered.push(Line { sums: branch.sums, stem: format!("{margin}{}", stem(last)), names, ink: Ink::Plain });
        let margin = format!("{margin}{}", if last { "   " } else { "│  " });
        if !end.children.is_empty() {
            self.below(end, &margin);
        }
    }

    fn name(&self, node: &Node<'_>) -> String {
        match (node.frame, node.pid) {
            (Some(frame), _) => label(frame).into_owned(),
            (None, Some(pid)) => {
                let processes = &self.view.last().report.processes;
                let comm = processes.iter().find(|process| process.pid == pid).map_or("", |process| &process.comm);
                format!("{} (pid {pid})", printable(comm))
            }
            (None, None) => "(no frames were recorded)".to_owned(),
        }
    }

    /// Writes the lines with their figures, within the width.
    fn write(&self, page: &mut Page) {
        let all = self.entered[0].sums.held_bytes;
        let mut rows = Rows::open(&["HELD", "SHARE", "GROWTH", "CALLS"], &[]);
        for Line { sums, .. } in &self.entered {
            rows.add([bytes(sums.held_bytes), share(sums.held_bytes, all), signed(sums.growth_bytes)]);
        }
        for (figures, line) in rows.begin(page).iter().zip(&self.entered) {
            let room = page.width.saturating_sub(columns(figures) + columns(&line.stem));
            let names = chain(&line.names, Direction::Inwards, room);
            let stem = page.painted(Ink::Dim, &line.stem);
            page.line(&format!("{figures}{stem}{}", page.painted(line.ink, &names)));
        }
    }
}

const fn stem(last: bool) -> &'static str {
    if last { "└─ " } else { "├─ " }
}
