//! Which stacks of a session are looked at.

use wildmatch::WildMatch;

use crate::report::Frame;

/// What a person asked for. Each list is a choice: a stack has to fit one of each that is not empty.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Modules by name, of which a frame has to be: `libfoo.so.1`, or a pattern.
    pub modules: Vec<Pattern>,
    /// Source files or modules' functions, of which a frame has to be.
    pub paths: Vec<Pattern>,
    /// What no frame may be: a function, a module or a source file.
    pub exclude: Vec<Pattern>,
    /// Only stacks of which nothing was ever given back.
    pub strict: bool,
}

impl Filter {
    /// Whether a stack of these frames is looked at.
    pub fn admits(&self, frames: &[Frame]) -> bool {
        let any = |patterns: &[Pattern], test: &dyn Fn(&Pattern, &Frame) -> bool| {
            frames.iter().any(|frame| patterns.iter().any(|pattern| test(pattern, frame)))
        };
        let in_module = |pattern: &Pattern, frame: &Frame| fits(pattern, frame.module.as_deref());
        let in_path = |pattern: &Pattern, frame: &Frame| fits(pattern, frame.file.as_deref());
        let anywhere = |pattern: &Pattern, frame: &Frame| {
            in_module(pattern, frame) || in_path(pattern, frame) || fits(pattern, frame.function.as_deref())
        };
        (self.modules.is_empty() || any(&self.modules, &in_module))
            && (self.paths.is_empty() || any(&self.paths, &in_path))
            && !any(&self.exclude, &anywhere)
    }
}

fn fits(pattern: &Pattern, name: Option<&str>) -> bool {
    name.is_some_and(|name| pattern.fits(name))
}

/// What a person types for a name.
#[derive(Clone, Debug, PartialEq)]
pub enum Pattern {
    /// A part of it.
    Part(String),
    /// All of it, with `*` for anything and `?` for any letter.
    Whole(WildMatch),
}

impl From<&str> for Pattern {
    fn from(text: &str) -> Self {
        if text.contains('*') { Self::Whole(WildMatch::new(text)) } else { Self::Part(text.to_owned()) }
    }
}

impl Pattern {
    /// Whether a name fits.
    pub fn fits(&self, name: &str) -> bool {
        match self {
            Self::Part(part) => name.contains(part.as_str()),
            Self::Whole(pattern) => pattern.matches(name),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: &str, module: &str, file: &str) -> Frame {
        Frame {
            function: Some(function.to_owned()),
            module: Some(module.into()),
            file: Some(file.to_owned()),
            ..Frame::default()
        }
    }

    #[test]
    fn a_pattern_is_a_part_of_a_name_or_has_stars() {
        let fits = |pattern: &str, name| Pattern::from(pattern).fits(name);
        assert!(fits("redis", "libredis.so") && !fits("redis", "libfoo.so"));
        assert!(fits("lib*.so*", "libfoo.so.1") && !fits("lib*.so", "libfoo.so.1"));
        assert!(fits("*", "") && fits("a*b*c", "a-b-b-c") && !fits("a*b*c", "a-c-b"));
        assert!(!fits("aa*aa", "aaa"));
    }

    #[test]
    fn a_stack_fits_by_any_of_its_frames_and_is_excluded_by_any() {
        let stack = [frame("malloc_wrap", "libwrap.so", "src/wrap.c"), frame("main", "app", "src/main.rs")];
        let filter = |modules: &[&str], paths: &[&str], exclude: &[&str]| Filter {
            modules: modules.iter().map(|text| Pattern::from(*text)).collect(),
            paths: paths.iter().map(|text| Pattern::from(*text)).collect(),
            exclude: exclude.iter().map(|text| Pattern::from(*text)).collect(),
            strict: false,
        };
        assert!(filter(&[], &[], &[]).admits(&stack) && filter(&["app", "other"], &[], &[]).admits(&stack));
        assert!(filter(&["app"], &["*.rs"], &[]).admits(&stack) && !filter(&["app"], &["*.py"], &[]).admits(&stack));
        assert!(!filter(&[], &[], &["wrap"]).admits(&stack) && filter(&[], &[], &["other"]).admits(&stack));
    }
}
