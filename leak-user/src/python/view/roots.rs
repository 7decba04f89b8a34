//! Where paths begin: the modules that a program has imported.

use super::{Shape, View};
use crate::python::layout::{MODULE_DICT, TYPE};

/// An imported module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Module {
    /// Its address.
    pub address: u64,
    /// Its name in `sys.modules`. It may hold anything.
    pub name: String,
}

/// Most modules that are looked at.
const MAX_MODULES: usize = 1 << 16;

impl View<'_> {
    /// The modules in `sys.modules`, `__main__` first, then as they were imported.
    pub fn modules(&self) -> Vec<Module> {
        let mut modules: Vec<Module> = Vec::new();
        for state in self.interpreter.states() {
            let Some(dict) = self.any_pointer(state + self.layout().interpreter.modules) else { continue };
            for (key, value) in self.entries(dict).into_iter().flat_map(super::dicts::Entries::iter).take(MAX_MODULES) {
                let is_module = self.kind_of(value).is_some_and(|kind| self.kind(kind).shape == Shape::Module);
                if let (true, Some(name)) = (is_module, self.text(key)) {
                    modules.push(Module { address: value, name });
                }
            }
        }
        modules.sort_by_key(|module| module.name != "__main__");
        modules
    }

    /// The name by which a module has an object, if it has.
    pub fn name_in(&self, module: u64, object: u64) -> Option<String> {
        let entries = self.entries(self.pointer(module + MODULE_DICT)?)?;
        let (name, _) = entries.iter().find(|(_, value)| *value == object)?;
        self.text(name)
    }

    /// The names of the modules in which what another has was defined, in order: of classes and functions only.
    pub fn origins(&self, module: u64) -> Vec<(u64, String)> {
        let Some(entries) = self.pointer(module + MODULE_DICT).and_then(|dict| self.entries(dict)) else {
            return vec![];
        };
        entries.iter().filter_map(|(_, value)| self.origin(value).map(|origin| (value, origin))).collect()
    }

    /// The name of the module in which a class or function was defined.
    pub fn origin(&self, object: u64) -> Option<String> {
        let index = self.kind_of(object)?;
        let kind = self.kind(index);
        match kind.shape {
            Shape::Type => self.module_of_type(object),
            Shape::Function => self.text(self.pointer(object + self.layout().function.module)?),
            _ => None,
        }
    }

    /// The name of the module in which an object's class was defined.
    pub fn origin_of_class(&self, object: u64) -> Option<String> {
        self.module_of_type(self.pointer(object + TYPE)?)
    }
}
