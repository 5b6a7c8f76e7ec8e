//! The step kinds: settings → domain call → artifact. One thin file a kind; to add one, write its
//! file and add two lines here.

mod dataset;
mod encode;
mod evaluate;
mod finetune;
mod generate;
mod model;
mod outlook;
mod perplexity;
mod pretrain;
mod quantize;
mod report;
mod tokenize;
mod training;

#[cfg(test)]
mod preparation_tests;

use crate::step::Kind;

/// Every kind that a pipeline file can name, in the order of a model's life.
pub static KINDS: &[Kind] = &[
    dataset::KIND,
    tokenize::KIND,
    encode::KIND,
    model::KIND,
    pretrain::KIND,
    finetune::KIND,
    quantize::KIND,
    generate::KIND,
    evaluate::KIND,
    report::KIND,
];
