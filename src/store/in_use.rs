//! Who uses a store: runs share it, and only the collector wants it for itself.
//!
//! A run holds the shared lock from before its first look at the store to its end, so nothing that it
//! found known, and nothing that it published, can be taken away under it. The collector deletes
//! under the exclusive lock, which it gets only while no run holds the shared one. The kernel holds
//! both: they end with their process.

use std::fs::{File, TryLockError};

use super::{Store, StoreError};

impl Store {
    /// Shares the store with others; while somebody has it alone, waits.
    ///
    /// # Errors
    /// When the lock's file cannot be made or locked.
    pub fn share(&self) -> Result<File, StoreError> {
        let path = self.root().join("in-use.lock");
        let file = self.in_use_file()?;
        file.lock_shared().map_err(StoreError::file("lock", &path))?;
        Ok(file)
    }

    /// The same for who only reads: a store that cannot be written, or that no run has used yet, is
    /// not collected either.
    pub fn share_to_read(&self) -> Option<File> {
        let file = File::open(self.root().join("in-use.lock")).ok()?;
        file.lock_shared().ok().map(|()| file)
    }

    /// The store for oneself, or `None` while somebody shares it.
    ///
    /// # Errors
    /// When the lock's file cannot be made or locked.
    pub fn alone(&self) -> Result<Option<File>, StoreError> {
        let path = self.root().join("in-use.lock");
        let file = self.in_use_file()?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(StoreError::file("lock", &path)(error)),
        }
    }

    fn in_use_file(&self) -> Result<File, StoreError> {
        let path = self.root().join("in-use.lock");
        File::options()
            .create(true)
            .truncate(false)
            .read(true)
            .write(true)
            .open(&path)
            .map_err(StoreError::file("open", &path))
    }
}
