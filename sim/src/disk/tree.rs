//! A file tree in memory: folders, files, symbolic links and socket files under absolute paths.
//!
//! A [`FileTree`] resolves paths: it follows symbolic links as POSIX path resolution does, with at most [`LINKS_MAX`]
//! links in a path. A [`FileTree`] models neither time nor durability; [`super::Files`] adds both. Permissions, hard
//! links and file times are not modelled.

use core::fmt;
use std::collections::BTreeMap;

/// Maximum number of symbolic links that one path may pass through, as in Linux.
pub const LINKS_MAX: usize = 40;

/// An entry of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeEntry {
    /// A folder.
    Folder,
    /// A file and its bytes.
    File(Vec<u8>),
    /// A symbolic link and its target, which may be relative to the link's folder and may not exist.
    Link(String),
    /// The file of a Unix socket. The file may outlive the listener.
    Socket,
}

/// The reason why an operation failed. A failed operation leaves the tree unchanged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum TreeError {
    /// No entry has this path.
    NotFound,
    /// An entry already has this path.
    Exists,
    /// A part of the path that must be a folder is an entry of another kind.
    NotFolder,
    /// The path names a folder where a file is required.
    IsFolder,
    /// The folder is not empty.
    NotEmpty,
    /// The path passes through more than [`LINKS_MAX`] symbolic links.
    TooManyLinks,
    /// The entry is neither a file nor a link to a file.
    NotFile,
}

impl TreeError {
    /// The error's number in Linux.
    #[must_use]
    pub const fn number(self) -> u32 {
        match self {
            Self::NotFound => 2,
            Self::NotFile => 6,
            Self::Exists => 17,
            Self::NotFolder => 20,
            Self::IsFolder => 21,
            Self::NotEmpty => 39,
            Self::TooManyLinks => 40,
        }
    }
}

impl fmt::Display for TreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotFound => "No such file or directory",
            Self::NotFile => "No such device or address",
            Self::Exists => "File exists",
            Self::NotFolder => "Not a directory",
            Self::IsFolder => "Is a directory",
            Self::NotEmpty => "Directory not empty",
            Self::TooManyLinks => "Too many levels of symbolic links",
        })
    }
}

/// Entries under absolute paths. The root folder always exists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree {
    /// Keys are canonical absolute paths: each parent is a folder of the tree.
    entries: BTreeMap<String, TreeEntry>,
}

impl FileTree {
    /// The entry that a path names; `follow` states whether a link in the last part is followed.
    ///
    /// # Errors
    /// Returns an error if the path cannot be resolved.
    pub fn entry(&self, path: &str, follow: bool) -> Result<&TreeEntry, TreeError> {
        let path = self.resolve(path, follow)?;
        self.at(&path).ok_or(TreeError::NotFound)
    }

    /// Whether a path names an entry, after following links.
    #[must_use]
    pub fn exists(&self, path: &str) -> bool {
        self.entry(path, true).is_ok()
    }

    /// The bytes of the file that a path names.
    ///
    /// # Errors
    /// Returns an error if the path cannot be resolved or does not name a file.
    pub fn read(&self, path: &str) -> Result<&[u8], TreeError> {
        match self.entry(path, true)? {
            TreeEntry::File(bytes) => Ok(bytes),
            TreeEntry::Folder => Err(TreeError::IsFolder),
            TreeEntry::Socket | TreeEntry::Link(_) => Err(TreeError::NotFile),
        }
    }

    /// The names in a folder, in ascending order.
    ///
    /// # Errors
    /// Returns an error if the path does not name a folder.
    pub fn list(&self, path: &str) -> Result<Vec<&str>, TreeError> {
        let folder = self.resolve(path, true)?;
        match self.at(&folder).ok_or(TreeError::NotFound)? {
            TreeEntry::Folder => Ok(self.children(&folder)),
            TreeEntry::File(_) | TreeEntry::Link(_) | TreeEntry::Socket => {
                Err(TreeError::NotFolder)
            }
        }
    }

