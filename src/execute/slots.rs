//! What the machine has, and what each running instance takes of it. None of it can change a result.

use super::run::Options;
use crate::device::DeviceSpec;
use crate::pipeline::Instance;

/// What an instance takes while it runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Need {
    /// Threads; at least one.
    pub cpus: usize,
    /// Bytes of main memory; 0 when the file does not say.
    pub memory: u64,
    /// Graphics devices.
    pub gpus: u32,
}

/// What is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Slots {
    jobs: usize,
    cpus: usize,
    memory: u64,
    gpus: u32,
}

impl Slots {
    /// All of the machine, within what the user allows.
    pub fn of(options: &Options<'_>) -> Self {
        Self {
            jobs: options.jobs.unwrap_or(usize::MAX),
            cpus: options.threads,
            memory: options.memory,
            // a run has one device
            gpus: u32::from(!options.device.is_cpu()),
        }
    }

    /// What an instance takes of an idle machine, and what the file asks for beyond that.
    ///
    /// Without `cpus`, it takes its share of the threads: all of them, or with `--jobs N` an Nth.
    pub fn need(&self, instance: &Instance, jobs: Option<usize>, device: &DeviceSpec) -> (Need, Vec<String>) {
        let asked = instance.policy.resources;
        let share = (self.cpus / jobs.unwrap_or(1)).max(1);
        let computes_there = instance.work.needs().device && !instance.device(device).is_cpu();
        let gpus = if computes_there { asked.gpus.unwrap_or(1) } else { 0 };
        let need = Need {
            cpus: asked.cpus.map_or(share, |cpus| cpus.get().min(self.cpus)),
            memory: asked.memory.unwrap_or(0).min(self.memory),
            gpus: gpus.min(self.gpus),
        };
        let mut beyond = Vec::new();
        if let Some(cpus) = asked.cpus.filter(|cpus| cpus.get() > need.cpus) {
            let has = need.cpus;
            beyond.push(format!(
                "asks for {cpus} cpus, and this run has {has} (`--threads`): it gets {has}"
            ));
        }
        if let Some(memory) = asked.memory.filter(|&memory| memory > need.memory) {
            let has = gigabytes(need.memory);
            beyond.push(format!(
                "asks for {} of memory, and this run has {has} (`--memory`): nothing else that asks for memory runs \
                 beside it",
                gigabytes(memory)
            ));
        }
        if gpus > need.gpus {
            beyond.push(format!(
                "asks for {gpus} gpus, and a run has one device: it gets that one"
            ));
        }
        (need, beyond)
    }

    /// Whether something can begin now.
    pub fn fit(&self, need: &Need) -> bool {
        self.jobs > 0 && need.cpus <= self.cpus && need.memory <= self.memory && need.gpus <= self.gpus
    }

    /// Whether nothing at all can begin now.
    pub fn none(&self) -> bool {
        self.jobs == 0 || self.cpus == 0
    }

    /// Takes what fits.
    pub fn take(&mut self, need: &Need) {
        self.jobs -= 1;
        self.cpus -= need.cpus;
        self.memory -= need.memory;
        self.gpus -= need.gpus;
    }

    /// Gives back what was taken.
    pub fn give_back(&mut self, need: &Need) {
        self.jobs += 1;
        self.cpus += need.cpus;
        self.memory += need.memory;
        self.gpus += need.gpus;
    }

    /// Keeps free what does not fit yet, so that what is behind it in the line cannot hold it up: of
    /// what it lacks, nothing is left; of the rest, what it will need is set aside.
    pub fn set_aside(&mut self, need: &Need) {
        self.jobs = self.jobs.saturating_sub(1);
        self.cpus = self.cpus.saturating_sub(need.cpus);
        self.memory = self.memory.saturating_sub(need.memory);
        self.gpus = self.gpus.saturating_sub(need.gpus);
    }
}

/// Bytes that a run's instances may declare together: main memory, or what a container is allowed.
pub fn memory_of_the_machine() -> u64 {
    use sysinfo::{MemoryRefreshKind, RefreshKind, System};
    let refresh = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(refresh);
    let all = system.total_memory();
    let allowed = system.cgroup_limits().map(|limits| limits.total_memory);
    allowed
        .filter(|&allowed| allowed > 0)
        .map_or(all, |allowed| allowed.min(all))
}

fn gigabytes(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "shown with one digit")]
    let gigabytes = bytes as f64 / 1e9;
    format!("{gigabytes:.1} GB")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::execute::tests::sandbox::Sandbox;
    use crate::pipeline::{Policy, Resources};

    const MACHINE: Slots = Slots {
        jobs: usize::MAX,
        cpus: 8,
        memory: 16,
        gpus: 1,
    };

    fn need(cpus: usize, memory: u64, gpus: u32) -> Need {
        Need { cpus, memory, gpus }
    }

    #[test]
    fn what_is_taken_comes_back() {
        let mut slots = MACHINE;
        let (one, two) = (need(3, 10, 1), need(5, 6, 0));
        slots.take(&one);
        assert!(!slots.fit(&one) && slots.fit(&two) && !slots.fit(&need(1, 0, 1)) && !slots.fit(&need(1, 7, 0)));
        slots.take(&two);
        assert!(slots.none());
        slots.give_back(&one);
        slots.give_back(&two);
        assert_eq!(slots, MACHINE);
    }

    #[test]
    fn what_waits_for_a_device_lets_others_begin_on_the_threads_that_it_does_not_need() {
        let mut slots = MACHINE;
        slots.take(&need(2, 0, 1));
        let first = need(2, 0, 1);
        assert!(!slots.fit(&first));
        slots.set_aside(&first);
        assert!(slots.fit(&need(4, 0, 0)) && !slots.fit(&need(5, 0, 0)));
        // one that waits for threads lets nobody pass
        let mut slots = MACHINE;
        slots.take(&need(1, 0, 0));
        slots.set_aside(&need(8, 0, 0));
        assert!(slots.none());
    }

    #[test]
    fn what_computes_takes_the_device_unless_the_file_keeps_it_off() {
        let mut sandbox = Sandbox::new(&[
            ("count", "count", json!({"to": 1})), // computes
            ("note", "note", json!({"text": "x"})),
        ]);
        let gpu = DeviceSpec::parse("gpu:0").unwrap();
        let needs = |sandbox: &Sandbox| -> Vec<(Need, usize)> {
            let pipeline = sandbox.pipeline();
            let all = pipeline.instances.iter().map(|one| MACHINE.need(one, Some(3), &gpu));
            all.map(|(need, beyond)| (need, beyond.len())).collect()
        };
        assert_eq!(needs(&sandbox), [(need(2, 0, 1), 0), (need(2, 0, 0), 0)]);
        let resources = |gpus| Resources {
            gpus: Some(gpus),
            memory: Some(17),
            ..Resources::default()
        };
        for (gpus, taken, beyond) in [(0, 0, 1), (1, 1, 1), (2, 1, 2)] {
            let resources = resources(gpus);
            sandbox.policy(
                "count",
                Policy {
                    resources,
                    ..Policy::default()
                },
            );
            assert_eq!(needs(&sandbox)[0], (need(2, 16, taken), beyond), "{gpus} gpus");
        }
        let resources = resources(0);
        sandbox.policy(
            "count",
            Policy {
                resources,
                ..Policy::default()
            },
        );
        let count = &sandbox.pipeline().instances[0];
        assert!(count.device(&gpu).is_cpu());
    }

    #[test]
    fn the_machine_has_memory() {
        assert!(memory_of_the_machine() > 1 << 20);
    }
}
