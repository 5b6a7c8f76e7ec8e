//! Devices: the only file that names a burn backend.
//!
//! `cpu` is burn's Flex; `gpu` is wgpu over any graphics API; `vulkan` and `cuda` exist where they
//! are built in. What is there is found at run time, without opening it.

use std::str::FromStr;

use burn::tensor::Device;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A device by its spelling: `auto`, `cpu`, `gpu`, `gpu:1`, `vulkan:0`, `cuda:0`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeviceSpec {
    class: Class,
    index: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Class {
    Auto,
    Cpu,
    Gpu,
    Vulkan,
    Cuda,
}

const CLASSES: [(Class, &str); 5] = [
    (Class::Auto, "auto"),
    (Class::Cpu, "cpu"),
    (Class::Gpu, "gpu"),
    (Class::Vulkan, "vulkan"),
    (Class::Cuda, "cuda"),
];

/// A device that is asked for and cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The spelling.
    #[error("`{0}` is not a device; write auto, cpu, gpu, gpu:N, vulkan:N or cuda:N")]
    Spelling(String),
    /// The program was built without it.
    #[error("`{device}` is not built in; build with `--features {feature}`, or take one of: {}", names(.found))]
    NotBuilt {
        /// What was asked for.
        device: String,
        /// What would have it.
        feature: &'static str,
        /// What there is.
        found: Vec<Found>,
    },
    /// The machine has no such device.
    #[error("there is no device `{device}` on this machine; there is: {}", names(.found))]
    Absent {
        /// What was asked for.
        device: String,
        /// What there is.
        found: Vec<Found>,
    },
    /// It is there but does not start.
    #[error("device `{device}` does not start: {message}")]
    Start {
        /// What was asked for.
        device: String,
        /// Why, as its driver says.
        message: String,
    },
}

/// A device of this machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// How it is asked for.
    pub spec: DeviceSpec,
    /// Its own name: `Intel(R) Xeon(R) ..`, `NVIDIA H100`.
    pub name: String,
    /// What it is: `processor`, `discrete gpu`, `integrated gpu`, `virtual gpu`, `software gpu`.
    pub kind: &'static str,
    /// Its memory in bytes, where it says so.
    pub memory: Option<u64>,
}

impl Found {
    /// Whether it is a real GPU, which `auto` takes before the CPU.
    pub fn is_real_gpu(&self) -> bool {
        self.spec.class != Class::Cpu && self.kind != "software gpu"
    }
}

fn names(found: &[Found]) -> String {
    let names: Vec<_> = found
        .iter()
        .map(|found| format!("{} ({}, {})", found.spec, found.name, found.kind))
        .collect();
    names.join(", ")
}

impl DeviceSpec {
    /// The CPU.
    pub const CPU: Self = Self {
        class: Class::Cpu,
        index: 0,
    };

    /// Whatever is best here.
    pub const AUTO: Self = Self {
        class: Class::Auto,
        index: 0,
    };

    /// Reads a spelling.
    ///
    /// # Errors
    /// When it is none.
    pub fn parse(text: &str) -> Result<Self, DeviceError> {
        let error = || DeviceError::Spelling(text.to_owned());
        let (name, index) = match text.split_once(':') {
            Some((name, index)) => (name, Some(index.parse().map_err(|_| error())?)),
            None => (text, None),
        };
        let (class, _) = CLASSES.iter().find(|(_, known)| *known == name).ok_or_else(error)?;
        if index.is_some() && matches!(class, Class::Auto | Class::Cpu) {
            return Err(error());
        }
        Ok(Self {
            class: *class,
            index: index.unwrap_or(0),
        })
    }

