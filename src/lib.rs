//! fragua runs language-model experiments from a YAML file.
//!
//! Reading order: [`step`] is the contract between the engine and the work. The engine is
//! [`pipeline`] (the file, resolved) → [`plan`] (what is known) → [`execute`] (what is not), over
//! [`store`]; [`records`] reads what runs left there. The work is [`steps`], one thin file a kind, over the rooms of the domain: [`data`],
//! [`tokenizer`], [`prompt`], [`models`], [`train`], [`generate`], [`quantize`], [`metrics`],
//! [`report`]. [`cli`] is the only room that prints.
#![recursion_limit = "256"] // burn's tensor types nest deeply

pub mod allocator;
pub mod cli;
pub mod data;
pub mod device;
pub mod execute;
pub mod generate;
pub mod gzip;
pub mod inspect;
pub mod kernels;
pub mod layout;
pub mod metrics;
pub mod models;
pub mod pipeline;
pub mod plan;
pub mod profile;
pub mod prompt;
pub mod quantize;
pub mod records;
pub mod report;
pub mod seed;
pub mod step;
pub mod steps;
pub mod store;
pub mod tokenizer;
pub mod train;
