//! GPUs through burn-wgpu: which are there, and opening one.

use std::sync::OnceLock;

use burn::tensor::wgpu::{WgpuBackend, WgpuInitError};
use burn::tensor::{Device, DeviceKind};
use burn_wgpu::graphics::AutoGraphicsApi;
use burn_wgpu::wgpu;

use super::{Class, DeviceError, DeviceSpec, Found};

/// The adapters of the graphics API that burn will settle on: the first in its order that has a
/// GPU, or else the first that has anything. Asked once: instances that come and go upset drivers.
fn adapters(class: Class) -> &'static [wgpu::AdapterInfo] {
    static ANY: OnceLock<Vec<wgpu::AdapterInfo>> = OnceLock::new();
    static VULKAN: OnceLock<Vec<wgpu::AdapterInfo>> = OnceLock::new();
    match class {
        Class::Vulkan if cfg!(feature = "vulkan") => VULKAN.get_or_init(|| probe(wgpu::Backend::Vulkan)),
        Class::Vulkan => &[],
        _ => ANY.get_or_init(|| {
            let mut software = Vec::new();
            for backend in AutoGraphicsApi::chain() {
                let found = probe(backend);
                if found.iter().any(|adapter| adapter.device_type != wgpu::DeviceType::Cpu) {
                    return found;
                }
                if software.is_empty() {
                    software = found;
                }
            }
            software
        }),
    }
}

fn probe(backend: wgpu::Backend) -> Vec<wgpu::AdapterInfo> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor {
        backends: backend.into(),
        ..wgpu::InstanceDescriptor::new_without_display_handle()
    });
    let listing = instance.enumerate_adapters(backend.into());
    block_on(listing).iter().map(wgpu::Adapter::get_info).collect()
}

/// Runs a future that is ready at once, as wgpu's listing is outside of a browser.
fn block_on<T>(future: impl Future<Output = T>) -> T {
    let mut future = std::pin::pin!(future);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    loop {
        match future.as_mut().poll(&mut context) {
            std::task::Poll::Ready(value) => return value,
            std::task::Poll::Pending => std::thread::yield_now(),
        }
    }
}

/// Each adapter that burn can address, with its kind's own count, real GPUs first.
fn addressed(class: Class) -> Vec<(DeviceKind, &'static str, String)> {
    let mut counts = [0; 3];
    let mut next = |kind: usize| {
        counts[kind] += 1;
        counts[kind] - 1
    };
    let mut list: Vec<(usize, (DeviceKind, &'static str, String))> = Vec::new();
    for adapter in adapters(class) {
        let name = adapter.name.clone();
        let entry = match adapter.device_type {
            wgpu::DeviceType::DiscreteGpu => (0, (DeviceKind::DiscreteGpu(next(0)), "discrete gpu", name)),
            wgpu::DeviceType::IntegratedGpu => (1, (DeviceKind::IntegratedGpu(next(1)), "integrated gpu", name)),
            wgpu::DeviceType::VirtualGpu => (2, (DeviceKind::VirtualGpu(next(2)), "virtual gpu", name)),
            wgpu::DeviceType::Cpu => (3, (DeviceKind::Cpu, "software gpu", name)),
            wgpu::DeviceType::Other => continue, // burn has no way to name it
        };
        list.push(entry);
    }
    list.sort_by_key(|(rank, _)| *rank);
    list.dedup_by(|a, b| a.1.0 == DeviceKind::Cpu && b.1.0 == DeviceKind::Cpu);
    list.into_iter().map(|(_, entry)| entry).collect()
}

pub(super) fn devices(class: Class) -> Vec<Found> {
    addressed(class)
        .into_iter()
        .enumerate()
        .map(|(index, (_, kind, name))| Found {
            spec: DeviceSpec { class, index },
            name,
            kind,
            memory: None, // wgpu does not tell
        })
        .collect()
}

pub(super) fn open(device: DeviceSpec, vulkan: bool) -> Result<Device, DeviceError> {
    let (kind, _, _) = addressed(device.class)
        .into_iter()
        .nth(device.index)
        .expect("a resolved device is in the list");
    let api = if vulkan { WgpuBackend::Vulkan } else { WgpuBackend::Auto };
    let started = Device::wgpu_options()
        .device_kind(kind.clone())
        .graphics_api(api)
        .init();
    match started {
        Ok(started) => Ok(started),
        // this process has opened it before
        Err(WgpuInitError::Registration { .. }) => Ok(reopened(kind, vulkan)),
        Err(error) => Err(DeviceError::Start {
            device: device.to_string(),
            message: error.to_string(),
        }),
    }
}

#[cfg(feature = "vulkan")]
fn reopened(kind: DeviceKind, vulkan: bool) -> Device {
    if vulkan {
        Device::vulkan(kind)
    } else {
        Device::wgpu(kind)
    }
}

#[cfg(not(feature = "vulkan"))]
fn reopened(kind: DeviceKind, _: bool) -> Device {
    Device::wgpu(kind)
}
