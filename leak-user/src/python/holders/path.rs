//! The path to an object as a person would write it.

use std::fmt::{self, Display, Formatter};

/// Where a path begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// At a module: the expression begins with its name.
    Module,
    /// At a variable that a function shares with the one around it.
    Closure {
        /// The inner function: `app.make.<locals>.inner`.
        function: String,
    },
    /// At a variable of a function that runs, or whose frame is kept.
    Local {
        /// The function: `app.main`.
        function: String,
        /// What keeps its frame, where it does not run: `app.ERRORS[0].__traceback__`.
        holder: Option<String>,
    },
    /// At what a function remembers because of `functools.lru_cache`.
    Cache {
        /// The function: `app.lookup`.
        function: String,
        /// How many results it remembers at most, if that is bounded.
        most: Option<u64>,
    },
}

/// How an object is reached. What it is made of comes from the target: it is bounded, but may hold anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path {
    /// Where it begins.
    pub scope: Scope,
    /// What to write there to come to the object: `app.registry.handlers['x'][3].items`, `rows`. Empty where what it
    /// begins at is the object.
    pub expression: String,
}

impl Display for Path {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let expression = &self.expression;
        match &self.scope {
            Scope::Module => f.write_str(expression),
            Scope::Closure { function } => write!(f, "closure variable `{expression}` of {function}"),
            Scope::Local { function, holder } => {
                match expression.as_str() {
                    "" => write!(f, "a value that {function}() works on")?,
                    _ => write!(f, "local `{expression}` of {function}()")?,
                }
                holder.as_ref().map_or(Ok(()), |holder| write!(f, ", kept by {holder}"))
            }
            Scope::Cache { function, .. } if expression.is_empty() => write!(f, "cache of {function} (lru_cache)"),
            Scope::Cache { function, .. } => write!(f, "`{expression}` in the cache of {function} (lru_cache)"),
        }
    }
}

impl Path {
    /// Whether the object lets go of something for each new entry from some number on.
    pub const fn is_bounded(&self) -> bool {
        matches!(self.scope, Scope::Cache { most: Some(_), .. }) && self.expression.is_empty()
    }

    /// Whether only a function that runs has it: it may well be let go of when that returns.
    pub const fn is_temporary(&self) -> bool {
        matches!(self.scope, Scope::Local { holder: None, .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(scope: Scope, expression: &str) -> String {
        Path { scope, expression: expression.to_owned() }.to_string()
    }

    #[test]
    fn each_scope_reads_as_a_person_would_say_it() {
        let function = || "app.f".to_owned();
        assert_eq!(shown(Scope::Module, "app.SESSIONS"), "app.SESSIONS");
        assert_eq!(shown(Scope::Closure { function: function() }, "seen"), "closure variable `seen` of app.f");
        let local = |holder: Option<&str>| Scope::Local { function: function(), holder: holder.map(str::to_owned) };
        assert_eq!(shown(local(None), "rows"), "local `rows` of app.f()");
        assert_eq!(shown(local(None), ""), "a value that app.f() works on");
        assert_eq!(shown(local(Some("app.ERRORS[0]")), "rows"), "local `rows` of app.f(), kept by app.ERRORS[0]");
        let cache = || Scope::Cache { function: function(), most: None };
        assert_eq!(shown(cache(), ""), "cache of app.f (lru_cache)");
        assert_eq!(shown(cache(), "['x']"), "`['x']` in the cache of app.f (lru_cache)");
    }
}
