//! Rows over threads, results in the order of the rows.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// Does `work` for each of `items` on up to `threads` threads and returns the results in order.
///
/// Each item is worked on inside a pool of one thread, so that operations that would spread over
/// the threads of a pool see the same pool whatever `threads` is: results cannot depend on it.
///
/// # Errors
/// The error of the earliest item that failed; later items are not begun. Which one that is does not
/// depend on timing, as items are begun in order.
pub fn each<I, T, E>(items: &[I], threads: usize, work: impl Fn(&I) -> Result<T, E> + Sync) -> Result<Vec<T>, E>
where
    I: Sync,
    T: Send,
    E: Send,
{
    let next = AtomicUsize::new(0);
    let failed = AtomicBool::new(false);
    let results: Mutex<Vec<Option<Result<T, E>>>> = Mutex::new(items.iter().map(|_| None).collect());
    let keep_going = || {
        while !failed.load(Ordering::Relaxed) {
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(index) else { break };
            let result = work(item);
            if result.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            results.lock().expect("no thread panics while it holds the results")[index] = Some(result);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..threads.clamp(1, items.len().max(1)) {
            scope.spawn(|| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(1).build();
                pool.expect("the system grants a thread").install(keep_going);
            });
        }
    });
    // items not begun come after the one that failed
    results
        .into_inner()
        .expect("no thread panicked")
        .into_iter()
        .flatten()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_whatever_the_threads() {
        let items: Vec<u64> = (0..200).collect();
        let square = |item: &u64| {
            assert_eq!(rayon::current_num_threads(), 1);
            std::thread::sleep(std::time::Duration::from_micros((200 - item) * 3));
            Ok::<_, ()>(item * item)
        };
        let expected: Vec<u64> = items.iter().map(|item| item * item).collect();
        for threads in [1, 2, 7] {
            assert_eq!(each(&items, threads, square).unwrap(), expected);
        }
        assert!(each(&[], 3, square).unwrap().is_empty());
    }

    #[test]
    fn the_earliest_failure_counts() {
        let items: Vec<u64> = (0..50).collect();
        for threads in [1, 4] {
            let result = each(&items, threads, |&item| {
                // the earlier of the two failures takes longer
                std::thread::sleep(std::time::Duration::from_millis(if item == 10 { 20 } else { 1 }));
                if item == 10 || item == 11 { Err(item) } else { Ok(()) }
            });
            assert_eq!(result, Err(10));
        }
    }
}
