//! A walk over everything that a program reaches, shortest and plainest ways first.
//!
//! It begins at the modules and at the frames that run. Each step has a price, so that a way by names wins over one
//! through the insides of C objects, and a module over a frame. What is very large waits: of its entries the first are
//! looked at in turn, the rest when all else at that distance is done. Objects that hold nothing are passed over.

use std::{
    collections::{HashSet, VecDeque},
    ops::ControlFlow,
    time::{Duration, Instant},
};

use foldhash::fast::RandomState;

use super::visited::Visited;
use crate::python::view::{Edge, Frame, Label, Module, View};

/// How much a walk may take.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Most objects, at about 28 bytes each.
    pub objects: usize,
    /// Most time.
    pub time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { objects: 4 << 20, time: Duration::from_secs(20) }
    }
}

/// How a walk ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// Everything asked for was found.
    Found,
    /// There is nothing more that can be reached.
    Whole,
    /// Its limits were reached first.
    Bounded,
}

/// Something that the walk has come to.
#[derive(Clone, Copy, Debug)]
struct Node {
    /// Address of the object, or number of the frame.
    address: u64,
    /// Whence it was reached; itself where it is a root.
    parent: u32,
    price: u16,
    state: State,
}

const _: () = assert!(size_of::<Node>() == 16);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In line.
    Waiting,
    /// Its first entries were looked at.
    Begun,
    /// Done with.
    Done,
    /// A frame that runs, in line.
    Frame,
}

/// Prices above are all the same.
const MAX_PRICE: u16 = 1000;

/// What it costs to begin at a frame instead of a module.
const FRAME_PRICE: u16 = 6;

/// What it costs to begin at a module of the interpreter's own that holds what others let go of, or watches them.
const INSIDES_PRICE: u16 = 40;

/// Those modules.
const INSIDES: [&str; 8] = [
    "gc",
    "weakref",
    "_weakref",
    "builtins",
    "tracemalloc",
    "_tracemalloc",
    "importlib._bootstrap",
    "_frozen_importlib",
];

/// Entries that are looked at in turn.
const FIRST_ENTRIES: usize = 8192;

/// What it costs to come later than those.
const REST_PRICE: u16 = 6;

/// After so many references it looks at the clock.
const BETWEEN_LOOKS: usize = 1 << 12;

/// Addresses of frames are numbers, from which no object begins.
const FRAME_ADDRESS: u64 = 1;

/// See the module.
pub struct Walk<'v, 'a> {
    view: &'v View<'a>,
    nodes: Vec<Node>,
    visited: Visited,
    /// Those in line, by price.
    lines: Vec<VecDeque<u32>>,
    modules: Vec<Module>,
    frames: Vec<Frame>,
    limits: Limits,
    began: Instant,
    /// References that were looked at.
    looks: usize,
    is_late: bool,
}

/// One step of the way to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// It begins at this module.
    Module(usize),
    /// It begins at this running frame.
    Frame(usize),
    /// It leads on to this object.
    Object(u64),
}

impl<'v, 'a> Walk<'v, 'a> {
    /// One that is about to begin.
    pub fn new(view: &'v View<'a>, limits: Limits) -> Self {
        let (modules, frames) = (view.modules(), view.running_frames());
        let mut walk = Self {
            view,
            nodes: vec![],
            visited: Visited::new(),
            lines: vec![],
            modules: vec![],
            frames: vec![],
            limits,
            began: Instant::now(),
            looks: 0,
            is_late: false,
        };
        for module in &modules {
            let price = if INSIDES.contains(&module.name.as_str()) { INSIDES_PRICE } else { 0 };
            // A module of several names has the first.
            if walk.find(module.address).is_none() {
                walk.add(module.address, None, price, State::Waiting);
                walk.modules.push(module.clone());
            }
        }
        for (number, frame) in frames.iter().enumerate() {
            walk.add(number as u64 * 8 + FRAME_ADDRESS, None, FRAME_PRICE, State::Frame);
            walk.frames.push(*frame);
        }
        walk
    }

    /// Walks on until all of these are found.
    pub fn run(&mut self, wanted: &[u64]) -> Ended {
        let mut missing: HashSet<u64, RandomState> = wanted.iter().copied().collect();
        for price in 0.. {
            if price >= self.lines.len() {
                return Ended::Whole;
            }
            while let Some(place) = self.lines[price].pop_front() {
                let node = self.nodes[place as usize];
                if node.state == State::Done || usize::from(node.price) != price && node.state != State::Begun {
                    continue;
                }
                if node.state == State::Waiting && !missing.is_empty() {
                    missing.remove(&node.address);
                }
                self.look_at(place, node, price as u16);
                if missing.is_empty() && !wanted.is_empty() {
                    return Ended::Found;
                }
                if self.is_over() {
                    return Ended::Bounded;
                }
            }
        }
        Ended::Whole
    }

