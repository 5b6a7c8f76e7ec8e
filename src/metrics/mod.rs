//! One file a metric, text normalisation, resampling statistics.
