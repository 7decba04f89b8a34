//! From the way on which a walk came to an object to the path that a person would write.

use std::ops::ControlFlow;

use super::{
    Path, Scope,
    walk::{Limits, Step, Walk},
};
use crate::python::view::{Edge, Label, Shape, Variable, View};

/// Steps at the beginning and at the end of a long way that are shown.
const FIRST_STEPS: usize = 12;
/// See [`FIRST_STEPS`].
const LAST_STEPS: usize = 4;

/// Most modules that are compared to see whose an object is.
const MAX_SHARERS: usize = 64;

/// Most characters of an expression.
const MAX_EXPRESSION: usize = 400;

/// Under which names the program reaches these objects: nothing for those that it does not reach, or not within the limits.
pub fn name(view: &View, addresses: &[u64], limits: Limits) -> Vec<Option<Path>> {
    let mut walk = Walk::new(view, limits);
    walk.run(addresses);
    addresses.iter().map(|address| walk.path(view, *address)).collect()
}

impl Walk<'_, '_> {
    /// The path to an object that the walk has come to.
    pub fn path(&self, view: &View, address: u64) -> Option<Path> {
        let way = self.way(address)?;
        let mut writer = Writer { view, scope: Scope::Module, expression: String::new(), thread_local: 0 };
        let mut steps = way.iter().enumerate().peekable();
        let mut at = At::Nothing;
        while let Some((place, step)) = steps.next() {
            let is_left_out = place > FIRST_STEPS && place + LAST_STEPS < way.len();
            match step {
                Step::Module(module) => {
                    let module = &self.modules()[*module];
                    writer.expression = match steps.peek() {
                        Some((_, Step::Object(object))) => self.best_module(view, module.address, *object),
                        _ => module.name.clone(),
                    };
                    at = At::Object(module.address);
                }
                Step::Frame(frame) => at = At::Frame(*frame),
                Step::Object(object) => {
                    if !is_left_out {
                        writer.step(self, at, *object);
                    } else if !writer.expression.ends_with('…') {
                        writer.expression.push('…');
                    }
                    at = At::Object(*object);
                }
            }
        }
        Some(writer.finish())
    }

    /// The name of the module that this object is most likely of, among those that have it under some name; `module` is one
    /// of them.
    fn best_module(&self, view: &View, module: u64, object: u64) -> String {
        let has = |module: &&crate::python::view::Module| view.name_in(module.address, object).is_some();
        let sharers: Vec<_> = self.modules().iter().filter(has).take(MAX_SHARERS).collect();
        let own = self.modules().iter().find(|one| one.address == module).map(|one| one.name.clone());
        let Some(first) = sharers.first().filter(|_| sharers.len() > 1) else { return own.unwrap_or_default() };
        let origin = view.origin(object);
        let defines = |name: &str| origin.as_deref() == Some(name);
        if let Some(defining) = sharers.iter().find(|sharer| defines(&sharer.name)) {
            return defining.name.clone();
        }
        if first.name == "__main__" {
            return first.name.clone();
        }
        // Who takes other things from it as well took this from it too.
        let taken_from = |name: &str| {
            let others = sharers.iter().filter(|sharer| sharer.name != name);
            others.filter(|sharer| view.origins(sharer.address).iter().any(|(_, origin)| origin == name)).count()
        };
        let class = view.origin_of_class(object);
        let score = |name: &str| (taken_from(name), usize::from(class.as_deref() == Some(name)));
        let best = sharers.iter().rev().max_by_key(|sharer| score(&sharer.name));
        best.map_or_else(|| first.name.clone(), |best| best.name.clone())
    }
}

/// Where a step begins.
#[derive(Clone, Copy)]
enum At {
    Nothing,
    Object(u64),
    Frame(usize),
}

/// Writes a path step by step.
struct Writer<'v, 'a> {
    view: &'v View<'a>,
    scope: Scope,
    expression: String,
    /// Steps into a `threading.local` so far: it has a dict of threads, and each of those a dict of attributes.
    thread_local: u8,
}

impl Writer<'_, '_> {
    fn finish(self) -> Path {
        let expression = match self.expression.char_indices().nth(MAX_EXPRESSION) {
            Some((end, _)) => format!("{}…", &self.expression[..end]),
            None => self.expression,
        };
        Path { scope: self.scope, expression }
    }