    /// Whether it came to all that can be reached.
    pub fn is_whole(&self) -> bool {
        !self.is_over() && self.lines.iter().all(VecDeque::is_empty)
    }

    /// Whether the walk came to an object.
    pub fn has_reached(&self, address: u64) -> bool {
        self.find(address).is_some()
    }

    /// The way to an object, from a root on.
    pub fn way(&self, address: u64) -> Option<Vec<Step>> {
        let mut place = self.find(address)?;
        let mut way = Vec::new();
        loop {
            let node = self.nodes[place as usize];
            if node.parent == place {
                way.push(match self.nodes[place as usize].address % 8 {
                    FRAME_ADDRESS => Step::Frame((node.address / 8) as usize),
                    _ => Step::Module(place as usize),
                });
                break;
            }
            way.push(Step::Object(node.address));
            place = node.parent;
        }
        way.reverse();
        Some(way)
    }

    /// The modules at which it began.
    pub fn modules(&self) -> &[Module] {
        &self.modules
    }

    /// The frames at which it began.
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    fn is_over(&self) -> bool {
        self.is_late || self.nodes.len() >= self.limits.objects
    }

    fn find(&self, address: u64) -> Option<u32> {
        self.visited.find(address, |place| self.nodes[place as usize].address)
    }

    fn look_at(&mut self, place: u32, node: Node, price: u16) {
        let view = self.view;
        let is_begun = node.state == State::Begun;
        let mut left = if is_begun { usize::MAX } else { FIRST_ENTRIES };
        let kind = view.kind_of(node.address);
        let frame = self.frames.get((node.address / 8) as usize).copied();
        let mut visit = |edge: Edge| {
            self.reach(place, price, edge, kind.is_some_and(|kind| view.has_field_name(kind, edge.label)));
            left -= 1;
            if left == 0 || self.is_over() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let flow = if node.state == State::Frame {
            view.frame_edges(frame, &mut |to, label| visit(Edge { to, label }))
        } else if let Some(kind) = kind {
            view.edges(node.address, kind, &mut visit)
        } else {
            ControlFlow::Continue(())
        };
        let is_cut = flow.is_break() && !is_begun && node.state != State::Frame;
        self.nodes[place as usize].state = if is_cut { State::Begun } else { State::Done };
        if is_cut {
            self.line_up(place, price.saturating_add(REST_PRICE));
        }
    }

    fn reach(&mut self, from: u32, price: u16, edge: Edge, is_named: bool) {
        self.looks += 1;
        if self.looks.is_multiple_of(BETWEEN_LOOKS) {
            self.is_late = self.began.elapsed() > self.limits.time;
        }
        let Some(kind) = self.view.kind_of(edge.to) else { return };
        if self.view.kind(kind).holds_nothing() {
            return;
        }
        let price = price.saturating_add(price_of(edge.label, is_named)).min(MAX_PRICE);
        match self.find(edge.to) {
            None => {
                self.add(edge.to, Some(from), price, State::Waiting);
            }
            Some(place) => {
                let node = &mut self.nodes[place as usize];
                if node.state == State::Waiting && price < node.price {
                    (node.parent, node.price) = (from, price);
                    self.line_up(place, price);
                }
            }
        }
    }

    fn add(&mut self, address: u64, parent: Option<u32>, price: u16, state: State) {
        let place = self.nodes.len() as u32;
        let nodes = &self.nodes;
        self.visited.add(address, place, |place| nodes[place as usize].address);
        self.nodes.push(Node { address, parent: parent.unwrap_or(place), price, state });
        self.line_up(place, price);
    }

    fn line_up(&mut self, place: u32, price: u16) {
        let price = usize::from(price.min(MAX_PRICE));
        if self.lines.len() <= price {
            self.lines.resize_with(price + 1, VecDeque::new);
        }
        self.lines[price].push_back(place);
    }
}

/// What a step costs. Two for a plain one.
pub const fn price_of(label: Label, is_named: bool) -> u16 {
    match label {
        Label::Attribute(_) | Label::Value(_) | Label::Item(_) | Label::Member | Label::Content => 2,
        Label::Field(_) if is_named => 2,
        Label::Dict | Label::Key(_) | Label::Shared(_) | Label::TracebackFrame | Label::TracebackNext => 3,
        Label::Variable { .. } => 4,
        Label::Field(_) => 5,
        Label::Class | Label::Base => 6,
        Label::Globals => 8,
        Label::Temporary { .. } => 30,
    }
}
