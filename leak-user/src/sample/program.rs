//! Which process of a program is looked at: the one that has most memory for itself.

use anyhow::{Context, Result};

use crate::process::{
    census::Census,
    who::{Names, Who, file_name},
};

/// The kernel cuts the name of a process to so many bytes.
const LONGEST_COMM: usize = 15;

/// The process of this name that has most memory for itself, and how many more there are; none where there is none.
pub fn largest(name: &str) -> Result<Option<(Who, usize)>> {
    let mut named = Vec::new();
    Census::default()
        .take(|who, bytes| {
            if who.names().is_some_and(|names| is_called(&names, name)) {
                named.push((bytes, who));
            }
        })
        .context("/proc cannot be read")?;
    Ok(named.iter().max().map(|(_, who)| (*who, named.len() - 1)))
}

/// Whether a process is called so: by the kernel, or by its program's file where the kernel's name has no room for it.
fn is_called(names: &Names, name: &str) -> bool {
    if name.len() <= LONGEST_COMM { names.comm == name } else { file_name(&names.exe) == name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_kernels_or_where_that_is_too_short_the_files() {
        let names = |comm: &str, exe: &str| Names { comm: comm.into(), exe: exe.into(), cgroup: String::new() };
        assert!(is_called(&names("redis-server", "/opt/x"), "redis-server"));
        assert!(!is_called(&names("x", "/opt/redis-server"), "redis-server"));
        let long = "a-name-of-17-bytes";
        assert!(is_called(&names(&long[..15], &format!("/opt/{long} (deleted)")), long));
        assert!(!is_called(&names(&long[..15], "/opt/a-name-of-17-byt"), long));
    }

    #[test]
    fn nobody_is_called_what_nobody_is_called() {
        assert_eq!(largest("leaktrace-nobody").unwrap(), None);
    }
}
