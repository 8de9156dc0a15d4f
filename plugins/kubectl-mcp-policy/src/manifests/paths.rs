//! Which files a path stands for: itself, the manifests of a directory, or what a pattern matches.
//!
//! Patterns are matched here and not by a shell alone, so that quoted ones work and the same command line works on
//! every system.

use std::path::{MAIN_SEPARATOR, Path, PathBuf};

use super::{Problem, empty};

/// How many alternatives the braces of one pattern may stand for.
const ALTERNATIVES: usize = 256;

/// The files that a path stands for, in order of name.
pub(super) fn expand(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Problem> {
    let pattern = path.to_str().filter(|text| is_pattern(text));
    if path.symlink_metadata().is_err()
        && let Some(pattern) = pattern
    {
        let mut matched = Vec::new();
        for pattern in alternatives(pattern) {
            search(&pattern, &mut matched);
        }
        matched.sort();
        matched.dedup();
        if matched.is_empty() {
            return Err(Problem {
                file: super::shown(path),
                place: None,
                message: "the pattern matches no file".to_owned(),
                hint: None,
            });
        }
        let mut found = Vec::new();
        for path in matched {
            found.extend(files(&path, recursive)?);
        }
        return some(found, path, recursive);
    }
    some(files(path, recursive)?, path, recursive)
}

/// A name that stands for no file at all would be looked at by nobody, for ever.
fn some(found: Vec<PathBuf>, path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Problem> {
    if found.is_empty() {
        Err(empty::no_manifest(path, recursive))
    } else {
        Ok(found)
    }
}

/// Whether there are manifests in the directories of a directory.
pub(super) fn holds_more(path: &Path) -> bool {
    let count = |recursive| files(path, recursive).map_or(0, |files| files.len());
    path.is_dir() && count(true) > count(false)
}

/// The file itself, or the manifests of a directory in order of name.
fn files(path: &Path, recursive: bool) -> Result<Vec<PathBuf>, Problem> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let entries: std::io::Result<Vec<_>> = std::fs::read_dir(path).and_then(Iterator::collect);
    let mut paths: Vec<PathBuf> = entries
        .map_err(|error| Problem {
            file: super::shown(path),
            place: None,
            message: error.to_string(),
            hint: None,
        })?
        .into_iter()
        .map(|entry: std::fs::DirEntry| entry.path())
        .collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        if path.is_dir() {
            // A link could lead back up, and the search would not end.
            if recursive && !is_link(&path) {
                found.extend(files(&path, recursive)?);
            }
        } else if path
            .extension()
            .is_some_and(|ending| ["yaml", "yml", "json"].iter().any(|known| ending == *known))
        {
            found.push(path);
        }
    }
    Ok(found)
}

fn is_link(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|data| data.file_type().is_symlink())
}

fn is_pattern(text: &str) -> bool {
    text.contains(['*', '?', '[', '{'])
}

/// `a.{yaml,yml}` is `a.yaml` and `a.yml`.
fn alternatives(pattern: &str) -> Vec<String> {
    let mut done = Vec::new();
    let mut open = vec![pattern.to_owned()];
    while let Some(pattern) = open.pop() {
        match first_braces(&pattern) {
            Some((start, end, inside)) if done.len() + open.len() < ALTERNATIVES => {
                for part in inside.iter().rev() {
                    open.push(format!("{}{part}{}", &pattern[..start], &pattern[end..]));
                }
            }
            _ => done.push(pattern),
        }
    }
    done
}

/// Where the innermost first braces with a comma begin and end, and what stands between their commas.
fn first_braces(pattern: &str) -> Option<(usize, usize, Vec<&str>)> {
    pattern.match_indices('}').find_map(|(close, _)| {
        let start = pattern[..close].rfind('{')?;
        let inside: Vec<_> = pattern[start + 1..close].split(',').collect();
        (inside.len() > 1).then_some((start, close + 1, inside))
    })
}

fn is_separator(c: char) -> bool {
    c == '/' || c == MAIN_SEPARATOR
}

/// Adds every path that matches, link loops left out.
fn search(pattern: &str, found: &mut Vec<PathBuf>) {
    let parts: Vec<&str> = pattern.split(is_separator).collect();
    let fixed = parts.iter().take_while(|part| !is_pattern(part)).count();
    // The separators of the beginning stay as they were written: `C:\x`, `/x`, `./x`.
    let length: usize = parts[..fixed].iter().map(|part| part.len() + 1).sum();
    let base = PathBuf::from(&pattern[..length.min(pattern.len())]);
    let mut parts: Vec<&str> = parts[fixed..]
        .iter()
        .copied()
        .filter(|part| !part.is_empty())
        .collect();
    parts.dedup_by(|a, b| *a == "**" && *b == "**");
    descend(&base, &parts, found);
}

fn descend(base: &Path, parts: &[&str], found: &mut Vec<PathBuf>) {
    let Some((part, rest)) = parts.split_first() else {
        if base.symlink_metadata().is_ok() {
            found.push(base.to_owned());
        }
        return;
    };
    if *part == "**" {
        if !rest.is_empty() {
            descend(base, rest, found);
        }
        for path in entries(base) {
            let hidden = name(&path).is_none_or(|name| name.starts_with('.'));
            if path.is_dir() && !is_link(&path) && !hidden {
                descend(&path, parts, found);
            } else if rest.is_empty() && !hidden && path.is_file() {
                found.push(path);
            }
        }
    } else if is_pattern(part) {
        for path in entries(base) {
            let fits = name(&path).is_some_and(|name| {
                matches(part, name) && (part.starts_with('.') || !name.starts_with('.'))
            });
            if fits {
                descend(&path, rest, found);
            }
        }
    } else {
        descend(&base.join(part), rest, found);
    }
}