    fn step(&mut self, walk: &Walk, at: At, to: u64) {
        let label = match at {
            At::Nothing => None,
            At::Object(from) => label_between(self.view, from, to),
            At::Frame(frame) => {
                let mut found = None;
                let _ = self.view.frame_edges(walk.frames().get(frame).copied(), &mut |target, label| {
                    if target == to {
                        found = Some(label);
                        return ControlFlow::Break(());
                    }
                    ControlFlow::Continue(())
                });
                found
            }
        };
        // The process went on between the walk and now only where live memory was read.
        let Some(label) = label else { return self.expression.push_str(".?") };
        let from = match at {
            At::Object(from) => Some(from),
            _ => None,
        };
        self.write(from, to, label);
    }

    fn write(&mut self, from: Option<u64>, to: u64, label: Label) {
        let view = self.view;
        match label {
            Label::Attribute(name) => {
                let name = view.text(name).unwrap_or_else(|| "?".to_owned());
                self.add(&format!(".{name}"));
            }
            Label::Dict => self.add(".__dict__"),
            Label::Value(_) if self.thread_local == 1 => self.thread_local = 2,
            Label::Value(key) if self.thread_local == 2 => {
                self.thread_local = 0;
                let name = view.text(key).unwrap_or_else(|| "?".to_owned());
                self.add(&format!(".{name}"));
            }
            Label::Value(key) => self.add(&format!("[{}]", view.key(key))),
            Label::Item(place) => self.add(&format!("[{place}]")),
            Label::Key(_) => self.wrap("key"),
            Label::Member => self.wrap("member"),
            Label::Content => {}
            Label::Class => self.add(".__class__"),
            Label::Base => self.add(".__base__"),
            Label::TracebackFrame => self.add(".tb_frame"),
            Label::TracebackNext => self.add(".tb_next"),
            Label::Globals => match view.name_of_globals(to) {
                Some(name) => (self.scope, self.expression) = (Scope::Module, name),
                None => self.add(".__globals__"),
            },
            Label::Field(at) => self.field(from.unwrap_or(0), to, at),
            Label::Shared(place) => {
                let function = from.unwrap_or(0);
                self.scope = Scope::Closure { function: view.name_of_function(function) };
                self.expression = view.shared_name(function, place);
            }
            Label::Variable { code, globals, index } => {
                let (function, holder) = (view.name_of_code(code, globals), self.holder(from));
                (self.scope, self.expression) = match view.variable(code, index) {
                    Some(Variable::Free(name)) => (Scope::Closure { function }, name),
                    Some(Variable::Local(name)) => (Scope::Local { function, holder }, name),
                    None => (Scope::Local { function, holder }, String::new()),
                };
            }
            Label::Temporary { code, globals } => {
                self.scope = Scope::Local { function: view.name_of_code(code, globals), holder: self.holder(from) };
                self.expression = String::new();
            }
        }
    }

    /// What keeps a frame that does not run, as far as it is written.
    fn holder(&self, frame: Option<u64>) -> Option<String> {
        frame.map(|_| Path { scope: self.scope.clone(), expression: self.expression.clone() }.to_string())
    }

    fn field(&mut self, from: u64, to: u64, at: u64) {
        let view = self.view;
        let Some(kind) = view.kind_of(from).map(|kind| view.kind(kind)) else { return };
        if let Some(name) = kind.field(at) {
            return self.add(&format!(".{name}"));
        }
        let target = view.kind_of(to);
        let is_dict = target.is_some_and(|target| view.kind(target).shape == Shape::Dict);
        if kind.name == "functools._lru_cache_wrapper" && is_dict {
            let function = std::mem::take(&mut self.expression);
            self.scope = Scope::Cache { function, most: view.cache_bound(from, at) };
            return;
        }
        if kind.name == "_thread._local" && is_dict {
            self.thread_local = 1;
            return;
        }
        let what = target.map_or_else(|| "object".to_owned(), |target| view.name_of(target));
        self.wrap(&what);
    }

    fn add(&mut self, text: &str) {
        if self.expression.len() < 4 * MAX_EXPRESSION {
            self.expression.push_str(text);
        }
    }

    fn wrap(&mut self, what: &str) {
        self.expression = format!("<{what} of {}>", self.expression);
    }
}

/// The plainest of the names by which one object refers to another.
fn label_between(view: &View, from: u64, to: u64) -> Option<Label> {
    let kind = view.kind_of(from)?;
    let mut best: Option<(u16, Label)> = None;
    let _ = view.edges(from, kind, &mut |Edge { to: target, label }| {
        if target != to {
            return ControlFlow::Continue(());
        }
        let price = super::walk::price_of(label, view.has_field_name(kind, label));
        if best.is_none_or(|(known, _)| price < known) {
            best = Some((price, label));
        }
        if price <= 2 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    best.map(|(_, label)| label)
}