    /// The target of the symbolic link that a path names.
    ///
    /// # Errors
    /// Returns an error if the path does not name a symbolic link.
    pub fn read_link(&self, path: &str) -> Result<&str, TreeError> {
        match self.entry(path, false)? {
            TreeEntry::Link(target) => Ok(target),
            TreeEntry::Folder | TreeEntry::File(_) | TreeEntry::Socket => Err(TreeError::NotFile),
        }
    }

    /// Replaces the content of a file by these bytes; creates the file if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the file's folder does not exist, or the path names an entry other than a file.
    pub fn write(&mut self, path: &str, bytes: &[u8]) -> Result<(), TreeError> {
        let held = self.file(path)?;
        held.clear();
        held.extend_from_slice(bytes);
        Ok(())
    }

    /// Appends bytes to a file; creates the file if it does not exist.
    ///
    /// # Errors
    /// Returns an error if the file's folder does not exist, or the path names an entry other than a file.
    pub fn append(&mut self, path: &str, bytes: &[u8]) -> Result<(), TreeError> {
        self.file(path)?.extend_from_slice(bytes);
        Ok(())
    }

    /// Creates a folder, and its ancestors that do not exist.
    ///
    /// # Errors
    /// Returns an error if a part of the path is an entry of another kind.
    pub fn make_folders(&mut self, path: &str) -> Result<(), TreeError> {
        let mut at = String::new();
        for part in parts(path) {
            at.push('/');
            at.push_str(part);
            match self.make_folder(&at) {
                Ok(()) => {}
                Err(TreeError::Exists) => match self.entry(&at, true)? {
                    TreeEntry::Folder => {}
                    TreeEntry::File(_) | TreeEntry::Link(_) | TreeEntry::Socket => {
                        return Err(TreeError::NotFolder);
                    }
                },
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Creates a folder in an existing folder.
    ///
    /// # Errors
    /// Returns an error if the path names an entry, or its parent is not a folder.
    pub fn make_folder(&mut self, path: &str) -> Result<(), TreeError> {
        self.make(path, TreeEntry::Folder)
    }

    /// Creates a symbolic link; the target of the link need not exist.
    ///
    /// # Errors
    /// Returns an error if the path names an entry, or its parent is not a folder.
    pub fn make_link(&mut self, target: &str, path: &str) -> Result<(), TreeError> {
        self.make(path, TreeEntry::Link(target.to_owned()))
    }

    /// Creates the file of a Unix socket.
    ///
    /// # Errors
    /// Returns an error if the path names an entry, or its parent is not a folder.
    pub fn make_socket(&mut self, path: &str) -> Result<(), TreeError> {
        self.make(path, TreeEntry::Socket)
    }

    /// Removes a file, link, socket or empty folder. If the path names a link, the link is removed and its target
    /// stays.
    ///
    /// # Errors
    /// Returns an error if no entry has this path, or a folder is not empty.
    pub fn remove(&mut self, path: &str) -> Result<(), TreeError> {
        let path = self.resolve(path, false)?;
        if self.at(&path).is_none() {
            return Err(TreeError::NotFound);
        }
        if !self.children(&path).is_empty() {
            return Err(TreeError::NotEmpty);
        }
        self.entries.remove(&path);
        Ok(())
    }

    /// Moves an entry, and all entries below it, in one step. An entry at the new path is replaced: a file, link or
    /// socket by another file, link or socket, and an empty folder by a folder.
    ///
    /// # Errors
    /// Returns an error if the old path names no entry, the new path's parent is not a folder, or the kinds of the two
    /// entries do not match.
    pub fn rename(&mut self, old: &str, new: &str) -> Result<(), TreeError> {
        let (old, new) = (self.resolve(old, false)?, self.resolve(new, false)?);
        let folder = match self.at(&old).ok_or(TreeError::NotFound)? {
            TreeEntry::Folder => true,
            TreeEntry::File(_) | TreeEntry::Link(_) | TreeEntry::Socket => false,
        };
        if old == new {
            return Ok(());
        }
        match self.at(&new) {
            Some(TreeEntry::Folder) if !folder => return Err(TreeError::IsFolder),
            Some(TreeEntry::Folder) if !self.children(&new).is_empty() => {
                return Err(TreeError::NotEmpty);
            }
            Some(TreeEntry::File(_) | TreeEntry::Link(_) | TreeEntry::Socket) if folder => {
                return Err(TreeError::NotFolder);
            }
            Some(_) | None => {}
        }
        if new.starts_with(&format!("{old}/")) {
            return Err(TreeError::NotFolder);
        }
        let below = format!("{old}/");
        let moved: Vec<String> = self
            .entries
            .range(below.clone()..)
            .map(|(path, _)| path)
            .take_while(|path| path.starts_with(&below))
            .cloned()
            .collect();
        for path in moved {
            if let Some(entry) = self.entries.remove(&path) {
                self.entries
                    .insert(format!("{new}{}", &path[old.len()..]), entry);
            }
        }
        if let Some(entry) = self.entries.remove(&old) {
            self.entries.insert(new, entry);
        }
        Ok(())
    }

    /// The paths that match a pattern with `*`, `?` and `[...]` in any part, in ascending order. Only a dot in the
    /// pattern matches a leading dot, as in glob(7). A pattern without such characters matches its own path if that
    /// path exists.
    #[must_use]
    pub fn glob(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![String::new()];
        for part in parts(pattern) {
            let mut next = Vec::new();
            for folder in &found {
                if !has_wildcard(part) {
                    let path = format!("{folder}/{part}");
                    if self.entry(&path, false).is_ok() {
                        next.push(path);
                    }
                    continue;
                }
                let names = self.list(if folder.is_empty() { "/" } else { folder });
                for name in names.unwrap_or_default() {
                    if matches(part.as_bytes(), name.as_bytes(), true) {
                        next.push(format!("{folder}/{name}"));
                    }
                }
            }
            found = next;
        }
        found.sort();
        found
    }

    /// All entries with their canonical paths, in ascending order of paths.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &TreeEntry)> {
        self.entries
            .iter()
            .map(|(path, entry)| (path.as_str(), entry))
    }

    /// The canonical path of an entry; the entry need not exist, but its parent must.
    ///
    /// # Errors
    /// Returns an error if an ancestor does not exist or is not a folder, or if links form a circle.
    pub fn resolve(&self, path: &str, follow: bool) -> Result<String, TreeError> {
        let mut rest: Vec<String> = parts(path).map(str::to_owned).rev().collect();
        let must_be_folder = path.ends_with('/') && path.len() > 1;
        let (mut at, mut links) = (String::new(), 0);
        while let Some(part) = rest.pop() {
            match self.at(&at) {
                Some(TreeEntry::Folder) => {}
                Some(TreeEntry::File(_) | TreeEntry::Link(_) | TreeEntry::Socket) => {
                    return Err(TreeError::NotFolder);
                }
                None => return Err(TreeError::NotFound),
            }
            if part == ".." {
                at.truncate(at.rfind('/').unwrap_or(0));
                continue;
            }
            let next = format!("{at}/{part}");
            let last = rest.is_empty() && !must_be_folder;
            if let Some(TreeEntry::Link(target)) = self.entries.get(&next)
                && (follow || !last)
            {
                links += 1;
                if links > LINKS_MAX {
                    return Err(TreeError::TooManyLinks);
                }
                if target.starts_with('/') {
                    at.clear();
                }
                rest.extend(parts(target).map(str::to_owned).rev());
                continue;
            }
            at = next;
        }
        Ok(at)
    }

    /// The entry under a canonical path; the canonical path of the root is empty.
    fn at(&self, canonical: &str) -> Option<&TreeEntry> {
        if canonical.is_empty() {
            Some(&TreeEntry::Folder)
        } else {
            self.entries.get(canonical)
        }
    }

    fn children(&self, folder: &str) -> Vec<&str> {
        let below = format!("{folder}/");
        self.entries
            .range(below.clone()..)
            .take_while(|(path, _)| path.starts_with(&below))
            .map(|(path, _)| &path[below.len()..])
            .filter(|name| !name.contains('/'))
            .collect()
    }

    fn make(&mut self, path: &str, entry: TreeEntry) -> Result<(), TreeError> {
        let path = self.resolve(path, false)?;
        if self.at(&path).is_some() {
            return Err(TreeError::Exists);
        }
        self.entries.insert(path, entry);
        Ok(())
    }

    fn file(&mut self, path: &str) -> Result<&mut Vec<u8>, TreeError> {
        let path = self.resolve(path, true)?;
        if path.is_empty() {
            return Err(TreeError::IsFolder);
        }
        let entry = self.entries.entry(path);
        match entry.or_insert_with(|| TreeEntry::File(Vec::new())) {
            TreeEntry::File(bytes) => Ok(bytes),
            TreeEntry::Folder => Err(TreeError::IsFolder),
            TreeEntry::Socket | TreeEntry::Link(_) => Err(TreeError::NotFile),
        }
    }
}

/// The parts of a path; empty parts and `.` are left out.
fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
    path.split('/')
        .filter(|part| !part.is_empty() && *part != ".")
}

/// Whether a part of a pattern has a character that glob(7) treats specially.
#[must_use]
pub fn has_wildcard(part: &str) -> bool {
    part.contains(['*', '?', '['])
}

/// Whether a name matches one part of a pattern.
fn matches(pattern: &[u8], name: &[u8], start: bool) -> bool {
    let Some((&first, rest)) = pattern.split_first() else {
        return name.is_empty();
    };
    if start && name.first() == Some(&b'.') && first != b'.' {
        return false;
    }
    match first {
        b'*' => (0..=name.len()).any(|taken| matches(rest, &name[taken..], false)),
        b'?' => !name.is_empty() && matches(rest, &name[1..], false),
        b'[' => match rest.iter().skip(1).position(|&byte| byte == b']') {
            Some(at) => {
                let (set, after) = (&rest[..=at], &rest[at + 2..]);
                name.first().is_some_and(|&byte| in_set(set, byte))
                    && matches(after, &name[1..], false)
            }
            None => name.first() == Some(&b'[') && matches(rest, &name[1..], false),
        },
        _ => name.first() == Some(&first) && matches(rest, &name[1..], false),
    }
}

fn in_set(set: &[u8], byte: u8) -> bool {
    let (negated, set) = match set.split_first() {
        Some((b'!' | b'^', rest)) => (true, rest),
        Some(_) | None => (false, set),
    };
    let mut at = 0;
    let mut inside = false;
    while at < set.len() {
        if at + 2 < set.len() && set[at + 1] == b'-' {
            inside |= (set[at]..=set[at + 2]).contains(&byte);
            at += 3;
        } else {
            inside |= set[at] == byte;
            at += 1;
        }
    }
    inside != negated
}

/// Stores a file in a tree, and creates its folders. Nothing is stored if the path leads through a file.
pub(super) fn put(tree: &mut FileTree, path: &str, bytes: &[u8]) {
    let folder = path.rfind('/').map_or("", |at| &path[..at]);
    let _blocked = tree
        .make_folders(folder)
        .and_then(|()| tree.write(path, bytes));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(folders: &[&str], files: &[(&str, &str)]) -> FileTree {
        let mut tree = FileTree::default();
        for folder in folders {
            tree.make_folders(folder).unwrap();
        }
        for (path, text) in files {
            tree.write(path, text.as_bytes()).unwrap();
        }
        tree
    }

    #[test]
    fn a_link_is_followed_to_its_target_relative_to_its_own_folder() {
        let mut tree = tree(&["/a/gen/v1"], &[("/a/gen/v1/f", "one")]);
        tree.make_link("gen/v1", "/a/current").unwrap();
        tree.make_link("/a/current/f", "/f").unwrap();
        assert_eq!(tree.read("/f"), Ok(&b"one"[..]));
        assert_eq!(tree.read("/a/current/../v1/f"), Ok(&b"one"[..]));
        assert_eq!(tree.read_link("/a/current"), Ok("gen/v1"));
        assert_eq!(tree.resolve("/a/current/x", true), Ok("/a/gen/v1/x".into()));
    }

    #[test]
    fn a_link_that_leads_to_itself_is_an_error() {
        let mut tree = FileTree::default();
        tree.make_link("b", "/a").unwrap();
        tree.make_link("a", "/b").unwrap();
        assert_eq!(tree.read("/a"), Err(TreeError::TooManyLinks));
    }

    #[test]
    fn a_rename_replaces_a_link_without_touching_its_target() {
        let mut tree = tree(
            &["/gen/v1", "/gen/v2"],
            &[("/gen/v1/f", "1"), ("/gen/v2/f", "2")],
        );
        tree.make_link("gen/v1", "/current").unwrap();
        tree.make_link("gen/v2", "/.next").unwrap();
        tree.rename("/.next", "/current").unwrap();
        assert_eq!(tree.read("/current/f"), Ok(&b"2"[..]));
        assert_eq!(tree.read("/gen/v1/f"), Ok(&b"1"[..]));
        assert!(!tree.exists("/.next"));
    }

    #[test]
    fn a_folder_moves_with_all_below_it_and_not_into_itself() {
        let mut tree = tree(&["/a/b", "/c"], &[("/a/b/f", "x"), ("/ab", "y")]);
        assert_eq!(tree.rename("/a", "/a/b/z"), Err(TreeError::NotFolder));
        assert_eq!(tree.rename("/a", "/ab"), Err(TreeError::NotFolder));
        tree.rename("/a", "/c").unwrap();
        assert_eq!(tree.read("/c/b/f"), Ok(&b"x"[..]));
        assert_eq!(tree.read("/ab"), Ok(&b"y"[..]));
        assert_eq!(tree.rename("/ab", "/c"), Err(TreeError::IsFolder));
    }

    #[test]
    fn errors_name_the_part_of_the_path_that_fails() {
        let mut tree = tree(&["/a"], &[("/f", "x")]);
        assert_eq!(tree.read("/none"), Err(TreeError::NotFound));
        assert_eq!(tree.read("/f/x"), Err(TreeError::NotFolder));
        assert_eq!(tree.read("/a"), Err(TreeError::IsFolder));
        assert_eq!(tree.write("/none/f", b""), Err(TreeError::NotFound));
        assert_eq!(tree.make_folder("/a"), Err(TreeError::Exists));
        assert_eq!(tree.remove("/"), Err(TreeError::NotEmpty));
        assert_eq!(tree.list("/f"), Err(TreeError::NotFolder));
    }

    #[test]
    fn globs_match_names_in_order_and_hidden_names_only_by_a_dot() {
        let files = [
            ("/d/b.conf", ""),
            ("/d/a.conf", ""),
            ("/d/.h.conf", ""),
            ("/d/c.txt", ""),
        ];
        let tree = tree(&["/d", "/e"], &files);
        assert_eq!(tree.glob("/d/*.conf"), ["/d/a.conf", "/d/b.conf"]);
        assert_eq!(tree.glob("/*/[a-b].conf"), ["/d/a.conf", "/d/b.conf"]);
        assert_eq!(tree.glob("/d/.*.conf"), ["/d/.h.conf"]);
        assert_eq!(tree.glob("/d/[!ab].???"), ["/d/c.txt"]);
        assert!(tree.glob("/none/*").is_empty());
    }
}
