//! Where plots are written, and under which names.

use std::{
    fs::{self, File, OpenOptions},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    offline::{bare, outside_brackets, site},
    session::StackView,
    text::printable,
};

/// The name of the plot of the whole, without its ending.
pub const WHOLE: &str = "000_memory";

/// Letters that a function has in a file's name at most.
const LONGEST: usize = 60;

/// Makes the directory, or sees that it is one that may be written to.
pub fn prepare(directory: &Path, force: bool) -> Result<()> {
    let shown = printable(&directory.to_string_lossy()).into_owned();
    match fs::read_dir(directory) {
        Ok(mut entries) => {
            ensure!(
                force || entries.next().is_none(),
                "{shown} has files in it already: name another directory, or add --force to write there all the same"
            );
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::NotFound => {
            fs::create_dir_all(directory).with_context(|| format!("the directory {shown} cannot be made"))
        }
        Err(error) if error.kind() == ErrorKind::NotADirectory => bail!("{shown} is not a directory: name another"),
        Err(error) => Err(error).with_context(|| format!("the directory {shown} cannot be read")),
    }
}

/// Writes a file whole or not at all. What has its name gives way, be it a link to elsewhere.
pub fn write(directory: &Path, name: &str, content: &[u8]) -> Result<PathBuf> {
    let (path, draft) = (directory.join(name), directory.join(format!(".{name}.part")));
    let written = (|| {
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file: File = OpenOptions::new().write(true).create_new(true).open(&draft)?;
        file.write_all(content)?;
        fs::rename(&draft, &path)
    })();
    if written.is_err() {
        // What is left of it is of no use to anyone.
        let _ = fs::remove_file(&draft);
    }
    written.with_context(|| format!("{} cannot be written", printable(&path.to_string_lossy())))?;
    Ok(path)
}

/// `001_sdsnewlen_leak`: the stack's place, its function in letters that any system takes, its verdict.
pub fn name(place: usize, stack: &StackView) -> String {
    let frame = site(&stack.frames).map(|at| &stack.frames[at]);
    let function = frame.and_then(|frame| frame.function.as_deref()).filter(|function| !function.is_empty());
    let plain = match (function, frame) {
        (Some(function), _) => safe(&outside_brackets(bare(function))),
        (None, Some(frame)) => safe(&frame.place()),
        (None, None) => "no_frames".to_owned(),
    };
    let plain = if plain.is_empty() { "unnamed" } else { &plain };
    format!("{place:03}_{plain}_{}", stack.judgement.verdict.name())
}

/// The name in letters, digits, `-` and `_`; the end of a long one, which says most.
fn safe(name: &str) -> String {
    let mut safe = String::new();
    // The end is what is kept, so a huge name is not read whole.
    for letter in name.chars().rev().take(16 * LONGEST) {
        if letter.is_ascii_alphanumeric() || letter == '-' {
            safe.push(letter);
        } else if !safe.ends_with('_') && !safe.is_empty() {
            safe.push('_');
        }
        if safe.len() == LONGEST {
            break;
        }
    }
    safe.trim_matches(['_', '-']).chars().rev().collect()
}

#[cfg(test)]
mod tests {
    use crate::{report::sample::frame, session::sample};

    #[test]
    fn a_function_has_a_name_that_any_file_may_have() {
        let mut stack = sample::redis().stacks.swap_remove(0);
        for (function, name) in [
            ("_sdsnewlen", "007_sdsnewlen_leak"),
            ("void Cache<int, char>::put(int&&)", "007_Cache_put_leak"),
            ("(anonymous namespace)::f", "007_anonymous_namespace_f_leak"),
            ("../../etc/passwd\0", "007_etc_passwd_leak"),
            ("名前", "007_unnamed_leak"),
            ("-rf", "007_rf_leak"),
        ] {
            stack.frames = vec![frame(function, "", 0)];
            assert_eq!(super::name(7, &stack), name);
        }
        stack.frames = vec![frame(&format!("a::{}", "x/".repeat(1 << 19)), "", 0)];
        assert!(super::name(1, &stack).len() < 80);
        stack.frames[0].function = None;
        assert_eq!(super::name(1, &stack), "001_redis-server_0x1f2c_leak");
        stack.frames.clear();
        assert_eq!(super::name(1234, &stack), "1234_no_frames_leak");
    }
}
