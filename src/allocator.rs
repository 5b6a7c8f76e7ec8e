//! The allocator of the program and of its benchmarks. Training allocates large blocks over and over: one
//! that keeps them is 1.1 to 1.5 times faster.

pub use mimalloc::MiMalloc as Allocator;

/// mimalloc 3's `purge_delay`, which the crate has no name for.
const PURGE_DELAY: libmimalloc_sys::mi_option_t = 15;

/// Has freed blocks kept for ten seconds before the system gets them back: mimalloc's one second is over
/// between two updates of a larger model, and each block would then be zeroed anew.
pub fn keep_freed_blocks() {
    // SAFETY: sets a number, which mimalloc reads when it frees.
    unsafe { libmimalloc_sys::mi_option_set(PURGE_DELAY, 10_000) };
}

/// Tests count what a thread allocates.
#[cfg(test)]
pub(crate) mod counted {
    use std::alloc::{GlobalAlloc, Layout, System};
    use std::cell::Cell;

    struct Counted;

    #[global_allocator]
    static ALLOCATOR: Counted = Counted;

    thread_local! {
        static COUNT: Cell<usize> = const { Cell::new(0) };
    }

    // SAFETY: the system's allocator does all of it.
    unsafe impl GlobalAlloc for Counted {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            let _ = COUNT.try_with(|count| count.set(count.get() + 1)); // not while a thread ends
            // SAFETY: by the caller's promise.
            unsafe { System.alloc(layout) }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            // SAFETY: by the caller's promise.
            unsafe { System.alloc_zeroed(layout) }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let _ = COUNT.try_with(|count| count.set(count.get() + 1));
            // SAFETY: by the caller's promise.
            unsafe { System.realloc(memory, layout, size) }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            // SAFETY: by the caller's promise.
            unsafe { System.dealloc(memory, layout) }
        }
    }

    /// How often this thread has allocated.
    pub(crate) fn allocations() -> usize {
        COUNT.with(Cell::get)
    }
}
