//! Relative paths as text, with `/` between names; the empty path is the tree itself.

/// `name` in `folder`.
pub fn join(folder: &str, name: &str) -> String {
    match (folder.is_empty(), name.is_empty()) {
        (true, _) => name.to_owned(),
        (false, true) => folder.to_owned(),
        (false, false) => format!("{folder}/{name}"),
    }
}

/// The folder that `path` is in.
pub fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// Whether a name ends in one of these.
pub fn ends_in(name: &str, ends: &[&str]) -> bool {
    ends.iter().any(|end| name.ends_with(end))
}

/// The folders that `path` is in, the nearest first and the tree itself last.
pub fn above(path: &str) -> impl Iterator<Item = &str> {
    std::iter::successors((!path.is_empty()).then(|| parent(path)), |at| (!at.is_empty()).then(|| parent(at)))
}

/// The last name of `path`.
pub fn name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

/// Whether `path` is somewhere in `folder`.
pub fn is_below(path: &str, folder: &str) -> bool {
    !path.is_empty() && (folder.is_empty() || path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/')))
}

/// The deepest folder that both are in or are.
pub fn common<'a>(one: &'a str, other: &str) -> &'a str {
    let mut folder = one;
    while !(folder == other || is_below(other, folder)) {
        folder = parent(folder);
    }
    folder
}

/// How many names `path` has.
pub fn depth(path: &str) -> usize {
    if path.is_empty() { 0 } else { path.split('/').count() }
}

/// How many names `path` has after `folder`, in which it is.
pub fn depth_below(path: &str, folder: &str) -> usize {
    depth(path).saturating_sub(depth(folder))
}

/// `path` after `folder`, in which it is or which it is.
pub fn relative<'a>(path: &'a str, folder: &str) -> &'a str {
    path.strip_prefix(folder).unwrap_or(path).trim_start_matches('/')
}

/// `path` seen from `folder`, with `.` and `..` worked out by the names alone; none when it leaves the tree.
pub fn normal(folder: &str, path: &str) -> Option<String> {
    if path.starts_with('/') {
        return None;
    }
    let mut names: Vec<&str> = folder.split('/').filter(|name| !name.is_empty()).collect();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => {
                names.pop()?;
            }
            name => names.push(name),
        }
    }
    Some(names.join("/"))
}

/// How a person reads it: the empty path is `.`.
pub fn shown(path: &str) -> &str {
    if path.is_empty() { "." } else { path }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_worked_out_inside_the_tree_or_not_at_all() {
        assert_eq!(normal("frontend", "../pb_public").as_deref(), Some("pb_public"));
        assert_eq!(normal("", "./a//b/.").as_deref(), Some("a/b"));
        assert_eq!(normal("a", "../..").as_deref(), None);
        assert_eq!(normal("a", "/etc").as_deref(), None);
    }

    #[test]
    fn two_paths_have_a_deepest_folder_in_common() {
        assert_eq!(common("a/b/c", "a/b/d"), "a/b");
        assert_eq!(common("a/b", "a/b/d"), "a/b");
        assert_eq!(common("a/b", "a/bc"), "a");
        assert_eq!(common("a", "b"), "");
    }
}
