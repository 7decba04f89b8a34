//! Objects that nothing reaches and that are there nevertheless: which cycles of references keep them.

use std::{
    collections::HashMap,
    fmt::{self, Display, Formatter},
    ops::ControlFlow,
};

use foldhash::fast::RandomState;

use super::{visited::Visited, walk::Walk};
use crate::python::{
    heap::TypeIndex,
    view::{Edge, Label, Variable, View},
};

/// Objects of each type that are looked at.
const SAMPLE: usize = 64;

/// Most objects that are looked at to find the cycle that one is in.
const MAX_OBJECTS: usize = 4096;

/// Most references that are looked at for that.
const MAX_EDGES: usize = 1 << 17;

/// Most references that are looked at for all objects.
const MAX_ALL_EDGES: usize = 1 << 23;

/// Most different cycles of a type that are told.
const MAX_CYCLES: usize = 4;

/// Most steps of a cycle.
const MAX_STEPS: usize = 16;

/// One object of a cycle, and how it refers to the next.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// The object's type, module and all: `app.Node`. It may hold anything.
    pub kind: String,
    /// The field that leads on: `parent`; nothing for what any entry of a container does.
    pub field: Option<String>,
}

/// A cycle of references.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cycle {
    /// Its objects, one of the type asked for first. The last refers to the first.
    pub links: Vec<Link>,
    /// How many of the objects that were looked at are in such a cycle.
    pub objects: usize,
}

impl Display for Cycle {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for link in &self.links {
            match &link.field {
                Some(field) => write!(f, "{}.{field} -> ", link.kind)?,
                None => write!(f, "{} -> ", link.kind)?,
            }
        }
        self.links.first().map_or(Ok(()), |first| f.write_str(&first.kind))
    }
}

/// Objects of a type that nothing reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreached {
    /// Address of the type.
    pub kind: u64,
    /// Its name, module and all. It may hold anything.
    pub name: String,
    /// Its objects.
    pub objects: u64,
    /// Those of them that nothing reaches, as far as is known.
    pub unreached: u64,
    /// How many of those were looked at.
    pub sampled: usize,
    /// The cycles that those are in, the most frequent first.
    pub cycles: Vec<Cycle>,
}

/// Which objects of these types, given by address, a walk has not reached; none where it did not come
/// to its end. Types of which all are reached
/// are left out, and those that hold no references: a walk passes them over.
pub fn unreached(view: &View, walk: &Walk, kinds: &[u64]) -> Vec<Unreached> {
    let indices = view.heap().types.iter().map(|kind| kind.index);
    if !walk.is_whole() {
        return vec![];
    }
    let mut left = MAX_ALL_EDGES;
    let mut found: Vec<(TypeIndex, u64, u64, Vec<u64>)> = indices
        .filter(|index| kinds.contains(&view.kind(*index).address) && !view.kind(*index).holds_nothing())
        .map(|index| (index, 0, 0, vec![]))
        .collect();
    view.for_each_object(|address, index| {
        let Some((_, objects, unreached, sample)) = found.iter_mut().find(|(wanted, ..)| *wanted == index) else {
            return;
        };
        *objects += 1;
        if walk.has_reached(address) || view.references_to(address) == 0 {
            return;
        }
        *unreached += 1;
        // Each has the same chance to be in it, whichever number there will be.
        let place = if sample.len() < SAMPLE { sample.len() as u64 } else { scattered(*unreached) % *unreached };
        if sample.len() < SAMPLE {
            sample.push(address);
        } else if let Some(old) = sample.get_mut(place as usize) {
            *old = address;
        }
    });
    found
        .into_iter()
        .filter(|(_, _, unreached, _)| *unreached > 0)
        .map(|(index, objects, unreached, sample)| Unreached {
            kind: view.kind(index).address,
            name: view.name_of(index),
            objects,
            unreached,
            sampled: sample.len(),
            cycles: cycles(view, walk, &sample, &mut left),
        })
        .collect()
}

/// A number that looks random, the same at each run.
const fn scattered(number: u64) -> u64 {
    let mixed = (number ^ number >> 31).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 29
}

