//! Which symbolic links of a tree stay inside it.

use std::collections::{HashMap, VecDeque};

use super::plan::PlannedLink;

/// As many links one after the other as the kernel follows (`path_resolution(7)`).
const MAX_FOLLOWED: usize = 40;

/// Parts of a path that are looked at before a link counts as endless.
const MAX_PARTS: usize = 10_000;

/// Splits `links` into those that may be made and those that lead outside, run in circles or are malformed. Each is
/// followed as the kernel would, through the tree's other links: `a/../x` leads somewhere else when `a` is a link.
pub(super) fn sort(links: Vec<PlannedLink>) -> (Vec<PlannedLink>, Vec<PlannedLink>) {
    let targets: HashMap<&[u8], &[u8]> = links.iter().map(|l| (l.path.as_slice(), l.target.as_slice())).collect();
    let stays: Vec<bool> = links.iter().map(|link| stays_inside(link, &targets)).collect();
    let mut stays = stays.into_iter();
    links.into_iter().partition(|_| stays.next().unwrap_or(false))
}

fn stays_inside(link: &PlannedLink, targets: &HashMap<&[u8], &[u8]>) -> bool {
    let parts = |path: &[u8]| -> VecDeque<Vec<u8>> {
        path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec).collect()
    };
    let mut waiting = parts(&link.path);
    let mut here: Vec<Vec<u8>> = Vec::new();
    let (mut followed, mut looked_at) = (0, 0);
    while let Some(part) = waiting.pop_front() {
        looked_at += 1;
        if looked_at > MAX_PARTS {
            return false;
        }
        match part.as_slice() {
            b"." => {}
            b".." if here.pop().is_none() => return false,
            b".." => {}
            _ => {
                here.push(part);
                let Some(target) = targets.get(here.join(b"/".as_slice()).as_slice()) else { continue };
                followed += 1;
                if followed > MAX_FOLLOWED || target.is_empty() || target.starts_with(b"/") || target.contains(&0) {
                    return false;
                }
                here.pop();
                for part in parts(target).into_iter().rev() {
                    waiting.push_front(part);
                }
            }
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(links: &[(&str, &str)]) -> Vec<String> {
        let planned =
            links.iter().map(|(path, target)| PlannedLink { path: (*path).into(), target: (*target).into() }).collect();
        let (kept, _) = sort(planned);
        kept.into_iter().map(|link| String::from_utf8(link.path).expect("text")).collect()
    }

    #[test]
    fn links_inside_stay_broken_ones_too() {
        assert_eq!(kept(&[("a", "b"), ("x/y", "../z"), ("d", "."), ("e", "missing/file")]), ["a", "x/y", "d", "e"]);
    }

    #[test]
    fn links_that_lead_outside_or_nowhere_are_left_out() {
        for (path, target) in [
            ("a", "/etc/passwd"),
            ("a", ".."),
            ("a", "../x"),
            ("x/a", "../../y"),
            ("a", "b/../../c"),
            ("a", ""),
            ("a", "a"),
            ("a", "b\0c"),
        ] {
            assert!(kept(&[(path, target)]).is_empty(), "{path} -> {target:?}");
        }
    }

    #[test]
    fn links_that_lead_outside_through_other_links_are_left_out() {
        // by its text `up/..` is the root; on the disk it is the root's parent
        assert_eq!(kept(&[("a/b/up", "../.."), ("out", "a/b/up/..")]), ["a/b/up"]);
        assert_eq!(kept(&[("one", "two"), ("two", "/etc")]), Vec::<String>::new());
        assert_eq!(kept(&[("one", "two"), ("two", "one")]), Vec::<String>::new());
    }
}