fn name(path: &Path) -> Option<&str> {
    path.file_name()?.to_str()
}

/// What is in a directory. One that cannot be read matches nothing, as in a shell.
fn entries(directory: &Path) -> Vec<PathBuf> {
    let named = directory.as_os_str().is_empty();
    let place = if named { Path::new(".") } else { directory };
    std::fs::read_dir(place)
        .into_iter()
        .flatten()
        .filter_map(|entry| Some(directory.join(entry.ok()?.file_name())))
        .collect()
}

/// Whether a name matches a pattern of `*`, `?` and `[a-z]`, `[!a-z]`. Takes time in proportion to the product of
/// their lengths, whatever the pattern.
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    let (mut p, mut n) = (0, 0);
    // After the last star: where to go on in the pattern, and how much of the name the star took.
    let mut star: Option<(usize, usize)> = None;
    while n < name.len() {
        let step = match pattern.get(p) {
            Some('*') => {
                star = Some((p + 1, n));
                p += 1;
                continue;
            }
            Some('?') => Some(p + 1),
            Some('[') => in_brackets(&pattern[p..], name[n])
                .map_or((name[n] == '[').then_some(p + 1), |(fits, length)| {
                    fits.then_some(p + length)
                }),
            Some(c) => (*c == name[n]).then_some(p + 1),
            None => None,
        };
        match (step, star) {
            (Some(next), _) => (p, n) = (next, n + 1),
            (None, Some((after, taken))) => {
                star = Some((after, taken + 1));
                (p, n) = (after, taken + 1);
            }
            (None, None) => return false,
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

/// Whether a character is one of `[...]`, and how long that is in the pattern. Nothing where the bracket never closes.
fn in_brackets(pattern: &[char], given: char) -> Option<(bool, usize)> {
    let not = matches!(pattern.get(1), Some('!' | '^'));
    let start = if not { 2 } else { 1 };
    // A bracket that closes at once is one of the characters.
    let length = pattern.iter().skip(start + 1).position(|c| *c == ']')? + 1;
    let inside = &pattern[start..start + length];
    let mut fits = false;
    let mut at = 0;
    while at < inside.len() {
        if at + 2 < inside.len() && inside[at + 1] == '-' {
            fits |= (inside[at]..=inside[at + 2]).contains(&given);
            at += 3;
        } else {
            fits |= inside[at] == given;
            at += 1;
        }
    }
    Some((fits != not, start + length + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(files: &[&str]) -> tempfile::TempDir {
        let home = tempfile::tempdir().unwrap();
        for path in files {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "{}").unwrap();
        }
        home
    }

    fn found(home: &Path, pattern: &str, recursive: bool) -> Vec<String> {
        expand(&home.join(pattern), recursive)
            .unwrap_or_default()
            .iter()
            .map(|path| path.strip_prefix(home).unwrap().display().to_string())
            .collect()
    }

    #[test]
    fn directories_are_read_in_order_and_only_deeper_when_asked() {
        let home = home(&["b.yaml", "a.yml", "notes.md", "deep/c.json"]);
        assert_eq!(found(home.path(), "", false), ["a.yml", "b.yaml"]);
        assert_eq!(
            found(home.path(), "", true),
            ["a.yml", "b.yaml", "deep/c.json"]
        );
    }

    #[test]
    fn patterns_are_matched_as_a_shell_matches_them() {
        let home = home(&[
            "b.yaml",
            "a.yml",
            "a1.yaml",
            ".hidden.yaml",
            "x/c.yaml",
            "x/y/d.yaml",
            "x/.git/e.yaml",
            "z/c.yaml",
        ]);
        for (pattern, expected) in [
            ("*.yaml", vec!["a1.yaml", "b.yaml"]),
            ("*.y*ml", vec!["a.yml", "a1.yaml", "b.yaml"]),
            ("a?.yaml", vec!["a1.yaml"]),
            ("[!b]*.yaml", vec!["a1.yaml"]),
            ("[a-c].yaml", vec!["b.yaml"]),
            (".*.yaml", vec![".hidden.yaml"]),
            ("*.{yaml,yml}", vec!["a.yml", "a1.yaml", "b.yaml"]),
            ("{x,z}/c.yaml", vec!["x/c.yaml", "z/c.yaml"]),
            ("*/c.yaml", vec!["x/c.yaml", "z/c.yaml"]),
            (
                "**/*.yaml",
                vec!["a1.yaml", "b.yaml", "x/c.yaml", "x/y/d.yaml", "z/c.yaml"],
            ),
            ("x/**", vec!["x/c.yaml", "x/y/d.yaml"]),
            ("**/y/d.yaml", vec!["x/y/d.yaml"]),
            ("*.json", vec![]),
        ] {
            assert_eq!(found(home.path(), pattern, false), expected, "{pattern}");
        }
        assert!(expand(&home.path().join("*.json"), false).is_err());
    }

    #[test]
    fn a_file_whose_name_looks_like_a_pattern_is_itself() {
        let home = home(&["a[1].yaml", "a1.yaml"]);
        assert_eq!(found(home.path(), "a[1].yaml", false), ["a[1].yaml"]);
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        let name = "a".repeat(2000);
        assert!(!matches(&("*a".repeat(200) + "b"), &name));
        assert!(alternatives(&"{a,b}".repeat(60)).len() <= 2 * ALTERNATIVES);
        assert!(matches("[]x]", "]") && matches("[", "[") && !matches("[a", "a"));
    }
}