fn cycles(view: &View, walk: &Walk, sample: &[u64], left: &mut usize) -> Vec<Cycle> {
    let mut counts: HashMap<Vec<Link>, usize, RandomState> = HashMap::default();
    for links in sample.iter().filter_map(|object| cycle_of(view, walk, *object, left)) {
        *counts.entry(links).or_default() += 1;
    }
    let mut cycles: Vec<Cycle> = counts.into_iter().map(|(links, objects)| Cycle { links, objects }).collect();
    cycles.sort_by(|one, other| (other.objects, &one.links).cmp(&(one.objects, &other.links)));
    cycles.truncate(MAX_CYCLES);
    cycles
}

/// The shortest cycle through an object, among those that nothing reaches.
fn cycle_of(view: &View, walk: &Walk, object: u64, left: &mut usize) -> Option<Vec<Link>> {
    let mut edges = MAX_EDGES.min(*left);
    *left -= edges;
    let mut objects = vec![object];
    let mut came: Vec<(usize, Option<Label>)> = vec![(0, None)];
    let mut seen = Visited::new();
    seen.add(object, 0, |_| object);
    let mut next = 0;
    let mut closing = None;
    while next < objects.len() && edges > 0 && closing.is_none() {
        let from = objects[next];
        if let Some(index) = view.kind_of(from) {
            let _ = view.edges(from, index, &mut |Edge { to, label }| {
                let Some(fewer) = edges.checked_sub(1) else { return ControlFlow::Break(()) };
                edges = fewer;
                if to == object {
                    closing = Some((next, label));
                    return ControlFlow::Break(());
                }
                let leads_out = matches!(label, Label::Class | Label::Base | Label::Globals);
                if leads_out
                    || walk.has_reached(to)
                    || view.kind_of(to).is_none_or(|kind| view.kind(kind).holds_nothing())
                {
                    return ControlFlow::Continue(());
                }
                if seen.find(to, |place| objects[place as usize]).is_none() {
                    seen.add(to, objects.len() as u32, |place| objects[place as usize]);
                    objects.push(to);
                    came.push((next, Some(label)));
                }
                if objects.len() < MAX_OBJECTS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
        }
        next += 1;
    }
    *left += edges;
    let (mut at, mut label) = closing?;
    let mut links = Vec::new();
    loop {
        links.push(link(view, objects[at], label));
        if at == 0 || links.len() == MAX_STEPS {
            break;
        }
        let (from, by) = came[at];
        (at, label) = (from, by?);
    }
    links.reverse();
    Some(links)
}

fn link(view: &View, from: u64, label: Label) -> Link {
    let index = view.kind_of(from);
    let kind = index.map_or_else(|| "object".to_owned(), |index| view.name_of(index));
    let text = |address: u64| view.text(address).unwrap_or_else(|| "?".to_owned());
    let field = match label {
        Label::Attribute(name) => Some(text(name)),
        Label::Dict => Some("__dict__".to_owned()),
        Label::Field(at) => index.and_then(|index| view.kind(index).field(at)).map(str::to_owned),
        Label::Shared(place) => Some(format!("closure variable `{}`", view.shared_name(from, place))),
        Label::Variable { code, index, .. } => match view.variable(code, index) {
            Some(Variable::Local(name) | Variable::Free(name)) => Some(format!("local `{name}`")),
            None => None,
        },
        Label::TracebackFrame => Some("tb_frame".to_owned()),
        Label::TracebackNext => Some("tb_next".to_owned()),
        Label::Value(_)
        | Label::Key(_)
        | Label::Item(_)
        | Label::Member
        | Label::Content
        | Label::Class
        | Label::Base
        | Label::Globals
        | Label::Temporary { .. } => None,
    };
    Link { kind, field }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cycle_reads_from_its_first_object_back_to_it() {
        let link = |kind: &str, field: Option<&str>| Link { kind: kind.to_owned(), field: field.map(str::to_owned) };
        let links = vec![link("app.Node", Some("parent")), link("app.Node", Some("children")), link("list", None)];
        let cycle = Cycle { links, objects: 3 };
        assert_eq!(cycle.to_string(), "app.Node.parent -> app.Node.children -> list -> app.Node");
    }
}
