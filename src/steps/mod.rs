//! The step kinds: settings → domain call → artifact. One thin file a kind; to add one, write its
//! file and add two lines here.

mod dataset;
mod encode;
mod finetune;
mod pretrain;
mod tokenize;
mod training;

use crate::step::Kind;

/// Every kind that a pipeline file can name.
pub static KINDS: &[Kind] = &[
    dataset::KIND,
    encode::KIND,
    finetune::KIND,
    pretrain::KIND,
    tokenize::KIND,
];
