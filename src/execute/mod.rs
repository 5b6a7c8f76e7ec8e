//! Runs a plan: scheduler, worker protocol, launchers, the record of a run.
