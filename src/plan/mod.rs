//! What is known and what must run: the graph, the keys, the reasons.
