//! Smaller number formats for weights, and the error that each costs.
