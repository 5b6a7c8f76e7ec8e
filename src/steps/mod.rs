//! The step kinds: settings → domain call → artifact. One thin file a kind; to add one, write its
//! file and add two lines here.

mod dataset;
mod encode;
mod evaluate;
mod finetune;
mod perplexity;
mod pretrain;
mod report;
mod tokenize;
mod training;

use crate::step::Kind;

/// Every kind that a pipeline file can name.
pub static KINDS: &[Kind] = &[
    dataset::KIND,
    encode::KIND,
    evaluate::KIND,
    finetune::KIND,
    pretrain::KIND,
    report::KIND,
    tokenize::KIND,
];
