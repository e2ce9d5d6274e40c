//! The filesystem while one operation has it: paths become nodes, nodes are read and written.
//!
//! A node is pinned while its number is in use. Those an operation pins on its way are let go when
//! the next one begins, so one that was dropped half-way leaves none behind. The files used last
//! stay pinned: the filesystem then knows where in their chain of clusters the next read goes on.

use alloc::string::String;
use alloc::vec::Vec;

use hadris_fat::async_::FatFs;
use hadris_fs::{DirCursor, Name, NodeId, RenameMode, SetAttr};

use super::device::{Budget, Cached};
use super::path::{names, split};
use super::{DirEntry, EntryKind, FatError, Metadata, Missing};
use crate::storage::StorageDevice;

/// How many files stay pinned.
const RECENT: usize = 8;

/// Longest label: 11 characters of at most 3 bytes.
const LABEL: usize = 33;

pub(super) struct Inside<D: StorageDevice + 'static> {
    pub(super) fs: FatFs<Cached<D>>,
    budget: Budget,
    /// What the operation has pinned on its way.
    passing: Vec<NodeId>,
    /// Files used last, the latest at the end, by the names that lead there.
    recent: Vec<(String, NodeId)>,
}

impl<D: StorageDevice + 'static> Inside<D> {
    pub(super) fn new(fs: FatFs<Cached<D>>, budget: Budget) -> Self {
        Self { fs, budget, passing: Vec::new(), recent: Vec::new() }
    }

    /// Lets go of what the last operation pinned.
    pub(super) fn begin(&mut self) {
        self.budget.renew();
        for node in self.passing.drain(..) {
            self.fs.forget(node, 1);
        }
    }

    pub(super) async fn list(&mut self, path: &str) -> Result<Vec<DirEntry>, FatError> {
        let directory = self.walk(&names(path)).await?;
        let mut entries = Vec::new();
        let mut from = DirCursor::START;
        while let Some(found) = self.fs.readdir(directory, from).await? {
            from = found.next_cursor();
            let name = String::from_utf8_lossy(found.name().as_bytes()).into_owned();
            entries.push(DirEntry { name, metadata: found.metadata().into() });
        }
        Ok(entries)
    }

    pub(super) async fn metadata(&mut self, path: &str) -> Result<Metadata, FatError> {
        let node = self.walk(&names(path)).await?;
        Ok(Metadata::from(&self.fs.stat(node).await?))
    }

    pub(super) async fn is_same(&mut self, one: &str, other: &str) -> Result<bool, FatError> {
        let one = self.walk(&names(one)).await;
        let other = self.walk(&names(other)).await;
        match (one, other) {
            (Ok(one), Ok(other)) => Ok(one == other),
            (Err(FatError::NotFound), _) | (_, Err(FatError::NotFound)) => Ok(false),
            (Err(error), _) | (_, Err(error)) => Err(error),
        }
    }

    pub(super) async fn read(
        &mut self,
        path: &str,
        offset: u64,
        into: &mut [u8],
    ) -> Result<usize, FatError> {
        let file = self.file(path).await?;
        Ok(self.fs.read(file, offset, into).await?)
    }

    pub(super) async fn write(
        &mut self,
        path: &str,
        offset: u64,
        from: &[u8],
        missing: Missing,
    ) -> Result<usize, FatError> {
        self.check_writable()?;
        let file = match self.file(path).await {
            Err(FatError::NotFound) if missing == Missing::Create => {
                self.create(path, EntryKind::File).await?;
                self.file(path).await?
            }
            other => other?,
        };
        Ok(self.fs.write(file, offset, from).await?)
    }

    pub(super) async fn truncate(&mut self, path: &str, bytes: u64) -> Result<(), FatError> {
        self.check_writable()?;
        let file = self.file(path).await?;
        Ok(self.fs.truncate(file, bytes).await?)
    }

    pub(super) async fn create(&mut self, path: &str, kind: EntryKind) -> Result<(), FatError> {
        self.check_writable()?;
        let (parents, name) = split(path)?;
        let directory = self.walk(&parents).await?;
        let name = Name::new(name);
        let node = match kind {
            EntryKind::File => self.fs.create(directory, name, &SetAttr::new()).await?,
            EntryKind::Directory => self.fs.mkdir(directory, name, &SetAttr::new()).await?,
        };
        self.passing.push(node);
        Ok(())
    }

    pub(super) async fn remove(&mut self, path: &str) -> Result<(), FatError> {
        self.check_writable()?;
        let (parents, name) = split(path)?;
        let directory = self.walk(&parents).await?;
        let node = self.pin(directory, name).await?;
        let is_directory = self.fs.stat(node).await?.file_type().is_dir();
        self.forget_recent();
        let name = Name::new(name);
        let removed = match is_directory {
            true => self.fs.rmdir(directory, name).await,
            false => self.fs.unlink(directory, name).await,
        };
        Ok(removed?)
    }

    pub(super) async fn rename(&mut self, from: &str, to: &str) -> Result<(), FatError> {
        self.check_writable()?;
        let ((parents, from), (new_parents, to)) = (split(from)?, split(to)?);
        let directory = self.walk(&parents).await?;
        let new_directory = self.walk(&new_parents).await?;
        self.sync().await?;
        self.forget_recent();
        let (from, to) = (Name::new(from), Name::new(to));
        Ok(self.fs.rename(directory, from, new_directory, to, RenameMode::NoReplace).await?)
    }

    pub(super) async fn label(&mut self) -> Result<Option<String>, FatError> {
        let mut buf = [0; LABEL];
        Ok(self.fs.label(&mut buf).await?.map(String::from))
    }

    pub(super) async fn sync(&mut self) -> Result<(), FatError> {
        Ok(self.fs.sync().await?)
    }

    fn check_writable(&self) -> Result<(), FatError> {
        if self.fs.is_read_only() { Err(FatError::ReadOnly) } else { Ok(()) }
    }

    /// The node that `names` lead to from the root.
    async fn walk(&mut self, names: &[&str]) -> Result<NodeId, FatError> {
        let mut node = self.fs.root();
        for name in names {
            node = self.pin(node, name).await?;
        }
        Ok(node)
    }

    async fn pin(&mut self, directory: NodeId, name: &str) -> Result<NodeId, FatError> {
        let node = self.fs.lookup(directory, Name::new(name)).await?;
        self.passing.push(node);
        Ok(node)
    }

    /// The file at `path`, which stays pinned for the next operations on it.
    async fn file(&mut self, path: &str) -> Result<NodeId, FatError> {
        let names = names(path);
        let key = names.join("/");
        if let Some(at) = self.recent.iter().position(|(path, _)| *path == key) {
            self.recent[at..].rotate_left(1);
            return Ok(self.recent[self.recent.len() - 1].1);
        }
        let node = self.walk(&names).await?;
        if node == self.fs.root() || self.fs.stat(node).await?.file_type().is_dir() {
            return Err(FatError::IsADirectory);
        }
        if self.recent.len() == RECENT {
            let (_, oldest) = self.recent.remove(0);
            self.fs.forget(oldest, 1);
        }
        // Its pin moves from `passing` to here.
        self.passing.pop();
        self.recent.push((key, node));
        Ok(node)
    }

    /// Names are about to change their meaning.
    fn forget_recent(&mut self) {
        for (_, node) in self.recent.drain(..) {
            self.fs.forget(node, 1);
        }
    }
}
