//! Objects, actions, attempts and locks on disk.