    /// The device that this spelling means here: `auto` becomes a real GPU if there is one and the CPU
    /// otherwise.
    ///
    /// # Errors
    /// When it is not built in or not there; the error says what is.
    pub fn resolve(&self) -> Result<Self, DeviceError> {
        if self.class == Class::Cpu {
            return Ok(*self);
        }
        let found = list();
        if self.class == Class::Auto {
            let best = found.iter().find(|found| found.is_real_gpu());
            return Ok(best.map_or(Self::CPU, |found| found.spec));
        }
        let missing = match self.class {
            Class::Gpu if !cfg!(feature = "gpu") => Some("gpu"),
            Class::Vulkan if !cfg!(feature = "vulkan") => Some("vulkan"),
            Class::Cuda if !cfg!(feature = "cuda") => Some("cuda"),
            _ => None,
        };
        let device = self.to_string();
        if let Some(feature) = missing {
            return Err(DeviceError::NotBuilt { device, feature, found });
        }
        if found.iter().any(|found| found.spec == *self) {
            Ok(*self)
        } else {
            Err(DeviceError::Absent { device, found })
        }
    }

    /// Opens it, without autodiff; training adds `.autodiff()`.
    ///
    /// # Errors
    /// When it is not there or does not start.
    pub fn open(&self) -> Result<Device, DeviceError> {
        let device = self.resolve()?;
        match device.class {
            Class::Auto => unreachable!("resolve names a device"),
            Class::Cpu => Ok(Device::flex()),
            Class::Gpu => open_graphics(device, false),
            Class::Vulkan => open_graphics(device, true),
            Class::Cuda => open_cuda(device),
        }
    }

    /// How it rounds, for keys: results of one class are taken for results of another never.
    ///
    /// # Panics
    /// For `auto`, which is no device: resolve it first.
    pub fn numerics(&self) -> &'static str {
        match self.class {
            Class::Auto => panic!("auto is resolved before its numerics are asked for"),
            Class::Cpu => "cpu",
            Class::Gpu => "gpu",
            Class::Vulkan => "vulkan",
            Class::Cuda => "cuda",
        }
    }

    /// Whether it is the CPU.
    pub fn is_cpu(&self) -> bool {
        self.class == Class::Cpu
    }

    /// The device for a person: `cpu (AMD EPYC 9B14)`.
    pub fn describe(&self) -> String {
        // the processor is known without asking graphics drivers, which are slow and may print
        let found = match self.class {
            Class::Cpu => Some(processor()),
            _ => list().into_iter().find(|found| found.spec == *self),
        };
        found.map_or_else(|| self.to_string(), |found| format!("{self} ({})", found.name))
    }
}

impl std::fmt::Display for DeviceSpec {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (_, name) = CLASSES
            .iter()
            .find(|(class, _)| *class == self.class)
            .expect("every class has a name");
        match self.class {
            Class::Auto | Class::Cpu => f.write_str(name),
            Class::Gpu | Class::Vulkan | Class::Cuda => write!(f, "{name}:{}", self.index),
        }
    }
}

impl FromStr for DeviceSpec {
    type Err = DeviceError;

    fn from_str(text: &str) -> Result<Self, DeviceError> {
        Self::parse(text)
    }
}

