//! Paths: names between slashes, from the root on.

use alloc::vec::Vec;

use super::FatError;

/// The names of `path`. A leading slash changes nothing, `.` is where one is, `..` goes up and in
/// the root stays there.
pub(super) fn names(path: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => drop(names.pop()),
            name => names.push(name),
        }
    }
    names
}

/// The directory that `path` is in, and its name there. The root is in none.
pub(super) fn split(path: &str) -> Result<(Vec<&str>, &str), FatError> {
    let mut names = names(path);
    let name = names.pop().ok_or(FatError::BadName)?;
    Ok((names, name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn paths_are_taken_apart() {
        assert_eq!(names("/"), Vec::<&str>::new());
        assert_eq!(names("a//b/./c/"), vec!["a", "b", "c"]);
        assert_eq!(names("/../a/../b"), vec!["b"]);
        assert_eq!(split("/EFI/boot/x.efi"), Ok((vec!["EFI", "boot"], "x.efi")));
        assert_eq!(split("/a/.."), Err(FatError::BadName));
    }
}