impl Serialize for DeviceSpec {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for DeviceSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// Whether a tensor's device computes on the CPU, where fused operations run.
pub(crate) fn is_cpu(device: &Device) -> bool {
    device.clone().without_autodiff() == Device::flex()
}

/// Keeps harmless lines of graphics drivers off the screen: Mesa prints two where `XDG_RUNTIME_DIR`
/// is unset, as it is on servers and in CI. Call it first, while the process has one thread.
pub fn quiet_drivers() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: called at the start of the process, before any thread that could read the environment.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

/// All devices of this machine that are built in, best first, the CPU last before software GPUs.
pub fn list() -> Vec<Found> {
    let mut found = cuda_devices();
    found.extend(graphics_devices(Class::Vulkan));
    found.extend(graphics_devices(Class::Gpu));
    found.push(processor());
    // stable: a real GPU is better than the CPU, and that than a GPU in software
    found.sort_by_key(|found| match (found.spec.class, found.kind) {
        (Class::Cuda, _) => 0,
        (Class::Cpu, _) => 2,
        (_, "software gpu") => 3,
        _ => 1,
    });
    found
}

fn processor() -> Found {
    let mut system = sysinfo::System::new();
    system.refresh_cpu_list(sysinfo::CpuRefreshKind::nothing());
    system.refresh_memory();
    let name = system
        .cpus()
        .first()
        .map(|cpu| cpu.brand().trim().to_owned())
        .filter(|brand| !brand.is_empty())
        .unwrap_or_else(|| std::env::consts::ARCH.to_owned());
    Found {
        spec: DeviceSpec::CPU,
        name,
        kind: "processor",
        memory: Some(system.total_memory()),
    }
}

#[cfg(not(feature = "gpu"))]
fn graphics_devices(_: Class) -> Vec<Found> {
    Vec::new()
}

#[cfg(not(feature = "gpu"))]
fn open_graphics(device: DeviceSpec, _: bool) -> Result<Device, DeviceError> {
    unreachable!("{device} does not resolve in this build")
}

#[cfg(feature = "gpu")]
use graphics::{devices as graphics_devices, open as open_graphics};

#[cfg(feature = "gpu")]
mod graphics;

#[cfg(feature = "cuda")]
fn cuda_devices() -> Vec<Found> {
    use burn::tensor::DeviceType;
    let count = Device::enumerate(DeviceType::Cuda).into_vec().len();
    (0..count)
        .map(|index| Found {
            spec: DeviceSpec {
                class: Class::Cuda,
                index,
            },
            name: format!("CUDA device {index}"),
            kind: "discrete gpu",
            memory: None,
        })
        .collect()
}

#[cfg(feature = "cuda")]
fn open_cuda(device: DeviceSpec) -> Result<Device, DeviceError> {
    Ok(Device::cuda(device.index))
}

#[cfg(not(feature = "cuda"))]
fn cuda_devices() -> Vec<Found> {
    Vec::new()
}

#[cfg(not(feature = "cuda"))]
fn open_cuda(device: DeviceSpec) -> Result<Device, DeviceError> {
    unreachable!("{device} does not resolve in this build")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_round_trip_and_others_are_refused() {
        for text in ["auto", "cpu", "gpu:0", "gpu:3", "vulkan:1", "cuda:0"] {
            assert_eq!(DeviceSpec::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(DeviceSpec::parse("gpu").unwrap(), DeviceSpec::parse("gpu:0").unwrap());
        for text in ["", "tpu", "cpu:1", "gpu:", "gpu:x", "GPU"] {
            let error = DeviceSpec::parse(text).unwrap_err().to_string();
            assert!(error.contains("write auto, cpu"), "{error}");
        }
        let json = serde_json::to_string(&DeviceSpec::CPU).unwrap();
        assert_eq!(json, "\"cpu\"");
        assert_eq!(serde_json::from_str::<DeviceSpec>(&json).unwrap(), DeviceSpec::CPU);
    }

    #[test]
    fn auto_names_a_device_that_is_real_and_the_cpu_is_always_there() {
        let auto = DeviceSpec::AUTO.resolve().unwrap();
        let found = list();
        let chosen = found.iter().find(|found| found.spec == auto).unwrap();
        assert!(chosen.is_real_gpu() || auto.is_cpu());
        assert!(found.iter().any(|found| found.spec.is_cpu() && found.memory > Some(0)));
        assert!(is_cpu(&DeviceSpec::CPU.open().unwrap()));
        assert!(is_cpu(&DeviceSpec::CPU.open().unwrap().autodiff()));
    }

    #[test]
    fn what_is_absent_is_refused_with_what_there_is() {
        let error = DeviceSpec::parse("gpu:99").unwrap().resolve().unwrap_err().to_string();
        assert!(error.contains("gpu:99") && error.contains("cpu"), "{error}");
    }
}
